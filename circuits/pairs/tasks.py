"""Pairs from a task: the same question with another operand, whose answer is another."""

from functools import singledispatch

import numpy as np
from jaxtyping import Int

from circuits.pairs.contrast import Pairs
from circuits.pairs.induction import with_another_last
from probe.tasks import Facts, GroupComposition, InContextMapping, ModularArithmetic, RepeatedTokens, Task
from probe.tasks.arithmetic import Arithmetic


def pairs_from_task(task: Task, n: int | None = None, *, operand: int = 0, subset: str = "all", seed: int = 0) -> Pairs:
    """Questions of a task, each with one that differs from it in one operand only and has another answer.

    The corrupted question is drawn among all there are; its answer is the wrong answer. Answers of several tokens are
    asked for their first: questions end where it is predicted.

    Of repeated sequences the last token is asked for. With operand 0 its first occurrence is another token in the
    corrupted question, as in ``repeated_tokens``: the contrast is in what is copied. With operand 1 the token before it
    has changed places, in the first copy, with a token before that, and so is followed by another: the contrast is in
    where is looked, which is what a previous-token head tells.

    Of mappings the value at the last place is asked for, where its key was shown before. With operand 0 another value
    stood after the key: the contrast is in what is copied. With operand 1 another key is asked, of those shown that
    have another value: the contrast is in what is looked for.

    Args:
        task: modular arithmetic, composition in a group, arithmetic on whole numbers, facts, repeated sequences, or
            mappings told in context.
        n: pairs, drawn without replacement among the questions that have a partner; all of these, in order of the task,
            if not given.
        operand: which one differs: 0 the first, 1 the second. Of a fact, 0 is the subject and 1 the relation; of a
            sequence as above, and those of two tokens have no partner with operand 1; of a mapping as above.
        subset: both questions are of this subset of the task (``task.subsets``).
        seed: of what is drawn.

    Raises:
        ValueError: another task, or subset, or operand; or fewer than n questions have a partner.
    """
    if operand not in (0, 1):
        raise ValueError(f"operand: got {operand}; expected 0 or 1")
    if subset not in task.subsets:
        raise ValueError(f"subset: got {subset!r}; expected one of {', '.join(task.subsets)}")
    members = np.flatnonzero(task.subsets[subset])
    drawn = np.random.default_rng(seed)
    if isinstance(task, RepeatedTokens):
        return _repeated(task, members, n, operand, subset, drawn)
    if isinstance(task, InContextMapping):
        return _mapped(task, members, n, operand, subset, drawn)
    answers = task.targets[np.arange(len(task.targets)), task.answer_positions]
    # what the two questions share: all that was asked but the operand that differs
    _, group = np.unique(np.delete(_asked(task), operand, axis=1)[members], axis=0, return_inverse=True)
    clean, corrupted = _partners(members, group, answers[members], drawn)
    _check_some(clean, subset)
    chosen = _chosen(n, len(clean), subset, drawn)
    clean, corrupted = clean[chosen], corrupted[chosen]
    lengths = task.answer_positions[clean] + 1
    width = int(lengths.max())
    return Pairs(
        task.tokens[clean, :width],
        task.tokens[corrupted, :width],
        answers[clean],
        task.d_vocab,
        answers[corrupted],
        lengths,
    )


def some_pairs_from_task(task: Task, most: int, *, operand: int = 0, subset: str = "all", seed: int = 0) -> Pairs:
    """As ``pairs_from_task``, but all pairs where there are no more than ``most``.

    Raises:
        ValueError: as of ``pairs_from_task``.
    """
    every = pairs_from_task(task, operand=operand, subset=subset, seed=seed)
    return every if len(every) <= most else pairs_from_task(task, most, operand=operand, subset=subset, seed=seed)


def _chosen(n: int | None, n_questions: int, subset: str, drawn: np.random.Generator) -> np.ndarray:
    """Which of the questions that have a partner are taken."""
    if n is None:
        return np.arange(n_questions)
    if not 1 <= n <= n_questions:
        raise ValueError(f"n: got {n}; expected 1 to {n_questions}, the questions of {subset!r} that have a partner")
    return drawn.permutation(n_questions)[:n]


def _check_some(questions: np.ndarray, subset: str) -> None:
    if not len(questions):
        raise ValueError(f"subset: no question of {subset!r} has a partner with another answer; expected some")


