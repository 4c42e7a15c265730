"""TransformerLens' own native model with the weights of one of ours: an independent forward pass to check against."""

from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor
from transformer_lens import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

from probe.suites.architecture import Architecture


def native_bridge(arch: Architecture, weights: Mapping[str, Tensor]) -> TransformerBridge:
    """A ``boot_native`` bridge in evaluation mode. It always has biases: zero where the architecture has none."""
    assert arch.d_head is not None
    assert arch.d_vocab_out is not None
    bridge = TransformerBridge.boot_native(
        TransformerBridgeConfig(
            d_model=arch.d_model,
            d_head=arch.d_head,
            n_heads=arch.n_heads,
            n_layers=arch.n_layers,
            n_ctx=arch.n_ctx,
            d_mlp=arch.d_mlp,
            d_vocab=arch.d_vocab,
            d_vocab_out=arch.d_vocab_out,
            act_fn=arch.activation,
            normalization_type=arch.normalization,
            attn_only=arch.attn_only,
        ),
        dtype=weights["embed.W_E"].dtype,
    )
    theirs = {"embed.weight": weights["embed.W_E"], "pos_embed.weight": weights["pos_embed.W_pos"]}
    for layer in range(arch.n_layers):
        ours = {name.removeprefix(f"blocks.{layer}."): w for name, w in weights.items()}
        at = f"blocks.{layer}"
        for x in "QKV":
            theirs[f"{at}.attn.{x.lower()}.weight"] = rearrange(ours[f"attn.W_{x}"], "h d e -> (h e) d")
            theirs[f"{at}.attn.{x.lower()}.bias"] = _or_zeros(ours, f"attn.b_{x}", arch.n_heads * arch.d_head)
        theirs[f"{at}.attn.o.weight"] = rearrange(ours["attn.W_O"], "h e d -> d (h e)")
        theirs[f"{at}.attn.o.bias"] = _or_zeros(ours, "attn.b_O", arch.d_model)
        if not arch.attn_only:
            theirs[f"{at}.mlp.in.weight"] = ours["mlp.W_in"].T
            theirs[f"{at}.mlp.in.bias"] = _or_zeros(ours, "mlp.b_in", ours["mlp.W_in"].shape[1])
            theirs[f"{at}.mlp.out.weight"] = ours["mlp.W_out"].T
            theirs[f"{at}.mlp.out.bias"] = _or_zeros(ours, "mlp.b_out", arch.d_model)
        for norm in ("ln1", "ln2")[: 2 - arch.attn_only] if arch.normalization else ():
            theirs[f"{at}.{norm}.weight"], theirs[f"{at}.{norm}.bias"] = ours[f"{norm}.w"], ours[f"{norm}.b"]
    if arch.normalization:
        theirs["ln_final.weight"], theirs["ln_final.bias"] = weights["ln_final.w"], weights["ln_final.b"]
    theirs["unembed.weight"] = weights["unembed.W_U"].T
    theirs["unembed.bias"] = _or_zeros(weights, "unembed.b_U", arch.d_vocab_out)
    with torch.no_grad():
        bridge.load_state_dict(theirs)
    return bridge.eval()


def _or_zeros(weights: Mapping[str, Tensor], name: str, size: int) -> Tensor:
    return weights[name].flatten() if name in weights else torch.zeros(size)
