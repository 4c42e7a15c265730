"""The command ``probe``: what it prints, where, and with which exit code."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from probe.batch.results import results
from probe.batch.run import run
from probe.batch.schema import bundled_batches
from probe.cli import app
from probe.probes.registry import registered
from probe.terminal import new_table
from tests.batch.batches import files_of, short_batch

COMMAND = str(Path(sys.executable).with_name("probe"))


def probe(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def batch():
    return short_batch(suite__vary={"seed": [0], "learning_rate": [1.0e-3, 1.0e30]})


@pytest.fixture(scope="module")
def finished(tmp_path_factory, batch):
    folder = tmp_path_factory.mktemp("cli") / "run"
    run(batch, folder, workers=1, progress=False)
    return folder


@pytest.fixture
def copy(tmp_path, finished):
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def test_run_trains_measures_reports_and_says_what_came_out(tmp_path, batch):
    (tmp_path / "tiny.yaml").write_text(batch.to_yaml())
    found = probe("run", tmp_path / "tiny.yaml", "--out", tmp_path / "out", "--workers", 1)
    assert found.exit_code == 0, found.output
    assert re.search(r"model +parameters +memorized at +generalized at +plateau", found.stdout)
    assert re.search(r"d8-lr0\.001-s0 +9\d\d +not within 4 +not within 4", found.stdout)
    assert re.search(r"^d8-lr1e\+30-s0 was stopped: the training loss was not finite at step \d", found.stdout, re.M)
    assert f"Report: {tmp_path}/out/report.html" in found.stdout
    assert (tmp_path / "out" / "report.html").exists()
    assert "models trained" in found.stderr
    assert "100%" in found.stderr
    assert "models trained" not in found.stdout
    before = files_of(tmp_path / "out")
    again = probe("run", tmp_path / "tiny.yaml", "--out", tmp_path / "out", "--workers", 1)
    assert again.exit_code == 0
    assert again.stdout == found.stdout
    assert files_of(tmp_path / "out") == before


def test_the_folder_of_a_run_is_named_after_its_batch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(short_batch(probes=["performance"]).to_yaml())
    found = probe("run", "tiny.yaml", "--workers", 1)
    assert found.exit_code == 0, found.output
    assert Path("runs/tiny/report.html").exists()


def test_a_run_without_accuracies_can_be_summed_up(tmp_path):
    (tmp_path / "tiny.yaml").write_text(short_batch(probes=["weights"]).to_yaml())
    found = probe("run", tmp_path / "tiny.yaml", "--out", tmp_path / "out", "--workers", 1)
    assert found.exit_code == 0, found.output
    assert "Traceback" not in found.output
    assert re.search(r"d8-s0 .* not measured *$", found.stdout, re.M), "keys that nobody looked for are not none"


def test_keys_that_were_looked_for_and_not_found_are_none(finished):
    """Of a model that was hardly trained."""
    found = probe("run", finished / "batch.yaml", "--out", finished, "--workers", 1)
    assert found.exit_code == 0, found.output
    assert re.search(r"d8-lr0\.001-s0 .* none *$", found.stdout, re.M), found.stdout


def test_a_narrow_terminal_cuts_nothing_off():
    from rich.console import Console

    table = new_table("model", "parameters")
    names = [f"d128-113-a2+ab+b2-lr0.001-s{seed}" for seed in range(2)]
    for name in names:
        table.add_row(name, "1,226,816")
    out = io.StringIO()
    Console(file=out, width=30).print(table)
    assert "…" not in out.getvalue()
    shown = "".join(line.split()[0] for line in out.getvalue().splitlines()[3:] if line.strip())
    assert shown == "".join(names)


def test_status(copy):
    found = probe("status", copy)
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert lines[0].split() == ["model", "checkpoints", "checkpoints_expected", "measured", "to_measure", "stopped"]
    assert lines[1].split() == ["d8-lr0.001-s0", "3", "3", "4", "4"]
    (copy / "suite" / "d8-lr0.001-s0" / "step_00000002.safetensors").unlink()
    assert re.search(r"d8-lr0\.001-s0 +2 +3 +0 +not yet", probe("status", copy).stdout)


def read_as(format, output):
    match format:
        case "csv":
            return pd.read_csv(io.BytesIO(output), keep_default_na=False, na_values={"value": ["", "nan"]})
        case "json":
            return pd.DataFrame([json.loads(line) for line in output.splitlines()])
        case "parquet":
            return pd.read_parquet(io.BytesIO(output))


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_the_table_in_every_format_is_the_table(finished, format):
    found = probe("results", finished, "--format", format)
    assert found.exit_code == 0, found.output
    expected = results(finished)
    read = read_as(format, found.stdout_bytes)
    pd.testing.assert_frame_equal(read.astype(expected.dtypes), expected, check_exact=format != "json", rtol=1e-14)


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_small_and_great_numbers_survive(copy, format):
    """A loss of 1e-20 is what the late phase of grokking is about."""
    values = [1.2345678901234567e-20, -9.87654321e-9, 3.3e300, 0.1 + 0.2]
    for path in (copy / "results").iterdir():
        table = pd.read_parquet(path)
        table["value"] = (values * len(table))[: len(table)]
        table.to_parquet(path, index=False)
    found = read_as(format, probe("results", copy, "--format", format).stdout_bytes)
    pd.testing.assert_series_equal(found["value"], results(copy)["value"], rtol=1e-14, atol=0)


def test_csv_is_the_default(finished):
    assert probe("results", finished).stdout == probe("results", finished, "--format", "csv").stdout
    assert probe("results", finished).stdout.startswith("suite,model,seed,n_params,step,examples_seen,flops,probe,")


def test_report_is_written_again_from_what_is_there(copy):
    (copy / "report.html").unlink()
    for path in sorted((copy / "results").iterdir())[:2]:
        path.unlink()
    shutil.rmtree(copy / "activations.zarr", ignore_errors=True)
    found = probe("report", copy)
    assert found.exit_code == 0, found.output
    assert found.stdout == f"Report: {copy}/report.html\n"
    assert (copy / "report.html").stat().st_size > 1000


def test_list(tmp_path):
    found = probe("list")
    assert found.exit_code == 0
    lines = [line.split(maxsplit=1) for line in found.stdout.splitlines() if line.startswith("  ")]
    assert [line[0] for line in lines] == [*bundled_batches(), *registered()]
    assert "grokking-demo" in bundled_batches()
    assert all(len(line) == 2 and len(line[1]) > 10 for line in lines), "a line of description each"


@pytest.mark.parametrize("command", ["status", "results", "report"])
def test_a_folder_that_holds_no_run(tmp_path, command):
    found = probe(command, tmp_path)
    assert found.exit_code == 1
    assert found.stdout == ""
    assert re.match(rf"error: {tmp_path} holds no run: .*`probe run` makes one\n$", found.stderr)


def test_errors_of_run_go_to_the_error_stream_without_a_traceback(tmp_path, finished, batch):
    bad = tmp_path / "bad.yaml"
    bad.write_text(batch.to_yaml().replace("p: 7", "p: 1").replace("performance", "performnce"))
    other = tmp_path / "other.yaml"
    other.write_text(short_batch().to_yaml())
    good = tmp_path / "good.yaml"
    good.write_text(batch.to_yaml())
    (tmp_path / "file").write_text("")
    for arguments, says in (
        ((bad, "--out", tmp_path / "out"), rf"error: {bad}:\d+: suite.task.p: got 1.*\n{bad}:\d+: .*'performance'"),
        (("grokking-dmo", "--out", tmp_path / "out"), "error: grokking-dmo: no such file, and no bundled batch"),
        ((other, "--out", finished), f"error: out: {finished} holds a run of another batch .*--out"),
        ((good, "--out", tmp_path / "out", "--workers", 0), "error: workers: got 0; expected at least 1"),
        ((good, "--out", tmp_path / "file" / "out", "--workers", 1), "error: .*file"),
    ):
        found = probe("run", *arguments)
        assert found.exit_code == 1
        assert found.stdout == ""
        assert re.match(says, found.stderr), found.stderr
        assert "Traceback" not in found.stderr
    assert not (tmp_path / "out").exists()


def test_a_damaged_results_file_is_named(copy):
    path = min((copy / "results").iterdir())
    path.write_bytes(path.read_bytes()[:-30])
    found = probe("results", copy)
    assert found.exit_code == 1
    assert path.name in found.stderr
    assert not isinstance(found.exception, Exception) or isinstance(found.exception, SystemExit)


@pytest.mark.parametrize("arguments", [["run"], ["results", "x", "--format", "xml"], ["frobnicate"]])
def test_wrong_usage_has_exit_code_2(arguments):
    found = probe(*arguments)
    assert found.exit_code == 2
    assert "Usage" in found.stderr


def test_help_names_every_command():
    found = probe("--help")
    assert found.exit_code == 0
    assert all(re.search(rf"\b{command}\b", found.stdout) for command in ("run", "status", "results", "report", "list"))


@pytest.mark.parametrize(
    "arguments",
    [
        "results {} | head -1",
        "results {} | true",
        "status {} | true",
        "results {} --format parquet | true",
        "list | true",
    ],
)
def test_whoever_reads_may_stop_reading(finished, arguments):
    """``| head`` is no error, whether the table is larger than a buffer or not."""
    command = f"set -o pipefail; {COMMAND} {arguments.format(finished)}"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert found.stderr == ""
    if "head" in arguments:
        assert found.stdout.startswith("suite,model")


def test_a_probe_may_lie_beside_its_batch(tmp_path):
    (tmp_path / "someones_own.py").write_text(
        "from dataclasses import dataclass\nfrom typing import ClassVar\nfrom probe.probes import Probe, Row\n"
        "@dataclass(frozen=True)\nclass Mine(Probe):\n    name: ClassVar[str] = 'mine'\n"
        "    def measure(self, observation):\n        yield Row('one', 1.0)\n"
    )
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\nsuite:\n  task: {p: 5, train_fraction: 0.6}\n  shapes: [{d_model: 8, n_heads: 2}]\n"
        "  training: {steps: 1}\nprobes: [performance, 'someones_own:Mine']\n"
    )
    arguments = [COMMAND, "run", "tiny.yaml", "--workers", "1", "--out", "out"]
    found = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    table = subprocess.run([COMMAND, "results", "out"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert table.count(",mine,one,") == 2


def test_parquet_on_the_standard_output_of_a_process(finished):
    found = subprocess.run([COMMAND, "results", finished, "--format", "parquet"], capture_output=True, check=True)
    assert found.stderr == b""
    assert len(pd.read_parquet(io.BytesIO(found.stdout))) == len(results(finished))
    assert os.path.exists(finished)
