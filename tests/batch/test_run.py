"""A batch run to its end, whatever happens on the way."""

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import yaml

from probe import storage
from probe.batch.plan import Run
from probe.batch.results import arrays, results, status
from probe.batch.run import RunError, run
from probe.batch.schema import load_batch
from probe.probes import Array, Probe, Row
from probe.suites import open_suite
from probe.suites.format import DamagedCheckpointError
from probe.suites.hooked import HookedTransformer
from probe.training.ensemble import Ensemble
from tests.batch.batches import files_of, short_batch, tiny_batch

COMMAND = Path(sys.executable).with_name("probe")
STEPS = (0, 50, 100, 150, 200)


def run_here(batch, folder):
    return run(batch, folder, workers=1, progress=False)


def same_results(folder, expected):
    pd.testing.assert_frame_equal(results(folder), results(expected), check_exact=True)
    for model in ("d8-s0", "d8-s1"):
        xr.testing.assert_identical(
            arrays(folder, model, "embedding_circle"), arrays(expected, model, "embedding_circle")
        )


def events(folder):
    return [json.loads(line) for line in (Path(folder) / "events.jsonl").read_text().splitlines()]


@pytest.fixture
def copy(tmp_path, finished):
    return Path(shutil.copytree(finished, tmp_path / "copy"))


# --- what a run is ---


def test_a_run_is_there_whole(finished):
    table = results(finished)
    assert table["step"].unique().tolist() == list(STEPS)
    assert set(table["probe"]) == {spec.name for spec in tiny_batch().probes}
    assert (finished / "report.html").stat().st_size < 6e6
    assert not list(finished.rglob("*.tmp"))
    assert [event["event"] for event in events(finished)] == ["started", "finished"]
    assert events(finished)[0]["versions"]["torch"] == torch.__version__
    circles = arrays(finished, "d8-s0", "embedding_circle")
    keys = table.query("model == 'd8-s0' and metric == 'is_key'")["key"].astype(int).tolist()
    assert keys, "the batch is meant to have key frequencies"
    assert circles.dims == ("step", "frequency", "token", "axis")
    assert circles["frequency"].values.tolist() == keys
    assert circles["step"].values.tolist() == list(STEPS)


def test_rows_are_about_their_own_checkpoint(finished):
    """Sums of squares from the weights themselves; key frequencies on the last step only, and fixed before it."""
    table, suite = results(finished), open_suite(str(finished / "suite"))
    weights = table.query("metric == 'sum_of_squares' and key == 'all'").set_index(["model", "step"])
    assert len(weights) == 2 * len(STEPS)
    for (model, step), row in weights.iterrows():
        checkpoint = suite[model, step]
        assert row["value"] == pytest.approx(
            sum(w.double().square().sum().item() for w in checkpoint.weights().values())
        )
        assert row["examples_seen"] == checkpoint.examples_seen
        assert row["flops"] == checkpoint.flops
        assert row["n_params"] == checkpoint.n_params
        assert row["seed"] == int(model[-1])
        assert row["suite"] == "tiny"
    assert set(table.query("probe == 'key_frequencies'")["step"]) == {200}
    for model in suite.models:
        keys = table.query(f"model == '{model}' and metric == 'is_key'")["key"].tolist()
        excluded = table.query(f"model == '{model}' and metric == 'excluded_loss'")
        assert {tuple(rows["key"]) for _, rows in excluded.groupby("step")} == {("all keys", *(f"k={k}" for k in keys))}
        assert set(excluded["step"]) == set(STEPS)


def test_a_checkpoint_costs_few_forward_passes(tmp_path, monkeypatch):
    """All probes share one; the last checkpoint has a second, for what is measured once per model."""
    passes, forward, weights_of = [], HookedTransformer.forward, HookedTransformer.with_weights
    digests = {}

    def counted(self, tokens, stop_at_layer=None):
        passes.append((digests[id(self)], len(tokens)))
        return forward(self, tokens, stop_at_layer)

    def named(arch, weights):
        model = weights_of(arch, weights)
        digests[id(model)] = kept.setdefault(weights["embed.W_E"].sum().item(), len(kept))
        models.append(model)
        return model

    kept, models = {}, []
    monkeypatch.setattr(HookedTransformer, "forward", counted)
    monkeypatch.setattr(HookedTransformer, "with_weights", named)
    run_here(short_batch(), tmp_path)
    per_checkpoint = {}
    for checkpoint, n_examples in passes:
        per_checkpoint[checkpoint] = per_checkpoint.get(checkpoint, 0) + n_examples / 49
    assert sorted(per_checkpoint.values()) == [1, 1, 1, 1, 2, 2]


