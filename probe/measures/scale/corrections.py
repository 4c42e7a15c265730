"""Which errors of a smaller model a larger one does not make: exact, as there are few.

Going from 62B to 540B parameters fixed 6 of 20 semantic errors, 12 of 18 with one step missing, and 4 of 7 others (Wei
et al. 2022, arXiv 2201.11903, appendix A.1): do the kinds differ, or may all have been fixed at one rate?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from probe.measures.intervals import check_confidence
from probe.measures.shares import clopper_pearson

MOST_TABLES = 2_000_000
"""Tables that are enumerated; of more, so many are drawn."""
DRAWN = 100_000


@dataclass(frozen=True)
class ErrorsFixed:
    """Errors by kind, and how many of each were fixed.

    Attributes:
        share: that was fixed, of each kind.
        low, high: ends of its exact interval (Clopper-Pearson).
        p: that all kinds have one share, by the exact test of Freeman & Halton (1951); drawn where ``drawn``.
        overall: share of all errors that was fixed.
        drawn: whether p is of tables drawn, as there are too many to enumerate.
    """

    share: Float[np.ndarray, " kind"]
    low: Float[np.ndarray, " kind"]
    high: Float[np.ndarray, " kind"]
    p: float
    overall: float
    drawn: bool


def errors_fixed(fixed: Any, total: Any, confidence: float = 0.95, seed: int = 0) -> ErrorsFixed:
    """Compare the shares of errors of several kinds that were fixed.

    Args:
        fixed: errors that were, of each kind.
        total: errors of each kind, 1 or more.
        confidence: of the intervals.
        seed: of what is drawn.

    Raises:
        ValueError: something is no count, or more were fixed than there were.
    """
    counts, totals = (np.atleast_1d(np.asarray(given, dtype=np.float64)) for given in (fixed, total))
    check_confidence(confidence)
    whole = (counts == np.round(counts)) & (totals == np.round(totals)) if counts.shape == totals.shape else False
    if not np.all(whole & (counts >= 0) & (counts <= totals) & (totals >= 1)) or counts.ndim != 1:
        raise ValueError(f"fixed: {fixed} of {total} given, expected counts by kind, no more fixed than there were")
    low, high = clopper_pearson(counts, totals, confidence)
    k, n = counts.astype(int), totals.astype(int)
    tables = float(np.prod(totals + 1))
    drawn = tables > MOST_TABLES
    distribution = stats.multivariate_hypergeom(n, k.sum())
    if len(k) == 1:
        p = 1.0
    elif drawn:
        rng = np.random.default_rng(seed)
        likely = distribution.logpmf(rng.multivariate_hypergeometric(n, k.sum(), size=DRAWN))
        p = (1 + (likely <= distribution.logpmf(k) + 1e-9).sum()) / (DRAWN + 1)
    else:
        every = np.indices(tuple(n + 1)).reshape(len(n), -1).T
        every = every[every.sum(axis=1) == k.sum()]
        likely = distribution.logpmf(every)
        p = np.exp(likely[likely <= distribution.logpmf(k) + 1e-9]).sum()
    return ErrorsFixed(counts / totals, low, high, float(min(p, 1.0)), float(k.sum() / n.sum()), drawn)


def changed_answers(before: Any, after: Any) -> tuple[int, int, float]:
    """Items that became right, items that became wrong, and the exact p that both are as likely (McNemar 1947).

    Args:
        before: [item], whether the smaller model was right.
        after: [item], whether the larger one was, of the same items.
    """
    first, second = np.asarray(before), np.asarray(after)
    if first.ndim != 1 or first.shape != second.shape or not np.isin([first, second], (0, 1)).all():
        raise ValueError(f"after: shape {second.shape} given, expected 0 or 1 for each of the same items {first.shape}")
    fixed, broken = int(((first == 0) & (second == 1)).sum()), int(((first == 1) & (second == 0)).sum())
    p = 1.0 if fixed + broken == 0 else float(stats.binomtest(fixed, fixed + broken, 0.5).pvalue)
    return fixed, broken, p
