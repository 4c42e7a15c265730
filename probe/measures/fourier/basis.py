"""The orthonormal real Fourier basis on Z_p, and its functions as targets of a probe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import SupportsIndex

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.arrays import integers


def fourier_basis(p: int, device: torch.device | str | None = None) -> Float[Tensor, "p p"]:
    """Orthonormal real Fourier basis on Z_p, one function of t = 0..p-1 per row (``F @ F.T == I``).

    Row 0 is the constant 1/sqrt(p); rows 2k-1 and 2k are cos(w_k t) and sin(w_k t) of unit norm. If p is even
    the last row, 2k-1 for k = p/2, is (-1)^t / sqrt(p) and has no sine. So ``F[2k-1 : 2k+1]`` is always
    frequency k.

    Raises ValueError if p is no whole number of at least 2.
    """
    (p,) = integers([p], "p")
    if p < 2:
        raise ValueError(f"p: {p} given, expected at least 2")
    return _basis(p, torch.device(device or "cpu")).clone()


@cache
def _basis(p: int, device: torch.device) -> Float[Tensor, "p p"]:
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
    chosen = read_frequencies(range(1, p // 2 + 1) if frequencies is None else frequencies, p)
    if not chosen:
        raise ValueError(f"frequencies: none given, expected one or more of 1 to {p // 2}")
    rows = [(k, row) for k in chosen for row in (2 * k - 1, 2 * k) if row < p]
    amplitude = torch.stack([basis[2 * k - 1, 0] for k, _ in rows])
    waves = basis[[row for _, row in rows]] / amplitude.unsqueeze(-1)
    names = tuple(f"{'cos' if row % 2 else 'sin'} {k}" for k, row in rows)
    return FourierTargets(waves[:, c.long() % p].T, tuple(k for k, _ in rows), names)


def read_frequencies(frequencies: Iterable[SupportsIndex], n: int, field: str = "frequencies") -> list[int]:
    """Frequencies on Z_n, given in any form that `probe.measures.arrays.integers` takes, as ints.

    Raises ValueError, naming ``field``, unless they are different integers in 1..n//2.
    """
    chosen = integers(frequencies, field)
    for k in chosen:
        if not 1 <= k <= n // 2:
            same = min(k % n, -k % n)
            nearest = f"{k} is the same frequency as {same}" if same else "0 is the constant, not a frequency"
            raise ValueError(f"{field}: frequency {k} given, expected 1 to {n // 2} on Z_{n}; {nearest}")
    return chosen
