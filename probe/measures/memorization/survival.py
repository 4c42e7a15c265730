"""Kaplan-Meier: the share of facts, or of seeds, that are learned by so many exposures, where some never were.

Facts that were not learned within their budget count as long as they were watched (Kaplan & Meier 1958, Journal of the
American Statistical Association 53, 457). The band is the beta product confidence procedure by moments (Fay, Brittain &
Proschan 2013, Biostatistics 14, 723): without censoring it is Clopper and Pearson's interval, and it needs no large
numbers, so that 5 seeds or facts that were all censored get an honest answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import betaincinv
from torch import Tensor

from probe.measures.arrays import checked
from probe.measures.intervals import Interval, check_confidence

Exposures = Float[np.ndarray | Tensor, " fact"]


@dataclass(frozen=True)
class LearnedCurve:
    """Share learned as a function of exposures; it holds from each number of exposures up to the next.

    Attributes:
        exposures: at which facts were learned or given up, ascending.
        learned: share learned by then.
        low: lower end of its interval.
        high: upper end.
        median: exposures by which half are learned, and its interval; inf where that lies beyond the budget.
        n_censored: facts that were not learned within their budget.
    """

    exposures: Float[np.ndarray, " time"]
    learned: Float[np.ndarray, " time"]
    low: Float[np.ndarray, " time"]
    high: Float[np.ndarray, " time"]
    median: Interval
    n_censored: int


def kaplan_meier(above: Exposures, reached: Exposures, confidence: float = 0.95) -> LearnedCurve:
    """Share learned by exposures, from those of every fact (`fact_exposures`), or T of every seed.

    A fact was learned after more than ``above`` exposures, by ``reached``; inf there says that it was not learned by
    ``above``. The curve counts it from ``reached`` on, which is exact at the evaluations if all facts have the same;
    the lower end of the median's interval counts it from ``above`` on. Facts are to be independent, and those that
    were given up not to be otherwise different, which is so where the budget ended.

    Measured on 1500 draws in each of 48 settings (3 to 200 facts, exponential and Weibull times, 0 to 60 % censored,
    known exactly or between evaluations a factor of 1.5 apart): the 95 % interval of the median held it in 95 to 100 %.

    Raises ValueError for exposures that are negative or not numbers, ``above`` beyond ``reached``, arrays of different
    lengths, or a confidence outside (0, 1).
    """
    after = checked(above, "above", "fact").cpu().numpy()
    by = np.asarray(reached.detach().cpu() if isinstance(reached, Tensor) else reached, dtype=np.float64)
    if by.shape != after.shape or np.isnan(by).any():
        raise ValueError(f"reached: {by.tolist()} given, expected {len(after)} numbers of exposures, inf if censored")
    if (after < 0).any() or (after > by).any():
        wrong = int(np.flatnonzero((after < 0) | (after > by))[0])
        raise ValueError(f"above: {after[wrong]:g} given, expected numbers from 0 to reached, {by[wrong]:g}")
    check_confidence(confidence)
    seen, tail = np.isfinite(by), (1 - confidence) / 2
    times, learned, low, high = _learned(np.where(seen, by, after), seen, tail)
    late, _, _, high_if_late = _learned(after, seen, tail)
    # half may be learned from where the upper end of the share reaches one half, and is where the lower end does
    first = high_if_late >= 0.5
    started = betaincinv(1, len(after), 1 - tail) >= 0.5
    half = _first(times, learned > 0.5 - 1e-9)  # a product that is one half may round to less
    earliest = 0.0 if started else _first(late, first)
    median = Interval(half, earliest, _first(times, low > 0.5), len(after))
    return LearnedCurve(times, learned, low, high, median, int((~seen).sum()))


def _learned(
    exposures: Float[np.ndarray, " fact"], seen: Bool[np.ndarray, " fact"], tail: float
) -> tuple[Float[np.ndarray, " time"], ...]:
    """Exposures, the share learned by each, and the ends of its interval."""
    times, index = np.unique(exposures, return_inverse=True)
    in_order = np.sort(exposures)
    at_risk = len(exposures) - np.searchsorted(in_order, times, side="left")
    remaining = len(exposures) - np.searchsorted(in_order, times, side="right")
    n_learned = np.bincount(index, weights=seen)
    unlearned = np.cumprod(1 - n_learned / at_risk)
    # the first two moments of products of Beta(at_risk - n_learned + 1, n_learned), one for every time
    mean = np.cumprod((at_risk - n_learned + 1) / (at_risk + 1))
    square = np.cumprod((at_risk - n_learned + 1) * (at_risk - n_learned + 2) / ((at_risk + 1) * (at_risk + 2)))
    low = 1 - _beta_quantile(mean, square, 1 - tail)
    # the lower end also allows for what happens before the next is learned: a factor of Beta(remaining, 1)
    mean, square = mean * remaining / (remaining + 1), square * remaining / (remaining + 2)
    return times, 1 - unlearned, low, 1 - _beta_quantile(mean, square, tail)


def _beta_quantile(
    mean: Float[np.ndarray, " time"], square: Float[np.ndarray, " time"], probability: float
) -> Float[np.ndarray, " time"]:
    """Quantile of the beta distribution with this mean and mean square; of one point where there is no spread."""
    variance = square - mean**2
    spread = (variance > 0) & (mean > 0) & (mean < 1)
    size = np.where(spread, mean * (1 - mean) / np.where(spread, variance, 1) - 1, 1.0)
    inner = np.where(spread, mean, 0.5)
    return np.where(spread, betaincinv(inner * size, (1 - inner) * size, probability), mean)


def _first(times: Float[np.ndarray, " time"], where: Bool[np.ndarray, " time"]) -> float:
    return float(times[where.argmax()]) if where.any() else np.inf
