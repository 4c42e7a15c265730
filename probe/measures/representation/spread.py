"""Over how many directions a representation is spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.measures.arrays import checked, number, unit_scale


def effective_rank(matrix: Float[Tensor | np.ndarray, "*batch row column"]) -> Any:
    """``exp(-sum p_i log p_i)``, p_i = s_i / sum s: 1 for rank one, the rank where the singular values s are alike.

    Of the matrix as it is given (Roy & Vetterli 2007, section 2): subtract the mean first where it is not to count.
    Raises ValueError for zeros only.
    """
    X = unit_scale(checked(matrix, "matrix", "*batch row column"), 2)
    values = torch.linalg.svdvals(_not_zero(X, "matrix"))
    share = values / values.sum(-1, keepdim=True)
    return number(torch.special.entr(share).sum(-1).exp())


def participation_ratio(representation: Float[Tensor | np.ndarray, "*batch token unit"]) -> Any:
    """``(sum v)^2 / sum v^2`` of the variances v along the principal components, 1 to min(tokens - 1, units).

    About the mean over tokens (Gao et al. 2017, "A theory of multineuronal dimensionality", equation 5). Directions
    count by their variance, in `effective_rank` by its root: it is never larger than that of the centred matrix.
    Raises ValueError where all tokens are the same.
    """
    X = unit_scale(checked(representation, "representation", "*batch token unit"), 2)
    centred = X - X.mean(-2, keepdim=True)
    variances = torch.linalg.svdvals(_not_zero(centred, "representation", X)).square()
    return number(variances.sum(-1).square() / variances.square().sum(-1))


def _not_zero(matrix: Tensor, field: str, scale: Tensor | None = None) -> Tensor:
    """The matrix, unless it is zero, or rounding error beside ``scale``."""
    bar = 0.0 if scale is None else 1e-12 * scale.flatten(-2).norm(dim=-1)
    if (matrix.flatten(-2).norm(dim=-1) <= bar).any():
        what = "zeros only" if scale is None else "the same row for every token"
        raise ValueError(f"{field}: {what} given, expected a spread over some direction")
    return matrix