def _repeated(
    task: RepeatedTokens, members: np.ndarray, n: int | None, operand: int, subset: str, drawn: np.random.Generator
) -> Pairs:
    """Pairs of sequences, of which the last token of the first copy is another, or is elsewhere in it."""
    members = members[task.sequence_lengths[members] > 1 + operand]  # there has to be an elsewhere
    _check_some(members, subset)
    members = members[_chosen(n, len(members), subset, drawn)]
    clean, lengths, length = task.tokens[members], task.lengths[members], task.sequence_lengths[members]
    every = np.arange(len(members))
    answers, last = task.targets[members][every, lengths - 1], lengths - length
    if operand == 0:
        own = task.sequences[members]
        lot = drawn.random((len(members), task.n_tokens))
        np.put_along_axis(lot, np.where(own < 0, own[:, :1], own), -1.0, axis=1)
        return with_another_last(clean, last, answers, lot.argmax(1), task.d_vocab, lengths)
    corrupted, elsewhere = clean.copy(), last - 1 - drawn.integers(1, length - 1)
    corrupted[every, elsewhere], corrupted[every, last - 1] = clean[every, last - 1], clean[every, elsewhere]
    return Pairs(clean, corrupted, answers, task.d_vocab, corrupted[every, elsewhere + 1], lengths)


def _mapped(
    task: InContextMapping, members: np.ndarray, n: int | None, operand: int, subset: str, drawn: np.random.Generator
) -> Pairs:
    """Pairs of sequences, of which the last key is told another value, or is another."""
    asked, told = task.asked[members], task.told[members]
    same = asked[:, :-1] == asked[:, -1:]
    others = told[:, :-1] != told[:, -1:]  # places at which something is shown that has another value
    has = same.any(1) & (others.any(1) if operand else True)
    _check_some(members[has], subset)
    chosen = np.flatnonzero(has)[_chosen(n, int(has.sum()), subset, drawn)]
    asked, told, same, others = asked[chosen], told[chosen], same[chosen], others[chosen]
    clean = task.tokens[members[chosen]]
    corrupted, answers, every = clean.copy(), told[:, -1], np.arange(len(chosen))
    if operand == 0:
        turned = answers - task.n_keys + drawn.integers(1, task.n_values, size=len(answers))
        wrong = task.n_keys + turned % task.n_values
        corrupted[:, 1::2] = np.where(same, wrong[:, None], clean[:, 1::2])
    else:
        place = np.where(others, drawn.random(others.shape), -1.0).argmax(1)
        wrong, corrupted[:, -1] = told[every, place], asked[every, place]
    return Pairs(clean, corrupted, answers, task.d_vocab, wrong)


def _partners(
    members: np.ndarray, group: np.ndarray, answers: np.ndarray, drawn: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Those of the members that have a partner, and the partner drawn for each: of their group, of another answer."""
    # sorted by group and then by answer, those of one's own answer are a run; partners are what of the group is left
    order = np.lexsort((answers, group))
    key = np.stack([group[order], answers[order]])
    new_group = np.flatnonzero(np.diff(key[0], prepend=-1))
    new_run = np.flatnonzero((np.diff(key, prepend=-1, axis=1) != 0).any(0))

    def bounds(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sizes = np.diff(starts, append=len(order))
        return np.repeat(starts, sizes), np.repeat(starts + sizes, sizes)

    (first, end), (run_first, run_end) = bounds(new_group), bounds(new_run)
    others = (end - first) - (run_end - run_first)
    has = others > 0
    at = first[has] + drawn.integers(others[has])
    at = np.where(at >= run_first[has], at + (run_end - run_first)[has], at)
    clean, corrupted = order[has], order[at]
    by_task = np.argsort(clean)
    return members[clean[by_task]], members[corrupted[by_task]]


@singledispatch
def _asked(task: Task) -> Int[np.ndarray, "example field"]:
    """The two operands of each question, then whatever else is asked."""
    kinds = "ModularArithmetic, GroupComposition, Multiplication, Addition, Subtraction, Facts, RepeatedTokens,"
    raise ValueError(
        f"task: got {type(task).__name__}, which has no operands; expected one of {kinds} InContextMapping"
    )


@_asked.register
def _(task: ModularArithmetic) -> Int[np.ndarray, "example field"]:
    return task.operands


@_asked.register
def _(task: GroupComposition) -> Int[np.ndarray, "example field"]:
    return task.operands


@_asked.register
def _(task: Arithmetic) -> Int[np.ndarray, "example field"]:
    return task.facts


@_asked.register
def _(task: Facts) -> Int[np.ndarray, "example field"]:
    return np.stack([*np.divmod(task.fact, task.relations), task.phrasing], axis=1)
