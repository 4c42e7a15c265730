"""A suite of models and its checkpoints: what there is, without loading it."""

import difflib
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int
from torch import Tensor

from probe.tasks import Task

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from probe.suites.hooked import HookedModel


class Model(ABC):
    """One model of a suite, at no particular step. Where its weights come from is what the kinds of models differ in.

    Attributes:
        name: in the suite.
        task: what it was trained on, or is asked; None where nothing says.
        seed: of its initial weights; None where nothing says.
        n_params: parameters, all of them, shared ones once.
        n_params_without_embeddings: parameters but those of token embedding, positions and unembedding.
        n_ctx: tokens that it can read at once.
        d_vocab: tokens that it can read.
        examples_per_step: training examples shown in an optimizer step, ``nan`` where nothing says.
        tokens_per_step: training tokens shown in an optimizer step, ``nan`` where nothing says.
    """

    name: str
    task: Task | None
    seed: int | None
    examples_per_step: float
    tokens_per_step: float

    @property
    @abstractmethod
    def n_params(self) -> int: ...

    @property
    @abstractmethod
    def n_params_without_embeddings(self) -> int: ...

    @property
    @abstractmethod
    def n_ctx(self) -> int: ...

    @property
    @abstractmethod
    def d_vocab(self) -> int: ...

    @abstractmethod
    def steps(self) -> tuple[int, ...]:
        """Steps for which there are weights, ascending."""

    @abstractmethod
    def location(self, step: int) -> str:
        """Where the weights at a step are: what messages call it."""

    @abstractmethod
    def digest(self, step: int) -> str:
        """SHA-256 that changes when the weights at a step do, without loading them where that can be avoided."""

    @abstractmethod
    def weights(self, step: int) -> dict[str, Tensor]:
        """The weights at a step, as they are named where they come from."""

    @abstractmethod
    def load(self, step: int, device: str, dtype: "torch.dtype | None") -> "HookedModel":
        """The hooked model at a step, in evaluation mode; ``dtype`` None keeps the stored one."""

    @abstractmethod
    def skeleton(self) -> "HookedModel":
        """A model with the same hook points and shapes and no values: made and run under a ``FakeTensorMode``."""

    @abstractmethod
    def size(self, step: int) -> int | None:
        """Bytes of the weights at a step, on the disk or to be downloaded; None where it cannot be told."""

    def has_step(self, step: int) -> bool:
        """Whether there are weights at a step."""
        return step in self.steps()

    def at_hand(self, step: int) -> bool:
        """Whether the weights at a step can be read without being fetched from elsewhere first."""
        return True

    def examples_seen(self, step: int) -> float:
        """Training examples shown up to a step, repeats counted; ``nan`` where nothing says."""
        return step * self.examples_per_step

    def tokens_seen(self, step: int) -> float:
        """Training tokens shown up to a step, repeats counted; ``nan`` where nothing says."""
        return step * self.tokens_per_step

    def exposures(self, step: int) -> Int[np.ndarray, " example"] | None:
        """How often each example of the task has been shown in training up to a step; None where nothing says."""
        return None

    def tokenizer(self) -> "PreTrainedTokenizerBase | None":
        """What turns text into the tokens that it reads; None where there is none."""
        return None

    def release(self, step: int) -> None:  # noqa: B027  # most models have nothing to give back
        """Called when a checkpoint has been used: a model that was asked to keep few on the disk deletes some."""


