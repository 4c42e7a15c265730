"""Training into a folder: what is written, and that any interruption leads to the same files."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from probe.suites import format as suite_format
from probe.suites import open_suite
from probe.suites.architecture import Architecture, Shape
from probe.tasks import Facts, ModularArithmetic
from probe.training import run
from probe.training.ensemble import Ensemble, Member
from probe.training.run import damaged_steps, train
from probe.training.settings import Schedule, TrainingSettings

TASK = ModularArithmetic(11, train_fraction=0.6)
ARCH = Architecture.of(Shape(d_model=8), TASK)
MEMBERS = [Member("s0", TASK, 0, 3e-3, 2.0), Member("s1", TASK, 1, 3e-3, 2.0)]
SETTINGS = TrainingSettings(steps=60, checkpoints=Schedule(per_decade=3, log_until=10, every=10))
STEPS = (0, 1, 2, 5, 10, 20, 30, 40, 50, 60)


def weights_files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).glob("s*/*.safetensors")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    train(ARCH, MEMBERS, SETTINGS, str(folder))
    return folder


def test_a_suite_is_written_on_schedule(finished):
    suite = open_suite(str(finished))
    assert suite.models == ("s0", "s1")
    assert suite.steps("s0") == STEPS
    initial = ARCH.initial_weights(1)
    assert all(torch.equal(w, initial[name]) for name, w in suite["s1", 0].weights().items())
    checkpoint = suite["s1", 50]
    assert checkpoint.examples_seen == 50 * int(TASK.train_mask.sum())
    assert checkpoint.flops == 6 * ARCH.n_params * checkpoint.examples_seen * 3
    ensemble = Ensemble(ARCH, MEMBERS, SETTINGS, "cpu")
    for _ in range(50):
        ensemble.train_step()
    assert all(torch.equal(w, ensemble.weights(1)[name]) for name, w in checkpoint.weights().items())
    recorded = suite_format.read_json(str(finished / "s1" / "config.json"))
    assert recorded["seed"] == 1
    assert recorded["trained_with"]["torch"] == torch.__version__
    assert {"device", "threads", "python", "grokscope"} <= set(recorded["trained_with"])


def test_training_again_does_nothing(finished, monkeypatch):
    def never(self):
        raise AssertionError("a finished suite is trained again")

    monkeypatch.setattr(Ensemble, "train_step", never)
    train(ARCH, MEMBERS, SETTINGS, str(finished))


@pytest.mark.parametrize("interrupted_at", [0, 7, 25, 59])
@pytest.mark.parametrize("state_every_s", [0.0, 1e9], ids=["state saved at every checkpoint", "state never saved"])
def test_an_interrupted_run_ends_with_the_same_files(tmp_path, monkeypatch, finished, interrupted_at, state_every_s):
    monkeypatch.setattr(run, "STATE_EVERY_S", state_every_s)
    step = Ensemble.train_step

    def interrupted(self):
        if self.step == interrupted_at:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(Ensemble, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(ARCH, MEMBERS, SETTINGS, str(tmp_path))
    taken = []
    monkeypatch.setattr(Ensemble, "train_step", lambda self: (taken.append(self.step), step(self)))
    train(ARCH, MEMBERS, SETTINGS, str(tmp_path))
    assert weights_files(tmp_path) == weights_files(finished)
    if state_every_s == 0 and interrupted_at >= 25:
        assert taken[0] >= 20, "training started over instead of going on from its last state"


@pytest.mark.parametrize("batch_size", [None, 9])
def test_a_run_interrupted_while_a_special_batch_is_shown_or_after_ends_with_the_same_files(
    tmp_path, monkeypatch, batch_size
):
    task = Facts(30, relations=1, special=0.3, special_passes=3)
    arch = Architecture.of(Shape(d_model=8), task)
    settings = TrainingSettings(30, batch_size=batch_size, checkpoints=Schedule(log_until=0, every=2))
    members = [Member("s0", task, 0), Member("s1", task, 1)]
    train(arch, members, settings, str(tmp_path / "whole"))
    monkeypatch.setattr(run, "STATE_EVERY_S", 0.0)
    step = Ensemble.train_step
    for at in (3, 7, 20):

        def interrupted(self, at=at):
            if self.step == at:
                raise KeyboardInterrupt
            step(self)

        monkeypatch.setattr(Ensemble, "train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(arch, members, settings, str(tmp_path / "cut"))
    monkeypatch.setattr(Ensemble, "train_step", step)
    train(arch, members, settings, str(tmp_path / "cut"))
    assert weights_files(tmp_path / "cut") == weights_files(tmp_path / "whole")
    checkpoint = open_suite(str(tmp_path / "cut"))["s1", 30]
    special = task.subsets["special"]
    assert (checkpoint.exposures[special] <= 3).all()
    assert checkpoint.exposures[task.train_mask].min() > 3


def train_slowly(folder):
    torch.set_num_threads(1)
    step = Ensemble.train_step
    Ensemble.train_step = lambda self: (time.sleep(0.02), step(self))
    run.STATE_EVERY_S = 0.0
    train(ARCH, MEMBERS, SETTINGS, folder)


def test_a_run_killed_outright_ends_with_the_same_files(tmp_path, finished):
    for seconds in (0.2, 0.5):
        process = multiprocessing.get_context("fork").Process(target=train_slowly, args=(str(tmp_path),))
        process.start()
        while not list(tmp_path.glob("s*/step_00000000.safetensors")):
            time.sleep(0.02)
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    train(ARCH, MEMBERS, SETTINGS, str(tmp_path))
    assert weights_files(tmp_path) == weights_files(finished)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def alter(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, alter, empty])
def test_a_damaged_checkpoint_is_named_and_trained_again(tmp_path, finished, damage):
    train(ARCH, MEMBERS, SETTINGS, str(tmp_path))
    path = tmp_path / "s1" / "step_00000030.safetensors"
    damage(path)
    assert damaged_steps(str(tmp_path), "s1") == (30,)
    with pytest.raises(suite_format.DamagedCheckpointError, match=r"step_00000030.*Delete the file"):
        open_suite(str(tmp_path))["s1", 30].load()
    train(ARCH, MEMBERS, SETTINGS, str(tmp_path))
    assert weights_files(tmp_path) == weights_files(finished)


def test_a_damaged_state_is_not_used(tmp_path, finished):
    train(ARCH, MEMBERS, SETTINGS, str(tmp_path))
    (state,) = (tmp_path / ".training").iterdir()
    alter(state)
    (tmp_path / "s0" / "step_00000060.safetensors").unlink()
    train(ARCH, MEMBERS, SETTINGS, str(tmp_path))
    assert weights_files(tmp_path) == weights_files(finished)


def test_a_folder_of_another_training_is_refused(finished):
    other = [Member("s0", TASK, 0, 1e-3, 2.0), MEMBERS[1]]
    with pytest.raises(ValueError, match=r"s0/config\.json .* trained otherwise: learning_rate is 0\.003"):
        train(ARCH, other, SETTINGS, str(finished))


def test_a_diverging_member_is_stopped_and_marked_and_the_others_go_on(tmp_path):
    members = [MEMBERS[0], Member("wild", TASK, 1, 1e30, 0.0)]
    train(ARCH, members, SETTINGS, str(tmp_path))
    suite = open_suite(str(tmp_path))
    assert suite.steps("s0") == STEPS
    stopped = suite_format.read_json(str(tmp_path / "wild" / "stopped.json"))
    assert "not finite" in stopped["reason"]
    assert 0 < len(suite.steps("wild")) < len(STEPS)
    assert max(suite.steps("wild")) < stopped["step"]
    assert all(w.isfinite().all() for step in suite.steps("wild") for w in suite["wild", step].weights().values())
    before = weights_files(tmp_path)
    train(ARCH, members, SETTINGS, str(tmp_path))
    assert weights_files(tmp_path) == before


def test_the_disk_full_is_said_and_nothing_is_broken(tmp_path, monkeypatch, finished):
    import errno

    from probe import storage

    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match=r"no space left to write .*free some space"):
        train(ARCH, MEMBERS, SETTINGS, str(tmp_path))
    monkeypatch.setattr(storage.os, "fsync", fsync)
    assert not any(damaged_steps(str(tmp_path), model) for model in ("s0", "s1"))
    train(ARCH, MEMBERS, SETTINGS, str(tmp_path))
    assert weights_files(tmp_path) == weights_files(finished)
