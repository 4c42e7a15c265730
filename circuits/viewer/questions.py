"""The questions of a task, each up to where its answer is looked at; and their two operands, where they have two."""

from functools import singledispatch
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from circuits.pairs import Pairs
from probe.activations.inputs import Inputs
from probe.algebra import group
from probe.tasks import GroupComposition, InContext, ModularArithmetic, RepeatedTokens, Task, Text
from probe.tasks.arithmetic import Arithmetic


def questions_of(task: Task) -> Inputs:
    """Every example of a task as a question that ends at the position at which the answer is looked at.

    That is where the first token of the answer is predicted; where all of a sequence is predicted, as of repeated
    tokens, of texts and of what is learned in context, it is the last position, which has the most before it.
    """
    last = isinstance(task, RepeatedTokens | Text | InContext)
    positions = task.lengths - 1 if last else task.answer_positions
    answers = task.targets[np.arange(len(positions)), positions]
    return Inputs(task.tokens, positions + 1, answers, positions)


def as_pairs(questions: Inputs, chosen: Int[np.ndarray, " question"], d_vocab: int) -> Pairs:
    """Some of the questions for what reads the clean questions of pairs; the corrupted ones are the same."""
    assert questions.answers is not None
    tokens, lengths = questions.tokens[chosen], questions.lengths[chosen]
    return Pairs(tokens, tokens, questions.answers[chosen], d_vocab, None, lengths)


def thinned(n: int, most: int) -> Int[np.ndarray, " number"]:
    """Numbers from 0 to n - 1, evenly spaced, no more than so many."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).round().astype(np.int64)


class Operands(NamedTuple):
    """Which two operands each question has, as places among all that there are, and what these are called."""

    places: Int[np.ndarray, "question 2"]
    names: list[str]


@singledispatch
def operands_of(task: Task) -> Operands | None:
    """The operands of questions that have two of a kind; None of others."""
    return None


@operands_of.register
def _(task: ModularArithmetic) -> Operands | None:
    return Operands(task.operands, [str(number) for number in range(task.p)])


@operands_of.register
def _(task: GroupComposition) -> Operands | None:
    return Operands(task.operands, list(group(task.group).elements))


@operands_of.register
def _(task: Arithmetic) -> Operands | None:
    return Operands(np.searchsorted(task.numbers, task.facts), [str(number) for number in task.numbers.tolist()])
