"""A transformer of attention alone whose heads are known, because their weights were written to do just one thing."""

import torch
from transformers import GemmaConfig

from probe.suites.architecture import Architecture
from probe.suites.hooked import HookedTransformer
from tests.circuits.models import SIZES, bridge, ours
from tests.circuits.programs.program import subspaces, zeros

D_VOCAB, N_CTX, BOS = 14, 13, 0
SHARPNESS, GAIN = 60.0, 8.0
"""Attention score of what is attended to, all else having 0, so that it gets all of the attention; and the logit of the
answer per unit that is written."""


def known_heads(*, offset: int = 1) -> HookedTransformer:
    """Two layers of two heads, d_head as wide as the vocabulary.

    Parts of the residual stream: the token one-hot, the position one-hot, the token before one-hot, the answer one-hot,
    and two directions that nothing reads.

    * L0.H0: each position asks for the one that is ``offset`` before; writes the token there as the token before.
    * L0.H1: queries and keys are 0, so that it attends to all positions alike; writes to where nothing reads.
    * L1.H0: each position asks for position 0; writes to where nothing reads.
    * L1.H1: induction. The query is the token, the key the token before (K-composition with L0.H0); writes the token
      that it attends to as the answer.
    """
    at, d_model = subspaces(token=D_VOCAB, position=N_CTX, before=D_VOCAB, answer=D_VOCAB, unread=2)
    arch = Architecture(
        d_model=d_model, n_layers=2, n_heads=2, d_head=D_VOCAB, d_vocab=D_VOCAB, n_ctx=N_CTX, attn_only=True
    )
    w, strength = zeros(arch), SHARPNESS * D_VOCAB**0.5
    token, position = torch.eye(D_VOCAB), torch.eye(N_CTX, D_VOCAB)
    w["embed.W_E"][:, at["token"]] = token
    w["pos_embed.W_pos"][:, at["position"]] = torch.eye(N_CTX)
    shift = torch.diag(torch.ones(N_CTX - offset), -offset)
    w["blocks.0.attn.W_Q"][0, at["position"]] = strength * shift @ position
    w["blocks.0.attn.W_K"][0, at["position"]] = position
    w["blocks.0.attn.W_V"][0, at["token"]] = token
    w["blocks.0.attn.W_O"][0][:, at["before"]] = token
    w["blocks.1.attn.W_Q"][0, at["position"], 0] = strength
    w["blocks.1.attn.W_K"][0, at["position"].start, 0] = 1
    w["blocks.1.attn.W_Q"][1, at["token"]] = strength * token
    w["blocks.1.attn.W_K"][1, at["before"]] = token
    w["blocks.1.attn.W_V"][1, at["token"]] = token
    w["blocks.1.attn.W_O"][1][:, at["answer"]] = token
    for layer, head in ((0, 1), (1, 0)):
        w[f"blocks.{layer}.attn.W_V"][head, at["token"]] = token
        w[f"blocks.{layer}.attn.W_O"][head][:, at["unread"]] = 1
    w["unembed.W_U"][at["answer"]] = GAIN * token
    return HookedTransformer.with_weights(arch, w)


class _Capped(HookedTransformer):
    def forward(self, *asked, **options):
        return 5 * torch.tanh(super().forward(*asked, **options) / 5)


def capped() -> HookedTransformer:
    """A model whose logits are capped after the unembedding, as Gemma 2's are."""
    _, arch, weights = ours(normalization="LN")
    return _Capped.with_weights(arch, weights)


def gemma(config=GemmaConfig):
    """A Gemma, or a model like it; its RMSNorm multiplies by 1 + w."""
    return bridge(
        config(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            intermediate_size=32,
            max_position_embeddings=16,
            pad_token_id=0,
            **SIZES,
        )
    )
