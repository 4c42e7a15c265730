"""Means and products of activations and targets, accumulated batch by batch: all that least squares needs.

For each fold: the number of examples, the means of X and Y, and the sums of products about those means. Memory is
that of [fold, unit, unit + target] numbers per entry, however many examples pass by. Sums of different examples
combine exactly: adding examples B to A adds B's products about its own means, and one row more,

    sqrt(n_A n_B / (n_A + n_B)) (mean_B - mean_A)

(Chan, Golub & LeVeque 1983, The American Statistician 37, 242). Squares of means are never subtracted, so that means
much larger than the spread do little harm. Products are float64: in float32 they take half the time, about 5 % of the
whole of a ridge fit, and coefficients were off by 2e-3 where spreads of directions differ by 1e3, by 5e-2 at 1e4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.folds import N_FOLDS, check_shapes

BLOCK = 1 << 18
"""Numbers of a batch that are worked on at a time."""

Batch = tuple[
    Float[Tensor | np.ndarray, "*batch example unit"],
    Float[Tensor | np.ndarray, "example target"],
    Int[Tensor | np.ndarray, " example"],
]


@dataclass(frozen=True)
class Moments:
    """Means, and sums of products about them, of each fold. ``a + b`` is that of the examples of both.

    Attributes:
        count: examples.
        mean_x, mean_y: means of the units and of the targets; 0 in a fold without examples.
        xx, xy: sums over examples of (x - mean_x)(x - mean_x)' and (x - mean_x)(y - mean_y)'.
        yy: sums over examples of (y - mean_y)^2.
    """

    count: Int[Tensor, " fold"]
    mean_x: Float[Tensor, "*batch fold unit"]
    mean_y: Float[Tensor, "fold target"]
    xx: Float[Tensor, "*batch fold unit unit"]
    xy: Float[Tensor, "*batch fold unit target"]
    yy: Float[Tensor, "fold target"]

    def __add__(self, other: Moments) -> Moments:
        """Moments of the examples of both. Raises ValueError if they do not have the same shapes."""
        shapes = [(tuple(m.xy.shape[:-3]), *m.xy.shape[-3:]) for m in (self, other)]
        if shapes[0] != shapes[1]:
            names = "(batch, folds, units, targets)"
            raise ValueError(f"moments: got {names} {shapes[1]} beside {shapes[0]}; expected the same")
        total = Moments(*(getattr(self, field.name).clone() for field in fields(self)))
        for fold, (before, n) in enumerate(zip(self.count.tolist(), other.count.tolist(), strict=True)):
            if n == 0:
                continue
            dx = _move_mean(total.mean_x[..., fold, :], before, other.mean_x[..., fold, :], n)
            dy = _move_mean(total.mean_y[fold], before, other.mean_y[fold], n)
            total.count[fold] += n
            total.xx[..., fold, :, :] += other.xx[..., fold, :, :] + dx.unsqueeze(-1) * dx.unsqueeze(-2)
            total.xy[..., fold, :, :] += other.xy[..., fold, :, :] + dx.unsqueeze(-1) * dy
            total.yy[fold] += other.yy[fold] + dy.square()
        return total


def accumulate(batches: Iterable[Batch], n_folds: int = N_FOLDS) -> Moments:
    """Moments of all batches (X, Y, fold), each of which is looked at once. The batching makes no difference.

    X is [*batch, example, unit], with any leading dimensions such as site, step and position, in any floating type; Y,
    [example, target], is the same for all of them; ``fold`` holds each example's fold, from `assign_folds` over all
    the examples. Units that are padding are to be cut off by the caller. Batches of a few hundred examples or more are
    fastest.

    Raises ValueError for shapes that do not fit, nan or infinite values, a fold out of range, or no batch.
    """
    moments = None
    for X, Y, fold in batches:
        X = torch.as_tensor(X).detach()
        Y, fold = (torch.as_tensor(x, device=X.device).detach() for x in (Y, fold))
        _check(X, Y, fold, n_folds, moments)
        if moments is None:
            moments = _zeros(X, Y, n_folds)
        _take_in(moments, X, Y.double(), fold)
    if moments is None:
        raise ValueError("batches: got none; expected at least one (X, Y, fold)")
    return moments


@dataclass(frozen=True)
class Pooled:
    """The moments of all folds together."""

    count: int
    mean_x: Float[Tensor, "*batch unit"]
    mean_y: Float[Tensor, " target"]
    xx: Float[Tensor, "*batch unit unit"]
    xy: Float[Tensor, "*batch unit target"]
    yy: Float[Tensor, " target"]


def pooled(moments: Moments) -> Pooled:
    """All folds together."""
    count = moments.count.double().unsqueeze(-1)  # a quotient of integers would be float32
    share = count / count.sum()
    mean_x = (share * moments.mean_x).sum(-2)
    mean_y = (share * moments.mean_y).sum(-2)
    dx, dy = moments.mean_x - mean_x.unsqueeze(-2), moments.mean_y - mean_y
    weighted = (count * dx).mT
    return Pooled(
        int(moments.count.sum()),
        mean_x,
        mean_y,
        moments.xx.sum(-3) + weighted @ dx,
        moments.xy.sum(-3) + weighted @ dy,
        moments.yy.sum(-2) + (count * dy.square()).sum(-2),
    )


def training_mean_error(moments: Moments) -> Float[Tensor, "fold target"]:
    """Squared error on each fold of the mean of the other folds; exactly 0 for a target that is constant."""
    whole, count = pooled(moments), moments.count.double().unsqueeze(-1)
    distance = (moments.mean_y - whole.mean_y) * whole.count / (whole.count - count)
    varies = whole.yy > whole.count * (1e-12 * whole.mean_y).square()  # beyond the rounding of the mean
    return torch.where(varies, moments.yy + count * distance.square(), 0.0)


def _zeros(X: Tensor, Y: Tensor, n_folds: int) -> Moments:
    batch, n_units, n_targets = X.shape[:-2], X.shape[-1], Y.shape[-1]

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=X.device)

    return Moments(
        torch.zeros(n_folds, dtype=torch.int64, device=X.device),
        zeros(*batch, n_folds, n_units),
        zeros(n_folds, n_targets),
        zeros(*batch, n_folds, n_units, n_units),
        zeros(*batch, n_folds, n_units, n_targets),
        zeros(n_folds, n_targets),
    )


def _take_in(moments: Moments, X: Tensor, Y: Tensor, fold: Tensor) -> None:
    """Add a batch to the moments in place."""
    batch = X.shape[:-2]
    n_entries = math.prod(batch)
    X = X.reshape(n_entries, *X.shape[-2:])
    # views, all entries along one dimension
    mean_x, xx, xy = (m.view(n_entries, *m.shape[len(batch) :]) for m in (moments.mean_x, moments.xx, moments.xy))
    of_fold = fold.argsort(stable=True).split(fold.bincount(minlength=len(moments.count)).tolist())
    for f, (examples, before) in enumerate(zip(of_fold, moments.count.tolist(), strict=True)):
        n = len(examples)
        if n == 0:
            continue
        y = Y[examples]
        mean = y.mean(0)
        _check_finite(mean, "Y", "target", ())
        y = torch.cat([y - mean, _move_mean(moments.mean_y[f], before, mean, n).unsqueeze(0)])
        moments.count[f] += n
        moments.yy[f] += y.square().sum(0)
        for at in _blocks(n_entries, n * X.shape[-1]):
            given = X[at].index_select(1, examples)
            means = given.mean(1, dtype=torch.float64)
            _check_finite(means, "X", "(*batch, unit)", batch, at.start)
            x = means.new_empty(len(given), n + 1, X.shape[-1])
            torch.sub(given, means.unsqueeze(1), out=x[:, :-1])
            x[:, -1] = _move_mean(mean_x[at, f], before, means, n)
            xx[at, f].baddbmm_(x.mT, x)
            xy[at, f].baddbmm_(x.mT, y.expand(len(x), -1, -1))


def _move_mean(mean: Tensor, before: int, other: Tensor, n: int) -> Tensor:
    """Move the mean of ``before`` examples in place, to take in n with another mean; the row that combines products."""
    apart = other - mean
    mean += apart * (n / (before + n))
    return apart * (before * n / (before + n)) ** 0.5


def _blocks(n_entries: int, size: int) -> Iterator[slice]:
    """Entries a few at a time, so that what is computed of each is still in the cache when it is used."""
    step = max(1, BLOCK // max(1, size))
    return (slice(i, i + step) for i in range(0, n_entries, step))


def _check(X: Tensor, Y: Tensor, fold: Tensor, n_folds: int, like: Moments | None) -> None:
    check_shapes(X, Y, fold)
    outside = fold[(fold < 0) | (fold >= n_folds)]
    if len(outside):
        raise ValueError(f"fold: got {int(outside[0])}; expected 0 to {n_folds - 1}, since n_folds is {n_folds}")
    if like is not None:
        first = (*like.mean_x.shape[:-2], like.mean_x.shape[-1]), like.mean_y.shape[-1]
        now = (*X.shape[:-2], X.shape[-1]), Y.shape[-1]
        if first != now:
            raise ValueError(
                f"batches: got X with (*batch, unit) = {now[0]} and {now[1]} targets after one with "
                f"{first[0]} and {first[1]}; expected them to differ in the number of examples only"
            )


def _check_finite(mean: Tensor, field: str, names: str, batch: tuple[int, ...], first: int = 0) -> None:
    """A mean is finite if and only if all that went into it is. ``first`` is the number of the first entry."""
    wrong = (~mean.isfinite()).nonzero()
    if len(wrong):
        *entry, last = wrong[0].tolist()
        where = [*(int(i) for i in np.unravel_index(entry[0] + first, batch)), last] if batch else [last]
        raise ValueError(
            f"{field}: got nan or infinite values, at {names} = {where} for one; expected finite ones"
            + (", with padding units cut off" if field == "X" else "")
        )
