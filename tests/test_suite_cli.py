"""The commands ``probe suite``: what they print, where, and with which exit code."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import probe.suites
from probe import suite_cli
from probe.cli import app
from probe.suites import integrity
from probe.suites.architecture import Architecture, Shape
from probe.suites.trained import TrainedModel
from probe.tasks import ModularArithmetic
from probe.training.ensemble import Member
from probe.training.run import train
from probe.training.settings import Schedule, TrainingSettings
from tests.suites.layouts import early
from tests.suites.plain import noisy_weights

TASK = ModularArithmetic(7, train_fraction=0.5)
SETTINGS = TrainingSettings(steps=40, checkpoints=Schedule(log_until=0, every=10))


def suite(*arguments):
    return CliRunner().invoke(app, ["suite", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    for name, d_model in (("small", 8), ("big", 16)):
        shape = Shape(d_model=d_model, n_heads=2)
        train(Architecture.of(shape, TASK), [Member(name, TASK, seed=d_model)], SETTINGS, str(folder))
    return folder


@pytest.fixture
def copy(tmp_path, trained):
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.fixture
def published(tmp_path):
    """A file as others write it: no config, another layout, names of its own, and something beside the weights."""
    arch = Architecture(d_vocab=8, n_ctx=3, d_model=8, n_heads=2)
    stored = early(arch, noisy_weights(arch)) | {"x_embed": torch.ones(2)}
    names = {f"w{i}": name for i, name in enumerate(stored)}
    torch.save({new: stored[name] for new, name in names.items()}, tmp_path / "run.pt")
    (tmp_path / "names.json").write_text(json.dumps(names))
    (tmp_path / "cfg.json").write_text('{"act_fn": "gelu"}')
    return tmp_path / "run.pt"


def rows(output):
    return [line.split() for line in output.splitlines()]


def test_show_is_a_row_a_model(trained, monkeypatch):
    monkeypatch.setattr(TrainedModel, "weights", lambda *_: pytest.fail("weights were read"))
    found = suite("show", trained)
    assert found.exit_code == 0, found.output
    assert re.search(r"model +parameters +without embeddings +steps +first +last +tokens +FLOPs +size", found.stdout)
    n_shown = 40 * 3 * int(TASK.train_mask.sum())
    blocks = 4 * 8 * 8 + 2 * 8 * 32
    n_params = blocks + 8 * 8 + 3 * 8 + 8 * 8
    size = sum(path.stat().st_size for path in trained.glob("small/*.safetensors"))
    numbers = [f"{n_params:,}", f"{blocks:,}", "5", "0", "40", f"{n_shown:.3g}", f"{6 * n_params * n_shown:.3g}"]
    assert ["small", *numbers, f"{size / 1000:.3g}", "kB"] in rows(found.stdout)
    assert [row[0] for row in rows(found.stdout) if row and row[0] in ("small", "big")] == ["small", "big"]
    assert f"small: task {TASK}" in found.stdout
    assert found.stderr == ""


def test_what_takes_long_to_import_is_not_needed_to_look_at_our_own(trained):
    code = (
        "import sys; from probe.cli import app; app(sys.argv[1:], standalone_mode=False);"
        "print({'transformers', 'transformer_lens', 'plotly'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code, "suite", "show", trained], capture_output=True, text=True)
    assert told.stdout.splitlines()[-1:] == ["set()"], told.stderr


def test_show_of_chosen_steps(trained):
    found = suite("show", trained, "--steps", "0, 30")
    assert ["2", "0", "30"] in [row[3:6] for row in rows(found.stdout)]


def test_what_is_not_known_is_said_so(trained, monkeypatch):
    monkeypatch.setattr(TrainedModel, "size", lambda *_: None)
    monkeypatch.setattr(TrainedModel, "tokens_seen", lambda *_: float("nan"))
    found = suite("show", trained)
    assert ["unknown"] * 3 in [row[6:] for row in rows(found.stdout)]


def test_show_of_a_model_without_checkpoints(copy):
    for path in copy.glob("small/*.safetensors"):
        path.unlink()
    found = suite("show", copy)
    assert ["0", "none", "none", "unknown", "unknown", "0", "bytes"] in [row[3:] for row in rows(found.stdout)]


@pytest.mark.parametrize("command", ["show", "check"])
def test_state_dicts_and_what_is_odd_about_them(published, command):
    options = ("--config", published.with_name("cfg.json"), "--mapping", published.with_name("names.json"))
    found = suite(command, published, *options)
    assert found.exit_code == 0, found.output
    assert found.stderr == f"note: {published}: not part of the model and not used: x_embed\n"
    if command == "show":
        assert found.stdout.endswith("run: mapping 'early'\nrun: not used: x_embed\n")


def test_the_options_are_those_of_open_suite(trained, monkeypatch):
    opened, real = [], probe.suites.open_suite
    monkeypatch.setattr(probe.suites, "open_suite", lambda *args, **how: (opened.append((args, how)), real(*args))[1])
    options = ("--steps", "0,10", "--deduped", "--mirror", "m", "--keep", 2, "--config", "c.json", "--mapping", "early")
    for command in ("show", "check"):
        assert suite(command, trained, *options).exit_code == 0
    said = {"deduped": True, "mirror": "m", "keep": 2, "config": "c.json", "mapping": "early"}
    assert opened == [((str(trained),), {"steps": [0, 10], **said})] * 2


def test_a_suite_without_problems(trained):
    found = suite("check", trained)
    assert found.exit_code == 0, found.output
    assert found.stderr == "", "nothing is said of how far a short one is"
    assert re.search(r"model +checkpoints +norm, least +norm, greatest +with problems", found.stdout)
    assert re.search(r"^ *small +5 +\d[\d.]+ +\d[\d.]+ +0", found.stdout, re.MULTILINE)
    assert found.stdout.endswith("No problems were found.\n")


def test_problems_have_a_line_each_and_an_exit_code(copy):
    shutil.copy(copy / "small" / "step_00000040.safetensors", copy / "small" / "step_00000000.safetensors")
    damaged = copy / "big" / "step_00000010.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (copy / "big" / "step_00000020.safetensors").unlink()
    found = suite("check", copy)
    assert found.exit_code == 1
    lines = found.stdout.splitlines()[-4:]
    assert lines[0] == "small at step 0: the same weights as step 40"
    assert lines[1] == "small at step 40: the same weights as step 0"
    assert lines[2].startswith(f"big at step 10: cannot be read: {damaged}")
    assert lines[3] == "big at step 30: missing before it: step 20"
    assert re.search(r"^ *small +5 .* 2 *$", found.stdout, re.MULTILINE)
    assert re.search(r"^ *big +4 .* 2 *$", found.stdout, re.MULTILINE)
    assert suite("check", copy, "--steps", "10,30").exit_code == 1
    assert suite("check", copy, "--steps", "30,40").exit_code == 0


def test_how_far_a_long_check_is_goes_to_the_error_stream(trained, monkeypatch):
    monkeypatch.setattr(suite_cli, "SAY_EVERY_S", -1.0)
    found = suite("check", trained)
    assert found.stderr.splitlines() == [f"{done} of 10 checkpoints read" for done in range(11)]
    assert "checkpoints read" not in found.stdout


def test_interrupted(trained, monkeypatch):
    def interrupt(checkpoint):
        raise KeyboardInterrupt

    monkeypatch.setattr(integrity, "_look_at", interrupt)
    found = suite("check", trained)
    assert (found.exit_code, found.stderr) == (130, "interrupted; the check has to be started again\n")


@pytest.mark.parametrize("command", ["show", "check"])
def test_errors_are_in_words(trained, published, command):
    for arguments, says in (
        ((trained / "absent",), "error: path: .*absent holds no suite"),
        ((trained, "--steps", "0,x"), "error: steps: got '0,x'; expected whole numbers with commas between them"),
        ((trained, "--steps", "0,7"), "error: step: small has no checkpoint at 7; the nearest is at 10"),
        ((trained, "--keep", "1"), "error: keep: got 1, which means nothing for a folder"),
        (
            (published,),
            r"error: .*run\.pt: mapping: cannot be told: the names are of none that is ready-made \(w0, w1,",
        ),
        ((published, "--mapping", "erly"), r"error: mapping: got 'erly' \(did you mean 'early'\?\)"),
        ((published, "--config", "absent.json"), r"error: config: there is no file absent\.json"),
    ):
        found = suite(command, *arguments)
        assert found.exit_code == 1, found.output
        assert found.stdout == ""
        assert re.match(says, found.stderr), found.stderr
        assert "Traceback" not in found.stderr


def test_help():
    found = suite("--help")
    assert found.exit_code == 0
    assert all(re.search(rf"\b{command}\b", found.stdout) for command in ("show", "check"))
