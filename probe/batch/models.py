"""Which models a batch is about: a suite that it trains, or one that is there."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from itertools import product
from typing import Annotated, Any, Literal

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
from probe.batch.source import mistakes, written
from probe.suites import Suite, open_suite
from probe.suites.architecture import Architecture, Shape
from probe.tasks import (
    Addition,
    Biographies,
    Facts,
    GroupComposition,
    InContextLinear,
    InContextMapping,
    Mixture,
    ModularArithmetic,
    Multiplication,
    RepeatedTokens,
    Subtraction,
    Text,
)
from probe.training.ensemble import Member, check_fit
from probe.training.settings import TrainingSettings


class Strict(BaseModel):
    """Part of a batch file: fields that it does not know are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _family(task: Any) -> Any:
    """A task's fields with its family, which the two about structure need not say: of these one has a ``group``."""
    if isinstance(task, dict):
        return {"family": "group" if "group" in task else "modular"} | task
    return task


_AnyTask = (
    ModularArithmetic
    | GroupComposition
    | Multiplication
    | Addition
    | Subtraction
    | Facts
    | Biographies
    | Mixture
    | Text
    | RepeatedTokens
    | InContextMapping
    | InContextLinear
)
TaskSpec = Annotated[Annotated[_AnyTask, Field(discriminator="family")], BeforeValidator(_family)]


class Vary(Strict):
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

    @model_validator(mode="after")
    def _fraction_is_said_once(self) -> "Vary":
        for i, fields_given in enumerate(self.task or ()):
            if self.train_fraction and "train_fraction" in fields_given:
                raise ValueError(
                    f"train_fraction: got {self.train_fraction}, and another in vary.task[{i}]; expected one of the two"
                )
        return self


class TrainedSuite(Strict):
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
                where, said = next(mistakes(error, type(self.task)))
                raise ValueError(f"{written(('vary', 'task', i, *where))}: {said}") from error
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
        """What tells a task from the others: as few fields as will do, of which the split if nothing else."""
        tasks = [_flat(asdict(task)) for task in self.tasks]
        every = dict.fromkeys(field for task in tasks for field in task)
        last = ("split", "seed", "digest")
        telling: list[str] = []
        for field in sorted(every, key=lambda field: (field in last, not field.endswith("kind"))):
            together = {tuple(task.get(name) for name in (*telling, field)) for task in tasks}
            if len(together) > len({tuple(task.get(name) for name in telling) for task in tasks}):
                telling.append(field)
        # a model's name is that of a folder
        words = {"-": "minus", "*": "times", "/": "over", "^": ""}
        values = (tasks[i][field] for field in telling if field in tasks[i])
        spelled = ("".join(words.get(letter, letter) for letter in value) for value in values)
        return [re.sub(r"[^\w.+]+", "_", value).strip("_") for value in spelled]

    def _label(self, shape: Shape) -> str:
        """``d128``, and whatever else tells the shape from others of the same width."""
        alike = [other for other in self.shapes if other.d_model == shape.d_model]
        letters = {"n_layers": "l", "n_heads": "h", "d_head": "dh", "d_mlp": "m", "activation": "", "normalization": ""}
        absent = {"normalization": "plain", "d_mlp": 0}
        label = f"d{shape.d_model}"
        for field, letter in letters.items():
            if len({getattr(other, field) for other in alike}) > 1:
                label += f"-{letter}{getattr(shape, field) or absent[field]}"
        return f"{label}-b{shape.biases:d}" if len({other.biases for other in alike}) > 1 else label


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Fields of a task and of what it consists of, by dotted names, as text."""
    flat: dict[str, str] = {}
    for name, value in fields.items():
        if isinstance(value, tuple) and any(isinstance(part, dict) for part in value):
            value = {str(i): part for i, part in enumerate(value)}
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return flat


class FolderSuite(Strict):
    """A suite that is there: what ``probe.open_suite`` opens at an address, with the same options.

    ``task``: what models are asked that were not trained here. ``part``: of models that were trained here on a mixture,
    the one task of it that is measured.
    """

    source: Literal["folder"]
    path: str
    steps: list[Annotated[int, Field(ge=0)]] | None = None
    task: TaskSpec | None = None
    config: dict[str, Any] | str | None = None
    mapping: dict[str, str] | str | None = None
    step: int | None = None
    part: str | None = None

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
                raise ValueError(f"task: {str(error).removeprefix('inputs: ')}") from error
        return self

    @cached_property
    def opened(self) -> Suite:
        """The suite itself. It is opened once: that may take a look at every file, or at the hub."""
        asked = self.model_dump(exclude={"source", "path", "task"})
        return open_suite(self.path, task=self.task, **asked)
