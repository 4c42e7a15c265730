"""Weights as one vector, so that samplers and eigensolvers need not know what a model is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Weights = Tensor | Mapping[str, Tensor]


@dataclass(frozen=True)
class FlatWeights:
    """``vector`` holds all weights; `restore` gives any vector of that length the form the weights came in."""

    vector: Float[Tensor, " weight"]
    shapes: dict[str | None, torch.Size]  # the one name of a single tensor is None
    dtypes: dict[str | None, torch.dtype]

    def restore(self, vector: Float[Tensor, " weight"]) -> Any:
        pieces = vector.split([shape.numel() for shape in self.shapes.values()])
        restored = {
            name: piece.reshape(shape).to(self.dtypes[name])
            for piece, (name, shape) in zip(pieces, self.shapes.items(), strict=True)
        }
        return restored.get(None, restored)


def flatten(weights: Weights) -> FlatWeights:
    """Raises ValueError for no weights at all, weights that are not floating-point tensors, nan or infinity."""
    if not isinstance(weights, Tensor | Mapping):
        given = type(weights).__name__
        raise ValueError(f"weights: {given} given, expected a floating-point tensor, or several by name")
    named: dict[str | None, Tensor] = {}
    named.update([(None, weights)] if isinstance(weights, Tensor) else weights.items())
    for name, value in named.items():
        label = "weights" if name is None else f"weights[{name!r}]"
        if not isinstance(value, Tensor) or not value.is_floating_point():
            given = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{label}: {given} given, expected a floating-point tensor")
        if not value.isfinite().all():
            raise ValueError(f"{label}: nan or infinity given, expected finite numbers")
    if not sum(value.numel() for value in named.values()):
        raise ValueError("weights: none given, expected at least one number")
    return FlatWeights(
        vector=torch.cat([value.detach().flatten() for value in named.values()]),
        shapes={name: value.shape for name, value in named.items()},
        dtypes={name: value.dtype for name, value in named.items()},
    )


def checked_loss(
    loss_fn: Callable[[Float[Tensor, " weight"]], Any], vector: Float[Tensor, " weight"]
) -> Float[Tensor, ""]:
    """The loss at the weights themselves: one finite number that depends on them, else ValueError."""
    with torch.enable_grad():
        vector = vector.detach().requires_grad_()
        loss = loss_fn(vector)
    if not isinstance(loss, Tensor) or loss.ndim:
        given = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss_fn: {given} given, expected a tensor of one number, the mean loss")
    if not loss.isfinite():
        raise ValueError(f"loss_fn: {loss.item()} given at the weights, expected a finite loss")
    if not loss.requires_grad or torch.autograd.grad(loss, vector, allow_unused=True)[0] is None:
        raise ValueError("loss_fn: the loss has no gradient, expected it to be computed from the weights given")
    return loss.detach()
