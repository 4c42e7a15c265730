"""The control of every measure of a representation: the same measure on shuffled copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.measures.arrays import checked, number


@dataclass(frozen=True)
class Compared:
    """A measure beside its null: mean, and 2.5 % and 97.5 % quantiles, over the shuffled copies.

    Floats for one model, tensors for a batch.
    """

    value: Any
    null_mean: Any
    null_low: Any
    null_high: Any


def compared_with_null(
    measure: Callable[[Tensor], Any],
    representation: Float[Tensor | np.ndarray, "*batch token unit"],
    shuffle: Literal["tokens", "units"] = "tokens",
    n_shuffles: int = 200,
    seed: int = 0,
) -> Compared:
    """``measure(representation)`` beside what it gives without the structure that it is to find.

    * "tokens": tokens exchange their rows. The cloud of points is the same, which token is where is chance: for
      whatever looks at tokens (parallelograms, neighbours, circularity, similarity to another representation).
    * "units": in each unit the tokens exchange their values, apart from the other units. Each unit has the same values,
      the units have nothing to do with each other: for the shape of the cloud (effective rank, explained variance,
      intrinsic dimension), which the tokens' names do not change.

    The same permutations for every entry of a batch. ``measure`` takes the representation alone and gives a number for
    each: ``lambda X: linear_cka(X, other)``. Raises ValueError for another shuffle or fewer than 40 shuffles, too few
    for the quantiles.
    """
    X = checked(representation, "representation", "*batch token unit")
    if shuffle not in ("tokens", "units"):
        raise ValueError(f"shuffle: {shuffle!r} given, expected 'tokens' or 'units'")
    if n_shuffles < 40:
        raise ValueError(f"n_shuffles: {n_shuffles} given, expected at least 40 for quantiles of 2.5 and 97.5 %")
    value = _tensor(measure(X))
    n_tokens, n_units = X.shape[-2:]
    generator = torch.Generator().manual_seed(seed)
    null = []
    for _ in range(n_shuffles):
        order = torch.rand(n_tokens, n_units if shuffle == "units" else 1, generator=generator).argsort(0)
        null.append(_tensor(measure(X.gather(-2, order.to(X.device).expand_as(X)))))
    copies = torch.stack(null)
    low, high = copies.quantile(torch.tensor([0.025, 0.975]).to(copies), dim=0)
    return Compared(*map(number, (value, copies.mean(0), low, high)))


def _tensor(value: Any) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)
