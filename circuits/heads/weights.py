"""Weights of heads, with what LayerNorm or RMSNorm does to all tokens alike folded in.

A normalized input is (x - mean of x) / scale * w + b, without the mean and b for RMSNorm. The weight w and taking away
the mean are linear, so they are part of what a head reads by: W becomes (1 - 11^T / d_model) diag(w) W. The scale is a
number of each token, and the shift b adds the same to all tokens: both are left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

_NORM_WITHIN = re.compile(r"blocks\.\d+\.(ln1_post|attn\.[qk]_(norm|layernorm))\.")


@dataclass(frozen=True)
class HeadWeights:
    """Weights of all query heads, in float64; heads that share keys and values have each their copy.

    Attributes:
        W_Q, W_K, W_V: [layer, head, d_model, d_head], the normalization before them folded in.
        W_O: [layer, head, d_head, d_model].
    """

    W_Q: Float[Tensor, "layer head d_model d_head"]
    W_K: Float[Tensor, "layer head d_model d_head"]
    W_V: Float[Tensor, "layer head d_model d_head"]
    W_O: Float[Tensor, "layer head d_head d_model"]


def head_weights(model: "HookedModel", weights: Mapping[str, Tensor]) -> HeadWeights:
    """Of a model, from its weights by name.

    Raises:
        ValueError: queries and keys, or what heads write, are normalized, so that no fixed matrix is a head's circuit.
    """
    cfg = model.cfg
    for site in model.hook_dict:
        if _NORM_WITHIN.match(site):
            raise ValueError(
                f"model: it has {site}, a norm of queries, of keys or of what attention writes; expected heads that are"
                " products of fixed matrices"
            )

    def stacked(name: str) -> Tensor:
        layers = []
        for layer in range(cfg.n_layers):
            matrix = weights[f"blocks.{layer}.attn.{name}"].double()
            layers.append(matrix if name == "W_O" else read_through(model, weights, f"blocks.{layer}.ln1", matrix))
        return torch.stack(layers)

    return HeadWeights(*map(stacked, ("W_Q", "W_K", "W_V", "W_O")))


def read_through(
    model: "HookedModel", weights: Mapping[str, Tensor], norm: str, matrix: Float[Tensor, "*batch d_model n"]
) -> Float[Tensor, "*batch d_model n"]:
    """A matrix that reads what a normalization gives, as one that reads what it is given."""
    weight = norm_weight(model, weights, norm)
    if weight is not None:
        matrix = weight.to(matrix)[:, None] * matrix
    return matrix - matrix.mean(-2, keepdim=True) if is_centred(model) else matrix


def norm_weight(model: "HookedModel", weights: Mapping[str, Tensor], norm: str) -> Float[Tensor, " d_model"] | None:
    """What a normalization multiplies by; None where there is none, or it has no weight."""
    weight = weights.get(f"{norm}.w")
    return weight + 1 if weight is not None and getattr(model.cfg, "rmsnorm_uses_offset", False) else weight


def is_centred(model: "HookedModel") -> bool:
    """Whether normalization takes away the mean: LayerNorm does, RMSNorm and none do not."""
    return str(model.cfg.normalization_type).startswith("LN")
