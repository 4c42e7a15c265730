"""Induction: a token that was there before is answered by what followed it then (Elhage et al. 2021)."""

import numpy as np
import torch
from torch import Tensor

from circuits import Pairs, logit_difference
from probe.suites.architecture import Architecture
from tests.circuits.programs.program import Program, subspaces, with_idle_parts, zeros

BOS, D_VOCAB, N_CTX = 0, 9, 10
LENGTH = 5
"""Tokens between the one at the start and the one that is repeated, in the pairs."""
SHARPNESS, MATCH = 30.0, 6.0
"""Attention scores of the position before, and of a position after an earlier copy, all others having 0. A match keeps
0.98 of the attention in ten positions, so that the pattern still has a gradient."""


def weights() -> tuple[Architecture, dict[str, Tensor]]:
    """Two layers of two heads and an MLP each.

    Parts of the residual stream: the token one-hot, the position one-hot, the token before one-hot, the answer one-hot,
    and three directions that nothing reads but parts that are idle.

    * L0.H0: the query of position i asks for position i - 1; the value is the token, written as the token before.
    * L1.H1: the query is the token here, the key is the token before (K-composition), the value is the token, written
      as the answer.
    * The unembedding reads the answer.
    * L0.H1, L1.H0 and both MLPs are idle.

    Questions begin with BOS, which stands before the first token and nowhere else: at position 0 the token before is
    BOS too, and no query asks for it.

    What differs between two questions goes by embed -> L0.H0.v, L0.H0 -> L1.H1.k for where to attend, embed -> L1.H1.q
    for what is looked for, embed -> L1.H1.v for what is found, and from L1.H1 to the logits.
    """
    at, d_model = subspaces(token=D_VOCAB, position=N_CTX, before=D_VOCAB, answer=D_VOCAB, unread=3)
    arch = Architecture(d_model=d_model, n_layers=2, n_heads=2, d_head=N_CTX, d_mlp=6, d_vocab=D_VOCAB, n_ctx=N_CTX)
    w = zeros(arch)
    token, scale = torch.eye(D_VOCAB, N_CTX), N_CTX**0.5
    w["embed.W_E"][:, at["token"]] = torch.eye(D_VOCAB)
    w["pos_embed.W_pos"][:, at["position"]] = torch.eye(N_CTX)
    w["blocks.0.attn.W_Q"][0, at["position"]] = SHARPNESS * scale * torch.diag(torch.ones(N_CTX - 1), -1)
    w["blocks.0.attn.W_K"][0, at["position"]] = torch.eye(N_CTX)
    w["blocks.0.attn.W_V"][0, at["token"]] = token
    w["blocks.0.attn.W_O"][0][:, at["before"]] = token.T
    w["blocks.1.attn.W_Q"][1, at["token"]] = MATCH * scale * token
    w["blocks.1.attn.W_K"][1, at["before"]] = token
    w["blocks.1.attn.W_V"][1, at["token"]] = token
    w["blocks.1.attn.W_O"][1][:, at["answer"]] = token.T
    w["unembed.W_U"][at["answer"]] = 8 * torch.eye(D_VOCAB)
    return arch, with_idle_parts(arch, w, at["unread"])


def pairs(n: int, seed: int) -> Pairs:
    """``BOS r1 ... rL ri``, i < L, answered by ``r(i+1)``; all of r differ. The corrupted question is another such."""
    drawn = np.random.default_rng(seed)
    questions: list[np.ndarray] = []
    answers: list[np.ndarray] = []
    for _ in range(2):
        rows = np.stack([1 + drawn.permutation(D_VOCAB - 1)[:LENGTH] for _ in range(2 * n + 64)])
        i = drawn.integers(LENGTH - 1, size=len(rows))
        each = np.arange(len(rows))
        questions.append(np.column_stack([np.full(len(rows), BOS), rows, rows[each, i]]))
        answers.append(rows[each, i + 1])
    different = np.flatnonzero(answers[0] != answers[1])[:n]
    clean, corrupted = (question[different] for question in questions)
    return Pairs(clean, corrupted, answers[0][different], D_VOCAB, answers[1][different])


INDUCTION = Program(
    "induction",
    weights,
    pairs,
    logit_difference,
    moved=(
        ("embed", "L0.H0.v"),
        ("L0.H0", "L1.H1.k"),
        ("embed", "L1.H1.q"),
        ("embed", "L1.H1.v"),
        ("L1.H1", "logits"),
    ),
    fixed=(("embed", "L0.H0.q"), ("embed", "L0.H0.k")),
)
