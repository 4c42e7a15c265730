"""The largest models foretold from the smaller ones, beside a naive baseline.

Every form of ``forms`` is fitted to the smaller sizes. What it gives for the larger ones is averaged over all forms and
all nodes of their grids, by likelihood and by the penalty of AIC (AICc where the sampling error is unknown). To that
are added the sampling error, the scatter of models about the form and the error of its coefficients: a mixture of
normal distributions, whose quantiles are the prediction and its interval.

Measured on 40 curves each of 10 sizes, 400 items, the largest two held out: 95 % intervals held 94 % of the values of a
line in log scale, all of a logistic that goes on rising and of a power law, 91 % after an early jump, 98 % of a
constant; and 78 % of a logistic that begins to level off where the forecast begins. There, and where a curve has
already levelled off, the baseline is as good or better; on a line and a rising logistic its error is more than twice as
large. What has not begun among the smaller sizes, such as a jump, is not foretold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, ndtr

from probe.measures.intervals import check_confidence
from probe.measures.scale.comparison import MIN_SIZES
from probe.measures.scale.fitting import criterion_of, fit_all
from probe.measures.scale.noise import check_chance, checked_sizes

_NEGLIGIBLE = 1e-4  # weight of a component, in that of the largest


@dataclass(frozen=True)
class Forecast:
    """What the smaller sizes say of the largest, smallest of these first.

    Attributes:
        scale: sizes that were held out.
        truth: their values.
        predicted: median of what is foretold.
        low, high: ends of the interval for a value measured as those were.
        naive: the baseline: the value of the largest size that was not held out.
        error: mean absolute error of ``predicted``.
        naive_error: the same of ``naive``.
        log_density: of ``truth`` under the forecast, in nats, summed over sizes.
        n: sizes it was fitted to.
    """

    scale: Float[np.ndarray, " held"]
    truth: Float[np.ndarray, " held"]
    predicted: Float[np.ndarray, " held"]
    low: Float[np.ndarray, " held"]
    high: Float[np.ndarray, " held"]
    naive: float
    error: float
    naive_error: float
    log_density: float
    n: int

    @property
    def covered(self) -> float:
        """Share of the held-out values that lie in the interval."""
        return float(((self.low <= self.truth) & (self.truth <= self.high)).mean())

    @property
    def better(self) -> bool:
        """Whether it has a smaller error than the baseline."""
        return self.error < self.naive_error


def forecast(
    scale: Any,
    value: Any,
    holdout: int = 1,
    stderr: Any = None,
    chance: float | None = None,
    confidence: float = 0.95,
) -> Forecast:
    """Foretell the largest sizes from the others, and compare with what was measured.

    Args:
        scale: parameters, FLOPs, tokens or steps of each model; in any order, each once.
        value: performance of each.
        holdout: how many of the largest are held out; 5 sizes or more must be left.
        stderr: standard error of each by its items, or one for all; None if unknown.
        chance: value before anything is learned, if known.
        confidence: of the interval.

    Raises:
        ValueError: a holdout that leaves too few sizes, a size that is missing or given twice, or something that is not
            finite.
    """
    sizes = checked_sizes(scale, value, stderr)
    check_confidence(confidence)
    if chance is not None:
        check_chance(chance, sizes.value)
    n = len(sizes.x) - holdout
    if holdout < 1 or n < MIN_SIZES:
        raise ValueError(
            f"holdout: {holdout} of {len(sizes.x)} sizes given, expected 1 or more that leave at least {MIN_SIZES}"
        )
    u = sizes.unit
    truth = sizes.value[n:]
    variance = None if sizes.variance is None else sizes.variance[n:]
    parts = []
    for fit in fit_all(u[:n], sizes.first(n), chance):
        log_weight, mean, spread = fit.ahead(u[n:], variance)
        penalty = criterion_of(fit) / 2 if fit.noise_unknown else fit.n_parameters - fit.largest
        parts.append((log_weight - penalty, mean, spread))
    log_weight, mean, spread = (np.concatenate(of_all) for of_all in zip(*parts, strict=True))
    kept = log_weight > log_weight.max() + np.log(_NEGLIGIBLE)
    mean, spread = mean[kept], spread[kept]
    weight = np.exp(log_weight[kept] - logsumexp(log_weight[kept]))
    tail = (1 - confidence) / 2
    low, predicted, high = (_quantile(q, weight, mean, spread) for q in (tail, 0.5, 1 - tail))
    if sizes.n_items is not None:
        low, predicted, high = (np.clip(of_shares, 0, 1) for of_shares in (low, predicted, high))
    density = -(((truth - mean) / spread) ** 2 + np.log(2 * np.pi * spread**2)).sum(1) / 2
    naive = float(sizes.value[n - 1])
    return Forecast(
        scale=sizes.scale[n:],
        truth=truth,
        predicted=predicted,
        low=low,
        high=high,
        naive=naive,
        error=float(np.abs(truth - predicted).mean()),
        naive_error=float(np.abs(truth - naive).mean()),
        log_density=float(logsumexp(np.log(weight) + density)),
        n=n,
    )


def _quantile(
    q: float,
    weight: Float[np.ndarray, " component"],
    mean: Float[np.ndarray, "component held"],
    spread: Float[np.ndarray, "component held"],
) -> Float[np.ndarray, " held"]:
    """Of a mixture of normal distributions, by bisection."""
    low, high = (mean - 10 * spread).min(0), (mean + 10 * spread).max(0)
    for _ in range(45):
        middle = (low + high) / 2
        below = weight @ ndtr((middle - mean) / spread) < q
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2
