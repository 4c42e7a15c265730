"""Linearity and breakthroughness of performance over sizes (Srivastava et al. 2022, arXiv 2206.04615).

With y ordered by size, dy the differences of neighbours, and I = sign(argmax y - argmin y) (max y - min y):

linearity L = I / sqrt(mean(dy^2)),    breakthroughness B = I / sqrt(median(dy^2)).

Of n sizes, L is at most n - 1, where each step is as large as the next; one jump has sqrt(n - 1), and B is inf where
half of the steps or more are 0. So B alone does not tell a jump from noise on many zeros: it needs a floor.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def linearity(values: Float[np.ndarray, "*batch size"]) -> float | Float[np.ndarray, "*batch"]:
    """L, in units of the largest improvement over the usual step: how evenly performance rises; below 0 if it falls.

    0 where all values are equal.

    Args:
        values: performance, ordered by size, smallest first; two or more.

    Raises:
        ValueError: fewer than two sizes, or a value that is not finite.
    """
    improvement, steps = _improvement(values)
    return _over(improvement, np.sqrt((steps**2).mean(-1)))


def breakthroughness(
    values: Float[np.ndarray, "*batch size"], floor: float | Float[np.ndarray, "*batch"] | None = None
) -> float | Float[np.ndarray, "*batch"]:
    """B, in units of the largest improvement over the median step: how much of the rise there is in few steps.

    inf (or -inf) where the median step is 0 and there is no floor; 0 where all values are equal.

    Args:
        values: performance, ordered by size, smallest first; two or more.
        floor: steps that count as no smaller than this, in units of the values: what sampling error alone gives, such
            as sqrt(2) times a standard error, the spread of the difference between two sizes that are equally good.

    Raises:
        ValueError: fewer than two sizes, a value that is not finite, or a floor below 0.
    """
    improvement, steps = _improvement(values)
    usual = np.sqrt(np.median(steps**2, axis=-1))
    if floor is not None:
        if not (np.asarray(floor) >= 0).all():
            raise ValueError(f"floor: {floor} given, expected a number from 0 on")
        usual = np.maximum(usual, floor)
    return _over(improvement, usual)


def _improvement(values: Float[np.ndarray, "*batch size"]) -> tuple[np.ndarray, np.ndarray]:
    """I, and the differences of neighbours."""
    y = np.asarray(values, dtype=np.float64)
    if y.ndim == 0 or y.shape[-1] < 2:
        raise ValueError(f"values: shape {y.shape} given, expected two sizes or more, smallest first")
    if not np.isfinite(y).all():
        raise ValueError(f"values: {y[~np.isfinite(y)][0]} given, expected finite numbers")
    return np.sign(y.argmax(-1) - y.argmin(-1)) * (y.max(-1) - y.min(-1)), np.diff(y, axis=-1)


def _over(improvement: np.ndarray, usual: np.ndarray) -> float | np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(improvement == 0, 0.0, improvement / usual)
    return float(ratio) if ratio.ndim == 0 else ratio
