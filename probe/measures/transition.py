"""When a network memorized, when it generalized, and the phases in between, read from its curves.

Every date is the step of an evaluation that happened; nothing is interpolated. A date that was not reached
within the budget is None: censored, not impossible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Curve = Sequence[float] | np.ndarray | Tensor
Steps = Sequence[int] | np.ndarray | Tensor


def memorized_step(steps: Steps, train_accuracy: Curve, threshold: float = 0.99) -> int | None:
    """First evaluated step with train accuracy of at least ``threshold``; None if there is none."""
    return _first_step(steps, train_accuracy, "train_accuracy", lambda curve: curve >= threshold)


def generalized_step(steps: Steps, test_accuracy: Curve, threshold: float = 0.99, consecutive: int = 3) -> int | None:
    """First of the first ``consecutive`` evaluations in a row with test accuracy of at least ``threshold``.

    None if there is no such run, also when the curve ends before a run is complete.
    """
    if consecutive < 1:
        raise ValueError(f"consecutive: {consecutive} given, expected at least 1")

    def starts_a_run(curve: np.ndarray) -> np.ndarray:
        above = np.concatenate([curve >= threshold, np.zeros(consecutive - 1, dtype=bool)])
        return np.asarray(np.lib.stride_tricks.sliding_window_view(above, consecutive).all(axis=1))

    return _first_step(steps, test_accuracy, "test_accuracy", starts_a_run)


def first_step_below(steps: Steps, loss: Curve, threshold: float) -> int | None:
    """First evaluated step with a loss below ``threshold``; None if there is none."""
    return _first_step(steps, loss, "loss", lambda curve: curve < threshold)


def peak_step(steps: Steps, loss: Curve) -> int:
    """Step of the largest loss, the earliest of equals."""
    step_array, curve = _checked(steps, loss, "loss")
    return int(step_array[curve.argmax()])


@dataclass(frozen=True)
class Transition:
    """Dates of one training run, in steps; None is "not within ``last_step``" (censored)."""

    first_step: int
    last_step: int
    memorized: int | None
    generalized: int | None
    onset: int | None  # test accuracy at least one half, at or after memorization
    test_loss_below_1: int | None
    test_loss_below_0_1: int | None
    test_loss_peak: int

    @property
    def plateau(self) -> int | None:
        """Steps from memorization to generalization; negative if generalization came first."""
        if self.memorized is None or self.generalized is None:
            return None
        return self.generalized - self.memorized


@dataclass(frozen=True)
class Phase:
    """A stretch of training from ``start`` up to ``end`` (None: it had not ended at the last evaluation)."""

    name: str
    start: int
    end: int | None


def find_transition(steps: Steps, train_accuracy: Curve, test_accuracy: Curve, test_loss: Curve) -> Transition:
    """All dates of one run whose curves were evaluated at the same ``steps`` (ascending).

    Raises ValueError if a curve has another length, a value that is nan, or if steps do not ascend.
    """
    memorized = memorized_step(steps, train_accuracy)
    step_array, _ = _checked(steps, test_accuracy, "test_accuracy")
    onset = None
    if memorized is not None:
        onset = _first_step(
            steps, test_accuracy, "test_accuracy", lambda curve: (curve >= 0.5) & (step_array >= memorized)
        )
    return Transition(
        first_step=int(step_array[0]),
        last_step=int(step_array[-1]),
        memorized=memorized,
        generalized=generalized_step(steps, test_accuracy),
        onset=onset,
        test_loss_below_1=first_step_below(steps, test_loss, 1.0),
        test_loss_below_0_1=first_step_below(steps, test_loss, 0.1),
        test_loss_peak=peak_step(steps, test_loss),
    )


def phases(transition: Transition) -> tuple[Phase, ...]:
    """The phases of a run, in order and without gaps; phases of no length are left out.

    * memorization: until train accuracy reaches .99;
    * circuit formation: until test accuracy reaches one half;
    * cleanup: until test accuracy is .99 on three evaluations in a row;
    * generalized: from there on.

    The names are those of Nanda et al. 2023 (arXiv 2301.05217, section 5.2), who drew the boundaries by eye
    from excluded loss, restricted loss and weight norm. This rule needs accuracies only, so it says when each
    phase would be over if the run groks, not that a circuit forms: a run that only memorizes is in "circuit
    formation" for ever.
    """
    names = ("memorization", "circuit formation", "cleanup", "generalized")
    start = transition.first_step
    found: list[Phase] = []
    ends = (transition.memorized, transition.onset, transition.generalized, None)
    for name, end in zip(names, ends, strict=True):
        if end is None:
            return (*found, Phase(name, start, None))
        if end > start:
            found.append(Phase(name, start, end))
            start = end
    raise AssertionError("the last phase has no end")


def _first_step(steps: Steps, curve: Curve, field: str, condition: Callable[[np.ndarray], np.ndarray]) -> int | None:
    step_array, values = _checked(steps, curve, field)
    reached = np.flatnonzero(condition(values))
    return int(step_array[reached[0]]) if len(reached) else None


def _checked(steps: Steps, curve: Curve, field: str) -> tuple[np.ndarray, np.ndarray]:
    step_array, values = (torch.as_tensor(x).cpu().numpy() for x in (steps, curve))
    if step_array.ndim != 1 or len(step_array) == 0 or (np.diff(step_array) <= 0).any():
        raise ValueError(f"steps: shape {step_array.shape} given, expected one or more ascending steps")
    if values.shape != step_array.shape:
        raise ValueError(f"{field}: shape {values.shape} given, expected {step_array.shape}, one value per step")
    if np.isnan(values).any():
        raise ValueError(f"{field}: nan given at step {step_array[np.isnan(values)][0]}, expected numbers")
    return step_array, values
