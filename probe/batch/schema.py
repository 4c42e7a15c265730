"""What a batch file may say, and how one is read."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
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
from probe.tasks import Addition, Facts, GroupComposition, ModularArithmetic, Multiplication, Subtraction, Task
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


def _family(task: Any) -> Any:
    """A task's fields with its family, which the two about structure need not say: of these one has a ``group``."""
    if isinstance(task, dict):
        return {"family": "group" if "group" in task else "modular"} | task
    return task


_AnyTask = ModularArithmetic | GroupComposition | Multiplication | Addition | Subtraction | Facts
TaskSpec = Annotated[Annotated[_AnyTask, Field(discriminator="family")], BeforeValidator(_family)]


class Vary(_Strict):
    """What the models of one shape differ in: every combination is trained, together, as one ensemble.

    ``task``: fields of the task that replace those given in ``suite.task``, one mapping per task. Tasks that need
    another number of tokens are another ensemble.
    """

    task: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    seed: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    train_fraction: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] | None = None
    learning_rate: Annotated[list[Annotated[FiniteFloat, Field(gt=0)]], Field(min_length=1)] = [1e-3]
    weight_decay: Annotated[list[Annotated[FiniteFloat, Field(ge=0)]], Field(min_length=1)] = [1.0]

    @field_validator("task", "seed", "train_fraction", "learning_rate", "weight_decay")
    @classmethod
    def _all_different(cls, values: list | None) -> list | None:
        if values is not None and any(value in values[:i] for i, value in enumerate(values)):
            raise ValueError(f"got {values}; expected each value once")
        return values


