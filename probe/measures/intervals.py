"""Intervals over seeds, or over whatever else gave values that are independent of each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import stdtrit
from torch import Tensor

RESAMPLES = 9999


@dataclass(frozen=True)
class Interval:
    """An estimate from n values and its interval; the ends are nan if n = 1."""

    estimate: float
    low: float
    high: float
    n: int


def bootstrap_interval(
    values: Sequence[float] | np.ndarray | Tensor,
    statistic: Literal["median", "mean"] = "median",
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of the median or mean over seeds (Efron & Tibshirani 1993, chapter 13).

    A censored date is given as +inf. The estimate or an end is then inf when it lies beyond the budget; a
    mean with any censored value is inf. Quantiles are values that occur among the resamples, never
    interpolated.

    All n^n resamples are enumerated when there are no more than 9999 (n up to 5), else 9999 seeded ones are
    drawn. With few seeds the interval is too narrow: for a median of 3 it is the range, which covers 75 %.
    One value has no spread: its ends are nan.

    Raises ValueError for no values, nan, -inf, or a confidence outside (0, 1).
    """
    data = torch.as_tensor(values, dtype=torch.float64).cpu().numpy()
    if data.ndim != 1 or len(data) == 0:
        raise ValueError(f"values: shape {data.shape} given, expected one or more numbers, one per seed")
    if np.isnan(data).any() or np.isneginf(data).any():
        raise ValueError(f"values: {data.tolist()} given, expected numbers, or +inf for censored ones")
    check_confidence(confidence)
    if statistic not in ("median", "mean"):
        raise ValueError(f"statistic: {statistic!r} given, expected 'median' or 'mean'")
    n = len(data)
    reduce = np.median if statistic == "median" else np.mean
    estimate = float(reduce(data))
    if n == 1:
        return Interval(estimate, np.nan, np.nan, 1)
    if n**n <= RESAMPLES:
        chosen = np.indices((n,) * n).reshape(n, -1).T
    else:
        chosen = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    tail = (1 - confidence) / 2
    resampled = reduce(data[chosen], axis=1)
    low, high = np.quantile(resampled, (tail, 1 - tail), method="inverted_cdf")
    return Interval(estimate, float(low), float(high), n)


def t_interval(values: Float[Tensor, " estimate"], confidence: float) -> Interval:
    """Mean of two or more independent values, and Student's interval of it.

    Raises ValueError for a confidence outside (0, 1).
    """
    check_confidence(confidence)
    values, n = values.to(torch.float64), len(values)
    mean = values.mean().item()
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * values.std().item() / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def check_confidence(confidence: float) -> None:
    """Raise ValueError unless 0 < confidence < 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: {confidence} given, expected a number between 0 and 1, such as 0.95")
