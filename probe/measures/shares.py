"""Intervals of shares: of so many independent items, so many are right. Batched over leading dimensions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import betaincinv, ndtri

Numbers = float | Float[np.ndarray, "*batch"]
Ends = tuple[Float[np.ndarray, "*batch"], Float[np.ndarray, "*batch"]]


def clopper_pearson(successes: Numbers, n: Numbers, confidence: float) -> Ends:
    """Ends of the exact interval of a share (Clopper & Pearson 1934, Biometrika 26, 404).

    Neither number need be whole: of clustered items, ``n`` is as many independent ones as say as much.
    """
    k, tail = np.asarray(successes, dtype=np.float64), (1 - confidence) / 2
    # betaincinv takes no zero; the interval of none begins at 0, that of all ends at 1
    some, not_all = k > 0, k != n
    low = np.where(some, betaincinv(np.where(some, k, 1), n - k + 1, tail), 0.0)
    high = np.where(not_all, betaincinv(k + 1, np.where(not_all, n - k, 1), 1 - tail), 1.0)
    return low, high


def wilson(successes: Numbers, n: Numbers, confidence: float) -> Ends:
    """Ends of the score interval of a share (Wilson 1927, Journal of the American Statistical Association 22, 209)."""
    share, z = np.asarray(successes, dtype=np.float64) / n, ndtri((1 + confidence) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # of none and of all an end is the share itself, but for rounding
    return np.minimum(np.maximum(middle - half, 0), share), np.maximum(np.minimum(middle + half, 1), share)
