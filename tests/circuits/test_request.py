"""Commands that read what is asked of them from a YAML file."""

import pytest
from typer.testing import CliRunner

from circuits.asked import read_request
from circuits.cli import app


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_names_are_those_of_the_command_with_either_dash(tmp_path):
    file = tmp_path / "find.yaml"
    file.write_text("n-pairs: 20\nlevel: 0.8\n")
    assert read_request(str(file), ["n_pairs", "level", "out"]) == {"n_pairs": 20, "level": 0.8}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("levl: 3", "request: .*find.yaml has 'levl'; did you mean 'level'. There are n_pairs, level"),
        ("zzz: 3", "has 'zzz'. There are"),
        ("- level", "is list; expected names and values"),
        ("", "is NoneType; expected names and values"),
        ("level: [", "cannot be read"),
    ],
)
def test_what_is_not_understood_is_said(tmp_path, text, said):
    file = tmp_path / "find.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_request(str(file), ["n_pairs", "level"])
    with pytest.raises(ValueError, match=r"none\.yaml cannot be read"):
        read_request(str(tmp_path / "none.yaml"), ["level"])


def test_what_is_given_beside_it_wins(tmp_path):
    """All the way to what `find` refuses: it has its address from the file, or the one that is given anew."""
    file = tmp_path / "find.yaml"
    file.write_text(f"address: {tmp_path / 'nowhere'}\nlevel: much\n")
    refused = run("find", "--request", file)
    assert refused.exit_code == 2
    assert "--level" in refused.output
    refused = run("find", "--request", file, "--level", 0.5)
    assert refused.exit_code == 1
    assert "nowhere" in refused.output
    refused = run("find", tmp_path / "elsewhere", "--request", file, "--level", 0.5)
    assert "elsewhere" in refused.output
    assert "nowhere" not in refused.output
    file.write_text("levl: 1")
    for command in ("find", "score"):
        refused = run(command, "--request", file)
        assert refused.exit_code == 1
        assert "has 'levl'; did you mean 'level'" in refused.output or "has 'levl'. There are" in refused.output
