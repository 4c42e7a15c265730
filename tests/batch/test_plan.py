"""Which units of work a batch has, what decides their fingerprints, and how each is known to be done."""

import shutil
from pathlib import Path

import pytest

from probe.batch.plan import Run
from probe.batch.run import run
from probe.probes.performance import Performance
from probe.suites import format as suite_format
from tests.batch.batches import short_batch, tiny_batch


@pytest.fixture
def copy(tmp_path, finished):
    return str(shutil.copytree(finished, tmp_path / "copy"))


def fingerprints(this, model="d8-s0"):
    once, each = this.units(model)
    return [unit.fingerprint for unit in once + each]


def test_a_folder_that_holds_no_run(tmp_path):
    with pytest.raises(
        ValueError, match=rf"{tmp_path} holds no run: there is no batch\.yaml in it; `probe run` makes one"
    ):
        Run.open(str(tmp_path))
    (tmp_path / "batch.yaml").write_text("name: [")
    with pytest.raises(ValueError, match=r"batch.yaml:1: not YAML"):
        Run.open(str(tmp_path))


def test_the_units_of_a_model(finished):
    this = Run.open(f"{finished}/")
    assert this.folder == str(finished)
    assert this.trained_models() == ["d8-s0", "d8-s1"]
    once, each = this.units("d8-s0")
    assert [(unit.step, [spec.name for spec in unit.probes]) for unit in once] == [(200, ["key_frequencies"])]
    assert [unit.step for unit in each] == [0, 50, 100, 150, 200]
    together = [spec.name for spec in this.batch.probes if spec.name != "key_frequencies"]
    assert all([spec.name for spec in unit.probes] == together for unit in each)
    assert {unit.reads for unit in each} == {once[0].fingerprint}
    assert once[0].reads is None
    assert all(this.is_done(unit) for unit in once + each)
    assert this.n_to_measure() == this.n_results() == 12
    assert set(fingerprints(this)).isdisjoint(fingerprints(this, "d8-s1"))
    assert len(set(fingerprints(this))) == 6


def test_where_nothing_is_measured_once(tmp_path):
    this = Run(str(tmp_path), short_batch(probes=["weights"]))
    run(this.batch, tmp_path, workers=1, progress=False)
    once, each = this.units("d8-s0")
    assert once == []
    assert [unit.reads for unit in each] == [None] * 3
    assert this.n_to_measure() == 6
    only_once = Run(str(tmp_path), short_batch(probes=["key_frequencies"]))
    assert [len(kind) for kind in only_once.units("d8-s0")] == [1, 0]
    assert only_once.n_to_measure() == 2


def test_fingerprints_are_the_same_each_time_and_wherever_the_run_is(finished, copy):
    assert (
        fingerprints(Run.open(str(finished))) == fingerprints(Run.open(str(finished))) == fingerprints(Run.open(copy))
    )


def test_a_fingerprint_follows_all_that_decides_the_numbers(copy, monkeypatch):
    before = fingerprints(Run.open(copy))

    def changed():
        return [old != new for old, new in zip(before, fingerprints(Run.open(copy)), strict=True)]

    assert changed() == [False] * 6
    with monkeypatch.context() as context:  # the version of a probe
        context.setattr(Performance, "version", Performance.version + 1)
        assert changed() == [False] + [True] * 5

    path = Path(copy) / "batch.yaml"  # an argument, and through what is read, all that reads it
    text = path.read_text()
    path.write_text(text.replace("threshold: 0.005", "threshold: 0.006"))
    assert changed() == [True] * 6
    path.write_text(text)

    config = Path(copy) / "suite" / "d8-s0" / "config.json"  # the inputs
    text = config.read_text()
    config.write_text(text.replace('"train_fraction": 0.8', '"train_fraction": 0.7'))
    assert changed() == [True] * 6
    config.write_text(text)

    step = suite_format.step_path(f"{copy}/suite", "d8-s0", 50)  # the weights
    other = suite_format.read_tensors(suite_format.step_path(f"{copy}/suite", "d8-s1", 50))
    suite_format.write_tensors(step, other, {"step": 50})
    assert changed() == [False, False, True, False, False, False]

    last = suite_format.step_path(f"{copy}/suite", "d8-s0", 200)
    suite_format.write_tensors(last, other, {"step": 200})
    assert changed() == [True] * 6


def test_only_the_results_file_says_that_a_unit_is_done(copy):
    this = Run.open(copy)
    unit = this.units("d8-s0")[1][2]
    Path(this.results_path(unit.fingerprint)).unlink()
    assert not this.is_done(unit)
    assert this.n_results() == 11
    Path(f"{copy}/results/.{unit.fingerprint}.parquet.0123456789abcdef.tmp").write_bytes(b"half")
    assert not this.is_done(unit)
    assert this.n_results() == 11


def test_models_that_are_not_trained_yet(copy):
    this = Run.open(copy)
    for name in ("step_00000050", "step_00000200"):
        Path(f"{copy}/suite/d8-s1/{name}.safetensors").unlink()
    assert this.models() == {"d8-s0": (5, 5), "d8-s1": (3, 5)}
    assert this.trained_models() == ["d8-s0"]
    shutil.rmtree(f"{copy}/suite")
    assert this.models() == {"d8-s0": (0, 5), "d8-s1": (0, 5)}
    assert this.trained_models() == []
    assert this.n_to_measure() == 12


def test_a_model_that_was_stopped_has_no_more_to_come(copy):
    Path(f"{copy}/suite/d8-s1/step_00000200.safetensors").unlink()
    suite_format.write_json(suite_format.stopped_path(f"{copy}/suite", "d8-s1"), {"step": 170, "reason": "x"})
    this = Run.open(copy)
    assert this.models()["d8-s1"] == (4, 4)
    once, each = this.units("d8-s1")
    assert once[0].step == 150
    assert [unit.step for unit in each] == [0, 50, 100, 150]


def test_a_suite_that_is_there_is_as_large_as_it_is(finished, tmp_path):
    suite = {"source": "folder", "path": f"{finished}/suite"}
    this = Run(str(tmp_path), tiny_batch(suite=suite, probes=["weights"]))
    assert this.suite.address == f"{finished}/suite"
    assert this.models() == {"d8-s0": (5, 5), "d8-s1": (5, 5)}
    assert this.n_to_measure() == 10