# --- again ---


def test_running_twice_does_nothing_twice(copy, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("work was done again")

    before = files_of(copy)
    monkeypatch.setattr(Ensemble, "train_step", never)
    monkeypatch.setattr(HookedTransformer, "forward", never)
    run_here(tiny_batch(), copy)
    assert files_of(copy) == before


def test_a_folder_of_another_batch_is_refused_with_the_way_out(copy):
    before = files_of(copy)
    other = tiny_batch(suite__vary={"seed": [0, 1, 2], "learning_rate": [1e-2]}, name="other")
    with pytest.raises(
        ValueError, match=r"out: .*copy holds a run of another batch \(tiny; it differs in name, suite\)"
    ) as e:
        run_here(other, copy)
    assert str(e.value).endswith("Choose another folder with --out, or delete this one")
    assert files_of(copy) == before
    assert [event["event"] for event in events(copy)] == ["started", "finished"]


def test_other_probes_are_measured_on_the_models_that_are_there(copy, tmp_path):
    """As the message says that refuses them in the folder of the run."""
    probes = ["performance", "weights"]
    with pytest.raises(ValueError, match=r"it differs in probes\)\. Choose another folder") as error:
        run_here(tiny_batch(probes=probes), copy)
    (suite,) = re.findall("`suite: (.*)` measures its models", str(error.value))
    found = results(run_here(tiny_batch(suite=yaml.safe_load(suite), probes=probes), tmp_path / "again"))
    assert set(found["probe"]) == set(probes)
    assert set(found["model"]) == {"d8-s0", "d8-s1"}


def test_probes_that_are_left_out_are_said_once_with_the_reason(tmp_path, capsys):
    """Of all models that they do not fit, in one line for the probes that share a reason."""
    vary = {"task": [{}, {"operation": "a^2+b^2"}, {"operation": "a^3+ab"}], "seed": [0, 1], "learning_rate": [1e-3]}
    probes = ["performance", "key_frequencies", "embedding_circle", "key_irreps", "representation"]
    batch = short_batch(suite__vary=vary, probes=probes)
    folder = run(batch, tmp_path / "run", workers=1)
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    models = "d8-a2+b2-s0, d8-a2+b2-s1, d8-a3+ab-s0 and 1 more"
    assert len(notes) == 2
    assert notes[0].startswith(
        f"note: key_frequencies, embedding_circle left out of {models}: the task's operation is not an addition"
    )
    assert notes[1].startswith(f"note: key_irreps left out of {models}: the task's operation is not the product")
    found = results(folder)
    assert set(found.query("probe == 'representation'")["model"]) == set(found["model"])
    assert set(found.query("metric == 'neighbour_agreement'")["model"]) <= {"d8-a+b-s0", "d8-a+b-s1"}
    run(batch, tmp_path / "run", workers=1, progress=False)
    assert capsys.readouterr().err == ""


def test_a_number_of_workers_below_one_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="workers: got 0; expected at least 1"):
        run(short_batch(), tmp_path / "run", workers=0)
    assert not (tmp_path / "run").exists()


def test_results_that_are_lost_are_measured_again(copy, finished):
    lost = sorted((copy / "results").iterdir())[::3]
    for path in lost:
        path.unlink()
    shutil.rmtree(copy / "activations.zarr" / "d8-s0" / "step_00000100")
    run_here(tiny_batch(), copy)
    pd.testing.assert_frame_equal(results(copy), results(finished), check_exact=True)
    assert all(path.exists() for path in lost)


# --- damage ---


def truncate(data):
    return data[:-20]


def alter(data):
    return data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]


def empty(data):
    return b""


@pytest.mark.parametrize("damage", [truncate, alter, empty])
def test_a_damaged_checkpoint_is_trained_again_and_the_table_is_the_same(copy, finished, damage):
    path = copy / "suite" / "d8-s1" / "step_00000050.safetensors"
    good, before = path.read_bytes(), files_of(copy)
    path.write_bytes(damage(good))
    run_here(tiny_batch(), copy)
    assert path.read_bytes() == good
    after = files_of(copy)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed <= {"suite/d8-s1/step_00000050.safetensors"} | {n for n in after if n.startswith("suite/.training")}
    same_results(copy, finished)


