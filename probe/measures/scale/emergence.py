"""The scale at which performance leaves the chance level: a change point, by likelihood.

Up to a change point t, performance is the chance level; beyond it

    chance + rise (1 - exp(-steepness (x - t)))

with x the log of the scale: from a rise that goes on over all sizes to a jump. The rise is least squares at each node
of a grid of change points and steepnesses. Values may be off this curve by their sampling error, and, once they have
left the chance level, by a share of the rise: models of a family do not lie on any curve.

1. It left at all, if the mean of all sizes from some size on, weighted by their precision, is above the chance level by
   more than sampling error: one-sided, Bonferroni over the sizes from which on it may be.
2. The likeliest change point is between two sizes; ``scale`` is the second, the first size above chance.
3. ``low`` and ``high`` are the sizes around all change points whose log likelihood, maximized over all else, is within
   -log(1 - confidence) of the largest: chi squared of two degrees of freedom, as a change point is not regular.

Measured on 300 curves each of chance .25 and a rise by .6 that begins anywhere
(``tests/measures/scale/verdict_rates.py``): how many of the 95 % intervals held it, how often ``scale`` was the first
size beyond it, in percent, and the median width of the interval in gaps between sizes. With 6, 8, 12 sizes and 50, 200,
1000 items a size:

==================  ==========  ==========  ==========  ==========  ==========  ==========
rise                6, 50       6, 1000     8, 200      8, 1000     12, 50      12, 1000
==================  ==========  ==========  ==========  ==========  ==========  ==========
jump                100  91  2  100 100  1  100  99  1  100 100  1  100  90  2  100 100  1
line to the end     100  69  3   97  92  1  100  79  2   98  87  1  100  55  4   99  89  1
1 - exp(-6 beyond)  100  76  2   96  93  1   99  84  2   95  90  1   99  69  3   95  89  1
==================  ==========  ==========  ==========  ==========  ==========  ==========

Of curves that stay at the chance level a threshold was told in 0 to 2 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from probe.measures.intervals import check_confidence
from probe.measures.scale.noise import check_chance, checked_sizes

BELOW = 4.0
"""Standard errors below chance beyond which a value has not that chance level."""
_PER_GAP = 8  # change points between two sizes
_BEFORE = np.array([0.5, 0.3, 0.15, 0.05, 0.01])  # below the smallest size, in ranges of sizes
_STEEP = np.geomspace(0.2, 60, 14)  # over the range of sizes, in units of e
_SCATTERS = np.array([0.0, 0.1, 0.2, 0.4, 0.8])  # shares of the rise


@dataclass(frozen=True)
class Threshold:
    """Where performance leaves the chance level.

    Attributes:
        scale: smallest size that was measured above it; nan if that was not seen: see ``low`` and ``high``.
        low: largest size that is still at the chance level, at the given confidence; 0 if the smallest may be above it.
        high: smallest size that is above it, at the given confidence; inf if the largest may be at it.
        reason: why there is no ``scale``; "" where there is one.
    """

    scale: float
    low: float
    high: float
    reason: str = ""


def threshold(scale: Any, value: Any, stderr: Any, chance: float, confidence: float = 0.95) -> Threshold:
    """The scale at which performance leaves the chance level by more than sampling error.

    Not seen, and then ``scale`` is nan: performance that is above chance from the smallest size on (``low`` is 0), or
    not up to the largest (``high`` is inf), and one size alone, which is either.

    Args:
        scale: parameters, FLOPs, tokens or steps of each model; in any order, each once.
        value: performance of each, more being better: of a loss, its negative.
        stderr: standard error of each by its items, or one for all.
        chance: value of guessing.
        confidence: of the interval.

    Raises:
        ValueError: the standard error or the chance level is unknown; a value is below chance by more than sampling
            error, so that this is not its chance level; a size is missing or given twice; something is not finite.
    """
    if stderr is None:
        raise ValueError("stderr: None given, expected standard errors: chance is left by more than these")
    if chance is None:
        raise ValueError("chance: None given, expected the level of guessing, such as 1 / answers, or 0")
    sizes = checked_sizes(scale, value, stderr)
    check_chance(chance, sizes.value)
    check_confidence(confidence)
    variance = sizes.variance
    assert variance is not None
    if sizes.n_items is not None:
        variance = np.maximum(variance, chance * (1 - chance) / sizes.n_items)
    above = sizes.value - chance
    z = above / np.sqrt(variance)
    if z.min() < -BELOW:
        i = int(z.argmin())
        raise ValueError(
            f"chance: {chance:g} given, but {sizes.value[i]:g} at {sizes.scale[i]:g} is {-z[i]:.1f} standard errors "
            "below it; expected the level that performance starts from"
        )
    if not _left(above, variance, confidence):
        reason = f"not above chance up to the largest size, {sizes.scale[-1]:g}"
        return Threshold(np.nan, float(sizes.scale[-1]), np.inf, reason)
    if len(above) == 1:
        return Threshold(np.nan, 0.0, float(sizes.scale[0]), "one size, and it is above chance")
    points, likelihood = _profile(sizes.unit, above, variance)
    within = points[likelihood >= likelihood.max() + np.log(1 - confidence)]
    likeliest = points[likelihood.argmax()]
    first, low, high = (int(np.searchsorted(sizes.unit, u, "right")) for u in (likeliest, within[0], within[-1]))
    still = 0.0 if low == 0 else float(sizes.scale[low - 1])
    if first == 0:
        reason = f"above chance from the smallest size on, {sizes.scale[0]:g}"
        return Threshold(np.nan, still, float(sizes.scale[high]), reason)
    return Threshold(float(sizes.scale[first]), still, float(sizes.scale[high]))


def _left(above: Float[np.ndarray, " size"], variance: Float[np.ndarray, " size"], confidence: float) -> bool:
    """Whether the mean from some size on is above chance by more than sampling error."""
    weight = np.cumsum((1 / variance)[::-1])
    z = np.cumsum((above / variance)[::-1]) / np.sqrt(weight)
    return bool(z.max() > ndtri(1 - (1 - confidence) / 2 / len(above)))


def _profile(
    u: Float[np.ndarray, " size"], above: Float[np.ndarray, " size"], variance: Float[np.ndarray, " size"]
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Change points, ascending, and the log likelihood of each, maximized over all else."""
    inside = u[:-1, None] + np.diff(u)[:, None] * np.arange(_PER_GAP) / _PER_GAP
    points = np.concatenate([-_BEFORE, inside.ravel()])
    beyond = np.maximum(u - points[:, None], 0)
    rise = -np.expm1(-_STEEP[:, None, None] * beyond)[..., None, :]
    height = _height(rise, above, 1 / variance)
    weight = 1 / (variance + (_SCATTERS[:, None] * height * rise) ** 2)
    misfit = above - _height(rise, above, weight) * rise
    likelihood = -(weight * misfit**2 + np.log(2 * np.pi / weight)).sum(-1) / 2
    return points, likelihood.max(axis=(0, 2))


def _height(
    rise: Float[np.ndarray, "... size"], above: Float[np.ndarray, " size"], weight: Float[np.ndarray, "... size"]
) -> Float[np.ndarray, "... 1"]:
    """Of the rise, by least squares; 0 where it would fall."""
    squares = (weight * rise**2).sum(-1, keepdims=True)
    return np.maximum((weight * rise * above).sum(-1, keepdims=True) / np.maximum(squares, np.finfo(float).tiny), 0)
