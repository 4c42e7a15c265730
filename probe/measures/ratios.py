"""The ratio of two means over the same examples, with an interval."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtrit

from probe.measures.intervals import check_confidence


@dataclass(frozen=True)
class Ratio:
    """Ratios of means and their intervals.

    Attributes:
        estimate: mean of the one over the mean of the other; nan where the latter is 0.
        low, high: ends of the interval; -inf and inf where no ratio that is large enough can be ruled out.
        n: examples there were.
    """

    estimate: Float[np.ndarray, "*of"]
    low: Float[np.ndarray, "*of"]
    high: Float[np.ndarray, "*of"]
    n: Int[np.ndarray, "*of"]


def ratio_of_means(
    top: Float[np.ndarray, "*of example"], bottom: Float[np.ndarray, "*of example"], confidence: float = 0.95
) -> Ratio:
    """mean(top) / mean(bottom) over examples, which is not the mean of ratios: single denominators may be near 0.

    The interval is Fieller's (1954, JRSS B 16), exact where the two means are jointly normal: all ratios r for which
    the mean of top - r bottom is no further from 0 than Student's t allows. Where it cannot be told from these examples
    that the mean of ``bottom`` is not 0, it has no ends. They are nan with one example.

    Args:
        top: nan where an example does not count.
        bottom: of the same shape, or one that broadcasts to it.
        confidence: of the interval.

    Raises:
        ValueError: the confidence is outside (0, 1).
    """
    check_confidence(confidence)
    top, bottom = np.broadcast_arrays(np.asarray(top, dtype=np.float64), np.asarray(bottom, dtype=np.float64))
    counts = ~np.isnan(top) & ~np.isnan(bottom)
    n = counts.sum(-1)
    per = np.maximum(n, 1)
    mean_top, mean_bottom = (np.where(counts, values, 0).sum(-1) / per for values in (top, bottom))
    # deviations from the means, 0 where an example does not count
    x = np.where(counts, top - mean_top[..., None], 0)
    y = np.where(counts, bottom - mean_bottom[..., None], 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = np.where(n > 0, mean_top / np.where(mean_bottom == 0, np.nan, mean_bottom), np.nan)
        # t^2 times the variance of a mean is this times a sum of squares
        share = stdtrit(np.maximum(n - 1, 1), (1 + confidence) / 2) ** 2 / (n * (n - 1))
        a = mean_bottom**2 - share * (y**2).sum(-1)
        b = mean_top * mean_bottom - share * (x * y).sum(-1)
        c = mean_top**2 - share * (x**2).sum(-1)
        half = np.sqrt(np.maximum(b**2 - a * c, 0))  # the estimate lies between the roots, so below 0 is rounding
        low, high = (np.where(a > 0, (b + side * half) / a, side * np.inf) for side in (-1, 1))
    known = n > 1
    return Ratio(estimate, np.where(known, low, np.nan), np.where(known, high, np.nan), n)