class TrainedSuite(_Strict):
    """A suite that the batch trains: every shape in every variation.

    ``draw_split``: whether each model's seed also draws its train/test split (it is added to the task's seed), so that
    an interval over seeds covers the split as well.
    ``ensemble_size``: at most so many models are trained together; all of one shape if not given.
    """

    source: Literal["train"] = "train"
    task: TaskSpec
    shapes: Annotated[list[Shape], Field(min_length=1)]
    vary: Vary = Vary()
    draw_split: bool = True
    training: TrainingSettings
    ensemble_size: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainedSuite":
        if self.vary.train_fraction and not hasattr(self.task, "train_fraction"):
            raise ValueError(
                f"vary.train_fraction: a task of the family {self.task.family} has none; vary held_out, by vary.task"
            )
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

    @cached_property
    def tasks(self) -> list[_AnyTask]:
        """The task in each of its variations."""
        found: list[_AnyTask] = []
        for i, fields_given in enumerate(self.vary.task or [{}]):
            try:
                found.append(TypeAdapter(type(self.task)).validate_python(asdict(self.task) | fields_given))
            except ValidationError as error:
                mistake = error.errors(include_url=False)[0]
                where = ".".join(map(str, [f"vary.task[{i}]", *mistake["loc"]]))
                raise ValueError(f"{where}: got {mistake['input']!r}; {mistake['msg']}") from error
        return found

    def ensembles(self) -> Iterator[tuple[Architecture, list[Member]]]:
        """What is trained together: members of one shape, whose tasks have equally many tokens."""
        for shape in self.shapes:
            together: dict[Architecture, list[Member]] = {}
            for member in self._members(shape):
                together.setdefault(Architecture.of(shape, member.task), []).append(member)
            for architecture, members in together.items():
                size = self.ensemble_size or len(members)
                for first in range(0, len(members), size):
                    yield architecture, members[first : first + size]

    def _members(self, shape: Shape) -> Iterator[Member]:
        fractions: list[Any] = self.vary.train_fraction or [None]
        grid = product(
            enumerate(self.tasks), fractions, self.vary.learning_rate, self.vary.weight_decay, self.vary.seed
        )
        for (i, task), fraction, learning_rate, weight_decay, seed in grid:
            changes: dict[str, Any] = {"seed": task.seed + (seed if self.draw_split else 0)}
            varied = {
                "f": (fractions, fraction),
                "lr": (self.vary.learning_rate, learning_rate),
                "wd": (self.vary.weight_decay, weight_decay),
            }
            parts = [self._label(shape), *self._task_label(i)]
            parts += [f"{letter}{value:g}" for letter, (values, value) in varied.items() if len(values) > 1]
            yield Member(
                name="-".join([*parts, f"s{seed}"]),
                task=replace(task, **changes | ({} if fraction is None else {"train_fraction": fraction})),
                seed=seed,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
            )

    def _task_label(self, i: int) -> list[str]:
        """What tells a task from the others: the fields in which they differ, of which the split if nothing else."""
        tasks = [_flat(asdict(task)) for task in self.tasks]
        every = dict.fromkeys(field for task in tasks for field in task)
        differing = [field for field in every if len({task.get(field) for task in tasks}) > 1]
        telling = [field for field in differing if field not in ("split", "seed")]
        if len({tuple(task.get(field) for field in telling) for task in tasks}) < len(tasks):
            telling = differing
        # a model's name is that of a folder
        words = {"-": "minus", "*": "times", "/": "over", "^": ""}
        values = (tasks[i][field] for field in telling if field in tasks[i])
        spelled = ("".join(words.get(letter, letter) for letter in value) for value in values)
        return [re.sub(r"[^\w.+]+", "_", value).strip("_") for value in spelled]

    def _label(self, shape: Shape) -> str:
        """``d128``, and whatever else tells the shape from others of the same width."""
        alike = [other for other in self.shapes if other.d_model == shape.d_model]
        letters = {"n_layers": "l", "n_heads": "h", "d_head": "dh", "d_mlp": "m", "activation": "", "normalization": ""}
        label = f"d{shape.d_model}"
        for field, letter in letters.items():
            if len({getattr(other, field) for other in alike}) > 1:
                label += f"-{letter}{getattr(shape, field) or 'plain'}"
        return f"{label}-b{shape.biases:d}" if len({other.biases for other in alike}) > 1 else label


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Fields of a task and of what it consists of, by dotted names, as text."""
    flat: dict[str, str] = {}
    for name, value in fields.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return flat


class FolderSuite(_Strict):
    """A suite that is there: what ``probe.open_suite`` opens at an address, with the same options.

    ``task``: what models are asked that were not trained here.
    """

    source: Literal["folder"]
    path: str
    steps: list[Annotated[int, Field(ge=0)]] | None = None
    task: TaskSpec | None = None
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
            refusals = [refusal for task in self.tasks() if (refusal := _refusal(probe, task))]
            if len(refusals) == len(self.tasks()):  # else it is measured on the models that it fits
                raise ValueError(f"probes: {probe.name}: {refusals[0]}")
        return self

    def tasks(self) -> list[Task]:
        """The tasks of the suite's models, each kind once."""
        if isinstance(self.suite, FolderSuite):
            models = self.suite.opened.by_name.values()
            return list(dict.fromkeys(model.task for model in models if model.task is not None))
        return list(self.suite.tasks)

    def probes_for(self, task: Task) -> tuple[ProbeSpec, ...]:
        """The probes that have a meaning for a task, and for which those that they need have one."""
        fitting = [spec for spec in self.probes if not _refusal(spec.build(), task)]
        names = {spec.build().name for spec in fitting}
        return tuple(spec for spec in fitting if set(spec.build().needs) <= names)

    def to_yaml(self) -> str:
        """The batch as a file, with every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=110)


def _refusal(probe: Probe, task: Task) -> str:
    """Why a probe has no meaning for a task; "" if it has one."""
    try:
        probe.check(task)
    except ValueError as error:
        return str(error)
    return ""


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
    try:
        return Batch.model_validate(data)
    except ValidationError as error:
        message = explain(error, file, locate, Batch, lambda loc: registered() if "probes" in loc else ())
        raise BatchError(message) from error


def bundled_batches() -> dict[str, Path]:
    """Batches that come with the package, by name."""
    return {path.stem: path for path in sorted(BUNDLED.glob("*.yaml"))}
