"""Representation quality of Liu et al. 2022 (arXiv 2205.10343, section 3.2): do equal sums make parallelograms?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.measures.arrays import checked, number

TOLERANCE = 0.01
"""Largest mean squared gap of a parallelogram that counts as closed; units have variance 1."""
BLOCK = 1 << 24
"""Numbers that are held at a time."""


def parallelogram_quality(
    embedding: Float[Tensor | np.ndarray, "*batch p d"],
    sums: Int[Tensor | np.ndarray, "p p"] | None = None,
    in_data: Bool[Tensor | np.ndarray, "p p"] | None = None,
) -> Any:
    """Share of parallelograms i + j = m + n with mean over units of ``(E_i + E_j - E_m - E_n)^2 < .01``, 0 to 1.

    Each unit is first standardized over tokens (variance with p - 1, as in the published code); a unit that is the
    same for all tokens is left out. A parallelogram is two different unordered pairs with the same sum, i = j allowed,
    counted once; all of them are looked at. Above .95 the authors call a representation structured.

    It asks for tokens on a line (or on lines in many directions), the solution of plain addition. Tokens of a circle
    do not pass: ``E_i + E_j`` has the direction of the sum and a length that depends on i - j. See
    `probe.measures.algorithm.circularity` for those. Standardizing makes it depend on the axes of the representation.
    Its null by `compared_with_null` is about 0 in many units, not so in one or two.

    Args:
        embedding: of tokens 0..p-1.
        sums: the answer to each pair, a symmetric table; None: i + j, without wrap-around, as in the paper. For
            addition mod p: ``(i + j) % p``.
        in_data: pairs that count, in either order: parallelograms need both of their pairs; None: all.

    Raises ValueError where no two pairs have the same sum, for tables that do not fit, or tokens that are all the same.
    """
    E = checked(embedding, "embedding", "*batch p d")
    classes = _pairs_by_sum(E.shape[-2], sums, in_data)
    scaled, n_units = _standardized(E)
    closed = E.new_zeros(E.shape[:-2])
    largest = max(E.shape[-1], len(classes[-1])) * len(classes[-1]) * max(1, E[..., 0, 0].numel())
    step = max(1, BLOCK // largest)
    for start in range(0, len(classes), step):
        closed += _closed(scaled, n_units, classes[start : start + step])
    return number(closed / sum(len(pairs) * (len(pairs) - 1) // 2 for pairs in classes))


def _closed(scaled: Tensor, n_units: Tensor, classes: list[Tensor]) -> Float[Tensor, "*batch"]:
    """How many parallelograms close among pairs of the same sum."""
    pairs = torch.nn.utils.rnn.pad_sequence(classes, batch_first=True, padding_value=-1)
    total = scaled[..., pairs[..., 0], :] + scaled[..., pairs[..., 1], :]
    square = total.square().sum(-1)
    gap = square.unsqueeze(-1) + square.unsqueeze(-2) - 2 * total @ total.mT
    once = torch.ones(gap.shape[-2:], dtype=torch.bool, device=gap.device).triu(1)
    counted = once & (pairs[..., 0] >= 0).unsqueeze(-2).to(gap.device)  # padding is last, so also in second place
    return (counted & (gap < TOLERANCE * n_units[..., None, None, None])).sum((-3, -2, -1), dtype=torch.float64)


def _standardized(E: Tensor) -> tuple[Float[Tensor, "*batch p d"], Float[Tensor, "*batch"]]:
    """Units of mean 0 and variance 1 over tokens, or 0 where there is none; and the number of units that vary."""
    centred = E - E.mean(-2, keepdim=True)
    spread = centred.square().sum(-2, keepdim=True).div(max(1, E.shape[-2] - 1)).sqrt()
    varies = spread > 1e-12 * E.abs().amax(-2, keepdim=True)
    n_units = varies.sum((-2, -1)).to(torch.float64)
    if (n_units == 0).any():
        raise ValueError("embedding: the same row for every token given, expected rows that differ")
    return torch.where(varies, centred / torch.where(varies, spread, 1.0), 0.0), n_units


def _pairs_by_sum(p: int, sums: Any, in_data: Any) -> list[Int[Tensor, "pair 2"]]:
    """Unordered pairs of each sum that has two or more, the sums of fewest pairs first."""
    t = torch.arange(p)
    table = t[:, None] + t if sums is None else _table(sums, "sums", p)
    if table.is_floating_point() or not torch.equal(table, table.mT):
        raise ValueError("sums: a table not symmetric or not of integers given, expected sums[i, j] == sums[j, i]")
    counts = torch.ones(p, p, dtype=torch.bool) if in_data is None else _table(in_data, "in_data", p)
    if counts.dtype != torch.bool:
        raise ValueError(f"in_data: {counts.dtype} given, expected booleans")
    pairs = ((counts | counts.mT).triu()).nonzero()
    answer = table[pairs[:, 0], pairs[:, 1]]
    sizes = answer.unique(return_counts=True)[1].tolist()
    classes = sorted(pairs[answer.argsort(stable=True)].split(sizes), key=len)
    classes = [pairs for pairs in classes if len(pairs) > 1]
    if not classes:
        raise ValueError("sums: no two pairs with the same sum given, expected at least one parallelogram")
    return classes


def _table(table: Any, field: str, p: int) -> Tensor:
    found = torch.as_tensor(table).cpu()
    if found.shape != (p, p):
        raise ValueError(f"{field}: shape {tuple(found.shape)} given, expected ({p}, {p})")
    return found
