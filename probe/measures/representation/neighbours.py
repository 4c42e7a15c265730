"""Whether tokens that are near each other for the task are near each other in the representation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.measures.arrays import checked, number

TIE = 1e-9
"""Distances that differ by less, as a share, are the same: rounding does not decide who is nearer."""


def neighbour_agreement(
    representation: Float[Tensor | np.ndarray, "*batch token unit"],
    distances: Float[Tensor | np.ndarray, "token token"],
    m: int,
) -> Any:
    """Share of each token's m nearest neighbours in the representation that are among its m nearest for the task.

    By Euclidean distance in the representation. Where several are tied for the last places, they share them: each
    counts by the chance that a draw among them takes it. So chance is m / (tokens - 1) exactly, whatever the ties, and
    with an odd m on a circle, where neighbours come in twos, full agreement does not reach 1. For an interval about
    chance: `compared_with_null`.

    ``distances`` are those of the task, row t of token t, such as `cyclic_distances`; the diagonal is not looked at.
    Raises ValueError for another number of tokens, or m outside 1..tokens - 1.
    """
    X = checked(representation, "representation", "*batch token unit")
    task = checked(distances, "distances", "token token").to(X.device)
    n = X.shape[-2]
    if len(task) != n:
        raise ValueError(f"distances: of {len(task)} tokens given, expected {n} as in representation")
    if not 1 <= m <= n - 1:
        raise ValueError(f"m: {m} given, expected 1 to {n - 1} neighbours of {n} tokens")
    # by differences, not by products: near neighbours of large norm lose no digits
    found = _places(torch.cdist(X, X, compute_mode="donot_use_mm_for_euclid_dist"), m)
    return number((found * _places(task, m)).sum((-2, -1)) / (n * m))


def cyclic_distances(p: int, k: int = 1) -> Float[Tensor, "p p"]:
    """Steps between two tokens round the circle on which token t lies at k t mod p: 0 to p // 2.

    k and p without common divisor, or different tokens lie on one place: a ValueError.
    """
    if p < 2 or np.gcd(k, p) != 1:
        raise ValueError(f"k: {k} on Z_{p} given, expected p of at least 2 and a k without a divisor in common with it")
    t = torch.arange(p)
    apart = k * (t[:, None] - t) % p
    return torch.minimum(apart, p - apart).to(torch.float64)


def _places(distance: Float[Tensor, "*batch n n"], m: int) -> Float[Tensor, "*batch n n"]:
    """The chance of each to be among the m nearest of a token: 1, 0, or a share of the last places if tied for them."""
    itself = torch.eye(distance.shape[-1], dtype=torch.bool, device=distance.device)
    distance = distance.masked_fill(itself, torch.inf)
    last = distance.sort(-1).values[..., m - 1 : m]
    nearer = distance < last - TIE * last.abs()
    tied = ~nearer & (distance <= last + TIE * last.abs())
    left = m - nearer.double().sum(-1, keepdim=True)
    return nearer + tied * left / tied.sum(-1, keepdim=True)
