"""What a batch file may say, and how one is read."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from probe.batch.models import FolderSuite, Strict, TrainedSuite
from probe.batch.source import BatchError, explain, load_yaml, mistakes, written
from probe.probes.base import Probe
from probe.probes.registry import probe_class, registered
from probe.tasks import Task

BUNDLED = Path(__file__).parent / "bundled"


class ProbeSpec(Strict):
    """A probe by name, with its arguments. In a batch file a bare name will do."""

    name: str
    args: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, given: Any) -> Any:
        if isinstance(given, dict) and len(given) == 1 and not set(given) & set(cls.model_fields):
            ((name, _),) = given.items()
            raise ValueError(f"got {given}; expected {{name: {name}, args: {{...}}}}")
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
        try:
            probe = self.build()
        except ValidationError as error:
            where, said = next(mistakes(error, probe_class(self.name)))
            raise ValueError(f"{written(('args', *where))}: {said}") from error
        self.args.update(asdict(probe))  # type: ignore[call-overload]  # with the defaults of those not given
        return self

    def build(self) -> Probe:
        """The probe itself."""
        return TypeAdapter(probe_class(self.name)).validate_python(self.args)


class Batch(Strict):
    """Which models, and what is measured on every checkpoint of theirs."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: str = ""
    suite: Annotated[TrainedSuite | FolderSuite, Field(discriminator="source")]
    probes: Annotated[list[ProbeSpec], Field(min_length=1)]

    @model_validator(mode="after")
    def _probes_fit(self) -> "Batch":
        probes = [spec.build() for spec in self.probes]
        names = [probe.name for probe in probes]
        tasks = self.tasks()
        for probe in probes:
            if names.count(probe.name) > 1:
                raise ValueError(f"probes: {probe.name} is listed twice; expected each probe once")
            fitting = [task for task in tasks if not _refusal(probe, task)]
            if not fitting:  # else it is measured on the models that it fits
                raise ValueError(f"probes: {probe.name}: {_refusal(probe, tasks[0])}")
            for needed in dict.fromkeys(name for task in fitting for name in probe.needs_for(task)):
                if needed not in names:
                    raise ValueError(f"probes: {probe.name} needs {needed}, which is not listed; add it")
                if probes[names.index(needed)].per != "model":
                    raise ValueError(f"probes: {probe.name} needs {needed}, which is not measured once per model")
        return self

    def tasks(self) -> list[Task]:
        """The tasks of the suite's models, each kind once."""
        if isinstance(self.suite, FolderSuite):
            models = self.suite.opened.by_name.values()
            return list(dict.fromkeys(model.task for model in models if model.task is not None))
        return list(self.suite.tasks)

    def probes_for(self, task: Task) -> tuple[ProbeSpec, ...]:
        """The probes that have a meaning for a task, and for which those that they need have one."""
        left_out = self.left_out(task)
        return tuple(spec for spec in self.probes if spec.build().name not in left_out)

    def left_out(self, task: Task) -> dict[str, str]:
        """The other probes, by name, and why they are not measured on models of the task."""
        probes = [spec.build() for spec in self.probes]
        refused = {probe.name: reason for probe in probes if (reason := _refusal(probe, task))}
        found: dict[str, str] = {}
        for probe in probes:
            for name in (probe.name, *probe.needs_for(task)):
                if name in refused:
                    found.setdefault(probe.name, refused[name])
        return found

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
