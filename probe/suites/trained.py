"""Models that were trained here: a folder each, with ``config.json`` and weights per step, as ``format`` says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from probe import storage
from probe.suites import format as suite_format
from probe.suites.architecture import Architecture
from probe.suites.suite import Model
from probe.suites.tensorfiles import SUFFIXES
from probe.tasks import Task, task_from_dict
from probe.training.exposure import examples_by, exposures_by

if TYPE_CHECKING:
    from probe.suites.hooked import HookedTransformer


@dataclass(frozen=True)
class TrainedModel(Model):
    """A model of a suite of ours: what its ``config.json`` says.

    Attributes:
        folder: of the suite.
        config: all that the file says, with how the model was trained.
    """

    folder: str
    name: str
    architecture: Architecture
    task: Task
    seed: int
    examples_per_step: int
    config: Mapping[str, Any]

    @classmethod
    def read(cls, folder: str, name: str) -> "TrainedModel":
        """
        Raises:
            ValueError: the model's ``config.json`` does not describe one.
        """
        path = suite_format.config_path(folder, name)
        config = suite_format.read_json(path)
        try:
            architecture, task = Architecture(**config["architecture"]), task_from_dict(config["task"])
            seed, examples_per_step = int(config["seed"]), int(config["examples_per_step"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not describe a model of ours: {error}") from error
        return cls(folder, name, architecture, task, seed, examples_per_step, config)

    @property
    def n_params(self) -> int:
        return self.architecture.n_params

    @property
    def n_params_without_embeddings(self) -> int:
        return self.architecture.n_params_without_embeddings

    @property
    def n_ctx(self) -> int:
        return self.architecture.n_ctx

    @property
    def d_vocab(self) -> int:
        return self.architecture.d_vocab

    @property
    def tokens_per_step(self) -> float:  # type: ignore[override]  # follows from what is known, so no field
        return self.examples_per_step * self.architecture.n_ctx

    def steps(self) -> tuple[int, ...]:
        return suite_format.steps_present(self.folder, self.name)

    def has_step(self, step: int) -> bool:
        return storage.exists(self.location(step))

    def location(self, step: int) -> str:
        return suite_format.step_path(self.folder, self.name, step)

    def examples_seen(self, step: int) -> float:
        if not self.task.special_passes:
            return super().examples_seen(step)
        return examples_by(self.task, self.config["training"]["batch_size"], step)

    def tokens_seen(self, step: int) -> float:
        return self.examples_seen(step) * self.architecture.n_ctx

    def exposures(self, step: int) -> Int[np.ndarray, " example"]:
        return exposures_by(self.task, self.config["training"]["batch_size"], self.seed, [step])[0]

    def digest(self, step: int) -> str:
        return suite_format.read_header(self.location(step))[1]

    def weights(self, step: int) -> dict[str, Tensor]:
        return suite_format.read_tensors(self.location(step))

    def load(self, step: int, device: str = "cpu", dtype: torch.dtype | None = None) -> "HookedTransformer":
        from probe.suites.hooked import HookedTransformer

        weights = {name: weight.to(device, dtype) for name, weight in self.weights(step).items()}
        return HookedTransformer.with_weights(self.architecture, weights)

    def skeleton(self) -> "HookedTransformer":
        from probe.suites.hooked import HookedTransformer

        return HookedTransformer(self.architecture).eval()

    def size(self, step: int) -> int:
        return storage.size(self.location(step))


def read_trained(folder: str) -> list[TrainedModel]:
    """The models of a suite of ours; none if the folder holds none.

    A model's ``config.json`` that is not JSON, or describes no model of ours, is an error: what it stands beside are
    weights of ours.
    """
    names = storage.list_folders(folder)
    return [TrainedModel.read(folder, name) for name in names if is_trained(folder, name)]


def is_trained(folder: str, name: str) -> bool:
    """Whether a folder is one of our models: it has a ``config.json`` that is ours, or is damaged and may have been."""
    path = suite_format.config_path(folder, name)
    if not storage.exists(path):
        return False
    try:
        config = suite_format.read_json(path)
    except ValueError:
        return bool(suite_format.steps_present(folder, name)) or not _has_weights(folder, name)
    fields = config if isinstance(config, dict) else {}
    if isinstance(fields.get("architecture"), dict):
        return True
    # Weights beside a config that is not ours are somebody else's.
    return "model_type" not in fields and not _has_weights(folder, name)


def _has_weights(folder: str, name: str) -> bool:
    return any(storage.list_files(f"{folder}/{name}", suffix) for suffix in SUFFIXES)
