"""Intrinsic dimension of a cloud of points, from distances to nearest neighbours.

Both estimators take the points for a sample that is locally even at random. That is right for activations on many
inputs. It is wrong for a lattice: on the p tokens of a perfect circle the two nearest neighbours are equally far, so
that `two_nn` refuses, on a nearly perfect one it is far too large, and `levina_bickel` gives 1.4. On the embeddings of
a network that has learned circles, read them as trends at most.

Intervals are 95 % and cover the sampling error: not that of points too few for their dimension, for which both are too
small (100 points of a Gaussian in 10 dimensions: 8.8 and 7.9). Neighbours have neighbours in common, so that the
points' contributions are not independent: their variance is estimated from sums over those that share a neighbour
(weighted by how many; a Bartlett kernel on the graph of neighbours). In simulations the intervals hold the mean of the
estimator in 90 to 96 of 100 samples; as if independent it would be 85 for a circle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.arrays import checked, number

DISCARDED = 0.1
"""Share of points, those of the largest ratios, that Facco et al. leave out: the least local ones."""
NORMAL_QUANTILE = 1.959964
BLOCK = 1 << 24
"""Distances that are held at a time."""


@dataclass(frozen=True)
class IntrinsicDimension:
    """An estimate and its 95 % interval; floats for one cloud, tensors for a batch of them."""

    value: Any
    low: Any
    high: Any


def two_nn(representation: Float[Tensor | np.ndarray, "*batch point unit"]) -> IntrinsicDimension:
    """From the ratio m of the distances to the second and to the first neighbour: ``P(m > x) = x^-d``.

    Facco et al. 2017, Scientific Reports 7, 12140. The tenth of the points with the largest ratios is left out, as
    there; in place of their line through the empirical distribution, d is the unbiased maximum-likelihood estimate
    for a sample that is censored so.

    Raises ValueError for fewer than 10 points, points that coincide, or a lattice.
    """
    distance, neighbour = _nearest(representation, 2, 10)
    logs = (distance[..., 1] / distance[..., 0]).log()
    n = logs.shape[-1]
    kept = n - int(DISCARDED * n)
    # those left out are known to be at least as large as the last one kept
    last = logs.kthvalue(kept, dim=-1, keepdim=True).values
    total = logs.clamp(max=last).sum(-1)
    if (total <= 1e-9 * n).any():
        raise ValueError(
            "representation: two nearest neighbours equally far for most points given, expected a sample, not a lattice"
        )
    # what each point adds to kept / d - total, which is 0 on average
    parts = (logs <= last) * (total / kept).unsqueeze(-1) - logs.clamp(max=last)
    return _with_interval((kept - 1) / total, _error_of_sum(parts, neighbour) / total)


def levina_bickel(
    representation: Float[Tensor | np.ndarray, "*batch point unit"], n_neighbours: int = 10
) -> IntrinsicDimension:
    """``1 / d = mean of log(T_k / T_j)`` over points and j < k, T_j the distance to the j-th of k neighbours.

    Levina & Bickel 2005 (NIPS 17), averaged over points as by MacKay & Ghahramani 2005 (the inverses, not the
    estimates). More neighbours: less noise, more of the curvature and of the edges.

    Raises ValueError for fewer than 3 neighbours, too few points, points that coincide, or all equally far apart.
    """
    if n_neighbours < 3:
        raise ValueError(f"n_neighbours: {n_neighbours} given, expected at least 3")
    distance, neighbour = _nearest(representation, n_neighbours, n_neighbours + 2)
    inverse = (distance[..., -1:] / distance[..., :-1]).log().mean(-1)
    mean = inverse.mean(-1)
    if (mean <= 1e-9).any():
        raise ValueError("representation: neighbours all equally far given, expected a sample of a manifold")
    error = _error_of_sum(inverse - mean.unsqueeze(-1), neighbour) / (inverse.shape[-1] * mean)
    return _with_interval(1 / mean, error)


def _with_interval(value: Float[Tensor, "*batch"], relative_error: Float[Tensor, "*batch"]) -> IntrinsicDimension:
    """A normal interval of the logarithm: a dimension is positive."""
    factor = (NORMAL_QUANTILE * relative_error).exp()
    return IntrinsicDimension(number(value), number(value / factor), number(value * factor))


def _error_of_sum(
    parts: Float[Tensor, "*batch point"], neighbour: Int[Tensor, "*batch point k"]
) -> Float[Tensor, "*batch"]:
    """Standard error of ``parts.sum(-1)``, parts that depend on each other where they have neighbours in common.

    The estimate is ``sum_ij w_ij parts_i parts_j``, w_ij the share of a neighbourhood (a point and its k neighbours)
    that those of i and j have in common: 1 for i = j, 0 for points far apart. It is a sum of squares, one for each
    point in neighbourhoods.
    """
    itself = torch.arange(parts.shape[-1], device=parts.device).expand_as(parts).unsqueeze(-1)
    hood = torch.cat([itself, neighbour], dim=-1)
    inside = torch.zeros_like(parts).scatter_add_(
        -1, hood.flatten(-2), parts.unsqueeze(-1).expand(hood.shape).flatten(-2)
    )
    return (inside.square().sum(-1) / hood.shape[-1]).sqrt()


def _nearest(
    representation: Any, k: int, least: int
) -> tuple[Float[Tensor, "*batch point k"], Int[Tensor, "*batch point k"]]:
    """Distances to the k nearest other points, ascending, and which they are."""
    X = checked(representation, "representation", "*batch point unit")
    n = X.shape[-2]
    if n < least:
        raise ValueError(f"representation: {n} points given, expected at least {least}")
    distances, places = [], []
    for rows in torch.arange(n, device=X.device).split(max(1, BLOCK // (n * X[..., 0, 0].numel()))):
        # by differences, not by products: near neighbours of large norm lose no digits
        distance = torch.cdist(X[..., rows, :], X, compute_mode="donot_use_mm_for_euclid_dist")
        distance[..., torch.arange(len(rows), device=X.device), rows] = torch.inf
        found = distance.topk(k, largest=False)
        distances.append(found.values)
        places.append(found.indices)
    nearest = torch.cat(distances, dim=-2)
    if (same := (nearest[..., 0] == 0).nonzero()).numel():
        raise ValueError(
            f"representation: point {same[0].tolist()} coincides with another, expected different points; "
            "give each of them once"
        )
    return nearest, torch.cat(places, dim=-2)
