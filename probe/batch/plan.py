"""A run folder, which units of work its batch has, and how each is known to be done.

A unit of work is one checkpoint with the probes that are measured on it in one forward pass. Its fingerprint hashes
all that decides its numbers, and its results are the file of that name: the file's presence means done.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from probe import storage
from probe.batch.schema import Batch, FolderSuite, ProbeSpec, TrainedSuite, parse_batch
from probe.suites import Suite, open_suite
from probe.suites import format as suite_format
from probe.suites.trained import TrainedModel
from probe.tasks import Task, task_to_dict
from probe.training.run import missing_steps


@dataclass(frozen=True)
class Unit:
    """One checkpoint and what is measured on it.

    Attributes:
        model, step: the checkpoint.
        probes: measured together.
        fingerprint: of the weights, the probes with their versions and arguments, the inputs, and the unit it reads.
        reads: fingerprint of the unit with what is measured once per model; None where no probe needs it.
    """

    model: str
    step: int
    probes: tuple[ProbeSpec, ...]
    fingerprint: str
    reads: str | None


@dataclass(frozen=True)
class Run:
    """A batch and the folder it runs in."""

    folder: str
    batch: Batch

    @classmethod
    def open(cls, folder: str) -> "Run":
        """The run in a folder.

        Raises:
            ValueError: the folder holds no run.
        """
        folder = str(folder).rstrip("/")
        path = f"{folder}/batch.yaml"
        if not storage.exists(path):
            raise ValueError(f"{folder} holds no run: there is no batch.yaml in it; `probe run` makes one")
        return cls(folder, parse_batch(storage.read_bytes(path).decode(), path))

    @property
    def suite_folder(self) -> str:
        """Where a suite that the batch trains is."""
        return f"{self.folder}/suite"

    @property
    def suite(self) -> Suite:
        """The suite, as far as it is there."""
        suite = self.batch.suite
        return suite.opened if isinstance(suite, FolderSuite) else open_suite(self.suite_folder)

    def models(self) -> dict[str, tuple[int, int]]:
        """Every model, with how many of its checkpoints there are, and how many there will be."""
        if not isinstance(self.batch.suite, TrainedSuite):
            suite = self.suite
            return {model: (len(suite.steps(model)),) * 2 for model in suite.models}
        training = self.batch.suite.training
        wanted = training.checkpoints.up_to(training.steps)
        found = {}
        for _, members in self.batch.suite.ensembles():
            for member in members:
                n_present = len(suite_format.steps_present(self.suite_folder, member.name))
                found[member.name] = n_present, n_present + len(missing_steps(self.suite_folder, member.name, wanted))
        return found

    def stopped(self) -> dict[str, str]:
        """Models whose training ended early, and why."""
        folders = dict.fromkeys(self.models(), self.suite_folder)
        if isinstance(self.batch.suite, FolderSuite):
            here = (model for model in self.suite.by_name.values() if isinstance(model, TrainedModel))
            folders = {model.name: model.folder for model in here}
        paths = {model: suite_format.stopped_path(folder, model) for model, folder in folders.items()}
        return {model: suite_format.read_json(path)["reason"] for model, path in paths.items() if storage.exists(path)}

    def trained_models(self) -> list[str]:
        """Models all of whose checkpoints are there, so that they can be measured."""
        is_there = isinstance(self.batch.suite, FolderSuite)
        return [
            model
            for model, (n_present, n_expected) in self.models().items()
            if n_present == n_expected
            and (is_there or storage.exists(suite_format.config_path(self.suite_folder, model)))
        ]

    def units(self, model: str) -> tuple[list[Unit], list[Unit]]:
        """The units of a model all of whose checkpoints are there: those once per model, and those per checkpoint.

        The second kind may read the first, so the first come first.

        Raises:
            DamagedCheckpointError: the header of a checkpoint cannot be read.
        """
        suite = self.suite
        task = suite.by_name[model].task
        assert task is not None, "a batch refuses models that nothing says the task of"
        per_model, per_checkpoint = self._probes(task)
        steps = suite.steps(model)
        first = [self._unit(suite, model, steps[-1], per_model, None)] if per_model and steps else []
        reads = first[0].fingerprint if any(spec.build().needs_for(task) for spec in per_checkpoint) else None
        each = [self._unit(suite, model, step, per_checkpoint, reads) for step in steps] if per_checkpoint else []
        return first, each

    def _probes(self, task: Task | None) -> tuple[tuple[ProbeSpec, ...], tuple[ProbeSpec, ...]]:
        """What is measured once on a model of this task, and what on each of its checkpoints."""
        assert task is not None, "a batch refuses models that nothing says the task of"
        fitting = self.batch.probes_for(task)
        kinds = {kind: tuple(spec for spec in fitting if spec.build().per == kind) for kind in ("model", "checkpoint")}
        return kinds["model"], kinds["checkpoint"]

    def tasks(self) -> dict[str, Task | None]:
        """The task of every model, also of those that are still to be trained."""
        if isinstance(self.batch.suite, TrainedSuite):
            return {m.name: m.task for _, members in self.batch.suite.ensembles() for m in members}
        return {name: model.task for name, model in self.suite.by_name.items()}

    def units_so_far(self) -> list[Unit]:
        """The units of all models that can be measured as they are; a damaged one has to be trained again first."""
        found: list[Unit] = []
        for model in self.trained_models():
            with suppress(suite_format.DamagedCheckpointError):
                found += [unit for kind in self.units(model) for unit in kind]
        return found

    def _unit(self, suite: Suite, model: str, step: int, probes: Sequence[ProbeSpec], reads: str | None) -> Unit:
        checkpoint = suite[model, step]
        decides = {
            "weights": checkpoint.digest,
            "probes": [(spec.name, spec.build().version, spec.args) for spec in probes],
            "task": task_to_dict(checkpoint.task),
            "checkpoint": [model, step],
            "reads": reads,
        }
        fingerprint = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
        return Unit(model, step, tuple(probes), fingerprint, reads)

    def results_path(self, fingerprint: str) -> str:
        return f"{self.folder}/results/{fingerprint}.parquet"

    def is_done(self, unit: Unit) -> bool:
        """Whether the results of a unit are there."""
        return storage.exists(self.results_path(unit.fingerprint))

    def n_to_measure(self) -> int:
        """Units of work in all, also of models that are still in training."""
        expected = {model: n_expected for model, (_, n_expected) in self.models().items()}
        return sum(once + expected[model] * each for model, (once, each) in self._kinds.items())

    @cached_property
    def _kinds(self) -> dict[str, tuple[bool, bool]]:
        """Whether anything is measured once on a model, and on each of its checkpoints; asked anew at every look."""
        found = {}
        for model, task in self.tasks().items():
            once, each = self._probes(task)
            found[model] = bool(once), bool(each)
        return found

    def n_results(self) -> int:
        """Results files there are."""
        return len(storage.list_files(f"{self.folder}/results", ".parquet"))

    def record(self, event: str, **about: object) -> None:
        """Add a line to ``events.jsonl``."""
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **about}
        storage.append_line(f"{self.folder}/events.jsonl", json.dumps(line))
