"""Spearman's rank correlation of exposures and what is known, with an interval that allows for ties and clusters."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata, t
from torch import Tensor, as_tensor

from probe.measures.arrays import at_first, checked
from probe.measures.intervals import check_confidence
from probe.measures.memorization.arguments import (
    Clusters,
    Estimate,
    Exposures,
    checked_exposures,
    checked_labels,
    estimate,
)
from probe.measures.memorization.clustered import influence_variance, n_clusters


def rank_correlation(
    exposures: Exposures,
    score: Float[np.ndarray | Tensor, "*batch fact"],
    clusters: Clusters | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Spearman's rho of exposures and a score, such as correctness or a log-probability, of each model.

    Equal numbers have the mean of their ranks. The interval is Student's on the scale of atanh rho; the standard error
    is that of the influence of each fact on rho, ranks included, summed over facts or clusters. That of the usual
    formulas (Fisher; Bonett & Wright 2000) is for continuous scores, and too wide or narrow where most are 0 or 1.
    Facts in perfect order say nothing of how others would stray: the ends of rho = 1 or -1 are nan.

    Measured on 300 to 1200 draws each: 95 % intervals covered 92 to 97 % with 20 and 100 independent facts, right or
    wrong or continuous, rho from 0 to .9; with the pairs of 40 operands that have effects of their own 94 %, of 10
    operands 88 %, and without clusters 40 to 64 %.

    Raises ValueError for exposures that are negative or all equal, scores that are all equal in some model, lengths
    that differ, fewer than 4 facts or clusters, or a confidence outside (0, 1).
    """
    at = checked_exposures(exposures)
    scores = checked(score, "score", "*batch fact")
    if scores.shape[-1] != len(at):
        raise ValueError(f"score: shape {tuple(scores.shape)} given, expected [*batch, {len(at)}], one per fact")
    labels = checked_labels(clusters, len(at))
    check_confidence(confidence)
    n = n_clusters(labels)
    if n < 4:
        raise ValueError(f"{'exposures' if clusters is None else 'clusters'}: {n} of them given, expected at least 4")
    if np.ptp(at) == 0:
        raise ValueError(f"exposures: {at[0]:g} given for all facts, expected them to differ")
    y = scores.cpu().numpy().reshape(-1, len(at))
    equal = as_tensor(np.ptp(y, axis=1) == 0).reshape(scores.shape[:-1])
    if equal.any():
        raise ValueError(f"score: all facts have one{at_first(equal)}, expected them to differ")
    rank_x, rank_y = _centred_ranks(at[None]), _centred_ranks(y)
    both = (rank_x * rank_y).mean(-1, keepdims=True)
    of_x, of_y = ((rank**2).mean(-1, keepdims=True) for rank in (rank_x, rank_y))
    rho = np.clip(both / np.sqrt(of_x * of_y), -1, 1)
    of_both = rank_x * rank_y + _through_ranks(at[None], rank_y) + _through_ranks(y, rank_x) - 3 * both
    alone_x, alone_y = (
        rank**2 + 2 * _through_ranks(values, rank) - 3 * square
        for values, rank, square in ((at[None], rank_x, of_x), (y, rank_y, of_y))
    )
    influence = of_both / np.sqrt(of_x * of_y) - rho / 2 * (alone_x / of_x + alone_y / of_y)
    variance = influence_variance(influence / len(at), np.full(len(at), 1 / len(at)), labels)
    rho = rho[:, 0]
    inner = np.abs(rho) < 1 - 1e-12
    room = np.where(inner, 1 - rho**2, np.nan)
    half = t.ppf((1 + confidence) / 2, n - 2) * np.sqrt(variance) / room
    middle = np.arctanh(np.where(inner, rho, 0))
    parts = (x.reshape(scores.shape[:-1]) for x in (rho, np.tanh(middle - half), np.tanh(middle + half)))
    return estimate(parts, len(at), scores)


def _centred_ranks(values: Float[np.ndarray, "model fact"]) -> Float[np.ndarray, "model fact"]:
    """Share of facts with a lower value, those of equal value counting half, less 1/2."""
    n = values.shape[-1]
    return (rankdata(values, axis=-1) - (n + 1) / 2) / n


def _through_ranks(
    values: Float[np.ndarray, "model fact"], other: Float[np.ndarray, "*model fact"]
) -> Float[np.ndarray, "model fact"]:
    """What each fact adds by the ranks it gives to others: mean ``other`` of facts above it, equal ones by half."""
    n_models = max(len(values), len(other))
    values, other = (np.broadcast_to(x, (n_models, x.shape[-1])) for x in (values, other))
    found = np.empty(other.shape)
    for row, (value, weight) in enumerate(zip(values, other, strict=True)):
        order = np.argsort(value, kind="stable")
        ordered, total = value[order], np.append(0, np.cumsum(weight[order]))
        above, not_below = (total[-1] - total[np.searchsorted(ordered, value, side=side)] for side in ("right", "left"))
        found[row] = (above + not_below) / 2 / len(value)
    return found
