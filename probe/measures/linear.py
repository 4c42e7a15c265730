"""Ridge regression for every entry (site, position, step, ...) and every target at once, from moments alone.

1. The moments of the training folds are those of all examples without those of the held-out fold.
2. One eigendecomposition per entry and fold, V diag(l) V', serves all alphas and targets: coef = V (V'c / (l + alpha)),
   c the products of units and target.
3. The held-out fold's squared error follows from its own moments: sum y^2 - 2 coef'(sum x y) + coef'(sum x x') coef,
   all about the training means.

So activations are read once, and neither the memory nor the time after that depends on the number of examples.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.folds import HeldOut, at_setting, label_index, select_setting
from probe.measures.moments import Moments, pooled, training_mean_error

RELATIVE_ALPHAS = tuple(10.0**k for k in range(-7, 4))


@dataclass(frozen=True)
class RidgeProbes:
    """Ridge regressions fitted on all examples, and the errors on held-out ones of those fitted on the others.

    Attributes:
        coef, intercept: of ``prediction = x @ coef.T + intercept``.
        alpha: the chosen penalties.
        held_out: squared errors beside those of the training mean; ``held_out.score()`` is R2.
    """

    coef: Float[Tensor, "*batch target unit"]
    intercept: Float[Tensor, "*batch target"]
    alpha: Float[Tensor, "*batch target"]
    held_out: HeldOut


def ridge(
    moments: Moments,
    alphas: Sequence[float] | Float[Tensor | np.ndarray, "*batch alpha"] | None = None,
    alpha_groups: Sequence[Hashable] | None = None,
) -> RidgeProbes:
    """Minimize ``||y - x coef - intercept||^2 + alpha ||coef||^2`` as scikit-learn's Ridge does; cross-validate alpha.

    R2 is 1 - (squared error) / (squared error of the mean of the training folds), over held-out examples: 0 is as
    good as not looking at X. (About the held-out fold's own mean, which a prediction cannot know, the best constant
    would be negative.) The alpha of ``coef`` is the best over all folds; each fold is scored at the alpha that is
    best on the others (see `select_setting`), so that targets of noise have no R2 above 0 on average. A constant
    target has R2 nan. Fewer examples than units are fine, and so are units that are constant or equal.

    Args:
        moments: with examples in every fold.
        alphas: penalties to choose from, the same for all entries or those of each; None: `relative_alphas`.
        alpha_groups: a label per target. Targets with the same label share an alpha, the one with the least sum of
            squared errors. None: all do. ``range(n_targets)``: each has its own.

    Raises ValueError for a fold without examples, or an alpha that is not positive: without penalty the answer is
    not unique when units are collinear, and a small one (1e-7 of the mean eigenvalue, say) differs in nothing else.
    """
    count = moments.count
    if (count == 0).any():
        raise ValueError(f"moments: got {count.tolist()} examples by fold; expected at least one in each")
    batch, n_targets = moments.xy.shape[:-3], moments.xy.shape[-1]
    grid = _grid(relative_alphas(moments) if alphas is None else alphas, moments)
    labels = [0] * n_targets if alpha_groups is None else alpha_groups
    group = label_index(labels, n_targets, "alpha_groups").to(count.device)

    def entries(tensor: Tensor) -> Tensor:
        return tensor.reshape(-1, *tensor.shape[len(batch) :])

    solved = [
        _ridge_of_entry(Moments(count, mean_x, moments.mean_y, xx, xy, moments.yy), alphas_of_entry, group)
        for mean_x, xx, xy, alphas_of_entry in zip(
            *map(entries, (moments.mean_x, moments.xx, moments.xy, grid)), strict=True
        )
    ]
    coef, intercept, alpha, error = (torch.stack(x).reshape(*batch, *x[0].shape) for x in zip(*solved, strict=True))
    return RidgeProbes(coef, intercept, alpha, HeldOut(error, training_mean_error(moments).expand_as(error), count))


def relative_alphas(moments: Moments, factors: Sequence[float] = RELATIVE_ALPHAS) -> Float[Tensor, "*batch alpha"]:
    """Penalties in units of the mean eigenvalue of an entry's centred Gram matrix: 1e-7 to 1e3 of it by default.

    They mean the same at every site and step, whatever the scale of the activations and the number of examples, which
    a fixed grid would not. For an entry whose units are all constant they are the factors themselves.
    """
    eigenvalue = pooled(moments).xx.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True)
    return torch.where(eigenvalue > 0, eigenvalue, 1.0) * torch.tensor(factors, dtype=torch.float64).to(eigenvalue)


def _ridge_of_entry(
    moments: Moments, alphas: Float[Tensor, " alpha"], group: Int[Tensor, " target"]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Coefficients, intercept and alpha of each target, and its squared error in each fold."""
    whole = pooled(moments)
    dx, dy = moments.mean_x - whole.mean_x, moments.mean_y - whole.mean_y
    train_xx, test_xx = _training_and_held_out(moments.count, moments.xx, whole.xx, dx, dx)
    train_xy, test_xy = _training_and_held_out(moments.count, moments.xy, whole.xy, dx, dy)
    test_yy = training_mean_error(moments)

    # index 0 is the fit on all examples
    values, vectors = torch.linalg.eigh(torch.cat([whole.xx.unsqueeze(0), train_xx]))
    # eigenvalues that are rounding errors, of either sign: those directions get no coefficient, whatever the alpha
    rounding = values.shape[-1] * torch.finfo(torch.float64).eps * values[:, -1:]
    values = torch.where(values > rounding, values, torch.inf).unsqueeze(-1)
    projected = vectors.mT @ torch.cat([whole.xy.unsqueeze(0), train_xy])

    test_xx = vectors[1:].mT @ test_xx @ vectors[1:]
    test_xy = vectors[1:].mT @ test_xy
    error = test_xx.new_empty(len(alphas), *test_yy.shape)
    for i, alpha in enumerate(alphas):
        coef = projected[1:] / (values[1:] + alpha)
        error[i] = test_yy + (coef * torch.baddbmm(test_xy, test_xx, coef, beta=-2)).sum(-2)
    error.clamp_(min=0)  # of a perfect fit it is rounding error of either sign

    best, elsewhere = select_setting(error, group)
    coef = (vectors[0] @ (projected[0] / (values[0] + alphas[best]))).mT
    return coef, whole.mean_y - coef @ whole.mean_x, alphas[best], at_setting(error, elsewhere)