def test_a_checkpoint_damaged_before_it_was_measured_never_counts(copy, finished):
    path = copy / "suite" / "d8-s0" / "step_00000100.safetensors"
    path.write_bytes(alter(path.read_bytes()))
    shutil.rmtree(copy / "results")
    run_here(tiny_batch(), copy)
    same_results(copy, finished)


@pytest.mark.parametrize("damage", [truncate, alter, empty])
def test_a_damaged_checkpoint_of_a_suite_that_is_there_is_refused(copy, tmp_path, damage):
    path = copy / "suite" / "d8-s1" / "step_00000050.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    batch = tiny_batch(suite={"source": "folder", "path": str(copy / "suite")}, probes=["weights"])
    with pytest.raises((RunError, DamagedCheckpointError), match=r"d8-s1/step_00000050\.safetensors"):
        run_here(batch, tmp_path / "run")
    if damage is empty:  # its header is gone, so what is to be measured cannot be said
        with pytest.raises(DamagedCheckpointError, match="step_00000050"):
            results(tmp_path / "run")
    else:
        table = results(tmp_path / "run")
        assert set(table.query("model == 'd8-s0'")["step"]) == set(STEPS)
        assert set(table.query("model == 'd8-s1'")["step"]) == set(STEPS) - {50}


def test_a_half_written_line_of_the_log_does_no_harm(copy, finished):
    with (copy / "events.jsonl").open("a") as log:
        log.write('{"time": "2026-01-01T00:00')
    run_here(tiny_batch(), copy)
    same_results(copy, finished)


# --- the disk full ---


@pytest.mark.parametrize("after", [0, 3, 12, 25])
def test_the_disk_full_is_said_and_the_same_call_goes_on_afterwards(tmp_path, monkeypatch, finished, after):
    fsync, write, calls = os.fsync, os.write, []

    def full_fsync(descriptor):
        calls.append(descriptor)
        if len(calls) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    def full_write(descriptor, data):
        if len(calls) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(storage.os, "fsync", full_fsync)
    monkeypatch.setattr(storage.os, "write", full_write)
    with pytest.raises((RunError, OSError), match=r"no space left to write .*free some space"):
        run_here(tiny_batch(), tmp_path)
    monkeypatch.undo()
    assert not list(tmp_path.rglob("*.tmp"))
    run_here(tiny_batch(), tmp_path)
    same_results(tmp_path, finished)


# --- third parties ---


@dataclass(frozen=True)
class Choosy(Probe):
    """A probe of someone else's, which fails on what its field names."""

    fails_on: tuple[tuple[str, int], ...] = ()

    name: ClassVar[str] = "choosy"
    version: ClassVar[int] = 1
    sites: ClassVar[tuple[str, ...]] = ("blocks.0.mlp.hook_post",)
    per: ClassVar[str] = "checkpoint"
    needs: ClassVar[tuple[str, ...]] = ()
    broken: ClassVar[bool] = True

    def check(self, task):
        pass

    def measure(self, observation):
        checkpoint = observation.checkpoint
        if self.broken and (checkpoint.model.name, checkpoint.step) in self.fails_on:
            raise KeyError("my own mistake")
        yield Row("active", (observation.activations["blocks.0.mlp.hook_post"] > 0).double().mean().item())


@pytest.fixture
def choosy(monkeypatch):
    module = types.ModuleType("someones")
    module.Choosy = Choosy
    monkeypatch.setitem(sys.modules, "someones", module)
    return lambda *fails_on: {"name": "someones:Choosy", "args": {"fails_on": [list(at) for at in fails_on]}}


def test_a_probe_of_someone_elses(tmp_path, choosy):
    run_here(short_batch(probes=["performance", choosy()]), tmp_path)
    table = results(tmp_path)
    active = table.query("probe == 'choosy' and metric == 'active'")
    assert len(active) == 6
    assert active["value"].between(0, 1).all()


