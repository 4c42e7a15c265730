"""When a network memorized, when it generalized, and the phases in between, by threshold.

Every date is the step of an evaluation that happened; nothing is interpolated. A date that was not reached
within the budget is censored, not impossible: None for one run, +inf in a batch of runs, as
`probe.measures.intervals.bootstrap_interval` takes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.measures.transition.curves import (
    Curve,
    Steps,
    checked_curve,
    checked_curves,
    checked_steps,
    reached,
)

Curves = Curve | Float[np.ndarray | Tensor, "*run step"]


def memorized_step(steps: Steps, train_accuracy: Curves, threshold: float = 0.99) -> Any:
    """First evaluated step with train accuracy of at least ``threshold``, rounded to the type of the accuracies.

    One curve gives an int, or None if there is no such step; curves [*run, step] give a float64 tensor [*run] with
    +inf there. Raises ValueError for steps that do not ascend, a curve of another length, values that are not
    finite or no accuracies, a threshold outside (0, 1], or nothing at all; so do all functions of this module.
    """
    at = checked_steps(steps)
    return _first(at, reached(train_accuracy, "train_accuracy", len(at), threshold))


def generalized_step(steps: Steps, test_accuracy: Curves, threshold: float = 0.99, consecutive: int = 3) -> Any:
    """First of the first ``consecutive`` evaluations in a row with test accuracy of at least ``threshold``.

    Censored, as in `memorized_step`, also when the curve ends before a run of evaluations is complete.
    """
    if consecutive < 1:
        raise ValueError(f"consecutive: {consecutive} given, expected at least 1")
    at = checked_steps(steps)
    above = reached(test_accuracy, "test_accuracy", len(at), threshold)
    unseen = np.zeros((*above.shape[:-1], consecutive - 1), dtype=bool)
    padded = np.concatenate([above, unseen], axis=-1)
    return _first(at, np.lib.stride_tricks.sliding_window_view(padded, consecutive, axis=-1).all(axis=-1))


def first_step_below(steps: Steps, loss: Curves, threshold: float) -> Any:
    """First evaluated step with a loss below ``threshold``; censored as in `memorized_step`."""
    at = checked_steps(steps)
    return _first(at, checked_curves(loss, "loss", len(at)) < threshold)


def peak_step(steps: Steps, loss: Curves) -> Any:
    """Step of the largest loss, the earliest of equals: an int, or a float64 tensor [*run]."""
    at = checked_steps(steps)
    values = checked_curves(loss, "loss", len(at))
    return _first(at, values == values.max(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Stretch:
    """A stretch of training from ``start`` up to ``end`` (None: it had not ended at the last evaluation)."""

    name: str
    start: int
    end: int | None


@dataclass(frozen=True)
class Phases:
    """Dates of one training run, in steps; None is "not within ``last_step``", censored.

    Attributes:
        memorized: first evaluation with train accuracy of at least .99.
        generalized: the first of 3 evaluations in a row with test accuracy of at least .99.
        plateau: steps from the one to the other, negative if generalization came first; None where either is.
        onset: first evaluation, at or after memorization, with test accuracy of at least one half.
        first_step: of the first evaluation.
        last_step: of the last evaluation: the budget.
        stretches: memorization, circuit formation, cleanup, generalized; see `phases`.
        test_loss_below_1: first evaluation with a test loss below 1. This and the next two: None without a test loss.
        test_loss_below_0_1: first evaluation with a test loss below .1.
        test_loss_peak: of the largest test loss, the earliest of equals.
    """

    memorized: int | None
    generalized: int | None
    plateau: int | None
    onset: int | None
    first_step: int
    last_step: int
    stretches: tuple[Stretch, ...]
    test_loss_below_1: int | None = None
    test_loss_below_0_1: int | None = None
    test_loss_peak: int | None = None


def phases(
    steps: Steps,
    train_accuracy: Curve,
    test_accuracy: Curve,
    test_loss: Curve | None = None,
    threshold: float = 0.99,
    consecutive: int = 3,
) -> Phases:
    """All dates of one run whose curves were evaluated at the same ``steps``, and its stretches in order.

    * memorization: until train accuracy reaches ``threshold``;
    * circuit formation (the plateau of test accuracy): until test accuracy reaches one half;
    * cleanup: until test accuracy is at ``threshold`` on ``consecutive`` evaluations in a row;
    * generalized: from there on.

    They follow each other without gaps; one of no length is left out. After generalization there is no circuit
    formation and no cleanup: a run that generalizes before it memorizes goes from memorization to generalized, whatever
    its test accuracy does later. The names are those of Nanda et al. 2023
    (arXiv 2301.05217, section 5.2), who drew the boundaries by eye from excluded loss, restricted loss and weight
    norm. This rule needs accuracies only, so it says when each would be over if the run groks, not that a circuit
    forms: a run that only memorizes is in "circuit formation" for ever.

    Raises ValueError as `memorized_step` does, and for the curves of more than one run.
    """
    at = checked_steps(steps)
    checked_curve(train_accuracy, "train_accuracy", len(at))
    test = checked_curve(test_accuracy, "test_accuracy", len(at))
    memorized = memorized_step(at, train_accuracy, threshold)
    generalized = generalized_step(at, test_accuracy, threshold, consecutive)
    onset = None if memorized is None else _first(at, (test >= 0.5) & (at >= memorized))
    losses = {}
    if test_loss is not None:
        loss = checked_curve(test_loss, "test_loss", len(at))
        losses["test_loss_below_1"] = first_step_below(at, loss, 1.0)
        losses["test_loss_below_0_1"] = first_step_below(at, loss, 0.1)
        losses["test_loss_peak"] = peak_step(at, loss)
    return Phases(
        memorized=memorized,
        generalized=generalized,
        plateau=None if memorized is None or generalized is None else generalized - memorized,
        onset=onset,
        first_step=int(at[0]),
        last_step=int(at[-1]),
        stretches=_stretches(int(at[0]), memorized, onset, generalized),
        **losses,
    )


def _stretches(start: int, memorized: int | None, onset: int | None, generalized: int | None) -> tuple[Stretch, ...]:
    if generalized is not None:
        onset = generalized if onset is None else min(onset, generalized)
    found: list[Stretch] = []
    for name, end in (("memorization", memorized), ("circuit formation", onset), ("cleanup", generalized)):
        if end is None:
            return (*found, Stretch(name, start, None))
        if end > start:
            found.append(Stretch(name, start, end))
            start = end
    return (*found, Stretch("generalized", start, None))


def _first(steps: Float[np.ndarray, " step"], found: Any) -> Any:
    """The first step at which it is found: an int or None for one run, +inf where there is none for a batch."""
    date = np.where(found.any(axis=-1), steps[found.argmax(axis=-1)], np.inf)
    if date.ndim:
        return torch.from_numpy(date)
    return int(date) if np.isfinite(date) else None
