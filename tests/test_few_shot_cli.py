"""The command ``probe few-shot``: what it takes, what it writes, and what it says of what it cannot take."""

import re

import pandas as pd
import pytest
from typer.testing import CliRunner

import probe
from probe.cli import app
from probe.fewshot import asking
from tests.fewshot import rigged
from tests.suites.hub_format import hub_layout

ASKED = ("--operands", "1-6", "--partners", "1-6", "--shots", "0,2")


def run(*arguments):
    return CliRunner().invoke(app, ["few-shot", *map(str, arguments)])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two steps of a model that always answers 12, or 6."""
    root = tmp_path_factory.mktemp("constant")
    for step, answer in ((1, 12), (20, 6)):
        rigged.save(root / "m" / f"step{step}", {":": str(answer)})
    return root


def test_the_same_numbers_as_the_function(root, tmp_path):
    said = run(root, "--out", tmp_path / "out", *ASKED)
    assert said.exit_code == 0, said.output
    wanted = probe.few_shot(root, operands="1-6", partners="1-6", shots=(0, 2), progress=False)
    csv = pd.read_csv(tmp_path / "out" / "multiplication.csv")
    pd.testing.assert_frame_equal(csv, wanted.by_operand, check_dtype=False)
    stored = pd.concat(map(pd.read_parquet, (tmp_path / "out" / "items").glob("*.parquet")))
    order = ["step", "n_shot", "a", "b"]
    pd.testing.assert_frame_equal(
        stored.sort_values(order, ignore_index=True), wanted.items.sort_values(order, ignore_index=True)
    )
    # of 36 facts four are 12, and four are 6
    assert re.search(r"model +parameters +step +0 shots +2 shots", said.output)
    n_params = f"{probe.open_suite(root).by_name['m'].n_params:,}"
    for step in (1, 20):
        assert re.search(rf"m +{n_params} +{step} +0\.111 +0\.111", said.output), said.output
    assert "asking 36 questions of 2 checkpoint(s) with 0, 2 examples: 4 of 4 units are to be asked" in said.stderr
    assert f"By operand: {tmp_path}/out/multiplication.csv   Answers: {tmp_path}/out/items/*.parquet" in said.output


def test_all_that_may_be_asked_for(root, tmp_path):
    template = r"Q: What is {a} plus {b}? A:{answer}\n\n"
    said = run(
        *(
            root,
            "--out",
            tmp_path,
            "--operation",
            "addition",
            "--operands",
            "1,3-5",
            "--partners",
            "1,7",
            "--shots",
            "3",
        ),
        *("--template", template, "--models", "m", "--steps", "20", "--seed", "4", "--max-new-tokens", "5"),
        *("--batch-size", "3", "--device", "cpu"),
    )
    assert said.exit_code == 0, said.output
    wanted = probe.few_shot(
        probe.open_suite(root, steps=[20]),
        *("addition", [1, 3, 4, 5], [1, 7], 3, "Q: What is {a} plus {b}? A:{answer}\n\n"),
        seed=4,
        max_new_tokens=5,
        out=tmp_path,
        progress=False,
    )
    assert len(list((tmp_path / "items").iterdir())) == 1  # that of the function is the command's
    assert wanted.items["right"].sum() == 1
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "addition.csv"), wanted.by_operand, check_dtype=False)


def test_a_mirror_of_the_hub(root, tmp_path):
    hub_layout(tmp_path / "hub", "Org/m-deduped", {"step1": root / "m" / "step1", "step20": root / "m" / "step20"})
    said = run("Org/m", "--deduped", "--mirror", tmp_path / "hub", "--out", tmp_path / "out", *ASKED, "--steps", "20")
    assert said.exit_code == 0, said.output
    csv = pd.read_csv(tmp_path / "out" / "multiplication.csv")
    assert csv[["model", "step"]].drop_duplicates().to_numpy().tolist() == [["m-deduped", 20]]
    assert csv["accuracy"].sum() == pytest.approx(2 * 4 / 6)


def test_what_is_odd_is_noted(tmp_path):
    for step in (0, 1):
        rigged.save(tmp_path / "m" / f"step{step}", {":": "12"}, read=rigged.tokenizer(without=(24,)))
    said = run(tmp_path, "--out", tmp_path / "out", "--operands", "23-25", "--partners", "1", "--shots", "0")
    assert said.exit_code == 0, said.output
    assert said.stderr.count("note: operands: the tokenizer of m splits 24 otherwise") == 1
    assert said.stderr.count("note: m at step 1 has the weights of step 0, so one of them is not") == 1


def test_interrupted_it_says_how_to_go_on_and_goes_on(root, tmp_path, monkeypatch):
    ask, asked = asking.greedy_answers, []

    def ask_until(*given, at_most):
        if len(asked) == at_most:
            raise KeyboardInterrupt
        asked.append(len(given[2]))
        return ask(*given)

    monkeypatch.setattr(asking, "greedy_answers", lambda *given: ask_until(*given, at_most=5))
    said = run(root, "--out", tmp_path, *ASKED, "--batch-size", "18")
    assert said.exit_code == 130
    assert "interrupted; the same command goes on from here" in said.stderr
    assert len(list((tmp_path / "items").iterdir())) == 2  # two of two batches each; of the third one batch is lost
    asked.clear()
    monkeypatch.setattr(asking, "greedy_answers", lambda *given: ask_until(*given, at_most=99))
    said = run(root, "--out", tmp_path, *ASKED, "--batch-size", "18")
    assert said.exit_code == 0, said.output
    assert asked == [18] * 4
    assert "2 of 4 units are to be asked" in said.stderr
    wanted = probe.few_shot(root, operands="1-6", partners="1-6", shots=(0, 2), progress=False)
    csv = pd.read_csv(tmp_path / "multiplication.csv")
    pd.testing.assert_frame_equal(csv, wanted.by_operand, check_dtype=False)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--operation", "division"], "error: operation: got 'division'; expected one of addition, subtraction"),
        (["--operands", "a"], "error: operands: got 'a' in 'a'; expected a number, or a range such as 0-99"),
        (["--partners", "-1"], "error: partners: got '-1'"),
        (["--shots", "many"], "error: shots: got 'many'; expected numbers with commas between them, such as 0,4"),
        (["--shots", "-1"], "error: shots: got -1; expected whole numbers from 0"),
        ([*ASKED, "--shots", "12"], r"error: shots: with 12 the longest prompt has [\d,]+ tokens, .* n_ctx = 128"),
        (["--template", "{a} x"], r"error: template: got '\{a\} x', but it lacks \{b\}"),
        (["--models", "n"], "error: model: got 'n'; expected one of m"),
        (["--steps", "3"], "error: step: m has no checkpoint at 3; the nearest is at 1"),
        (["--steps", "x"], "error: steps: got 'x'; expected whole numbers"),
        (["--seed", "-1"], "error: seed: got -1"),
        (["--batch-size", "0"], "error: batch_size: got 0"),
        (["--device", "abacus"], "error: device: got 'abacus'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_in_a_line(root, tmp_path, asked, says):
    said = run(root, "--out", tmp_path / "out", *asked)
    assert said.exit_code == 1
    assert re.match(says, said.stderr), said.stderr
    assert not (tmp_path / "out").exists()