@dataclass(frozen=True)
class Checkpoint:
    """A model at a step. Nothing is read before it is asked for.

    Attributes:
        model: which model.
        step: optimizer steps taken.
    """

    model: Model
    step: int

    @property
    def location(self) -> str:
        """Where the weights are: a path or URL, or ``repository@revision``."""
        return self.model.location(self.step)

    @property
    def task(self) -> Task:
        """What the model was trained on, or is asked.

        Raises:
            ValueError: nothing says; ``open_suite`` can be told.
        """
        if self.model.task is None:
            raise ValueError(f"task: nothing says what {self.model.name} was trained on; expected a task to ask it")
        return self.model.task

    @property
    def n_params(self) -> int:
        """Parameters, all of them."""
        return self.model.n_params

    @property
    def n_params_without_embeddings(self) -> int:
        """Parameters but those of token embedding, positions and unembedding."""
        return self.model.n_params_without_embeddings

    @property
    def examples_seen(self) -> float:
        """Training examples shown so far, repeats counted; ``nan`` where nothing says."""
        return self.model.examples_seen(self.step)

    @property
    def tokens_seen(self) -> float:
        """Training tokens shown so far, repeats counted; ``nan`` where nothing says."""
        return self.model.tokens_seen(self.step)

    @property
    def exposures(self) -> Int[np.ndarray, " example"] | None:
        """How often each example of the task has been shown in training so far; None where nothing says."""
        return self.model.exposures(self.step)

    @property
    def flops(self) -> float:
        """Training compute so far by the usual estimate, 6 x parameters x tokens (Kaplan et al. 2020, section 2.1)."""
        return 6.0 * self.n_params * self.tokens_seen

    @property
    def size(self) -> int | None:
        """Bytes of the weights, on the disk or to be downloaded; None where it cannot be told."""
        return self.model.size(self.step)

    @cached_property
    def digest(self) -> str:
        """SHA-256 that changes when the weights do.

        Of our own suites it is that of the tensors, as written with them; of others that of the weights' files.

        Raises:
            DamagedCheckpointError: the file cannot be read.
        """
        return self.model.digest(self.step)

    def weights(self) -> dict[str, Tensor]:
        """The weights, as they are named where they come from: of our own suites, by TransformerLens name.

        Raises:
            DamagedCheckpointError: the file is truncated or altered.
        """
        return self.model.weights(self.step)

    def load(self, device: str = "cpu", dtype: "torch.dtype | None" = None) -> "HookedModel":
        """The hooked model, in evaluation mode.

        Args:
            device: where it is put.
            dtype: of its weights; as they are stored, if not given.

        Raises:
            DamagedCheckpointError: the file is truncated or altered.
        """
        return self.model.load(self.step, device, dtype)


@dataclass(frozen=True)
class Suite:
    """Models of several sizes and seeds, each at several steps.

    ``suite.models`` names them, ``suite.steps(model)`` lists steps, ``suite[model, step]`` is a Checkpoint.

    Attributes:
        address: what it was opened from.
        by_name: the models, smaller ones first.
        chosen_steps: the only steps that are offered; None for all there are.
    """

    address: str
    by_name: Mapping[str, Model]
    chosen_steps: tuple[int, ...] | None = None

    @classmethod
    def of(cls, address: str, models: Sequence[Model], steps: Sequence[int] | None = None) -> "Suite":
        """A suite of these models, in order of size, then of name.

        Raises:
            ValueError: one of the steps is not there for one of the models; the message names the nearest there is.
        """
        ordered = sorted(models, key=lambda model: (model.n_params, model.name))
        suite = cls(address, {model.name: model for model in ordered}, None)
        if steps is None:
            return suite
        for model in suite.models:
            for step in steps:
                _ = suite[model, step]
        return cls(address, suite.by_name, tuple(sorted(set(steps))))

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, smaller ones first."""
        return tuple(self.by_name)

    def steps(self, model: str) -> tuple[int, ...]:
        """Steps for which there are weights, ascending.

        Raises:
            ValueError: there is no such model.
        """
        found = self._model(model).steps()
        return found if self.chosen_steps is None else tuple(step for step in found if step in self.chosen_steps)

    def __getitem__(self, key: tuple[str, int]) -> Checkpoint:
        """
        Raises:
            ValueError: there is no such model or step; the message names the nearest there is.
        """
        if not isinstance(key, tuple) or len(key) != 2:
            raise ValueError(
                f"suite: got {key!r} as index; expected a model and a step, such as suite[{self.models[0]!r}, 0]"
            )
        name, step = key
        model = self._model(name)
        try:
            step = operator.index(step)
        except TypeError as error:
            raise ValueError(f"step: got {step!r}; expected a whole number") from error
        chosen = self.chosen_steps is None or step in self.chosen_steps
        if not chosen or not model.has_step(step):
            steps = self.steps(name)
            nearest = f"the nearest is at {min(steps, key=lambda s: abs(s - step))}" if steps else "it has none at all"
            raise ValueError(f"step: {name} has no checkpoint at {step}; {nearest}")
        return Checkpoint(model, step)

    def checkpoints(
        self, models: Sequence[str] | None = None, steps: Sequence[int] | None = None
    ) -> Iterator[Checkpoint]:
        """Checkpoints in order of size and step: those of the given models at the given steps, or all.

        Raises:
            ValueError: there is no such model or step; the message names the nearest there is.
        """
        if models is not None and not models:
            raise ValueError(f"models: got none; expected one or more of {', '.join(self.models)}")
        if steps is not None and (isinstance(steps, str) or not isinstance(steps, Iterable)):
            raise ValueError(f"steps: got {steps!r}; expected whole numbers, such as [0, 1000]")
        for model in self.models if models is None else [models] if isinstance(models, str) else models:
            for step in self.steps(model) if steps is None else steps:
                yield self[model, step]

    def _model(self, name: str) -> Model:
        if name not in self.by_name:
            near = difflib.get_close_matches(name, self.models, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"model: got {name!r}; expected one of {', '.join(self.models)}{hint}")
        return self.by_name[name]
