"""Sums over examples, kept instead of them: exact, in one pass, in float64.

What is reduced are samples: the examples at each kept position (``over="example"``), or the examples and positions
alike (``over="position"``). Where an example has no such position there is no sample. A number that is ``nan`` itself,
as of a model that diverged, is one: it makes the mean ``nan``, and is the largest of all.
"""

import math
import re
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe.activations.layout import Layout

REDUCTIONS = ("mean", "covariance", "gram", "top-K")
OVER = ("example", "position")

Reduced = dict[str, tuple[tuple[str, ...], np.ndarray]]
"""By suffix of the site's name ("" for the site itself): dimensions and values."""


class Reduction(Protocol):
    """Accumulates batches of samples of one site."""

    def add(
        self, samples: Float[Tensor, "sample place ..."], present: Bool[Tensor, "sample place ..."], first: int
    ) -> None:
        """Samples at each place, which of them there are, and the number of the first of them."""

    def result(self, layout: Layout) -> Reduced:
        """What was accumulated; the dimensions of a place come before those of the layout."""


def reduction(name: str) -> Reduction:
    """
    Raises:
        ValueError: there is no such reduction.
    """
    if name in ("mean", "covariance", "gram"):
        return _Moments(name)
    if isinstance(name, str) and (match := re.fullmatch(r"top-([1-9]\d*)", name)):
        return _Top(int(match[1]))
    raise ValueError(f"reduce: got {name!r}; expected one of {', '.join(REDUCTIONS)}, such as 'top-10'")


def check_reduction(name: str, layouts: Mapping[str, Layout]) -> None:
    """
    Raises:
        ValueError: the reduction has no meaning for a site.
    """
    for site, layout in layouts.items():
        if layout.dims[-1] == "key" and name != "mean":
            raise ValueError(f"reduce: {name!r} of {site} has no meaning: its keys are positions; expected 'mean'")


def bytes_reduced(name: str, layout: Layout) -> int:
    """Bytes that a reduction of one site takes, at one place."""
    size = math.prod(layout.shape)
    if name == "mean":
        return 8 * size
    return 8 * size * layout.shape[-1] if name in ("covariance", "gram") else 20 * size * int(name.partition("-")[2])


class _Moments:
    """Count, mean, and the second moment about it, merged batch by batch (Chan, Golub & LeVeque 1983)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count: Tensor | None = None  # of samples, [place, (1,) 1], or of keys [place, 1, key]
        self.mean: Tensor | None = None
        self.second: Tensor | None = None  # sum of products of deviations from the mean

    def add(self, samples: Tensor, present: Tensor, first: int) -> None:
        x = samples.double()
        count = present.sum(0, dtype=torch.float64)
        mean = x.where(present, 0).sum(0) / count.clamp(min=1)
        deviations = (x - mean).where(present, 0)
        second = None if self.name == "mean" else torch.einsum("s...u,s...v->...uv", deviations, deviations)
        if self.count is None or self.mean is None:
            self.count, self.mean, self.second = count, mean, second
            return
        total = self.count + count
        between = mean - self.mean
        share = count / total.clamp(min=1)
        if second is not None:
            assert self.second is not None
            weight = (self.count * share)[..., None]
            self.second = self.second + second + weight * between[..., :, None] * between[..., None, :]
        self.mean = self.mean + between * share
        self.count = total

    def result(self, layout: Layout) -> Reduced:
        assert self.count is not None
        assert self.mean is not None
        nothing = self.count == 0
        mean = self.mean.masked_fill(nothing, torch.nan)
        found: Reduced = {"": (layout.dims, mean.cpu().numpy())}
        if self.second is not None:
            if self.name == "gram":
                outer = self.mean[..., :, None] * self.mean[..., None, :]
                second = self.second + self.count[..., None] * outer
            else:
                second = self.second / self.count[..., None]  # 0 / 0 is nan: of no samples there is none
            last = layout.dims[-1]
            found = {
                "": ((*layout.dims, f"{last}_2"), second.cpu().numpy()),
                ".mean": (layout.dims, mean.cpu().numpy()),
            }
        # How many samples there are does not depend on head and unit, but on the key: short examples have fewer.
        dims = layout.dims[-1:] if layout.dims[-1] == "key" else ()
        count = self.count[:, 0] if dims else self.count.flatten(1)[:, 0]
        return found | {".count": (dims, count.long().cpu().numpy())}


class _Top:
    """The largest values of each unit, and of which samples they are; of equal ones, those of earlier samples."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.values: Tensor | None = None
        self.samples: Tensor | None = None

    def add(self, samples: Tensor, present: Tensor, first: int) -> None:
        values = samples.float().masked_fill(~present, -torch.inf)
        numbers = torch.arange(first, first + len(values), device=values.device)
        numbers = numbers.reshape(-1, *[1] * (values.ndim - 1)).expand_as(values)
        numbers = numbers.where(present, -1)
        if self.values is not None and self.samples is not None:
            values, numbers = torch.cat([self.values, values]), torch.cat([self.samples, numbers])
        order = values.sort(dim=0, descending=True, stable=True).indices[: self.k]
        self.values, self.samples = values.gather(0, order), numbers.gather(0, order)

    def result(self, layout: Layout) -> Reduced:
        assert self.values is not None
        assert self.samples is not None
        values = self.values.masked_fill(self.samples < 0, torch.nan)
        places_first = [tensor.movedim(0, 1).cpu().numpy() for tensor in (values, self.samples)]
        dims = ("rank", *layout.dims)
        return {"": (dims, places_first[0]), ".sample": (dims, places_first[1])}
