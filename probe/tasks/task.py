"""What every task offers, and how a task is written down and read back."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int

from probe.algebra import CyclicForm, GroupForm


@runtime_checkable
class Task(Protocol):
    """A finite, enumerable set of questions with answers, which of them were trained on, and how often."""

    @property
    def family(self) -> str:
        """Which kind of task it is, as batch files call it."""

    @property
    def n_ctx(self) -> int:
        """Tokens in a question."""

    @property
    def answer_position(self) -> int:
        """Position at which the answer is read and scored."""

    @property
    def d_vocab(self) -> int:
        """Tokens there are."""

    @property
    def n_answers(self) -> int:
        """Answers are tokens 0..n_answers-1."""

    @property
    def tokens(self) -> Int[np.ndarray, "example position"]:
        """The questions."""

    @property
    def answers(self) -> Int[np.ndarray, " example"]:
        """The right answers."""

    @property
    def train_mask(self) -> Bool[np.ndarray, " example"]:
        """Which examples are trained on."""

    @property
    def exposures(self) -> Int[np.ndarray, " example"]:
        """How often an example is shown in one pass over the training data; 0 where it is not trained on."""

    @property
    def subsets(self) -> dict[str, Bool[np.ndarray, " example"]]:
        """Sets of examples scored apart, none of them empty; ``train``, ``test`` and ``all`` among them."""

    @property
    def cyclic_form(self) -> CyclicForm | None:
        """The operation as an addition in Z_n, if it is one."""

    @property
    def group_form(self) -> GroupForm | None:
        """The operation as the product of a group, if it is one."""


def task_to_dict(task: Task) -> dict[str, Any]:
    """The fields of a task, from which ``task_from_dict`` makes it again."""
    return asdict(task)  # type: ignore[call-overload]  # every task is a frozen dataclass


def task_from_dict(fields: dict[str, Any]) -> Task:
    """The task with these fields; ``family`` says which kind.

    Raises:
        ValueError: the family is unknown, or a field is not allowed.
    """
    from probe.tasks.groups import GroupComposition
    from probe.tasks.modular import ModularArithmetic

    families: dict[str, Callable[..., Task]] = {"modular": ModularArithmetic, "group": GroupComposition}
    family = fields.get("family")
    if family not in families:
        raise ValueError(f"family: got {family!r}; expected one of {', '.join(families)}")
    return families[family](**fields)
