"""What measures of memorization are given of every fact, checked, and how they hand back an estimate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.arrays import checked, number, valid

Exposures = Float[np.ndarray | Tensor, " fact"]
Clusters = Int[np.ndarray | Tensor, " fact"] | Int[np.ndarray | Tensor, "fact 2"]
Items = float | Int[np.ndarray | Tensor, " fact"]
Labels = Int[np.ndarray, " fact"] | Int[np.ndarray, "fact 2"]


@dataclass(frozen=True)
class Estimate:
    """An estimate and its interval: floats for one model, float64 tensors [*batch] for a batch of them.

    Attributes:
        value: the estimate.
        low: lower end.
        high: upper end.
        n: of facts, of seeds, or of what else the estimate is made from.
    """

    value: Any
    low: Any
    high: Any
    n: int


def estimate(parts: Iterable[np.ndarray], n: int, like: Tensor) -> Estimate:
    """A value and the ends of its interval, each [*batch], as they are handed back, on the device of ``like``."""
    value, low, high = (number(torch.as_tensor(np.asarray(x, dtype=np.float64), device=like.device)) for x in parts)
    return Estimate(value, low, high, n)


def checked_correct(correct: Any, field: str, dims: str = "*batch fact") -> Float[Tensor, "*batch fact"]:
    """Whether facts are right, as float64 0 and 1; a ValueError that names ``field`` for anything else."""
    values = checked(correct, field, dims)
    neither = (values != 0) & (values != 1)
    if neither.any():
        raise ValueError(f"{field}: {values[neither][0].item():g} given, expected 0 or 1, or booleans")
    return values


def checked_outcomes(
    correct: Any, n_items: Any, field: str = "correct", dims: str = "*batch fact"
) -> tuple[Float[Tensor, "*batch fact"], Float[np.ndarray, " fact"]]:
    """Accuracy of every fact, and of how many items it is one: 0 or 1 of one item each if ``n_items`` is None.

    Raises ValueError for anything else, or accuracies that are no multiples of 1 / n_items.
    """
    if n_items is None:
        right = checked_correct(correct, field, dims)
        return right, np.ones(right.shape[-1])
    accuracy = checked(correct, field, dims)
    items = checked(n_items, "n_items", "*fact").cpu().numpy()
    if items.shape not in ((), accuracy.shape[-1:]):
        raise ValueError(f"n_items: shape {items.shape} given, expected a number or {accuracy.shape[-1]} of them")
    if (items < 1).any() or (items != np.round(items)).any():
        raise ValueError(f"n_items: {items[(items < 1) | (items != np.round(items))][0]:g} given, expected 1 or more")
    counts = accuracy * torch.as_tensor(items, device=accuracy.device)
    wrong = (accuracy < 0) | (accuracy > 1) | ((counts - counts.round()).abs() > 1e-3)
    if wrong.any():
        raise ValueError(f"{field}: {accuracy[wrong][0].item():g} given, expected shares of n_items, from 0 to 1")
    each = torch.as_tensor(items, device=accuracy.device)
    return counts.round() / each, np.broadcast_to(items, accuracy.shape[-1:]).copy()


def checked_exposures(exposures: Any, field: str = "exposures") -> Float[np.ndarray, " fact"]:
    """``exposures`` as float64, one per fact; a ValueError that names ``field`` if any is negative or no number."""
    at = checked(exposures, field, "fact").cpu().numpy()
    if (at < 0).any():
        raise ValueError(f"{field}: {at[at < 0][0]:g} given, expected numbers from 0 on")
    return at


def checked_labels(clusters: Any, n_facts: int, field: str = "clusters") -> Labels:
    """Labels [fact] or [fact, 2] as they are given, or a label per fact if None."""
    if clusters is None:
        return np.arange(n_facts)
    given = valid(clusters, field, "*fact label").cpu().numpy()
    if given.shape not in ((n_facts,), (n_facts, 2)) or not np.issubdtype(given.dtype, np.integer):
        raise ValueError(
            f"{field}: {given.dtype} of shape {given.shape} given, expected integers [{n_facts}] or [{n_facts}, 2]"
        )
    return np.unique(given, return_inverse=True)[1].reshape(given.shape)
