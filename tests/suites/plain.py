"""The forward pass as a textbook would write it, a head at a time: what hooks should see, and what edits should do."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from probe.suites.architecture import Architecture

Edits = Mapping[str, Callable[[Tensor], Tensor]]


def plain_forward(
    arch: Architecture, w: Mapping[str, Tensor], tokens: Tensor, edits: Edits | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and every activation by TransformerLens name; an edit replaces an activation for all that follows it.

    q/k/v inputs are [batch, position, head, d_model]. LayerNorm's hooks show the residual stream that is not forked.
    """
    edits = edits or {}
    seen: dict[str, Tensor] = {}

    def at(name: str, value: Tensor) -> Tensor:
        seen[name] = edits[name](value.clone()) if name in edits else value
        return seen[name]

    def norm(name: str, x: Tensor, record: bool = True) -> Tensor:
        if arch.normalization is None:
            return x
        mean = x.mean(-1, keepdim=True)
        scale = (((x - mean) ** 2).mean(-1, keepdim=True) + 1e-5) ** 0.5
        scale = at(f"{name}.hook_scale", scale) if record else scale
        normalized = (x - mean) / scale
        normalized = at(f"{name}.hook_normalized", normalized) if record else normalized
        return normalized * w[f"{name}.w"] + w[f"{name}.b"]

    def bias(name: str, shape: tuple[int, ...]) -> Tensor:
        return w.get(name, torch.zeros(shape))

    n = tokens.shape[1]
    heads = range(arch.n_heads)
    resid = at("hook_embed", w["embed.W_E"][tokens]) + at(
        "hook_pos_embed", w["pos_embed.W_pos"][:n].expand(len(tokens), -1, -1)
    )
    for layer in range(arch.n_layers):
        b = f"blocks.{layer}"
        resid = at(f"{b}.hook_resid_pre", resid)
        normalized = norm(f"{b}.ln1", resid)
        of_head: dict[str, list[Tensor]] = {}
        for x in "qkv":
            fork = f"{b}.hook_{x}_input"
            forked = at(fork, torch.stack([resid] * arch.n_heads, dim=2))
            size = arch.d_model // arch.n_heads if arch.d_head is None else arch.d_head
            columns = []
            for h in heads:
                source = norm(f"{b}.ln1", forked[:, :, h], record=False) if fork in edits else normalized
                columns.append(
                    source @ w[f"{b}.attn.W_{x.upper()}"][h] + bias(f"{b}.attn.b_{x.upper()}", (arch.n_heads, size))[h]
                )
            whole = at(f"{b}.attn.hook_{x}", torch.stack(columns, dim=2))
            of_head[x] = [whole[:, :, h] for h in heads]
        scores = torch.full((len(tokens), arch.n_heads, n, n), -torch.inf)
        for h in heads:
            for query in range(n):
                for key in range(query + 1 if arch.causal else n):
                    dot = (of_head["q"][h][:, query] * of_head["k"][h][:, key]).sum(-1)
                    scores[:, h, query, key] = dot / arch.d_head**0.5
        visible, c = scores > -torch.inf, arch.attention_coefficient
        mixed = torch.where(visible, c * at(f"{b}.attn.hook_attn_scores", scores).softmax(-1) + 1 - c, 0.0)
        pattern = at(f"{b}.attn.hook_pattern", mixed)
        z = at(f"{b}.attn.hook_z", torch.stack([pattern[:, h] @ of_head["v"][h] for h in heads], dim=2))
        results = torch.stack([z[:, :, h] @ w[f"{b}.attn.W_O"][h] for h in heads], dim=2)
        attn_out = at(f"{b}.attn.hook_result", results).sum(2) + bias(f"{b}.attn.b_O", (arch.d_model,))
        resid = resid + at(f"{b}.hook_attn_out", attn_out)
        if arch.attn_only:
            resid = at(f"{b}.hook_resid_post", resid)
            continue
        resid = at(f"{b}.hook_resid_mid", resid)
        mlp_in = norm(f"{b}.ln2", at(f"{b}.hook_mlp_in", resid))
        pre = at(f"{b}.mlp.hook_pre", mlp_in @ w[f"{b}.mlp.W_in"] + bias(f"{b}.mlp.b_in", (arch.d_mlp,)))
        active = pre.clamp(min=0) if arch.activation == "relu" else pre * (1 + torch.erf(pre / 2**0.5)) / 2
        out = at(f"{b}.mlp.hook_post", active) @ w[f"{b}.mlp.W_out"] + bias(f"{b}.mlp.b_out", (arch.d_model,))
        resid = at(f"{b}.hook_resid_post", resid + at(f"{b}.hook_mlp_out", out))
    logits = norm("ln_final", resid) @ w["unembed.W_U"] + bias("unembed.b_U", (arch.d_vocab_out,))
    return at("unembed.hook_out", logits), seen


def noisy_weights(arch: Architecture, seed: int = 0) -> dict[str, Tensor]:
    """Initial weights with noise on all of them, so that no bias is zero and no LayerNorm scale is one."""
    generator = torch.Generator().manual_seed(1000 + seed)
    initial = arch.initial_weights(seed)
    return {name: value + 0.15 * torch.randn(value.shape, generator=generator) for name, value in initial.items()}