def _training_and_held_out(
    count: Tensor,
    within: Float[Tensor, "fold unit other"],
    whole: Float[Tensor, "unit other"],
    dx: Float[Tensor, "fold unit"],
    dother: Float[Tensor, "fold other"],
) -> tuple[Float[Tensor, "fold unit other"], Float[Tensor, "fold unit other"]]:
    """Sums of products over the examples outside each fold and inside it, both about the mean of those outside.

    ``dx`` and ``dother`` are the fold's means minus those of all examples; from the mean of those outside they are
    n / n_train times as far.
    """
    count = count.double()[:, None, None]
    n, n_train = count.sum(), count.sum() - count
    between = dx.unsqueeze(-1) * dother.unsqueeze(-2) * (count * n / n_train)
    return whole - within - between, within + between * (n / n_train)


def _grid(
    alphas: Sequence[float] | Float[Tensor | np.ndarray, "*batch alpha"], moments: Moments
) -> Float[Tensor, "*batch alpha"]:
    """Penalties of each entry."""
    grid = torch.as_tensor(alphas, dtype=torch.float64, device=moments.xx.device)
    batch = moments.xx.shape[:-3]
    if grid.ndim == 0 or grid.shape[-1] == 0 or grid.shape[:-1] not in ((), batch):
        expected = f"[alpha] or [{', '.join(map(str, batch))}, alpha]" if batch else "[alpha]"
        raise ValueError(f"alphas: got shape {tuple(grid.shape)}; expected {expected}, at least one alpha")
    wrong = grid[~(grid > 0) | grid.isinf()]
    if len(wrong):
        raise ValueError(f"alphas: got {wrong[0].item()}; expected positive numbers")
    return grid.expand(*batch, grid.shape[-1])
