"""Progress measures: how much of the logits the Fourier algorithm accounts for, and what is lost without it.

All take the logit cube ``L[i, j, k]``, shape [*batch, n, n, n], in which the right answer to input (i, j) is
k = (i + j) % n; w_f = 2 pi f / n. Source: Nanda et al. 2023, arXiv 2301.05217, sections 4.2, 5.1, appendix;
the logit cosine as in Chughtai et al. 2023, arXiv 2302.03025, section 4; `sum_fve` is this project's own.

One observation makes them cheap. The functions cos w_f(i + j) and sin w_f(i + j) of the input depend on i + j
only, so every projection on them can be taken from the mean logits of each sum (`sum_means`, [n, n]) instead
of the cube.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe.measures.fourier import check_frequencies, fourier_basis
from probe.measures.performance import cross_entropy

Centring = Literal["none", "answers", "inputs", "double"]


def sum_means(cube: Float[Tensor | np.ndarray, "*batch n n n"]) -> Float[Tensor, "*batch n n"]:
    """``out[s, k]`` is the mean of ``cube[i, j, k]`` over the n inputs with (i + j) % n = s."""
    cube = _cube(cube)
    t = torch.arange(cube.shape[-1], device=cube.device)
    return cube[..., t, (t[:, None] - t) % len(t), :].mean(-2)


def orbit_means(cube: Float[Tensor | np.ndarray, "*batch n n n"]) -> Float[Tensor, "*batch n"]:
    """``out[r]`` is the mean of the n^2 logits with (i + j - k) % n = r; r = 0 is the right answer."""
    means = sum_means(cube)
    t = torch.arange(means.shape[-1], device=means.device)
    return means[..., t, (t - t[:, None]) % len(t)].mean(-1)


def logit_cosines(cube: Float[Tensor | np.ndarray, "*batch n n n"]) -> Float[Tensor, "*batch frequency"]:
    """Cosine of the cube, centred over answers, with cos w_f(i + j - k), for f = 1..n//2 (index f - 1).

    The squares sum to the share of the centred cube that is an even function of i + j - k. A constant cube
    has no direction and gives nan.
    """
    cube = _cube(cube)
    return _cosine_products(cube) / _norm(centred_cube(cube, "answers")).unsqueeze(-1)


def centred_cube(cube: Float[Tensor | np.ndarray, "*batch n n n"], centring: Centring) -> Float[Tensor, "*batch n n n"]:
    """The cube less what says nothing about the algorithm.

    "answers": less its mean over answers, which the softmax does not see; "inputs": less its mean over
    inputs, each answer's bias; "double": less both; "none": as it is. Raises ValueError for another name.
    """
    cube = _cube(cube)
    if centring not in ("none", "answers", "inputs", "double"):
        raise ValueError(f"centring: {centring!r} given, expected 'none', 'answers', 'inputs' or 'double'")
    if centring in ("answers", "double"):
        cube = cube - cube.mean(-1, keepdim=True)
    if centring in ("inputs", "double"):
        cube = cube - cube.mean((-3, -2), keepdim=True)
    return cube


def logit_fve_cube(
    cube: Float[Tensor | np.ndarray, "*batch n n n"], keys: Sequence[int], centring: Centring = "double"
) -> Float[Tensor, "*batch"]:
    """Fraction of the logits' sum of squares in the span of cos w_f(i + j - k) for key frequencies f, 0 to 1.

    One direction of the whole cube per frequency: the Fourier algorithm's exact prediction. Centring removes
    what the prediction says nothing about and only changes the denominator.
    """
    cube = _cube(cube)
    check_frequencies(list(keys), cube.shape[-1], "keys")
    explained = _cosine_products(cube)[..., [f - 1 for f in keys]].square().sum(-1)
    return explained / _norm(centred_cube(cube, centring)).square()


def logit_fve_directions(
    cube: Float[Tensor | np.ndarray, "*batch n n n"], keys: Sequence[int], centring: Centring = "inputs"
) -> Float[Tensor, "*batch"]:
    """Fraction of the logits' sum of squares in the span of cos and sin of w_f(i + j) for key frequencies f.

    Two functions of the input per frequency, with free coefficients for each answer: a weaker claim than that
    of `logit_fve_cube`, and never a smaller number under the same centring. "none" and "inputs" are the two
    conventions in use; the default leaves out each answer's bias, as a fraction of variance does.
    """
    cube = centred_cube(cube, centring)
    n = cube.shape[-1]
    components = _key_basis(keys, n, cube.device) @ sum_means(cube)
    return n * components.square().sum((-2, -1)) / _norm(cube).square()


def sum_fve(cube: Float[Tensor | np.ndarray, "*batch n n n"]) -> Float[Tensor, "*batch"]:
    """Fraction of the doubly centred logits that is a function of i + j - k: no choice of frequencies.

    It is not evidence of the algorithm by itself: it rises before test accuracy does, and a random cube has
    about 1 / n^2 of it.
    """
    cube = centred_cube(cube, "double")
    n = cube.shape[-1]
    return n**2 * orbit_means(cube).square().sum(-1) / _norm(cube).square()


def restricted_loss(
    cube: Float[Tensor | np.ndarray, "*batch n n n"], keys: Sequence[int]
) -> Float[Tensor, "*batch n n"]:
    """Loss of each input (nats) when the logits keep only their key frequencies and each answer's mean.

    "Keep" is the projection of the logits, as functions of the input, on cos and sin of w_f(i + j). All
    inputs with the same sum then have the same logits, so n rows of logits give the loss of all n^2 inputs;
    take its mean over the train inputs, the test inputs or all.
    """
    means = sum_means(cube)
    n = means.shape[-1]
    basis = _key_basis(keys, n, means.device)
    restricted = basis.T @ (basis @ means) + means.mean(-2, keepdim=True)
    t = torch.arange(n, device=means.device)
    return cross_entropy(restricted, t)[..., (t[:, None] + t) % n]


def excluded_loss(
    cube: Float[Tensor | np.ndarray, "*batch n n n"],
    keys: Sequence[int],
    mask: Bool[Tensor | np.ndarray, "n n"],
) -> Float[Tensor, "*batch"]:
    """Mean loss (nats) over the inputs in ``mask`` without the key frequencies, all taken out together.

    Taken out are the projections on cos and sin of w_f(i + j) that `restricted_loss` keeps. By convention
    ``mask`` is the training set: a network that only memorized does not need them there, one that generalized
    does.
    """
    return _excluded_loss(_cube(cube), [tuple(keys)], mask)[..., 0]


def excluded_loss_each(
    cube: Float[Tensor | np.ndarray, "*batch n n n"],
    keys: Sequence[int],
    mask: Bool[Tensor | np.ndarray, "n n"],
) -> Float[Tensor, "*batch key"]:
    """As `excluded_loss`, with one key frequency taken out at a time; in the order of ``keys``."""
    cube = _cube(cube)
    check_frequencies(list(keys), cube.shape[-1], "keys")
    return _excluded_loss(cube, [(f,) for f in keys], mask)


def _excluded_loss(cube: Tensor, key_sets: list[tuple[int, ...]], mask: Tensor | np.ndarray) -> Tensor:
    n = cube.shape[-1]
    mask = torch.as_tensor(mask, dtype=torch.bool, device=cube.device)
    if mask.shape != (n, n) or not mask.any():
        raise ValueError(
            f"mask: shape {tuple(mask.shape)} with {int(mask.sum())} inputs given, expected ({n}, {n}) "
            "with at least one input"
        )
    i, j = mask.nonzero(as_tuple=True)
    sums = (i + j) % n
    means, kept = sum_means(cube), cube[..., i, j, :]
    losses = []
    for keys in key_sets:
        basis = _key_basis(keys, n, cube.device)
        taken_out = basis.T @ (basis @ means)
        losses.append(cross_entropy(kept - taken_out[..., sums, :], sums).mean(-1))
    return torch.stack(losses, dim=-1) if losses else cube.new_zeros((*cube.shape[:-3], 0))


def _cosine_products(cube: Tensor) -> Tensor:
    """Inner products with the unit-norm cos w_f(i + j - k), f = 1..n//2, from means over its level sets."""
    n = cube.shape[-1]
    cosines = fourier_basis(n, cube.device)[1::2]
    # each level set has n^2 entries, on which a cosine of unit norm over Z_n has norm n
    return n * (orbit_means(cube) @ cosines.T)


def _key_basis(keys: Sequence[int], n: int, device: torch.device) -> Tensor:
    """Rows cos, sin of each key frequency, orthonormal on Z_n: [2 * key, n] (one row for f = n/2)."""
    check_frequencies(list(keys), n, "keys")
    basis = fourier_basis(n, device)
    return torch.cat([basis[:0], *(basis[2 * f - 1 : 2 * f + 1] for f in keys)])


def _norm(cube: Tensor) -> Tensor:
    return cube.flatten(-3).norm(dim=-1)


def _cube(cube: Tensor | np.ndarray) -> Tensor:
    cube = torch.as_tensor(cube, dtype=torch.float64)
    if cube.ndim < 3 or len(set(cube.shape[-3:])) != 1 or cube.shape[-1] < 2:
        raise ValueError(f"cube: shape {tuple(cube.shape)} given, expected [*batch, n, n, n] with n at least 2")
    return cube
