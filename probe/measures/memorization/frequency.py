"""What a model knows of facts by how often they were shown: in bins of exposures, and as a curve that never falls.

Facts that were never shown are a bin of their own, the first: what is right there is chance or a rule, not memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import rankdata
from torch import Tensor

from probe.measures.arrays import checked
from probe.measures.intervals import check_confidence
from probe.measures.memorization.arguments import (
    Clusters,
    Exposures,
    Items,
    checked_exposures,
    checked_labels,
    checked_outcomes,
)
from probe.measures.memorization.clustered import Parts, effective_items, mean_interval, share_interval
from probe.measures.memorization.exactness import Correct
from probe.measures.shares import clopper_pearson

Bins = Literal["doubling", "quantile"]
N_QUANTILES = 10


@dataclass(frozen=True)
class ByExposure:
    """What is known in each bin of exposures, by ascending exposures.

    Attributes:
        least: fewest exposures of a fact in the bin; 0 in the first, if there are facts that were never shown.
        most: most exposures of a fact in the bin.
        mean_exposures: their mean.
        n_facts: facts in the bin.
        value: share that is right, or mean score.
        low: lower end of its interval; of a mean score, nan if nothing in the bin says how scores differ.
        high: upper end.
    """

    least: Float[Tensor, " bin"]
    most: Float[Tensor, " bin"]
    mean_exposures: Float[Tensor, " bin"]
    n_facts: Int[Tensor, " bin"]
    value: Float[Tensor, "*batch bin"]
    low: Float[Tensor, "*batch bin"]
    high: Float[Tensor, "*batch bin"]


@dataclass(frozen=True)
class RisingAccuracy:
    """The best curve that never falls, at each number of exposures that occurs.

    Attributes:
        exposures: ascending.
        value: share of facts that are right there.
        low: lower end of its interval, at each exposures by itself.
        high: upper end.
    """

    exposures: Float[Tensor, " at"]
    value: Float[Tensor, "*batch at"]
    low: Float[Tensor, "*batch at"]
    high: Float[Tensor, "*batch at"]


def accuracy_by_exposure(
    exposures: Exposures,
    correct: Correct,
    n_items: Items | None = None,
    clusters: Clusters | None = None,
    bins: Bins = "doubling",
    confidence: float = 0.95,
) -> ByExposure:
    """Share of facts that are right in each bin of exposures, of each model.

    ``bins``: "doubling", from every power of 2 up to the next; or "quantile", of the facts that were shown a tenth
    each, but facts of equal exposures are never parted. Bins without facts are left out.

    ``correct`` is 0 or 1, or an accuracy of ``n_items``. Intervals are Clopper and Pearson's; of facts of several
    items, or with ``clusters`` (what facts share, one label each or two), by the effective number: `share_interval`.

    Raises ValueError for negative exposures, lengths that differ, what is not 0 or 1 or a share of ``n_items``, or a
    confidence outside (0, 1).
    """
    at = checked_exposures(exposures)
    accuracy, items = checked_outcomes(correct, n_items)
    _check_length(accuracy, at, "correct")
    labels = checked_labels(clusters, len(at))
    check_confidence(confidence)
    values = accuracy.cpu().numpy()
    return _by_bin(
        at, bins, accuracy, lambda here: share_interval(values[..., here], items[here], labels[here], confidence)
    )


def score_by_exposure(
    exposures: Exposures,
    score: Float[np.ndarray | Tensor, "*batch fact"],
    clusters: Clusters | None = None,
    bins: Bins = "doubling",
    confidence: float = 0.95,
) -> ByExposure:
    """Mean score, such as the log-probability of the answer, in each bin, with Student's interval over facts.

    Bins and ``clusters`` as in `accuracy_by_exposure`; with clusters, the interval is over them.

    Raises ValueError for negative exposures, lengths that differ, or a confidence outside (0, 1).
    """
    at = checked_exposures(exposures)
    scores = checked(score, "score", "*batch fact")
    _check_length(scores, at, "score")
    labels = checked_labels(clusters, len(at))
    check_confidence(confidence)
    values = scores.cpu().numpy()
    return _by_bin(at, bins, scores, lambda here: mean_interval(values[..., here], labels[here], confidence))


def rising_accuracy(
    exposures: Exposures, correct: Correct, n_items: Items | None = None, confidence: float = 0.95
) -> RisingAccuracy:
    """Isotonic regression of correctness on exposures, of each model: no shape is assumed, but that it never falls.

    If the share known never falls, it is at any exposures at least what it is on average over facts of fewer, and at
    most over facts of more. The ends are those of Clopper and Pearson's interval of the n^(2/3) facts next below, and
    next above, which hold at each number of exposures by itself, but not of all at once. Facts are to be independent.

    Measured on 300 draws each (60 and 300 facts, 8 to 300 different exposures): 95 % intervals held the share in at
    least 97 % at any exposures, so they are wider than they need be.

    Raises ValueError for negative exposures, exposures that are all equal, lengths that differ, what is not 0 or 1 or a
    share of ``n_items``, or a confidence outside (0, 1).
    """
    from sklearn.isotonic import IsotonicRegression

    at = checked_exposures(exposures)
    accuracy, items = checked_outcomes(correct, n_items)
    _check_length(accuracy, at, "correct")
    check_confidence(confidence)
    found, counts = np.unique(at, return_counts=True)
    if len(found) < 2:
        raise ValueError(f"exposures: {at[0]:g} given for all facts, expected them to differ")
    order = np.argsort(at, kind="stable")
    values = accuracy.cpu().numpy().reshape(-1, len(at))
    fits = [IsotonicRegression().fit(at, row, sample_weight=items).predict(found) for row in values]
    ends = np.cumsum(counts)
    starts = ends - counts
    # of one number of exposures all facts count, though they be more than a window takes
    window = int(np.ceil(len(at) ** (2 / 3)))
    first, last = np.clip(ends - window, 0, starts), np.clip(starts + window, ends, len(at))
    low = _window_ends(values[:, order], items[order], first, ends, confidence)[0]
    high = _window_ends(values[:, order], items[order], starts, last, confidence)[1]
    value = np.stack(fits)
    shape = (*accuracy.shape[:-1], len(found))
    parts = (
        torch.as_tensor(x.reshape(shape), device=accuracy.device)
        for x in (value, np.minimum(low, value), np.maximum(high, value))
    )
    return RisingAccuracy(torch.as_tensor(found, device=accuracy.device), *parts)


def _window_ends(
    values: Float[np.ndarray, "model fact"],
    items: Float[np.ndarray, " fact"],
    first: Int[np.ndarray, " at"],
    last: Int[np.ndarray, " at"],
    confidence: float,
) -> tuple[Float[np.ndarray, "model at"], Float[np.ndarray, "model at"]]:
    """Ends of the interval of the share that is right among facts from ``first`` up to ``last``, without that."""

    def total(x: Float[np.ndarray, "*model fact"]) -> Float[np.ndarray, "*model at"]:
        sums = np.concatenate([np.zeros((*x.shape[:-1], 1)), np.cumsum(x, axis=-1)], axis=-1)
        return sums[..., last] - sums[..., first]

    n, facts = total(items), (last - first).astype(float)
    share = np.clip(total(np.rint(values * items)) / n, 0, 1)
    if (items == 1).all():
        return clopper_pearson(share * n, n, confidence)
    square = total(items**2 * values**2) - 2 * share * total(items**2 * values) + share**2 * total(items**2)
    variance = np.maximum(square, 0) / n**2 * facts / np.maximum(facts - 1, 1)
    effective = effective_items(share, variance, facts, n, confidence)
    return clopper_pearson(share * effective, effective, confidence)


def _by_bin(
    at: Float[np.ndarray, " fact"],
    bins: Bins,
    like: Tensor,
    interval: Callable[[np.ndarray], Parts],
) -> ByExposure:
    """``interval`` of the facts in each bin."""
    bin_of = _bin_of(at, bins)
    members = [np.flatnonzero(bin_of == one) for one in np.unique(bin_of)]
    sizes = ([fn(at[here]) for here in members] for fn in (np.min, np.max, np.mean, len))
    least, most, mean, n_facts = (torch.as_tensor(np.asarray(x), device=like.device) for x in sizes)
    parts = np.stack([np.stack(interval(here)) for here in members], axis=-1)
    value, low, high = torch.as_tensor(parts, device=like.device)
    return ByExposure(least, most, mean, n_facts, value, low, high)


def _bin_of(at: Float[np.ndarray, " fact"], bins: Bins) -> Float[np.ndarray, " fact"]:
    """A number per fact, that of its bin; -inf without exposure."""
    shown = at > 0
    found = np.full(len(at), -np.inf)
    if bins == "doubling":
        found[shown] = np.frexp(at[shown])[1] - 1  # exact, as log2 need not be
    elif bins == "quantile":
        # equal exposures have one rank, the mean of theirs
        found[shown] = np.floor((rankdata(at[shown]) - 0.5) / max(shown.sum(), 1) * N_QUANTILES)
    else:
        raise ValueError(f"bins: {bins!r} given, expected 'doubling' or 'quantile'")
    return found


def _check_length(values: Tensor, at: Float[np.ndarray, " fact"], field: str) -> None:
    if values.shape[-1] != len(at):
        raise ValueError(f"{field}: shape {tuple(values.shape)} given, expected [*batch, {len(at)}], one per fact")
