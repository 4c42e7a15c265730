"""How many exposures it took: a share of the facts, T(N, tau), and every single fact.

An evaluation sees memory between two numbers of exposures: more than ``above``, where it was not yet there, and at
most ``reached``, where it was. What was not reached within the budget has ``reached`` = inf: censored, not impossible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe.measures.arrays import checked, number
from probe.measures.intervals import check_confidence
from probe.measures.memorization.arguments import checked_correct
from probe.measures.memorization.exactness import share_of
from probe.measures.transition.curves import ROUNDING, Curve, checked_accuracies
from probe.measures.transition.dates import Curves, generalized_step

CONSECUTIVE = 3


@dataclass(frozen=True)
class ExposuresToMemorize:
    """T(N, tau): floats for one run, float64 tensors [*run] for several.

    Attributes:
        above: the last number of exposures evaluated before ``reached``, where M was below tau; 0 if there is none.
        reached: T(N, tau), the first number of exposures evaluated with M >= tau; inf: not within the budget.
        low: lower end of the interval of T over facts; it is exclusive, as ``above`` is.
        high: upper end; inf where it lies beyond the budget.
    """

    above: Any
    reached: Any
    low: Any
    high: Any


@dataclass(frozen=True)
class FactExposures:
    """Exposures until each fact was learned.

    Attributes:
        above: exposures at the last evaluation before that; 0 if there is none.
        reached: exposures at the evaluation from which on the fact was right; inf: not within the budget. 0: it was
            right before it was shown, by chance or by a rule.
    """

    above: Float[Tensor, "*run fact"]
    reached: Float[Tensor, "*run fact"]


def exposures_to_memorize(
    exposures: Curve,
    memorized: Curves,
    threshold: float = 0.9,
    n_facts: int | None = None,
    confidence: float = 0.95,
) -> ExposuresToMemorize:
    """T(N, tau): the smallest number of exposures per fact with M >= tau (Tirumala et al. 2022, arXiv 2205.10770).

    ``memorized`` [*run, step] is M (`memorized_share`) after so many ``exposures`` per fact (step x batch / facts, or
    its mean where facts differ in frequency). Nothing is interpolated.

    With ``n_facts``, the facts that M is a share of, the interval reaches to where the ends of M's Clopper-Pearson
    interval cross tau: the order-statistic interval of a quantile where facts are not forgotten, which holds with at
    least the stated confidence. Without it the interval is the bracket. Over seeds: `kaplan_meier`, or
    `probe.measures.intervals.bootstrap_interval` of ``reached``.

    Raises ValueError for exposures that do not ascend from 0 or more, shares outside [0, 1], a threshold outside
    (0, 1], M that is no multiple of 1 / n_facts, or a confidence outside (0, 1).
    """
    at = _checked_exposures(exposures, "step")
    if (np.diff(at) <= 0).any():
        after = int(np.flatnonzero(np.diff(at) <= 0)[0])
        raise ValueError(f"exposures: {at[after + 1]:g} given after {at[after]:g}, expected ascending numbers")
    values = checked_accuracies(memorized, "memorized", len(at))
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold: {threshold} given, expected a share above 0 and at most 1, such as 0.9")
    check_confidence(confidence)
    above, reached = _crossing(at, values >= threshold - ROUNDING)  # a share of .9 in float32 is below .9
    low, high = above, reached
    if n_facts is not None:
        right = np.round(values * n_facts)
        if n_facts < 1 or np.abs(values * n_facts - right).max() > max(1e-3, ROUNDING * n_facts):
            raise ValueError(f"n_facts: {n_facts} given, expected the number of facts that memorized is a share of")
        share = share_of(torch.from_numpy(right), n_facts, confidence)  # [*run, step], so never plain numbers
        low = _crossing(at, share.high.numpy() >= threshold)[0]
        high = _crossing(at, share.low.numpy() >= threshold)[1]
    return ExposuresToMemorize(*(number(torch.from_numpy(np.asarray(x))) for x in (above, reached, low, high)))


def fact_exposures(
    exposures: Float[np.ndarray | Tensor, "*fact step"],
    correct: Bool[np.ndarray | Tensor, "*run fact step"],
    consecutive: int = CONSECUTIVE,
) -> FactExposures:
    """Exposures at the first of ``consecutive`` evaluations in a row at which a fact is right.

    ``exposures`` are those of every fact at every evaluation, [fact, step] or [*run, fact, step], or [step] where all
    facts are shown equally often. A fact that chance answers right with probability c passes at a given evaluation with
    c^consecutive: do the same for facts never shown, by the exposures they would have had, to see how often it happens.
    A fact whose evaluations end before a row is complete is censored at the last exposures that a row could begin at.

    Raises ValueError for exposures that fall or are negative, shapes that do not fit, what is neither 0 nor 1, or
    fewer evaluations than ``consecutive``.
    """
    right = checked_correct(correct, "correct", "*run fact step")
    n_steps = right.shape[-1]
    at = _checked_exposures(exposures, "*fact step")
    if at.shape not in ((n_steps,), tuple(right.shape[-2:]), tuple(right.shape)):
        raise ValueError(f"exposures: shape {at.shape} given, expected [step], [fact, step] of {tuple(right.shape)}")
    if (np.diff(at) < 0).any():
        raise ValueError("exposures: falling numbers given, expected those of each fact to rise along the evaluations")
    if not 1 <= consecutive <= n_steps:
        raise ValueError(f"consecutive: {consecutive} given, expected 1 to {n_steps}, the number of evaluations")
    first = generalized_step(range(n_steps), right, threshold=1.0, consecutive=consecutive).numpy()
    seen = np.isfinite(first)
    # a fact that is not seen to be learned had not begun to be at the last evaluation at which a row could begin
    index = np.where(seen, first, n_steps - consecutive + 1).astype(int)[..., None]
    at = np.broadcast_to(at, right.shape)
    before = np.concatenate([np.zeros((*at.shape[:-1], 1)), at], axis=-1)
    above = np.take_along_axis(before, index, axis=-1)[..., 0]
    reached = np.take_along_axis(at, np.minimum(index, n_steps - 1), axis=-1)[..., 0]
    return FactExposures(torch.from_numpy(above), torch.from_numpy(np.where(seen, reached, np.inf)))


def _crossing(
    at: Float[np.ndarray, " step"], there: Bool[np.ndarray, "*run step"]
) -> tuple[Float[np.ndarray, "*run"], Float[np.ndarray, "*run"]]:
    """Exposures at the evaluation before the first that is ``there``, and at that; the last and inf if none is."""
    first = np.where(there.any(-1), there.argmax(-1), len(at))
    before = np.concatenate([[0.0], at])
    after = np.concatenate([at, [np.inf]])
    return before[first], after[first]


def _checked_exposures(exposures: Any, dims: str) -> Float[np.ndarray, "*shape"]:
    at = checked(exposures, "exposures", dims).cpu().numpy()
    if (at < 0).any():
        raise ValueError(f"exposures: {at[at < 0][0]:g} given, expected numbers from 0 on")
    return at
