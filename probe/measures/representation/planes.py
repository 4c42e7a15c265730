"""Principal components of a representation, and the same picture at every step of a trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe.measures.arrays import checked


@dataclass(frozen=True)
class PrincipalComponents:
    """The first principal components: ``mean + coordinates @ axes`` is the representation seen in them alone.

    Attributes:
        coordinates: of each token, about the mean; not scaled to unit variance.
        axes: unit vectors, orthogonal.
        explained: share of all variance over tokens in each component, descending.
        mean: over tokens.
    """

    coordinates: Float[Tensor, "*batch token component"]
    axes: Float[Tensor, "*batch component unit"]
    explained: Float[Tensor, "*batch component"]
    mean: Float[Tensor, "*batch unit"]


def principal_components(
    representation: Float[Tensor | np.ndarray, "*batch token unit"], n_components: int = 2
) -> PrincipalComponents:
    """The directions of the largest variance over tokens. Signs: the largest entry of each axis is positive.

    Components of equal variance, as the two of a circle, are any axes of their plane: only the plane is meaningful,
    and along a trajectory it turns; see `aligned_planes`. Raises ValueError where all tokens are the same, or for more
    components than there are tokens or units.
    """
    X = checked(representation, "representation", "*batch token unit")
    n_tokens, n_units = X.shape[-2:]
    if not 1 <= n_components <= min(n_tokens, n_units):
        raise ValueError(
            f"n_components: {n_components} given, expected 1 to {min(n_tokens, n_units)} for {n_tokens} tokens "
            f"of {n_units} units"
        )
    return components_of(X, n_components, "representation")


def components_of(X: Float[Tensor, "*batch token unit"], n_components: int, field: str) -> PrincipalComponents:
    """`principal_components` of a checked representation, which an error calls ``field``."""
    mean = X.mean(-2, keepdim=True)
    left, values, axes = torch.linalg.svd(X - mean, full_matrices=False)
    total = values.square().sum(-1, keepdim=True)
    if (total.sqrt() <= 1e-12 * X.flatten(-2).norm(dim=-1).unsqueeze(-1)).any():
        raise ValueError(f"{field}: the same row for every token given, expected a spread over some direction")
    left, values, axes = left[..., :n_components], values[..., :n_components], axes[..., :n_components, :]
    sign = axes.gather(-1, axes.abs().argmax(-1, keepdim=True)).sign()
    coordinates = left * values.unsqueeze(-2) * sign.mT
    return PrincipalComponents(coordinates, axes * sign, values.square() / total, mean.squeeze(-2))


def aligned_planes(
    coordinates: Float[Tensor | np.ndarray, "*batch step token component"],
) -> Float[Tensor, "*batch step token component"]:
    """Coordinates at each step, turned and mirrored within their own plane to lie as near as can be to the step before.

    Orthogonal Procrustes in the components (Schoenemann 1966): distances and shapes are as they were, the picture
    no longer jumps where components swap, turn or change sign. The first step stays as it is. The axes are then no
    longer principal components of their own step, only the plane is theirs.
    """
    steps = checked(coordinates, "coordinates", "*batch step token component").clone()
    for i in range(1, steps.shape[-3]):
        left, _, right = torch.linalg.svd(steps[..., i, :, :].mT @ steps[..., i - 1, :, :])
        steps[..., i, :, :] = steps[..., i, :, :] @ (left @ right)
    return steps
