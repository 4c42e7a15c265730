"""The command ``probe capture``: what it takes, what it writes, and what it says of what it cannot take."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import probe
from probe.cli import app
from tests.activations.small_suite import TASK, expected, write_suite
from tests.suites.hub_format import TEXTS, save_neox, tokenizer

SITE = "blocks.0.hook_resid_post"


def run(*arguments):
    return CliRunner().invoke(app, ["capture", *map(str, arguments)])


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return write_suite(tmp_path_factory.mktemp("ours"), steps=(0, 10)).address


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "neox"
    for step in (0, 8):
        save_neox(folder / f"step{step}", seed=step, tokenizer=tokenizer())
    return folder


def test_a_suite_of_ours_is_shown_its_own_task(ours, tmp_path):
    out = tmp_path / "c.zarr"
    said = run(ours, "--sites", SITE, "--out", out, "--positions", "answer")
    assert said.exit_code == 0, said.output
    assert f"capturing 4 checkpoint(s), 7.8 kB to {out}" in said.stderr
    assert f"{SITE}  model 2, step 2, example 49, unit 12  float32" in said.output
    assert f"probe.open_capture('{out}')" in said.output
    found = probe.open_capture(out, inputs=TASK)
    wanted = expected("large", 10, TASK.tokens)[1][SITE][:, 2]
    np.testing.assert_allclose(found[SITE].sel(model="large", step=10), wanted, atol=2e-5)


def test_all_that_may_be_asked_for(ours, tmp_path):
    out = tmp_path / "c.zarr"
    np.save(tmp_path / "m.npy", np.eye(4)[:, :2])
    np.save(tmp_path / "tokens.npy", TASK.tokens[:5])
    said = run(
        *(ours, "--sites", "blocks.*.attn.hook_z", "--sites", "blocks.1.attn.hook_q", "--out", out, "--steps", "10"),
        *(
            "--models",
            "large",
            "--positions",
            "1:",
            "--heads",
            "2,0",
            "--project",
            tmp_path / "m.npy",
            "--dtype",
            "float16",
        ),
        *("--gradient-of", "loss", "--batch-size", "2", "--device", "cpu", "--tokens", tmp_path / "tokens.npy"),
    )
    assert said.exit_code == 0, said.output
    found = probe.open_capture(out, inputs=TASK.tokens[:5])
    assert sorted(found) == sorted(
        f"blocks.{block}.attn.hook_{x}{end}" for block, x in [(0, "z"), (1, "z"), (1, "q")] for end in ("", ".grad")
    )
    z = found["blocks.0.attn.hook_z"]
    assert z.dtype == np.float16
    assert z.dims == ("model", "step", "example", "position", "head", "component")
    wanted = expected("large", 10, TASK.tokens[:5])[1]["blocks.0.attn.hook_z"][:, 1:, [2, 0], :2]
    np.testing.assert_allclose(z[0, 0], wanted, atol=2e-3)


def test_reductions(ours, tmp_path):
    said = run(ours, "--sites", SITE, "--out", tmp_path / "c.zarr", "--reduce", "top-3", "--over", "position")
    assert f"{SITE}.position  model 2, step 2, rank 3, unit 12  int64" in said.output, said.output


@pytest.mark.parametrize("suffix", ["txt", "json", "jsonl"])
def test_texts(published, tmp_path, suffix):
    file = tmp_path / f"texts.{suffix}"
    lines = {
        "txt": "\n".join([TEXTS[0], "", TEXTS[1]]),
        "json": json.dumps([TEXTS[0], {"text": TEXTS[1]}]),
        "jsonl": "\n".join(json.dumps({"text": text}) for text in TEXTS[:2]),
    }
    file.write_text(lines[suffix])
    said = run(published, "--sites", SITE, "--out", tmp_path / "c.zarr", "--texts", file, "--positions", "last")
    assert said.exit_code == 0, said.output
    found = probe.open_capture(tmp_path / "c.zarr")
    assert found["token"].values.tolist() == [".", "."]
    assert found["token_position"].values.tolist() == [len(tokenizer()(text)["input_ids"]) - 1 for text in TEXTS[:2]]


def test_a_task_and_token_lists(published, tmp_path):
    out = tmp_path / "c.zarr"
    assert run(published, "--sites", SITE, "--out", out, "--task", "{p: 5}", "--positions", "answer").exit_code == 0
    assert probe.open_capture(out, inputs=probe.ModularArithmetic(5)).sizes["example"] == 25
    (tmp_path / "t.json").write_text("[[1, 2, 3], [4]]")
    said = run(published, "--sites", SITE, "--out", tmp_path / "d.zarr", "--tokens", tmp_path / "t.json")
    assert "example 2, position 3, unit 16" in said.output, said.output


def test_a_copy_is_noted(published, tmp_path):
    for step in (0, 8, 16):
        (tmp_path / "m" / f"step{step}").parent.mkdir(exist_ok=True)
        (tmp_path / "m" / f"step{step}").symlink_to(published / f"step{min(step, 8)}")
    said = run(tmp_path / "m", "--sites", SITE, "--out", tmp_path / "c.zarr", "--task", "{p: 5}")
    assert said.exit_code == 0
    assert said.stderr.count("note: m at step 16 has the weights of step 8, so one of them is not what it claims") == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            ["--sites", "blocks.0.hook_residual"],
            "error: sites: 'blocks.0.hook_residual' matches no hook point",
        ),
        (["--sites", SITE, "--models", "medium"], "error: model: got 'medium'; expected one of small, large"),
        (["--sites", SITE, "--steps", "7"], "error: step: small has no checkpoint at 7; the nearest is at 10"),
        (["--sites", SITE, "--positions", "end"], "error: positions: got 'end'; expected 'all', 'answer'"),
        (["--sites", SITE, "--positions", "5"], "error: positions: got 5; example 0 has 3 tokens"),
        (["--sites", SITE, "--heads", "a"], "error: heads: got 'a'; expected numbers with commas"),
        (["--sites", SITE, "--texts", "absent.txt"], "error: texts: there is no file absent.txt"),
        (
            ["--sites", SITE, "--texts", "a", "--tokens", "b"],
            "error: tokens: got texts and tokens; expected one of them",
        ),
        (["--sites", SITE, "--task", "{p: 1}"], "error: p: got 1; expected a modulus of at least 2"),
        (["--sites", SITE, "--task", "{q: 7}"], "error: p: Field required; q: Unexpected keyword argument"),
        (["--sites", SITE, "--task", "113"], "error: task: got '113'; expected fields as in a batch file"),
        (
            ["--sites", SITE, "--task", "{p: 11}"],
            "error: inputs: got a task of 12 tokens; expected 8, as many as small",
        ),
        (["--sites", SITE, "--reduce", "median"], "error: reduce: got 'median'"),
        (["--sites", SITE, "--dtype", "int8"], "error: dtype: got 'int8'"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_in_a_line(ours, tmp_path, asked, says):
    said = run(ours, "--out", tmp_path / "c.zarr", *asked)
    assert said.exit_code == 1
    assert re.match(says, said.stderr), said.stderr
    assert not (tmp_path / "c.zarr").exists()


def test_nothing_says_what_to_show(published, tmp_path):
    said = run(published, "--sites", SITE, "--out", tmp_path / "c.zarr")
    assert (
        "error: texts: nothing says what these models were trained on; expected texts, tokens or a task" in said.stderr
    )
    for name, content in (("t.json", "{"), ("t.npy", "x"), ("x.jsonl", '{"words": 1}')):
        (tmp_path / name).write_text(content)
        option = "--texts" if name.startswith("x") else "--tokens"
        said = run(published, "--sites", SITE, "--out", tmp_path / "c.zarr", option, tmp_path / name)
        assert re.match(rf"error: (texts|tokens): .*{name} cannot be read", said.stderr), said.stderr


def test_interrupted_it_goes_on(ours, tmp_path):
    """The command itself, in a process of its own, stopped by Ctrl-C once something is there."""
    out = tmp_path / "c.zarr"
    np.save(tmp_path / "t.npy", np.tile(TASK.tokens, (400, 1)))
    command = [str(Path(sys.executable).with_name("probe")), "capture", ours, "--sites", "*", "--out", str(out)]
    command += ["--tokens", str(tmp_path / "t.npy"), "--batch-size", "50"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (out / "small" / "step_00000000").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted; the same command goes on from here" in said
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = probe.open_capture(out)
    wanted = expected("large", 10, TASK.tokens)[1][SITE]
    np.testing.assert_allclose(found[SITE].sel(model="large", step=10)[-49:], wanted, atol=2e-5)
