"""State dicts as other programs write them, made from weights of ours a head at a time."""

from collections.abc import Mapping

import torch
from torch import Tensor

from probe.suites.architecture import Architecture


def transformerlens(arch: Architecture, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As TransformerLens 2 saves it, with its buffers."""
    found = {name: weight.clone() for name, weight in weights.items()}
    for layer in range(arch.n_layers):
        found[f"blocks.{layer}.attn.mask"] = torch.ones(arch.n_ctx, arch.n_ctx).tril().bool()
        found[f"blocks.{layer}.attn.IGNORE"] = torch.tensor(-torch.inf)
    return found


def early(arch: Architecture, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As the code of Nanda et al. 2023 saves it: matrices act on columns, and heads are concatenated."""
    found = {}
    for name, weight in weights.items():
        match name.rsplit(".", 1)[-1]:
            case "W_E" | "W_in" | "W_out":
                found[name] = weight.T.contiguous()
            case "W_Q" | "W_K" | "W_V":
                found[name] = torch.stack([head.T for head in weight])
            case "W_O":
                found[name] = torch.cat(list(weight)).T.contiguous()
            case _:
                found[name] = weight.clone()
    for layer in range(arch.n_layers):
        found[f"blocks.{layer}.attn.mask"] = torch.ones(arch.n_ctx, arch.n_ctx).tril()
    return found


LAYOUTS = {"transformerlens": transformerlens, "early": early}
