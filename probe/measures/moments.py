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

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.folds import N_FOLDS, check_shapes

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
        for fold, n in enumerate(other.count.tolist()):
            dx, dy = total._move_mean(fold, n, other.mean_x[..., fold, :], other.mean_y[fold])
            total.xx[..., fold, :, :] += other.xx[..., fold, :, :] + dx.unsqueeze(-1) * dx.unsqueeze(-2)
            total.xy[..., fold, :, :] += other.xy[..., fold, :, :] + dx.unsqueeze(-1) * dy
            total.yy[fold] += other.yy[fold] + dy.square()
        return total

    def _move_mean(self, fold: int, n: int, mean_x: Tensor, mean_y: Tensor) -> tuple[Tensor, Tensor]:
        """Take n examples with these means into a fold's count and means; the row that combines the products."""
        before = int(self.count[fold])
        if n == 0:
            return torch.zeros_like(mean_x), torch.zeros_like(mean_y)
        dx, dy = mean_x - self.mean_x[..., fold, :], mean_y - self.mean_y[fold]
        self.count[fold] += n
        self.mean_x[..., fold, :] += dx * (n / (before + n))
        self.mean_y[fold] += dy * (n / (before + n))
        weight = (before * n / (before + n)) ** 0.5
        return dx * weight, dy * weight


def accumulate(batches: Iterable[Batch], n_folds: int = N_FOLDS) -> Moments:
    """Moments of all batches (X, Y, fold), each of which is looked at once. The batching makes no difference.

    X is [*batch, example, unit], with any leading dimensions such as site, step and position, in any floating type; Y,
    [example, target], is the same for all of them; ``fold`` holds each example's fold, from `assign_folds` over all
    the examples. Units that are padding are to be cut off by the caller.

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
    order = fold.argsort(stable=True)
    sizes = fold.bincount(minlength=len(moments.count)).tolist()
    parts = zip(X.index_select(-2, order).split(sizes, -2), Y[order].split(sizes), strict=True)
    for f, (x, y) in enumerate(parts):
        if len(y) == 0:
            continue
        mean_x, mean_y = x.mean(-2, dtype=torch.float64), y.mean(0)
        _check_finite(mean_x, mean_y)
        dx, dy = moments._move_mean(f, len(y), mean_x, mean_y)
        rows_x, rows_y = mean_x.new_empty(*x.shape[:-2], len(y) + 1, x.shape[-1]), torch.cat([y - mean_y, dy[None]])
        torch.sub(x, mean_x.unsqueeze(-2), out=rows_x[..., :-1, :])
        rows_x[..., -1, :] = dx
        moments.xx[..., f, :, :] += rows_x.mT @ rows_x
        moments.xy[..., f, :, :] += rows_x.mT @ rows_y
        moments.yy[f] += rows_y.square().sum(0)


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


def _check_finite(mean_x: Tensor, mean_y: Tensor) -> None:
    """A mean is finite if and only if all that went into it is."""
    for field, mean, what in (("X", mean_x, "(*batch, unit)"), ("Y", mean_y, "target")):
        wrong = (~mean.isfinite()).nonzero()
        if len(wrong):
            raise ValueError(
                f"{field}: got nan or infinite values, at {what} = {wrong[0].tolist()} for one; expected finite ones"
                + (", with padding units cut off" if field == "X" else "")
            )
