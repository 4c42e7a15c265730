"""The directions that separate classes, from moments with one-hot targets: mass-mean and LDA.

With Y one-hot, [example, class], the moments hold the class means (mean_x + xy / count of the class) and the scatter
within classes (the total minus that of the means). How many held-out examples a direction classifies is not in them:
score the direction on the examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probe.measures.moments import Moments, Pooled, pooled


@dataclass(frozen=True)
class Discriminant:
    """``x @ coef.T + intercept``: its largest entry names the class; with two classes, positive is the second."""

    coef: Float[Tensor, "*batch row unit"]
    intercept: Float[Tensor, "*batch row"]


def class_means(moments: Moments) -> Float[Tensor, "*batch class unit"]:
    """Mean activation of each class.

    Raises ValueError if Y was not one-hot, or for a class without examples.
    """
    whole = pooled(moments)
    return _class_means(whole, _class_counts(whole))


def mass_mean(moments: Moments) -> Float[Tensor, "*batch unit"]:
    """Mean of the second class minus mean of the first: the direction in which they differ on average.

    Unlike a fitted probe it takes no account of the covariance, and it is often the direction that a model acts on
    (Marks & Tegmark 2023, arXiv 2310.06824, section 5).

    Raises ValueError if Y was not one-hot with two classes.
    """
    means = class_means(moments)
    if means.shape[-2] != 2:
        raise ValueError(f"Y: got {means.shape[-2]} classes; expected 2; `class_means` gives the means of any number")
    return means[..., 1, :] - means[..., 0, :]


def lda(moments: Moments, shrinkage: float = 0.0) -> Discriminant:
    """Linear discriminant analysis, as scikit-learn's ``LinearDiscriminantAnalysis(solver="lsqr")``; one row if binary.

    The covariance within classes is (1 - shrinkage) S + shrinkage tr(S)/d I, with S the scatter over the number of
    examples; priors are the shares of the classes. Where it is singular, the pseudo-inverse is used. With shrinkage 1
    and equal shares the direction of two classes is that of `mass_mean`.

    Raises ValueError if Y was not one-hot, for a class without examples, or a shrinkage outside 0..1.
    """
    if not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage: got {shrinkage}; expected a number from 0 to 1")
    whole = pooled(moments)
    counts = _class_counts(whole)
    means = _class_means(whole, counts)
    apart = means - whole.mean_x.unsqueeze(-2)
    covariance = (whole.xx - (apart.mT * counts) @ apart) / whole.count
    scale = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    identity = torch.eye(covariance.shape[-1], dtype=torch.float64, device=covariance.device)
    covariance = (1 - shrinkage) * covariance + shrinkage * scale * identity
    coef = means @ torch.linalg.pinv(covariance, hermitian=True)
    intercept = (counts / whole.count).log() - (coef * means).sum(-1) / 2
    if len(counts) == 2:
        coef, intercept = coef[..., 1:, :] - coef[..., :1, :], intercept[..., 1:] - intercept[..., :1]
    return Discriminant(coef, intercept)


def _class_counts(whole: Pooled) -> Float[Tensor, " class"]:
    """Examples of each class. Sums show that Y is one-hot: its rows sum to 1, and y^2 sums to what y does."""
    share = whole.mean_y
    squares = whole.yy / whole.count + share.square()
    if (squares - share).abs().max() > 1e-9 or abs(share.sum().item() - 1) > 1e-9:
        raise ValueError(
            f"Y: got targets with means {share.tolist()}; expected one-hot classes, such as "
            "torch.nn.functional.one_hot(labels)"
        )
    counts = (share * whole.count).round()
    if (counts == 0).any():
        raise ValueError(f"Y: got {counts.long().tolist()} examples by class; expected at least one of each")
    return counts


def _class_means(whole: Pooled, counts: Float[Tensor, " class"]) -> Float[Tensor, "*batch class unit"]:
    return whole.mean_x.unsqueeze(-2) + whole.xy.mT / counts.unsqueeze(-1)
