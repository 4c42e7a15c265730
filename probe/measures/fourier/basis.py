"""The discrete Fourier basis on Z_p and what is read from it: norms, power by frequency, Gini, circles, targets.

Frequencies are k = 0 (the constant), 1, ..., p // 2, with angle w_k = 2 pi k / p. Source: Nanda et al. 2023,
arXiv 2301.05217, section 4.1 and appendix; the Gini coefficient as in Hurley & Rickard 2009, arXiv 0811.4706.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def fourier_basis(p: int, device: torch.device | str | None = None) -> Float[Tensor, "p p"]:
    """Orthonormal real Fourier basis on Z_p, one function of t = 0..p-1 per row (``F @ F.T == I``).

    Row 0 is the constant 1/sqrt(p); rows 2k-1 and 2k are cos(w_k t) and sin(w_k t) of unit norm. If p is even
    the last row, 2k-1 for k = p/2, is (-1)^t / sqrt(p) and has no sine. So ``F[2k-1 : 2k+1]`` is always
    frequency k.

    Raises ValueError if p < 2.
    """
    if p < 2:
        raise ValueError(f"p: {p} given, expected at least 2")
    row = torch.arange(p, device=device).unsqueeze(1)
    k, t = (row + 1) // 2, torch.arange(p, device=device)
    # k * t is reduced mod p as integers, so that large products lose no accuracy
    angle = (k * t % p).to(torch.float64) * (2 * torch.pi / p)
    basis = torch.where(row % 2 == 1, angle.cos(), angle.sin()) * (2 / p) ** 0.5
    basis[0] = p**-0.5
    if p % 2 == 0:
        basis[-1] *= 0.5**0.5
    return basis


@dataclass(frozen=True)
class FourierTargets:
    """The cosine and sine of each frequency at some tokens, as targets of a probe.

    Attributes:
        values: cos(w_k c), sin(w_k c), amplitude 1, frequencies in the given order.
        frequencies: k of each column: as labels they make one target of a cosine and its sine.
        names: such as "cos 14" and "sin 14".
    """

    values: Float[Tensor, "example target"]
    frequencies: tuple[int, ...]
    names: tuple[str, ...]


def fourier_targets(
    c: Int[Tensor | np.ndarray, " example"], p: int, frequencies: Sequence[int] | None = None
) -> FourierTargets:
    """Targets of a Fourier probe: what a network that computes c by rotations represents (Nanda et al. 2023).

    ``frequencies`` are all of 1..p//2 unless given. k = p/2 has a cosine only; so there are p - 1 targets for all.

    Raises ValueError for c that is not a vector of integers, or a frequency outside 1..p//2.
    """
    c = torch.as_tensor(c)
    if c.ndim != 1 or c.is_floating_point():
        raise ValueError(f"c: {c.dtype} of shape {tuple(c.shape)} given, expected integers, one per example")
    basis = fourier_basis(p, c.device)
    chosen = list(range(1, p // 2 + 1)) if frequencies is None else list(frequencies)
    check_frequencies(chosen, p, "frequencies")
    if not chosen:
        raise ValueError(f"frequencies: none given, expected one or more of 1 to {p // 2}")
    rows = [(k, row) for k in chosen for row in (2 * k - 1, 2 * k) if row < p]
    amplitude = torch.stack([basis[2 * k - 1, 0] for k, _ in rows])
    waves = basis[[row for _, row in rows]] / amplitude.unsqueeze(-1)
    names = tuple(f"{'cos' if row % 2 else 'sin'} {k}" for k, row in rows)
    return FourierTargets(waves[:, c.long() % p].T, tuple(k for k, _ in rows), names)


def fourier_norms(W: Float[Tensor | np.ndarray, "*batch p d"]) -> Float[Tensor, "*batch p"]:
    """Norm over d of each Fourier component of W along p, in the order of `fourier_basis`."""
    W = _matrix(W)
    return (fourier_basis(W.shape[-2], W.device) @ W).norm(dim=-1)


def frequency_power(W: Float[Tensor | np.ndarray, "*batch p d"]) -> Float[Tensor, "*batch frequency"]:
    """Share of W's sum of squares in each frequency; index = frequency, 0 = the constant, p // 2 + 1 of them.

    The shares sum to 1 (Parseval). A W of zeros has no spectrum: its shares are nan.
    """
    power = fourier_norms(W).square()
    n_frequencies = power.shape[-1] // 2
    # an even p lacks the sine of its last frequency: a zero in its place makes the rows pair up
    pairs = torch.nn.functional.pad(power[..., 1:], (0, 2 * n_frequencies - power.shape[-1] + 1))
    by_frequency = torch.cat([power[..., :1], pairs.unflatten(-1, (n_frequencies, 2)).sum(-1)], dim=-1)
    return by_frequency / by_frequency.sum(-1, keepdim=True)


def gini(x: Float[Tensor | np.ndarray, "*batch n"]) -> Float[Tensor, "*batch"]:
    """Gini coefficient of non-negative values, 0 (all equal) to 1 - 1/n (one of them is everything).

    ``sum((2 i - n - 1) x_i) / (n sum x)`` for x ascending, i = 1..n. All zeros give nan.
    Raises ValueError if a value is negative.
    """
    x = torch.as_tensor(x, dtype=torch.float64)
    if (x < 0).any():
        raise ValueError(f"x: {x.min().item()} given, expected values of at least 0, such as norms or shares")
    n = x.shape[-1]
    rank = torch.arange(1, n + 1, dtype=torch.float64, device=x.device)
    return ((2 * rank - n - 1) * x.sort(-1).values).sum(-1) / (n * x.sum(-1))


def circle(W: Float[Tensor | np.ndarray, "*batch p d"], k: int) -> Float[Tensor, "*batch p 2"]:
    """Coordinates of each token in the plane of W's two Fourier components of frequency k.

    The first axis is the direction of the cosine component (d-vector ``sum_t cos(w_k t) W[t]``), the second
    that of the part of the sine component orthogonal to it. So if ``W[t] = cos(w_k t) u + sin(w_k t) v`` with
    u, v orthogonal and of length r, token t lies at r (cos(w_k t), sin(w_k t)), whatever u and v are: the
    picture does not turn along a training trajectory. Nothing is centred. An axis that does not exist (k =
    p/2, d = 1, or a component that is zero or parallel to the other) gets coordinate 0.

    Raises ValueError if k is not in 1..p//2.
    """
    W = _matrix(W)
    p = W.shape[-2]
    check_frequencies([k], p, "k")
    components = fourier_basis(p, W.device)[2 * k - 1 : 2 * k + 1] @ W
    cosine, sine = components[..., 0, :], components[..., -1, :]
    first = _unit(cosine, cosine)
    second = _unit(sine - (sine * first).sum(-1, keepdim=True) * first, sine)
    return W @ torch.stack([first, second], dim=-1)


def check_frequencies(frequencies: list[int] | tuple[int, ...], n: int, field: str) -> None:
    """Raise ValueError unless they are different integers in 1..n//2."""
    for k in map(operator.index, frequencies):
        if not 1 <= k <= n // 2:
            same = min(k % n, -k % n)
            nearest = f"{k} is the same frequency as {same}" if same else "0 is the constant, not a frequency"
            raise ValueError(f"{field}: frequency {k} given, expected 1 to {n // 2} on Z_{n}; {nearest}")
    if len(set(frequencies)) != len(frequencies):
        raise ValueError(f"{field}: {list(frequencies)} given, expected each frequency once")


def _matrix(W: Tensor | np.ndarray) -> Tensor:
    W = torch.as_tensor(W, dtype=torch.float64)
    if W.ndim < 2 or W.shape[-2] < 2:
        raise ValueError(f"W: shape {tuple(W.shape)} given, expected [*batch, p, d] with p at least 2")
    return W


def _unit(vector: Tensor, scale: Tensor) -> Tensor:
    """``vector`` at unit length, or zeros where it is rounding error beside ``scale``."""
    length = vector.norm(dim=-1, keepdim=True)
    negligible = length <= 1e-9 * scale.norm(dim=-1, keepdim=True)
    return torch.where(negligible, 0.0, vector / torch.where(negligible, 1.0, length))
