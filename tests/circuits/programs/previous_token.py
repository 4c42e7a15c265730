"""Previous token: the answer at each position is the token at the position before it."""

import numpy as np
import torch
from torch import Tensor

from circuits import Pairs, logit_difference
from probe.suites.architecture import Architecture
from tests.circuits.programs.program import Program, subspaces, with_idle_parts, zeros

D_VOCAB, N_CTX = 5, 5
SHARPNESS = 30.0
"""Attention score of the position before, all others having 0; so that the rest of the pattern is below rounding."""


def weights() -> tuple[Architecture, dict[str, Tensor]]:
    """One layer of two heads and an MLP.

    The residual stream is the sum of four parts: the token one-hot, the position one-hot, the answer one-hot, and three
    directions that nothing reads but parts that are idle.

    * L0.H1: the query of position i asks for position i - 1, the key of a position is itself; the value is the token,
      written as the answer. Position 0 has none before, and sees only itself.
    * The unembedding reads the answer.
    * L0.H0 and L0.MLP are idle.

    What differs between two questions goes from embed by the values of L0.H1 to the logits; its queries and keys see
    positions alone.
    """
    at, d_model = subspaces(token=D_VOCAB, position=N_CTX, answer=D_VOCAB, unread=3)
    arch = Architecture(d_model=d_model, n_heads=2, d_head=N_CTX, d_mlp=6, d_vocab=D_VOCAB, n_ctx=N_CTX)
    w = zeros(arch)
    w["embed.W_E"][:, at["token"]] = torch.eye(D_VOCAB)
    w["pos_embed.W_pos"][:, at["position"]] = torch.eye(N_CTX)
    w["blocks.0.attn.W_Q"][1, at["position"]] = SHARPNESS * N_CTX**0.5 * torch.diag(torch.ones(N_CTX - 1), -1)
    w["blocks.0.attn.W_K"][1, at["position"]] = torch.eye(N_CTX)
    w["blocks.0.attn.W_V"][1, at["token"]] = torch.eye(D_VOCAB)
    w["blocks.0.attn.W_O"][1][:, at["answer"]] = torch.eye(D_VOCAB)
    w["unembed.W_U"][at["answer"]] = 8 * torch.eye(D_VOCAB)
    return arch, with_idle_parts(arch, w, at["unread"])


def pairs(n: int, seed: int) -> Pairs:
    """Random questions with another at every position, answered by the last token but one."""
    drawn = np.random.default_rng(seed)
    clean = drawn.integers(D_VOCAB, size=(n, N_CTX))
    corrupted = (clean + drawn.integers(1, D_VOCAB, size=clean.shape)) % D_VOCAB
    return Pairs(clean, corrupted, clean[:, -2], D_VOCAB, corrupted[:, -2])


PREVIOUS_TOKEN = Program(
    "previous_token",
    weights,
    pairs,
    logit_difference,
    moved=(("embed", "L0.H1.v"), ("L0.H1", "logits")),
    fixed=(("embed", "L0.H1.q"), ("embed", "L0.H1.k")),
)