def test_a_site_that_no_model_has_is_refused_before_any_work(tmp_path, choosy, monkeypatch):
    monkeypatch.setattr(Choosy, "sites", ("blocks.*.mlp.hook_pots",))
    with pytest.raises(ValueError, match=r"'blocks\.\*\.mlp\.hook_pots' matches no hook point; .*mlp\.hook_post"):
        run_here(short_batch(probes=["performance", choosy()]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_probe_that_needs_one_per_checkpoint_is_refused(choosy, monkeypatch):
    monkeypatch.setattr(Choosy, "needs", ("performance",))
    with pytest.raises(ValueError, match="choosy needs performance, which is not measured once per model"):
        short_batch(probes=["performance", choosy()])


def test_a_probe_that_fails_fails_its_own_units_only(tmp_path, choosy, monkeypatch):
    batch = short_batch(probes=["performance", "key_frequencies", choosy(("d8-s0", 2))])
    with pytest.raises(RunError, match=r"d8-s0: step 2: the probe choosy failed: KeyError: 'my own mistake'"):
        run_here(batch, tmp_path)
    table = results(tmp_path)
    measured = set(table.query("probe == 'performance'")[["model", "step"]].itertuples(index=False, name=None))
    assert measured == {("d8-s0", 0), ("d8-s0", 4), ("d8-s1", 0), ("d8-s1", 2), ("d8-s1", 4)}
    assert events(tmp_path)[-1]["event"] == "failed"
    before = files_of(tmp_path / "results")
    monkeypatch.setattr(Choosy, "broken", False)
    run_here(batch, tmp_path)
    after = files_of(tmp_path / "results")
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 1
    assert len(results(tmp_path).query("probe == 'choosy'")) == 6


def test_all_failures_are_said(tmp_path, choosy):
    with pytest.raises(RunError) as error:
        run_here(short_batch(probes=[choosy(("d8-s0", 2), ("d8-s1", 0))]), tmp_path)
    assert "d8-s0" in str(error.value)
    assert "d8-s1" in str(error.value)


def test_a_probe_twice_under_two_names_is_refused():
    with pytest.raises(ValueError, match="probes: performance is listed twice"):
        short_batch(probes=["performance", "probe.probes.performance:Performance"])


def test_a_needed_probe_may_be_listed_by_module(tmp_path):
    probes = ["fourier_progress", "probe.probes.fourier:KeyFrequencies"]
    run_here(short_batch(probes=probes), tmp_path)
    assert "fourier_progress" in set(results(tmp_path)["probe"])


# --- what else may be asked for ---


@pytest.mark.parametrize("operation", ["a-b", "a*b", "a/b"])
def test_every_operation_that_adds_somewhere_runs_through(tmp_path, operation):
    run_here(short_batch(suite__task={"p": 7, "operation": operation, "train_fraction": 0.6}), tmp_path)
    table = results(tmp_path)
    n = 7 if operation == "a-b" else 6
    assert set(table.query("metric == 'logit_cosine'")["key"]) == {str(k) for k in range(1, n // 2 + 1)}
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(("p", "operation"), [(7, "a^2+b^2"), (7, "a^2+ab+b^2"), (6, "a^3+ab"), (6, "a*b"), (2, "a*b")])
def test_an_operation_that_is_no_addition_runs_through_with_the_probes_that_allow_it(tmp_path, p, operation):
    task = {"p": p, "operation": operation, "train_fraction": 0.6}
    probes = ["performance", "weights", "embedding_spectrum", "neuron_logit_spectrum"]
    run_here(short_batch(suite__task=task, probes=probes), tmp_path)
    assert set(results(tmp_path)["probe"]) == set(probes)
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize("task", [{"p": 2}, {"p": 3, "operation": "a*b"}, {"p": 3, "operation": "a/b"}])
def test_the_smallest_groups_run_through(tmp_path, task):
    run_here(short_batch(suite__task={**task, "train_fraction": 0.7}), tmp_path)
    assert len(results(tmp_path).query("metric == 'logit_cosine'")) == 2


def test_without_a_test_set(tmp_path):
    run_here(short_batch(suite__task={"p": 7, "train_fraction": 1.0}), tmp_path)
    assert set(results(tmp_path).query("metric == 'accuracy'")["key"]) == {"train", "all"}
    assert (tmp_path / "report.html").exists()


def test_without_a_single_step(tmp_path):
    run_here(short_batch(suite__training={"steps": 0}), tmp_path)
    assert set(results(tmp_path)["step"]) == {0}


def test_larger_models_in_small_ensembles(tmp_path):
    shapes = [{"d_model": 8, "n_heads": 2, "n_layers": 2, "normalization": "LN", "biases": True, "activation": "gelu"}]
    training = {"steps": 4, "batch_size": 5, "checkpoints": {"log_until": 0, "every": 2}}
    run_here(short_batch(suite__shapes=shapes, suite__ensemble_size=1, suite__training=training), tmp_path)
    table = results(tmp_path)
    assert set(table["examples_seen"]) == {0, 10, 20}
    parts = {"all", "embedding", "attention", "mlp", "unembedding", "normalization"}
    assert set(table.query("metric == 'sum_of_squares'")["key"]) == parts


def test_a_model_that_diverges_is_marked_and_the_others_go_on(tmp_path):
    batch = short_batch(suite__vary={"seed": [0, 1], "learning_rate": [1.0e-3, 1.0e30]})
    run_here(batch, tmp_path)
    table = results(tmp_path)
    assert set(table.query("model == 'd8-lr0.001-s1'")["step"]) == {0, 2, 4}
    wild = table.query("model == 'd8-lr1e+30-s1'")
    assert set(wild["step"]) < {0, 2, 4}
    assert len(wild)
    stopped = status(tmp_path).set_index("model")["stopped"]
    assert "not finite" in stopped["d8-lr1e+30-s0"]
    assert stopped["d8-lr0.001-s0"] == ""
    assert (tmp_path / "report.html").exists()
    before = files_of(tmp_path)
    run_here(batch, tmp_path)
    assert files_of(tmp_path) == before


def test_a_suite_that_is_there(finished, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "there.yaml").write_text(
        "name: there\nsuite: {source: folder, path: suite}\nprobes: [performance, weights, key_frequencies]\n"
    )
    monkeypatch.chdir(finished)
    run_here(load_batch(tmp_path / "there.yaml"), tmp_path / "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    found, expected = results(tmp_path / "run"), results(finished)
    expected = expected[expected["probe"].isin(["performance", "weights", "key_frequencies"])].assign(suite="there")
    pd.testing.assert_frame_equal(found, expected.reset_index(drop=True).astype(found.dtypes), check_exact=True)
    assert status(tmp_path / "run")["measured"].tolist() == [6, 6]
    assert not (tmp_path / "run" / "suite").exists()
    assert (tmp_path / "run" / "report.html").exists()


def test_a_run_in_memory(finished):
    url = f"memory://{uuid.uuid4().hex}/run"
    folder = run_here(tiny_batch(), url)
    same_results(folder, finished)
    assert storage.exists(f"{url}/report.html")
    run_here(tiny_batch(), url)


def test_two_runners_on_one_folder_do_no_harm(tmp_path, finished):
    failed = []

    def runner():
        try:
            run_here(tiny_batch(), tmp_path)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=runner) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    same_results(tmp_path, finished)


# --- interruptions ---


def start(folder, batch):
    """``probe run`` as a user types it, in a process group of its own."""
    file = Path(folder).with_suffix(".yaml")
    file.write_text(batch.to_yaml())
    return subprocess.Popen(
        [COMMAND, "run", file, "--out", folder, "--workers", "1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_until(process, condition):
    while not condition():
        assert process.poll() is None, f"it was over before: {process.communicate()[1]}"
        time.sleep(0.003)


def long_batch():
    """So many checkpoints that there is time to interrupt training and measuring."""
    training = {"steps": 400, "checkpoints": {"log_until": 0, "every": 8}}
    return tiny_batch(suite__training=training)


@pytest.fixture(scope="module")
def long_finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long") / "run"
    run_here(long_batch(), folder)
    return folder


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_with_the_same_results(tmp_path, long_finished):
    folder, chance = tmp_path / "run", random.Random(0)
    n_weights, n_results = 2 * 51, 2 * 52
    moments = [
        lambda: len(list(folder.glob("suite/*/step_*"))) > chance.uniform(0.1, 0.9) * n_weights,
        lambda: len(list(folder.glob("results/*.parquet"))) > 0.1 * n_results,
        lambda: len(list(folder.glob("results/*.parquet"))) > chance.uniform(0.4, 0.8) * n_results,
    ]
    for moment in moments:
        process = start(folder, long_batch())
        wait_until(process, moment)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert 0 < len(list(folder.glob("results/*.parquet"))) < n_results
    table = results(folder)  # what is there is whole
    assert len(table)
    assert run_here(long_batch(), folder) == str(folder)
    same_results(folder, long_finished)


@pytest.mark.slow
def test_a_run_that_is_told_to_stop_says_how_to_go_on(tmp_path, long_finished):
    folder = tmp_path / "run"
    for sent, during in ((signal.SIGTERM, "suite/*/step_*"), (signal.SIGINT, "results/*.parquet")):
        process = start(folder, long_batch())
        wait_until(process, lambda during=during: len(list(folder.glob(during))) > 10)
        os.killpg(process.pid, sent)  # a terminal's Ctrl-C goes to the whole group
        try:
            said = process.communicate(timeout=60)[1]
        finally:
            process.kill()
        assert process.returncode == 130
        assert said.splitlines()[-1] == "interrupted; the same command goes on from here"
        assert "Traceback" not in said
        assert events(folder)[-1]["event"] == "interrupted"
        assert not list(folder.rglob("*.tmp"))
    run_here(long_batch(), folder)
    same_results(folder, long_finished)


@pytest.mark.parametrize("moment", ["first", "training", "measuring", "arrays", "report"])
def test_an_interruption_anywhere_leads_to_the_same_results(tmp_path, monkeypatch, finished, moment):
    """The same in this process, at places that are hard to hit by the clock."""
    write, written = storage.write_atomically, []
    at = {"first": "batch.yaml", "training": "step_00000150", "measuring": ".parquet", "report": "report.html"}

    def interrupted(path, data):
        if moment in at and at[moment] in path:
            written.append(path)
            if len(written) == (1 if moment in ("first", "report") else 2):
                raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(storage, "write_atomically", interrupted)
    if moment == "arrays":
        from probe.batch import measure

        monkeypatch.setattr(measure, "write_arrays", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_here(tiny_batch(), tmp_path)
    monkeypatch.undo()
    run_here(tiny_batch(), tmp_path)
    same_results(tmp_path, finished)


def test_signals_are_as_before_after_a_run(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    run_here(short_batch(probes=["weights"]), tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before
    assert Run.open(str(tmp_path)).batch == short_batch(probes=["weights"])
    assert np.isfinite(results(tmp_path)["value"]).all()


# --- what was lost or damaged after the run ---


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def alter_last_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "checkpoint emptied": lambda run: next(run.glob("suite/d8-s0/step_00000050*")).write_bytes(b""),
    "config lost": lambda run: (run / "suite" / "d8-s0" / "config.json").unlink(),
    "results truncated": lambda run: truncate(next(run.glob("results/*.parquet"))),
    "results empty": lambda run: next(run.glob("results/*.parquet")).write_bytes(b""),
    "arrays lost": lambda run: shutil.rmtree(run / "activations.zarr"),
    "array truncated": lambda run: truncate(next(run.glob("activations.zarr/*/*/embedding_circle/c/0/0/0"))),
    "array altered": lambda run: alter_last_byte(next(run.glob("activations.zarr/*/*/embedding_circle/c/0/0/0"))),
    "group truncated": lambda run: truncate(next(run.glob("activations.zarr/*/*/zarr.json"))),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_was_lost_or_damaged_is_made_again_by_the_same_call(copy, finished, damage):
    damage(copy)
    run(tiny_batch(), copy, workers=1)  # with its progress shown
    same_results(copy, finished)


@pytest.mark.parametrize("out", ["", "/", "//"])
def test_a_folder_that_is_none_is_refused(out):
    with pytest.raises(ValueError, match=r"out: got .*; expected a folder for the run"):
        run(tiny_batch(), out)


@pytest.mark.parametrize(
    ("yields", "says"),
    [
        ([{"metric": 1}], "the probe choosy failed: TypeError: it yielded a dict; expected a Row, or an Array"),
        ([Row("active", torch.zeros(2))], "the probe choosy failed"),
        ([Array("a", torch.zeros(2).numpy())], r"it yielded a Array; expected a Row, or an Array that holds an xarray"),
    ],
)
def test_a_probe_that_yields_something_else_is_named(tmp_path, choosy, monkeypatch, yields, says):
    monkeypatch.setattr(Choosy, "measure", lambda self, observation: iter(yields))
    with pytest.raises(RunError, match=says):
        run_here(short_batch(probes=["performance", choosy()]), tmp_path)


def test_a_probe_that_reads_logits_without_asking_for_them_is_told(tmp_path, choosy, monkeypatch):
    monkeypatch.setattr(Choosy, "measure", lambda self, observation: [Row("n", float(len(observation.logits)))])
    with pytest.raises(RunError, match=r"lists 'unembed\.hook_out' among its sites"):
        run_here(short_batch(probes=[choosy()]), tmp_path)
