"""A task of several steps as the product of its steps: does that explain how well it is done?

If each of k steps is done right independently of the others, the whole is right with the product of their accuracies:
five steps of .4 give .4^5 = .0102, of .6 give .0778. So smooth steps make a whole that jumps. Steps are seldom
independent: an item that is easy in one is so in others, which makes the whole better than the product. With answers
item by item that is measured, as the ratio of the share with all steps right to the product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import ndtri

from probe.measures.intervals import check_confidence
from probe.measures.shares import wilson

RESAMPLES = 2000


@dataclass(frozen=True)
class ProductLaw:
    """Product of the steps beside the measured whole, for each size; a float for one size alone.

    Attributes:
        predicted: product of the accuracies of all steps.
        measured: accuracy of the whole.
        difference: measured - predicted.
        low, high: ends of its interval over items; nan where their number is unknown.
        effective_steps: log(measured) / log(geometric mean of the steps): of how many independent steps as good as
            these the whole is the product. inf where it is never right, nan where all steps always are.
        joint: share of items with all steps right; nan without items.
        dependence: joint / predicted: 1 for independent steps, above it where the same items are right; nan without.
        dependence_low, dependence_high: ends of its interval over items; nan without.
    """

    predicted: Any
    measured: Any
    difference: Any
    low: Any
    high: Any
    effective_steps: Any
    joint: Any
    dependence: Any
    dependence_low: Any
    dependence_high: Any


def product_law(
    step_accuracies: Any,
    composite: Any,
    n_items: Any = None,
    items: Any = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> ProductLaw:
    """Compare the product of step accuracies with the accuracy of the whole.

    With ``items`` the interval of the difference is of the same items, resampled (percentile bootstrap). With
    ``n_items`` alone it takes steps and whole for measured on different items: Newcombe's (1998, Statistics in Medicine
    17, 873, method 10) for the difference, with Wilson's interval of the whole, and of the product the interval of its
    logarithm with each share taken at (right + 1) / (n + 2).

    Args:
        step_accuracies: [*size step], shares.
        composite: [*size], shares.
        n_items: items that each share is of: a number, or one per size; None if unknown.
        items: [*size item step], which were right in which step; their means are ``step_accuracies``.
        confidence: of the intervals.
        seed: of the resampling.

    Raises:
        ValueError: something is no share, shapes do not fit, or the items have other means than ``step_accuracies``.
    """
    steps = _shares(step_accuracies, "step_accuracies")
    whole = _shares(composite, "composite")
    check_confidence(confidence)
    if steps.ndim < 1 or steps.shape[-1] == 0 or whole.shape != steps.shape[:-1]:
        raise ValueError(f"composite: shape {whole.shape} given, expected {steps.shape[:-1]}, one per size")
    predicted = steps.prod(-1)
    nothing = np.full(whole.shape, np.nan)
    low, high, joint, dependence, dependence_low, dependence_high = (nothing,) * 6
    if n_items is not None:
        counts = np.broadcast_to(np.asarray(n_items, dtype=np.float64), whole.shape)
        if not (counts >= 1).all():
            raise ValueError(f"n_items: {n_items} given, expected numbers of items, 1 or more")
        low, high = _difference_interval(steps, whole, counts, confidence)
    if items is not None:
        right = _checked_items(items, steps)
        joint = right.all(-1).mean(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            dependence = np.where(predicted > 0, joint / predicted, np.nan)
        dependence_low, dependence_high = _dependence_interval(right, confidence, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.log(whole) / np.log(steps).mean(-1)
    effective = np.where((predicted == 0) | (predicted == 1), np.nan, effective)
    found = (predicted, whole, whole - predicted, low, high, effective, joint, dependence, dependence_low)
    return ProductLaw(*(_plain(values) for values in (*found, dependence_high)))


def _difference_interval(
    steps: Float[np.ndarray, "*size step"],
    whole: Float[np.ndarray, "*size"],
    n: Float[np.ndarray, "*size"],
    confidence: float,
) -> tuple[Float[np.ndarray, "*size"], Float[np.ndarray, "*size"]]:
    predicted = steps.prod(-1)
    near = (steps * n[..., None] + 1) / (n[..., None] + 2)
    half = ndtri((1 + confidence) / 2) * np.sqrt(((1 - near) / near / n[..., None]).sum(-1))
    product = near.prod(-1)
    least, most = np.minimum(product * np.exp(-half), predicted), np.maximum(product * np.exp(half), predicted)
    below, above = wilson(whole * n, n, confidence)
    difference = whole - predicted
    low = difference - np.hypot(whole - below, most - predicted)
    high = difference + np.hypot(above - whole, predicted - least)
    return np.maximum(low, -1), np.minimum(high, 1)


def _dependence_interval(
    right: Bool[np.ndarray, "*size item step"], confidence: float, seed: int
) -> tuple[Float[np.ndarray, "*size"], Float[np.ndarray, "*size"]]:
    n_items, n_steps = right.shape[-2:]
    tail = (1 - confidence) / 2
    rng = np.random.default_rng(seed)
    ends = []
    for of_size in right.reshape(-1, n_items, n_steps):
        patterns, counts = np.unique(of_size, axis=0, return_counts=True)
        often = rng.multinomial(n_items, counts / n_items, size=RESAMPLES) / n_items
        product = (often @ patterns).prod(-1)
        ratio = (often @ patterns.all(-1))[product > 0] / product[product > 0]
        ends.append(np.quantile(ratio, (tail, 1 - tail)) if len(ratio) else np.full(2, np.nan))
    low, high = np.array(ends).T.reshape(2, *right.shape[:-2])
    return low, high


def _shares(given: Any, field: str) -> Float[np.ndarray, ...]:
    values = np.asarray(given, dtype=np.float64)
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        raise ValueError(f"{field}: {values[wrong][0]:g} given, expected shares, 0 to 1")
    return values


def _checked_items(items: Any, steps: Float[np.ndarray, "*size step"]) -> Bool[np.ndarray, "*size item step"]:
    right = np.asarray(items)
    if right.ndim != steps.ndim + 1 or (*right.shape[:-2], right.shape[-1]) != steps.shape or right.shape[-2] == 0:
        raise ValueError(f"items: shape {right.shape} given, expected [*size item step], as steps {steps.shape}")
    if not np.isin(right, (0, 1)).all():
        raise ValueError("items: values other than 0 and 1 given, expected whether each step of each item was right")
    off = np.abs(right.mean(-2) - steps).max()
    if off > 1e-6:
        raise ValueError(f"step_accuracies: {off:.2g} off the means of items, expected the same")
    return right.astype(bool)


def _plain(values: Float[np.ndarray, "*size"]) -> float | Float[np.ndarray, "*size"]:
    array = np.asarray(values)
    return float(array) if array.ndim == 0 else array
