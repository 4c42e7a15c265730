"""What a batch file may say, and how one is read."""

import os
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from probe.activations.inputs import Inputs
from probe.batch.source import BatchError, explain, load_yaml
from probe.probes.base import Probe
from probe.probes.registry import probe_class, registered
from probe.suites import Suite, open_suite
from probe.suites.architecture import Architecture, Shape
from probe.tasks import ModularArithmetic, Task
from probe.training.ensemble import Member, check_fit
from probe.training.settings import TrainingSettings

BUNDLED = Path(__file__).parent / "bundled"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProbeSpec(_Strict):
    """A probe by name, with its arguments. In a batch file a bare name will do."""

    name: str
    args: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @field_validator("name")
    @classmethod
    def _exists(cls, name: str) -> str:
        probe_class(name)
        return name

    @model_validator(mode="after")
    def _takes_these_arguments(self) -> "ProbeSpec":
        allowed = {field.name for field in fields(probe_class(self.name))}  # type: ignore[arg-type]
        for argument in self.args:
            if argument not in allowed:
                takes = ", ".join(sorted(allowed)) or "no arguments"
                raise ValueError(f"args: {self.name} has no argument {argument!r}; it takes {takes}")
        self.args.update(asdict(self.build()))  # type: ignore[call-overload]  # with the defaults of those not given
        return self

    def build(self) -> Probe:
        """The probe itself."""
        return TypeAdapter(probe_class(self.name)).validate_python(self.args)


class Vary(_Strict):
    """What the models of one shape differ in: every combination is trained, together, as one ensemble."""

    seed: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    train_fraction: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] | None = None
    learning_rate: Annotated[list[Annotated[FiniteFloat, Field(gt=0)]], Field(min_length=1)] = [1e-3]
    weight_decay: Annotated[list[Annotated[FiniteFloat, Field(ge=0)]], Field(min_length=1)] = [1.0]

    @field_validator("seed", "train_fraction", "learning_rate", "weight_decay")
    @classmethod
    def _all_different(cls, values: list | None) -> list | None:
        if values is not None and len(set(values)) < len(values):
            raise ValueError(f"got {values}; expected each value once")
        return values


class TrainedSuite(_Strict):
    """A suite that the batch trains: every shape in every variation.

    ``draw_split``: whether each model's seed also draws its train/test split (it is added to the task's seed), so that
    an interval over seeds covers the split as well.
    ``ensemble_size``: at most so many models are trained together; all of one shape if not given.
    """

    source: Literal["train"] = "train"
    task: ModularArithmetic
    shapes: Annotated[list[Shape], Field(min_length=1)]
    vary: Vary = Vary()
    draw_split: bool = True
    training: TrainingSettings
    ensemble_size: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainedSuite":
        names = [member.name for _, members in self.ensembles() for member in members]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"shapes: two models would be called {name}; expected each shape once")
        for architecture, members in self.ensembles():
            for member in members:
                try:
                    check_fit(architecture, member, self.training)
                except ValueError as error:
                    raise ValueError(f"training.{error}") from error
        return self

    def ensembles(self) -> Iterator[tuple[Architecture, list[Member]]]:
        """What is trained together: members of one shape."""
        for shape in self.shapes:
            members = list(self._members(shape))
            size = self.ensemble_size or len(members)
            for first in range(0, len(members), size):
                yield Architecture.of(shape, self.task), members[first : first + size]

    def _members(self, shape: Shape) -> Iterator[Member]:
        fractions = self.vary.train_fraction or [self.task.train_fraction]
        grid = product(fractions, self.vary.learning_rate, self.vary.weight_decay, self.vary.seed)
        for fraction, learning_rate, weight_decay, seed in grid:
            task_seed = self.task.seed + (seed if self.draw_split else 0)
            varied = {
                "f": (fractions, fraction),
                "lr": (self.vary.learning_rate, learning_rate),
                "wd": (self.vary.weight_decay, weight_decay),
            }
            parts = [self._label(shape)]
            parts += [f"{letter}{value:g}" for letter, (values, value) in varied.items() if len(values) > 1]
            yield Member(
                name="-".join([*parts, f"s{seed}"]),
                task=replace(self.task, train_fraction=fraction, seed=task_seed),
                seed=seed,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
            )

    def _label(self, shape: Shape) -> str:
        """``d128``, and whatever else tells the shape from others of the same width."""
        alike = [other for other in self.shapes if other.d_model == shape.d_model]
        letters = {"n_layers": "l", "n_heads": "h", "d_head": "dh", "d_mlp": "m", "activation": "", "normalization": ""}
        label = f"d{shape.d_model}"
        for field, letter in letters.items():
            if len({getattr(other, field) for other in alike}) > 1:
                label += f"-{letter}{getattr(shape, field) or 'plain'}"
        return f"{label}-b{shape.biases:d}" if len({other.biases for other in alike}) > 1 else label


