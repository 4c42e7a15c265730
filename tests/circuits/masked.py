"""A forward pass with an explicit mask on every edge, written as a textbook would: shares no code with the package."""

from collections.abc import Mapping

import torch
from torch import Tensor

from probe.suites.architecture import Architecture

Masks = Mapping[tuple[str, str], Tensor]


def masked_forward(
    arch: Architecture,
    w: Mapping[str, Tensor],
    tokens: Tensor,
    instead: Mapping[str, Tensor] | None = None,
    masks: Masks | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits [pair, position, d_vocab], and what every source wrote, by name.

    Every input is added up term by term; of a term with a mask m, (1 - m) is what its source wrote here, and m is what
    ``instead`` says that it wrote. What no source writes, biases, is added to all inputs after it.
    """
    written: dict[str, Tensor] = {"embed": w["embed.W_E"][tokens] + w["pos_embed.W_pos"][: tokens.shape[1]]}
    constant = torch.zeros(arch.d_model, dtype=w["embed.W_E"].dtype)

    def read(destination: str) -> Tensor:
        total = constant
        for source, value in written.items():
            m = (masks or {}).get((source, destination))
            total = total + (value if m is None else (1 - m) * value + m * instead[source])
        return total

    def norm(name: str, x: Tensor) -> Tensor:
        if arch.normalization is None:
            return x
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.w"] + w[f"{name}.b"]

    future = torch.ones(tokens.shape[1], tokens.shape[1]).triu(1).bool() & arch.causal
    for layer in range(arch.n_layers):
        at = f"blocks.{layer}"
        outputs = {}
        for head in range(arch.n_heads):
            q, k, v = (
                norm(f"{at}.ln1", read(f"L{layer}.H{head}.{x.lower()}")) @ w[f"{at}.attn.W_{x}"][head]
                + (w[f"{at}.attn.b_{x}"][head] if arch.biases else 0)
                for x in "QKV"
            )
            pattern = (q @ k.mT / arch.d_head**0.5).masked_fill(future, -torch.inf).softmax(-1)
            outputs[f"L{layer}.H{head}"] = pattern @ v @ w[f"{at}.attn.W_O"][head]
        written |= outputs
        constant = constant + (w[f"{at}.attn.b_O"] if arch.biases else 0)
        pre = norm(f"{at}.ln2", read(f"L{layer}.MLP")) @ w[f"{at}.mlp.W_in"] + (
            w[f"{at}.mlp.b_in"] if arch.biases else 0
        )
        active = pre.clamp(min=0) if arch.activation == "relu" else torch.nn.functional.gelu(pre)
        written[f"L{layer}.MLP"] = active @ w[f"{at}.mlp.W_out"] + (w[f"{at}.mlp.b_out"] if arch.biases else 0)
    logits = norm("ln_final", read("logits")) @ w["unembed.W_U"] + (w["unembed.b_U"] if arch.biases else 0)
    return logits, written
