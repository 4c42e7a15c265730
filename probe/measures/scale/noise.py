"""What is known of a curve over sizes before any form is fitted: sizes in order, values, and their sampling error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Sizes:
    """A curve over sizes, smallest first.

    Attributes:
        scale: parameters, FLOPs, tokens or steps.
        x: log10 of it.
        value: performance.
        variance: of the sampling error of each value, above 0; None if nothing was said of it.
        n_items: items that each share is of, as value and standard error say; None where they are no shares.
        order: where each size was in what was given.
    """

    scale: Float[np.ndarray, " size"]
    x: Float[np.ndarray, " size"]
    value: Float[np.ndarray, " size"]
    variance: Float[np.ndarray, " size"] | None
    n_items: Float[np.ndarray, " size"] | None
    order: Int[np.ndarray, " size"]

    @property
    def unit(self) -> Float[np.ndarray, " size"]:
        """Log of the scale, 0 at the smallest size and 1 at the largest."""
        return (self.x - self.x[0]) / np.ptp(self.x)

    def first(self, n: int) -> Sizes:
        """The n smallest."""
        variance, n_items = (None if known is None else known[:n] for known in (self.variance, self.n_items))
        return Sizes(self.scale[:n], self.x[:n], self.value[:n], variance, n_items, self.order[:n])


def checked_sizes(scale: Any, value: Any, stderr: Any = None) -> Sizes:
    """A curve in order of size.

    Raises ValueError for shapes that differ, a size that is missing, not above 0 or given twice, a value or a standard
    error that is not finite, and a standard error below 0.
    """
    sizes, values = (np.asarray(given, dtype=np.float64) for given in (scale, value))
    if sizes.ndim != 1 or len(sizes) == 0:
        raise ValueError(f"scale: shape {sizes.shape} given, expected one number per size, such as its parameters")
    if values.shape != sizes.shape:
        raise ValueError(f"value: shape {values.shape} given, expected {sizes.shape}, one per size")
    wrong = ~(np.isfinite(sizes) & (sizes > 0))
    if wrong.any():
        raise ValueError(f"scale: {sizes[wrong][0]} given, expected the size of every model, a number above 0")
    unique, counts = np.unique(sizes, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"scale: {unique[counts > 1][0]:g} given {counts.max()} times, expected each size once: take the mean over "
            "its seeds, or one family of models at a time"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"value: {values[~np.isfinite(values)][0]} given, expected finite numbers")
    order = np.argsort(sizes)
    sizes, values = sizes[order], values[order]
    variance = n_items = None
    if stderr is not None:
        try:
            error = np.broadcast_to(np.asarray(stderr, dtype=np.float64), order.shape)
        except ValueError as mismatch:
            raise ValueError(
                f"stderr: shape {np.shape(stderr)} given, expected one number, or {len(order)}, one per size"
            ) from mismatch
        variance, n_items = sampling_variance(values, error[order])
    return Sizes(sizes, np.log10(sizes), values, variance, n_items, order)


def check_chance(chance: float, value: Float[np.ndarray, " size"]) -> None:
    """Raise ValueError unless a chance level is finite, and values are shares too where it is a share above 0."""
    if not np.isfinite(chance):
        raise ValueError(
            f"chance: {chance} given, expected the level of guessing, such as 1 / answers, or None if unknown"
        )
    if 0 < chance < 1 and value.max() > 1:
        raise ValueError(
            f"value: {value.max():g} given beside a chance level of {chance:g}, expected shares, 0 to 1: divide "
            "percentages by 100"
        )


def sampling_variance(
    value: Float[np.ndarray, " size"], stderr: Float[np.ndarray, " size"]
) -> tuple[Float[np.ndarray, " size"], Float[np.ndarray, " size"] | None]:
    """Variances of the sampling error that standard errors stand for, and of shares the number of items.

    They are above 0 also where none or all were right.

    A share of n items has the standard error sqrt(p (1 - p) / n) at its own p, which is 0 for none right, as if that
    were known without error. Where the values are shares it is taken at (n p + 1) / (n + 2) instead, if that is more
    (Agresti & Coull 1998, American Statistician 52, 119): none of 200 right has the error of 1 in 202. The n is what
    value and standard error say, or where that is 0 the median of the other sizes.

    Raises ValueError for standard errors that are not finite or below 0, or 0 with nothing to tell the number of items.
    """
    wrong = ~(np.isfinite(stderr) & (stderr >= 0))
    if wrong.any():
        raise ValueError(f"stderr: {stderr[wrong][0]} given, expected numbers from 0 on, or None if unknown")
    known = stderr > 0
    shares = (value >= 0).all() and (value <= 1).all() and (stderr <= 0.5).all()
    inside = known & (value > 0) & (value < 1)
    if not known.all() and not (shares and inside.any()):
        if (value == value[0]).all() and not known.any():
            return np.ones(len(value)), None  # equal without exception: any error is as good
        raise ValueError(
            f"stderr: 0 given for {value[~known][0]:g}, and nothing tells how many items that is of; expected numbers "
            "above 0, or None if unknown"
        )
    if not shares or not inside.any():
        return stderr**2, None
    n_items = np.full(len(value), np.nan)
    n_items[inside] = value[inside] * (1 - value[inside]) / stderr[inside] ** 2
    n_items[~inside] = np.median(n_items[inside])
    near = (n_items * value + 1) / (n_items + 2)
    return np.maximum(stderr**2, near * (1 - near) / n_items), n_items
