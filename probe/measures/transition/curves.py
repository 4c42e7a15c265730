"""Curves along training as every function here takes them, checked, and the scale on which they are fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe.measures.arrays import checked, valid
from probe.measures.intervals import Interval

Steps = Sequence[int] | np.ndarray | Tensor
Curve = Sequence[float] | np.ndarray | Tensor
Scale = Literal["log", "linear"]

ROUNDING = 1e-6  # an accuracy in float32 may lie above 1 by this much


def checked_steps(steps: Steps, at_least: int = 1) -> Float[np.ndarray, " step"]:
    """``steps`` as float64: whole numbers from 0 on, ascending, ``at_least`` so many of them; else a ValueError."""
    if hasattr(steps, "__len__") and len(steps) < at_least:
        raise ValueError(f"steps: {len(steps)} given, expected at least {at_least}")
    array = checked(steps, "steps", "step").cpu().numpy()
    if (array != np.round(array)).any() or (array < 0).any():
        wrong = array[(array != np.round(array)) | (array < 0)][0]
        raise ValueError(f"steps: {wrong:g} given, expected whole numbers from 0 on")
    if (np.diff(array) <= 0).any():
        at = int(np.flatnonzero(np.diff(array) <= 0)[0])
        raise ValueError(f"steps: {array[at + 1]:g} given after {array[at]:g}, expected ascending steps")
    return array


def checked_curves(curves: Any, field: str, n_steps: int) -> Float[np.ndarray, "*run step"]:
    """``curves`` as float64, finite, one value per step; a ValueError that names ``field`` if they are not."""
    array = checked(curves, field, "*run step").cpu().numpy()
    if array.shape[-1] != n_steps:
        raise ValueError(f"{field}: shape {array.shape} given, expected [*run, {n_steps}], one value per step")
    return array


def checked_curve(curve: Curve, field: str, n_steps: int) -> Float[np.ndarray, " step"]:
    """As `checked_curves`, of one run."""
    array = checked_curves(curve, field, n_steps)
    if array.ndim != 1:
        raise ValueError(f"{field}: shape {array.shape} given, expected ({n_steps},), the curve of one run")
    return array


def checked_accuracies(curves: Any, field: str, n_steps: int) -> Float[np.ndarray, "*run step"]:
    """As `checked_curves`, and between 0 and 1: a percentage would be above every threshold."""
    array = checked_curves(curves, field, n_steps)
    outside = (array < -ROUNDING) | (array > 1 + ROUNDING)
    if outside.any():
        raise ValueError(f"{field}: {array[outside][0]:g} given, expected accuracies between 0 and 1")
    return array


def reached(curves: Any, field: str, n_steps: int, threshold: float) -> Bool[np.ndarray, "*run step"]:
    """Where `checked_accuracies` are at least ``threshold``, taken as a number of their type: .9 in float32 is .9."""
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold: {threshold} given, expected an accuracy above 0 and at most 1")
    accuracies, dtype = checked_accuracies(curves, field, n_steps), valid(curves, field, "*run step").dtype
    rounded = torch.tensor(threshold, dtype=dtype if dtype.is_floating_point else torch.float64)
    return accuracies >= rounded.item()


def check_named(measures: Any, dims: str) -> None:
    """Raise ValueError unless ``measures`` are curves by name, one or more."""
    if not isinstance(measures, Mapping) or not measures:
        given = "none" if isinstance(measures, Mapping) else type(measures).__name__
        raise ValueError(f"measures: {given} given, expected one or more by name, each with its curve {dims}")


def on_scale(steps: Float[np.ndarray, " step"], scale: Scale) -> Float[np.ndarray, " step"]:
    """Steps as fits see them: log(step + 1), which step 0 has too, or as they are."""
    if scale not in ("log", "linear"):
        raise ValueError(f"scale: {scale!r} given, expected 'log' or 'linear'")
    return np.log1p(steps) if scale == "log" else steps


def off_scale(x: float, scale: Scale) -> float:
    """Inverse of `on_scale`."""
    return float(np.expm1(x)) if scale == "log" else float(x)


def date_interval(date: float, low: float, high: float, x: Float[np.ndarray, " step"], scale: Scale) -> Interval:
    """A date on the scale of a fit and its interval, in steps: not before the first x, inf beyond the last."""
    ends = off_scale(max(low, x[0]), scale), off_scale(high, scale) if high <= x[-1] else np.inf
    return Interval(off_scale(date, scale), *ends, len(x))