class FolderSuite(_Strict):
    """A suite that is there: what ``probe.open_suite`` opens at an address, with the same options.

    ``task``: what models are asked that were not trained here.
    """

    source: Literal["folder"]
    path: str
    steps: list[Annotated[int, Field(ge=0)]] | None = None
    task: ModularArithmetic | None = None
    config: dict[str, Any] | str | None = None
    mapping: dict[str, str] | str | None = None
    step: int | None = None

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        # The run's own batch.yaml has to mean the same folder wherever it is read.
        return os.path.abspath(path) if os.path.exists(path) else path

    @model_validator(mode="after")
    def _opens(self) -> "FolderSuite":
        for model in self.opened.by_name.values():
            if model.task is None:
                raise ValueError(f"task: nothing says what {model.name} was trained on; expected a task to ask it")
            try:
                Inputs.of(model.task, model)
            except ValueError as error:
                raise ValueError(f"task: {error}") from error
        return self

    @cached_property
    def opened(self) -> Suite:
        """The suite itself. It is opened once: that may take a look at every file, or at the hub."""
        asked = self.model_dump(exclude={"source", "path", "task"})
        return open_suite(self.path, task=self.task, **asked)


class Batch(_Strict):
    """Which models, and what is measured on every checkpoint of theirs."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: str = ""
    suite: Annotated[TrainedSuite | FolderSuite, Field(discriminator="source")]
    probes: Annotated[list[ProbeSpec], Field(min_length=1)]

    @model_validator(mode="after")
    def _probes_fit(self) -> "Batch":
        probes = [spec.build() for spec in self.probes]
        names = [probe.name for probe in probes]
        for probe in probes:
            if names.count(probe.name) > 1:
                raise ValueError(f"probes: {probe.name} is listed twice; expected each probe once")
            for needed in probe.needs:
                if needed not in names:
                    raise ValueError(f"probes: {probe.name} needs {needed}, which is not listed; add it")
                if probes[names.index(needed)].per != "model":
                    raise ValueError(f"probes: {probe.name} needs {needed}, which is not measured once per model")
            for task in self.tasks():
                try:
                    probe.check(task)
                except ValueError as error:
                    raise ValueError(f"probes: {probe.name}: {error}") from error
        return self

    def tasks(self) -> set[Task]:
        """The tasks of the suite's models."""
        if isinstance(self.suite, FolderSuite):
            return {model.task for model in self.suite.opened.by_name.values() if model.task is not None}
        return {self.suite.task}

    def to_yaml(self) -> str:
        """The batch as a file, with every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=110)


def load_batch(file_or_name: str | Path) -> Batch:
    """Read a batch from a file, or one that comes with the package by its name.

    Raises:
        BatchError: there is no such file or name, or the file is not a batch; one line per mistake, each with
            file, line, field, value and what was expected.
    """
    path = Path(file_or_name)
    if not path.is_file():
        names = bundled_batches()
        if str(file_or_name) not in names:
            raise BatchError(
                f"{file_or_name}: no such file, and no bundled batch of this name; there are {', '.join(names)}"
            )
        path = names[str(file_or_name)]
    return parse_batch(path, str(path))


def parse_batch(text: str | Path, file: str) -> Batch:
    """A batch from a file or the text of one; ``file`` is what messages call it. Raises as ``load_batch`` does."""
    data, locate = load_yaml(text, file)
    if isinstance(data, dict) and isinstance(data.get("suite"), dict):
        data["suite"].setdefault("source", "train")
    if isinstance(data, dict) and isinstance(data.get("suite"), dict) and isinstance(data["suite"].get("task"), dict):
        data["suite"]["task"].setdefault("family", "modular")
    try:
        return Batch.model_validate(data)
    except ValidationError as error:
        message = explain(error, file, locate, Batch, lambda loc: registered() if "probes" in loc else ())
        raise BatchError(message) from error


def bundled_batches() -> dict[str, Path]:
    """Batches that come with the package, by name."""
    return {path.stem: path for path in sorted(BUNDLED.glob("*.yaml"))}
