"""A suite of models and its checkpoints: what there is, without loading it."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import Tensor

from probe import storage
from probe.suites import format as suite_format
from probe.suites.architecture import Architecture
from probe.tasks import Task, task_from_dict

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel


@dataclass(frozen=True)
class Model:
    """One model of a suite, at no particular step: what its ``config.json`` says."""

    name: str
    architecture: Architecture
    task: Task
    seed: int
    examples_per_step: int
    config: Mapping[str, Any]

    @classmethod
    def read(cls, folder: str, name: str) -> "Model":
        config = suite_format.read_json(suite_format.config_path(folder, name))
        try:
            architecture, task = Architecture(**config["architecture"]), task_from_dict(config["task"])
            return cls(name, architecture, task, int(config["seed"]), int(config["examples_per_step"]), config)
        except (KeyError, TypeError, ValueError) as error:
            path = suite_format.config_path(folder, name)
            raise ValueError(f"{path} does not describe a model of ours: {error}") from error


@dataclass(frozen=True)
class Checkpoint:
    """A model at a step. Nothing is read before it is asked for.

    Attributes:
        folder: of the suite.
        model: which model.
        step: optimizer steps taken.
    """

    folder: str
    model: Model
    step: int

    @property
    def path(self) -> str:
        return suite_format.step_path(self.folder, self.model.name, self.step)

    @property
    def n_params(self) -> int:
        """Parameters, all of them."""
        return self.model.architecture.n_params

    @property
    def n_params_without_embeddings(self) -> int:
        """Parameters but those of token embedding, positions and unembedding."""
        return self.model.architecture.n_params_without_embeddings

    @property
    def examples_seen(self) -> int:
        """Training examples shown so far, repeats counted."""
        return self.step * self.model.examples_per_step

    @property
    def flops(self) -> float:
        """Training compute so far by the usual estimate, 6 x parameters x tokens (Kaplan et al. 2020, section 2.1)."""
        return 6.0 * self.n_params * self.examples_seen * self.model.architecture.n_ctx

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, as written with them; reads the header only.

        Raises:
            DamagedCheckpointError: the header cannot be read.
        """
        return suite_format.read_header(self.path)[1]

    def weights(self) -> dict[str, Tensor]:
        """The weights by TransformerLens name, after checking them against their digest.

        Raises:
            DamagedCheckpointError: the file is truncated or altered.
        """
        return suite_format.read_tensors(self.path)

    def load(self) -> "HookedModel":
        """The hooked model, in evaluation mode, on the CPU.

        Raises:
            DamagedCheckpointError: the file is truncated or altered.
        """
        from probe.suites.hooked import HookedTransformer

        return HookedTransformer.with_weights(self.model.architecture, self.weights())


@dataclass(frozen=True)
class Suite:
    """Models of several sizes and seeds, each at several steps.

    ``suite.models`` names them, ``suite.steps(model)`` lists steps, ``suite[model, step]`` is a Checkpoint.
    """

    folder: str
    by_name: Mapping[str, Model]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, smaller ones first."""
        return tuple(self.by_name)

    def steps(self, model: str) -> tuple[int, ...]:
        """Steps for which there are weights, ascending.

        Raises:
            ValueError: there is no such model.
        """
        return suite_format.steps_present(self.folder, self._model(model).name)

    def __getitem__(self, key: tuple[str, int]) -> Checkpoint:
        """
        Raises:
            ValueError: there is no such model or step; the message names the nearest there is.
        """
        name, step = key
        checkpoint = Checkpoint(self.folder, self._model(name), step)
        if not storage.exists(checkpoint.path):
            steps = self.steps(name)
            nearest = f"the nearest is at {min(steps, key=lambda s: abs(s - step))}" if steps else "it has none at all"
            raise ValueError(f"step: {name} has no checkpoint at {step}; {nearest}")
        return checkpoint

    def _model(self, name: str) -> Model:
        if name not in self.by_name:
            near = difflib.get_close_matches(name, self.models, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"model: got {name!r}; expected one of {', '.join(self.models)}{hint}")
        return self.by_name[name]


def open_suite(path: str) -> Suite:
    """The suite in a folder (local path or fsspec URL) of models with ``config.json`` and weights per step.

    Raises:
        ValueError: there is no model in it; the message says what is looked for.
    """
    folder = str(path).rstrip("/")
    names = [name for name in storage.list_folders(folder) if storage.exists(suite_format.config_path(folder, name))]
    if not names:
        raise ValueError(f"path: {folder} holds no suite; expected folders that each hold a config.json and weights")
    models = sorted((Model.read(folder, name) for name in names), key=lambda m: (m.architecture.n_params, m.name))
    return Suite(folder, {model.name: model for model in models})
