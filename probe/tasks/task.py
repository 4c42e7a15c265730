"""What every task offers, and how a task is written down and read back."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from probe.algebra import CyclicForm, GroupForm

NOT_SCORED = -1
"""Target at positions after which nothing is to be predicted."""


class Task(ABC):
    """A finite, enumerable set of questions with answers, which of them were trained on, and how often.

    A task is a frozen dataclass. Each example is a row of tokens that ends with all of the answer but its last token;
    ``targets`` says after which positions a token is to be predicted. Rows that are shorter than others are padded on
    the right, where no position before it sees the padding.
    """

    family: str
    """Which kind of task it is, as batch files call it."""
    special_passes: int = 0
    """In how many passes over the training data, the first ones, a special batch is shown beside the rest."""

    @property
    @abstractmethod
    def d_vocab(self) -> int:
        """Tokens there are."""

    @property
    @abstractmethod
    def tokens(self) -> Int[np.ndarray, "example position"]:
        """The questions, with what of their answers is read before the last token of it is predicted."""

    @property
    @abstractmethod
    def targets(self) -> Int[np.ndarray, "example position"]:
        """The token to be predicted after each position, at least one per example; ``NOT_SCORED`` where none is."""

    @property
    @abstractmethod
    def answer_tokens(self) -> Int[np.ndarray, " answer"]:
        """Tokens that can be part of an answer, ascending; loss and accuracy are over these."""

    @property
    @abstractmethod
    def train_mask(self) -> Bool[np.ndarray, " example"]:
        """Which examples are trained on, to the end: those of a special batch are not among them."""

    @property
    @abstractmethod
    def exposures(self) -> Int[np.ndarray, " example"]:
        """How often an example is shown in every pass over the training data; 0 where it is not trained on."""

    @property
    @abstractmethod
    def subsets(self) -> dict[str, Bool[np.ndarray, " example"]]:
        """Sets of examples scored apart, none of them empty; ``train`` and ``all`` among them."""

    @property
    def special_exposures(self) -> Int[np.ndarray, " example"]:
        """How often an example of the special batch is shown in each of the first ``special_passes``; 0 elsewhere.

        It is shown in no later pass, so that it can be seen how it is forgotten. Few tasks have such a batch.
        """
        return np.zeros_like(self.exposures)

    @property
    def n_ctx(self) -> int:
        """Tokens in the longest example."""
        return self.tokens.shape[1]

    @property
    def n_answers(self) -> int:
        """Tokens that can be part of an answer."""
        return len(self.answer_tokens)

    @cached_property
    def scored(self) -> tuple[int, ...]:
        """Positions after which something is to be predicted in some example, ascending."""
        return tuple(np.flatnonzero((self.targets != NOT_SCORED).any(0)).tolist())

    @cached_property
    def answer_positions(self) -> Int[np.ndarray, " example"]:
        """Position at which the first token of each answer is predicted."""
        return (self.targets != NOT_SCORED).argmax(1)

    @cached_property
    def scored_answers(self) -> Int[np.ndarray, "example scored"]:
        """Targets at the ``scored`` positions as places among ``answer_tokens``; ``NOT_SCORED`` where there is none."""
        targets = self.targets[:, list(self.scored)]
        return np.where(targets == NOT_SCORED, NOT_SCORED, np.searchsorted(self.answer_tokens, targets))

    @cached_property
    def answers(self) -> Int[np.ndarray, " example"]:
        """The first token of each right answer, as its place among ``answer_tokens``."""
        first = (self.scored_answers != NOT_SCORED).argmax(1)
        return self.scored_answers[np.arange(len(first)), first]

    @cached_property
    def lengths(self) -> Int[np.ndarray, " example"]:
        """Tokens in each example: up to the last position after which something is to be predicted."""
        return self.n_ctx - (self.targets != NOT_SCORED)[:, ::-1].argmax(1)

    @property
    def cyclic_form(self) -> CyclicForm | None:
        """The operation as an addition in Z_n, if it is one."""
        return None

    @property
    def group_form(self) -> GroupForm | None:
        """The operation as the product of a group, if it is one."""
        return None

    def example_of(self, form: CyclicForm | GroupForm) -> Int[np.ndarray, "n n"]:
        """Which example asks for the i-th first and the j-th second operand of a form of its operation."""
        example = np.full((self.d_vocab, self.d_vocab), -1)
        example[self.tokens[:, 0], self.tokens[:, 1]] = np.arange(len(self.tokens))
        return example[np.asarray(form.a)[:, None], np.asarray(form.b)]


def one_token_targets(
    tokens: Int[np.ndarray, "example position"], answers: Int[np.ndarray, " example"]
) -> Int[np.ndarray, "example position"]:
    """Targets of questions of one length that are answered by one token, after their last."""
    targets = np.full(tokens.shape, NOT_SCORED)
    targets[:, -1] = answers
    return targets


def task_to_dict(task: Task) -> dict[str, Any]:
    """The fields of a task, from which ``task_from_dict`` makes it again."""
    return asdict(task)  # type: ignore[call-overload]  # every task is a frozen dataclass


def task_from_dict(fields: dict[str, Any]) -> Task:
    """The task with these fields; ``family`` says which kind.

    Raises:
        ValueError: the family is unknown, or a field is not allowed.
    """
    from pydantic import TypeAdapter, ValidationError

    from probe.tasks import FAMILIES

    family = fields.get("family")
    if family not in FAMILIES:
        raise ValueError(f"family: got {family!r}; expected one of {', '.join(FAMILIES)}")
    try:
        return TypeAdapter(FAMILIES[family]).validate_python(fields)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        # what a task refuses itself names the field; pydantic's own words do not
        said = [
            mistake["msg"].removeprefix("Value error, ")
            if mistake["type"] == "value_error"
            else f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg']}"
            for mistake in mistakes
        ]
        raise ValueError("; ".join(said)) from error
