"""Comprehension, grokking, memorization, confusion: the four learning phases of Liu et al. 2022 (arXiv 2205.10343)."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from probe.measures.transition.curves import Steps, checked_curves, checked_steps
from probe.measures.transition.dates import Curves, generalized_step, memorized_step

LEARNING_PHASES = ("comprehension", "grokking", "memorization", "confusion")


def learning_phase(train_step: Any, test_step: Any, *, gap: float = 1000) -> Any:
    """The learning phase of runs, from the steps at which train and test accuracy reached .9 (Liu et al., table 1).

    * comprehension: test accuracy got there, fewer than ``gap`` steps after train accuracy, or before it;
    * grokking: it got there ``gap`` or more steps after train accuracy;
    * memorization: only train accuracy got there;
    * confusion: neither did.

    A run whose test accuracy alone got there is in comprehension: should train accuracy follow, it will be later.

    ``train_step`` and ``test_step`` are numbers or arrays of any shapes that broadcast, in optimizer steps; None, nan
    or inf say "not within the budget". Two numbers give a str, arrays an array of str: a phase diagram is one call.

    What was not reached within the budget may come later. Comprehension and grokking are final, memorization and
    confusion are not: they say what was seen, and mean little for runs that reached .9 shortly before the end. A
    budget shorter than ``gap`` can show no grokking: what would be grokking is then memorization; so give a ``gap``
    that fits the budget, and name it. Steps are known to the spacing of the evaluations, and so is the gap.

    Raises ValueError for negative steps, what is no number, shapes that do not broadcast, or a gap that is not
    above 0.
    """
    if not 0 < gap < np.inf:
        raise ValueError(f"gap: {gap} given, expected a number of optimizer steps above 0")
    train, test = _dates(train_step, "train_step"), _dates(test_step, "test_step")
    try:
        train, test = np.broadcast_arrays(train, test)
    except ValueError as error:
        raise ValueError(f"test_step: shape {test.shape} given, expected that of train_step, {train.shape}") from error
    generalized = np.isfinite(test)
    late = generalized & (test >= train + gap)  # not so where train is nan or inf
    phase = np.select([late, generalized, np.isfinite(train)], [1, 0, 2], 3)
    names = np.array(LEARNING_PHASES)[phase]
    return str(names) if names.ndim == 0 else names


def learning_phase_of_curves(
    steps: Steps, train_accuracy: Curves, test_accuracy: Curves, threshold: float = 0.9, gap: float = 1000
) -> Any:
    """As `learning_phase`, from curves [step] (a str) or [*run, step] (an array [*run]).

    An accuracy gets there at the first evaluation with at least ``threshold``, rounded to its type. The last step is
    the budget, and a ``gap`` beyond it leaves no run to be called grokking.

    Raises ValueError as `probe.measures.transition.dates.memorized_step`, for curves of different shapes, or a
    threshold outside (0, 1].
    """
    at = checked_steps(steps)
    train = checked_curves(train_accuracy, "train_accuracy", len(at)).shape
    test = checked_curves(test_accuracy, "test_accuracy", len(at)).shape
    if train != test:
        raise ValueError(f"test_accuracy: shape {test} given, expected that of train_accuracy, {train}")
    return learning_phase(
        memorized_step(at, train_accuracy, threshold),
        generalized_step(at, test_accuracy, threshold, consecutive=1),
        gap=gap,
    )


def _dates(steps: Any, field: str) -> Float[np.ndarray, "*run"]:
    """Steps as float64, nan or inf where there is none."""
    given = steps.detach().cpu().numpy() if isinstance(steps, Tensor) else np.asarray(steps)
    try:
        if given.dtype == bool:
            raise TypeError("truth values")
        dates = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{field}: {steps!r} given, expected steps, or None, nan or inf ({error})") from error
    if (dates < 0).any():
        raise ValueError(f"{field}: {dates[dates < 0][0]:g} given, expected steps from 0 on")
    return dates
