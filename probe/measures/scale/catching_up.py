"""Size against data: what a smaller model reaches on more of it, and which size is best for equal compute.

* ``reached_at``   the data at which a curve along training gets to a level: of a loss (iso-loss), or of what a larger
  model ended at ("does a smaller model on more data get there?")
* ``best_size``    of models trained with equal FLOPs, the size of the least loss: the vertex of a parabola in log size
  (Hoffmann et al. 2022, arXiv 2203.15556, section 3.2), with Fieller's interval
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.special import ndtri

from probe.measures.intervals import Interval, check_confidence
from probe.measures.scale.noise import checked_sizes


@dataclass(frozen=True)
class Reached:
    """Where a curve along training gets to a level.

    Attributes:
        tokens: between the last evaluation short of it and the first beyond, linear in log data; nan if not reached.
        low: data with which it may have been reached already, by sampling error; 0 if at the first evaluation.
        high: data from which on it is reached for certain, at the given confidence; inf if that is not seen.
        last: of the largest amount of data, what was reached.
        reason: why there is no ``tokens``; "" where there is.
    """

    tokens: float
    low: float
    high: float
    last: float
    reason: str = ""


def reached_at(
    tokens: Any,
    value: Any,
    level: float,
    stderr: Any = None,
    level_stderr: float = 0.0,
    rising: bool = True,
    confidence: float = 0.95,
) -> Reached:
    """The data at which performance is at a level and stays there.

    It is reached from the evaluation on after which no other is short of it. A curve that ends short of the level is
    censored: more data may do what these did not.

    Args:
        tokens: data seen at each evaluation, above 0; in any order, each once.
        value: performance there.
        level: to be reached.
        stderr: standard error of each value, or one for all; None to take them for exact.
        level_stderr: of the level, such as the larger model's.
        rising: whether more is better; False for a loss.
        confidence: of the interval, at each evaluation.

    Raises:
        ValueError: data that are missing or given twice, something that is not finite, or a standard error below 0.
    """
    sizes = checked_sizes(tokens, value, stderr)
    check_confidence(confidence)
    if not (np.isfinite(level) and np.isfinite(level_stderr) and level_stderr >= 0):
        raise ValueError(f"level: {level} +- {level_stderr} given, expected a finite number and an error from 0 on")
    variance = 0.0 if sizes.variance is None else sizes.variance
    over = (sizes.value - level) * (1 if rising else -1)
    error = ndtri((1 + confidence) / 2) * np.sqrt(variance + level_stderr**2)
    may_be, surely = np.flatnonzero(over + error >= 0), np.flatnonzero(over - error < 0)
    low = 0.0 if len(may_be) and may_be[0] == 0 else sizes.scale[may_be[0] - 1] if len(may_be) else sizes.scale[-1]
    settled = 0 if not len(surely) else int(surely[-1]) + 1
    high = float(sizes.scale[settled]) if settled < len(over) else np.inf
    last = float(sizes.value[-1])
    short = np.flatnonzero(over < 0)
    if len(short) and short[-1] == len(over) - 1:
        return Reached(np.nan, float(low), high, last, f"not reached with {sizes.scale[-1]:g}")
    if not len(short):
        return Reached(np.nan, float(low), high, last, f"reached at the first evaluation, {sizes.scale[0]:g}")
    i = int(short[-1])
    share = -over[i] / (over[i + 1] - over[i])
    at = 10 ** (sizes.x[i] + share * (sizes.x[i + 1] - sizes.x[i]))
    return Reached(float(at), float(min(low, at)), float(max(high, at)), last)


def best_size(n_params: Any, loss: Any, confidence: float = 0.95) -> Interval:
    """Of models trained with equal FLOPs, the number of parameters of the least loss.

    The interval is Fieller's (1954, Journal of the Royal Statistical Society B 16, 175), of the ratio that is the
    vertex of a least-squares parabola; its ends are 0 and inf where the curvature is not told from none. The estimate
    is nan where the parabola has no minimum.

    Args:
        n_params: of each model, 4 sizes or more.
        loss: of each.
        confidence: of the interval.

    Raises:
        ValueError: too few sizes, a size that is missing or given twice, or a loss that is not finite.
    """
    sizes = checked_sizes(n_params, loss)
    check_confidence(confidence)
    n = len(sizes.x)
    if n < 4:
        raise ValueError(f"n_params: {n} sizes given, expected 4 or more, to tell the error of a parabola")
    x: Float[np.ndarray, " size"] = sizes.x - sizes.x.mean()
    design = np.stack([np.ones(n), x, x**2], axis=1)
    coefficients, *_ = np.linalg.lstsq(design, sizes.value, rcond=None)
    rest = sizes.value - design @ coefficients
    covariance = (rest @ rest) / (n - 3) * np.linalg.inv(design.T @ design)
    slope, bend = coefficients[1:]
    if bend <= 0:
        return Interval(np.nan, 0.0, np.inf, n)
    t2 = stats.t.ppf((1 + confidence) / 2, n - 3) ** 2
    # vertices v with (slope + 2 bend v)^2 <= t^2 var(slope + 2 bend v)
    a = 4 * (bend**2 - t2 * covariance[2, 2])
    b = 4 * (slope * bend - t2 * covariance[1, 2])
    c = slope**2 - t2 * covariance[1, 1]
    vertex = -slope / 2 / bend
    low, high = -np.inf, np.inf
    if a > 0:
        half = np.sqrt(max(b**2 - 4 * a * c, 0.0)) / (2 * a)
        low, high = -b / (2 * a) - half, -b / (2 * a) + half
    low, vertex, high = 10.0 ** (sizes.x.mean() + np.array([low, vertex, high]))
    return Interval(float(vertex), float(low), float(high), n)
