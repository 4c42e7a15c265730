"""How alike two representations of the same tokens are, whatever their axes and widths: CKA and Procrustes.

Two steps of a run, two seeds, or two sizes. All pairs of a batch of steps by broadcasting: ``linear_cka(steps[:, None],
steps[None])`` is [step, step]. Both look at representations about their mean over tokens and up to a common scale and
a rotation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.measures.arrays import checked, number

Representation = Float[Tensor | np.ndarray, "*batch token unit"]

BLOCK = 1 << 24
"""Numbers of a batch of products of units that are held at a time."""


def linear_cka(first: Representation, second: Representation) -> Any:
    """Linear centred kernel alignment, 0 to 1: ``|X'Y|^2 / (|X'X| |Y'Y|)``, Frobenius norms, X and Y centred.

    Kornblith et al. 2019, arXiv 1905.00414, equation 5. It is biased upwards, towards 1 where there are as many units
    as tokens: compare with its null (`compared_with_null`), or use `debiased_cka`. Leading dimensions broadcast.

    Raises ValueError for different tokens, or a representation that is the same for all of them.
    """
    X, Y = _centred(first, "first"), _centred(second, "second")
    _check_tokens(X, Y, 2)
    return number(_products(X, Y) / (_products(X, X) * _products(Y, Y)).sqrt())


def debiased_cka(first: Representation, second: Representation) -> Any:
    """CKA from unbiased estimates of its three terms: 0 on average for unrelated representations; it may be negative.

    Song et al. 2012 (JMLR 13, 1393), equation 5; as CKA: Nguyen, Raghu & Kornblith 2021, arXiv 2010.15327, section 2.
    Raises ValueError as `linear_cka`, for fewer than 4 tokens, or where an estimate of a norm vanishes.
    """
    X, Y = _centred(first, "first"), _centred(second, "second")
    _check_tokens(X, Y, 4)
    norms = []
    for Z, field in ((X, "first"), (Y, "second")):
        norms.append(_unbiased(Z, Z))
        if (norms[-1] <= 1e-12 * _products(Z, Z)).any():
            raise ValueError(f"{field}: tokens all equally far apart given, of which the debiased norm is 0")
    return number(_unbiased(X, Y) / (norms[0] * norms[1]).sqrt())


def procrustes_distance(first: Representation, second: Representation) -> Any:
    """``min |X - Y Q|`` over rotations and reflections Q, X and Y centred and of Frobenius norm 1: 0 to sqrt(2).

    A metric between shapes (Williams et al. 2021, arXiv 2110.14739, section 2); its square is ``2 - 2 |X'Y|_*``, the
    distance of Ding et al. 2021 (arXiv 2108.01661). Of different widths, the narrower one is filled up with zeros.

    Raises ValueError as `linear_cka`.
    """
    X, Y = _centred(first, "first"), _centred(second, "second")
    _check_tokens(X, Y, 2)
    nuclear = _over_pairs(X, Y, lambda cross: torch.linalg.svdvals(cross).sum(-1))
    return number((2 - 2 * nuclear).clamp(min=0).sqrt())


def _centred(representation: Representation, field: str) -> Float[Tensor, "*batch token unit"]:
    """About the mean over tokens, of Frobenius norm 1."""
    X = checked(representation, field, "*batch token unit")
    centred = X - X.mean(-2, keepdim=True)
    norm = centred.flatten(-2).norm(dim=-1)
    if (norm <= 1e-12 * X.flatten(-2).norm(dim=-1)).any():
        raise ValueError(f"{field}: the same row for every token given, expected rows that differ")
    return centred / norm[..., None, None]


def _check_tokens(X: Tensor, Y: Tensor, least: int) -> None:
    if X.shape[-2] != Y.shape[-2] or X.shape[-2] < least:
        raise ValueError(
            f"second: {Y.shape[-2]} tokens beside {X.shape[-2]} in first given, expected the same {least} or more"
        )
    try:
        torch.broadcast_shapes(X.shape[:-2], Y.shape[:-2])
    except RuntimeError as error:
        raise ValueError(
            f"second: batch {tuple(Y.shape[:-2])} beside {tuple(X.shape[:-2])} in first given, expected shapes that "
            "broadcast"
        ) from error


def _products(X: Tensor, Y: Tensor) -> Float[Tensor, "*batch"]:
    """``|X'Y|^2``, which is the product of the two matrices of inner products of tokens: by whichever is smaller."""
    if X.shape[-2] <= X.shape[-1] + Y.shape[-1]:
        return torch.einsum("...ij,...ij->...", X @ X.mT, Y @ Y.mT)
    return _over_pairs(X, Y, lambda cross: cross.square().sum((-2, -1)))


def _unbiased(X: Tensor, Y: Tensor) -> Float[Tensor, "*batch"]:
    """n (n - 3) times the unbiased estimate of HSIC.

    The estimate is made of the matrices of inner products K, L without their diagonals a, b. Rows of K sum to 0 since
    X is centred, to -a without the diagonal, which leaves tr(KL) and sums over a and b.
    """
    n = X.shape[-2]
    a, b = X.square().sum(-1), Y.square().sum(-1)
    sums = a.sum(-1) * b.sum(-1) / ((n - 1) * (n - 2))
    return _products(X, Y) - n / (n - 2) * (a * b).sum(-1) + sums


def _over_pairs(X: Tensor, Y: Tensor, reduce: Callable[[Tensor], Tensor]) -> Float[Tensor, "*batch"]:
    """``reduce(X'Y)`` for each entry of the broadcast batch, a block of entries at a time."""
    batch = torch.broadcast_shapes(X.shape[:-2], Y.shape[:-2])
    place = [
        torch.arange(math.prod(Z.shape[:-2]), device=X.device).reshape(Z.shape[:-2]).expand(batch).flatten()
        for Z in (X, Y)
    ]
    X, Y = X.flatten(0, -3) if X.ndim > 2 else X.unsqueeze(0), Y.flatten(0, -3) if Y.ndim > 2 else Y.unsqueeze(0)
    largest = max(X.shape[-2] * (X.shape[-1] + Y.shape[-1]), X.shape[-1] * Y.shape[-1])
    blocks = zip(*(p.split(max(1, BLOCK // largest)) for p in place), strict=True)
    return torch.cat([reduce(X[i].mT @ Y[j]) for i, j in blocks]).reshape(batch)
