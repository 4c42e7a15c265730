"""Pre-training loss as the axis: at equal loss, does size still matter?

If performance is a function of the loss alone, however it was reached, then models of all sizes and amounts of data lie
on one curve over it (Du et al. 2024, arXiv 2403.15796). Beside that curve, whatever its form, is the partial rank
correlation of performance with size, the loss held fixed (Kendall 1942, Biometrika 32, 277; Pearson's of the residuals
of ranks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from probe.measures.intervals import check_confidence

MIN_MODELS = 6


@dataclass(frozen=True)
class BeyondLoss:
    """What size tells of performance that loss does not.

    Attributes:
        correlation: rank correlation of performance with size, at equal loss; nan where loss and size say the same.
        low, high: ends of its interval (Fisher's z, with the variance of ranks of Bonett & Wright 2000).
        p: of no correlation, two-sided.
        with_loss: rank correlation of performance with loss.
        n: models.
    """

    correlation: float
    low: float
    high: float
    p: float
    with_loss: float
    n: int


def beyond_loss(loss: Any, size: Any, value: Any, confidence: float = 0.95) -> BeyondLoss:
    """Correlate performance with size at equal loss.

    Args:
        loss: pre-training loss of each model, or of each checkpoint of different models.
        size: its parameters.
        value: its performance.
        confidence: of the interval.

    Raises:
        ValueError: fewer than 6 models, columns of different length, or something that is not finite.
    """
    columns = {"loss": loss, "size": size, "value": value}
    given = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
    check_confidence(confidence)
    n = len(given["loss"])
    for name, values in given.items():
        if values.shape != (n,) or not np.isfinite(values).all():
            raise ValueError(f"{name}: shape {values.shape} given, expected {n} finite numbers, one per model")
    if n < MIN_MODELS:
        raise ValueError(f"loss: {n} models given, expected {MIN_MODELS} or more")
    ranks = {name: stats.rankdata(values) for name, values in given.items()}
    by_loss = np.stack([np.ones(n), ranks["loss"]], axis=1)
    rest = {name: _rest(by_loss, ranks[name]) for name in ("size", "value")}
    with_loss = _correlation(ranks["value"] - ranks["value"].mean(), ranks["loss"] - ranks["loss"].mean())
    correlation = _correlation(rest["size"], rest["value"])
    if np.isnan(correlation):
        return BeyondLoss(np.nan, np.nan, np.nan, np.nan, with_loss, n)
    z = np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12))
    half = stats.norm.ppf((1 + confidence) / 2) * np.sqrt((1 + correlation**2 / 2) / (n - 4))
    t = correlation * np.sqrt((n - 3) / max(1 - correlation**2, 1e-300))
    p = float(2 * stats.t.sf(abs(t), n - 3))
    return BeyondLoss(correlation, float(np.tanh(z - half)), float(np.tanh(z + half)), p, with_loss, n)


def _rest(design: Float[np.ndarray, "model column"], ranks: Float[np.ndarray, " model"]) -> Float[np.ndarray, " model"]:
    coefficients, *_ = np.linalg.lstsq(design, ranks, rcond=None)
    return np.asarray(ranks - design @ coefficients)


def _correlation(a: Float[np.ndarray, " model"], b: Float[np.ndarray, " model"]) -> float:
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 1e-9 * len(a) ** 2 else float("nan")
