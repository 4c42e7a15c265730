"""Sums of squared weights, which weight decay pushes down: the clean-up phase of grokking shows in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

# TransformerLens names -> part of the model
_GROUPS = {
    "embedding": re.compile(r"(embed|pos_embed)\."),
    "attention": re.compile(r"blocks\.\d+\.attn\."),
    "mlp": re.compile(r"blocks\.\d+\.mlp\."),
    "unembedding": re.compile(r"unembed\."),
    "normalization": re.compile(r"(blocks\.\d+\.)?ln(1|2|_final)(_post)?\."),
}
# entries of a TransformerLens state dict that are constants, not weights
_CONSTANTS = re.compile(r"blocks\.\d+\.attn\.(mask|IGNORE|rotary_sin|rotary_cos)")


def sum_of_squares(weights: Mapping[str, Tensor | np.ndarray]) -> dict[str, float]:
    """Sum of squares of all weights and biases ("all"), and of each part of the model that has any.

    Keys: "all", "embedding" (tokens and positions), "attention", "mlp", "unembedding", "normalization". Names
    are those of TransformerLens; its constants (the causal mask and the like) are left out.

    Raises ValueError for a name that belongs to no part, so that "all" is always the sum of the parts.
    Source: Nanda et al. 2023, arXiv 2301.05217, section 5.1.
    """
    parts: dict[str, float] = {}
    for name, value in weights.items():
        if _CONSTANTS.fullmatch(name):
            continue
        group = _group_of(name)
        parts[group] = parts.get(group, 0.0) + torch.as_tensor(value).to(torch.float64).square().sum().item()
    ordered = {group: parts[group] for group in _GROUPS if group in parts}
    return {"all": sum(ordered.values())} | ordered


def _group_of(name: str) -> str:
    for group, pattern in _GROUPS.items():
        if pattern.match(name):
            return group
    raise ValueError(
        f"weights: name {name!r} given, expected a TransformerLens name such as 'embed.W_E', "
        "'pos_embed.W_pos', 'blocks.0.attn.W_Q', 'blocks.0.mlp.W_in', 'blocks.0.ln1.w' or 'unembed.W_U'"
    )
