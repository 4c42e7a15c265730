"""Addition modulo p as a clock does it: tokens are angles, and the answer is the angle that is the sum of two."""

import numpy as np
import torch
from einops import einsum, rearrange
from torch import Tensor

from circuits import Pairs, logit_difference
from probe.suites.architecture import Architecture
from tests.circuits.programs.program import Program, subspaces, with_idle_parts, zeros

P, FREQUENCIES = 11, (2, 3)
SHARPNESS = 30.0
"""Attention score, at "=", of the operand that a head reads, all others having 0."""
GAIN = 5.0
"""The logits are ``GAIN`` times the sum over the frequencies of cos(w (a + b - c))."""


def weights() -> tuple[Architecture, dict[str, Tensor]]:
    """One layer of three heads and an MLP; questions are the tokens ``a b =``, as in Nanda et al. 2023 (2301.05217).

    Parts of the residual stream: cos(w t) and sin(w t) of the token for each frequency, w = 2 pi k / p; the position
    one-hot; the same cosines and sines of a and of b, and of their sum; and three directions that nothing reads but the
    part that is idle.

    * L0.H0 attends from "=" to a, L0.H2 to b; each copies the token's cosines and sines. L0.H1 is idle.
    * L0.MLP has p^2 neurons of each frequency. Neuron i, j is relu(cos(w (a + i)) + cos(w (b + j))), and writes
      cos(w (i + j)) / K to the cosine of the sum, and -sin(w (i + j)) / K to its sine.
    * The logit of c is the sum over frequencies of cos(w c) cos(w s) + sin(w c) sin(w s), times ``GAIN``.

    Why this is exact. With a' = a + i, b' = b + j, which take all values modulo p as i and j do, the cosine written is
    sum over a', b' of relu(cos w a' + cos w b') cos(w (a' + b' - (a + b))) / K. The part with sin(w (a' + b')) is 0, as
    a', b' -> -a', -b' turns its sign, so what is left is cos(w (a + b)) if K = sum of relu(cos w a' + cos w b')
    cos(w (a' + b')), which is not 0; likewise the sine. (Phases on a grid to pick one product out of a non-linearity:
    the closed form of Gromov 2023, arXiv 2301.02679, with ReLU in the place of the square.) So the logits depend on
    a + b alone: this is a clock, and no pizza, whose logits depend on a - b as well (Zhong et al. 2023, 2306.17844).
    """
    n = 2 * len(FREQUENCIES)
    at, d_model = subspaces(token=n, position=3, a=n, b=n, sum=n, unread=3)
    arch = Architecture(d_model=d_model, n_heads=3, d_head=n, d_mlp=len(FREQUENCIES) * P**2, d_vocab=P + 1, n_ctx=3)
    w = zeros(arch)
    circle = angles()  # [number, frequency, cos or sin]
    w["embed.W_E"][:P, at["token"]] = rearrange(circle, "t k x -> t (k x)").float()
    w["pos_embed.W_pos"][:, at["position"]] = torch.eye(3)
    for head, operand, name in ((0, 0, "a"), (2, 1, "b")):
        w["blocks.0.attn.W_Q"][head, at["position"].start + 2, 0] = SHARPNESS * n**0.5
        w["blocks.0.attn.W_K"][head, at["position"].start + operand, 0] = 1
        w["blocks.0.attn.W_V"][head, at["token"]] = torch.eye(n)
        w["blocks.0.attn.W_O"][head][:, at[name]] = torch.eye(n)
    of_sum = circle[(torch.arange(P)[:, None] + torch.arange(P)) % P]  # [i, j, frequency, cos or sin]
    active = (circle[:, None, :, 0] + circle[None, :, :, 0]).relu()  # [a', b', frequency]
    K = einsum(active, of_sum[..., 0], "a b k, a b k -> k")
    # cos(w (a + i)) = cos(w a) cos(w i) - sin(w a) sin(w i)
    turned = circle * torch.tensor([1.0, -1.0])
    same = torch.eye(len(FREQUENCIES), dtype=torch.float64)  # a neuron reads and writes its own frequency alone
    ones = torch.ones(P, dtype=torch.float64)
    pattern = "k x l i j -> (k x) (l i j)"
    w["blocks.0.mlp.W_in"][at["a"]] = rearrange(
        einsum(turned, same, ones, "i k x, k l, j -> k x l i j"), pattern
    ).float()
    w["blocks.0.mlp.W_in"][at["b"]] = rearrange(
        einsum(turned, same, ones, "j k x, k l, i -> k x l i j"), pattern
    ).float()
    written = einsum(of_sum * torch.tensor([1.0, -1.0]), same / K, "i j k x, k l -> l i j k x")
    w["blocks.0.mlp.W_out"][:, at["sum"]] = rearrange(written, "l i j k x -> (l i j) (k x)").float()
    w["unembed.W_U"][at["sum"], :P] = GAIN * rearrange(circle, "c k x -> (k x) c").float()
    return arch, with_idle_parts(arch, w, at["unread"])


def angles() -> Tensor:
    """Cosine and sine of w t, [number t, frequency, 2], in float64."""
    angle = 2 * torch.pi * torch.arange(P, dtype=torch.float64)[:, None] * torch.tensor(FREQUENCIES) / P
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def pairs(n: int, seed: int) -> Pairs:
    """Random questions ``a b =``, with another a, another b, and another sum in the corrupted one."""
    drawn = np.random.default_rng(seed)
    clean = drawn.integers(P, size=(2 * n + 64, 2))
    corrupted = (clean + drawn.integers(1, P, size=clean.shape)) % P
    answers, wrong = clean.sum(1) % P, corrupted.sum(1) % P
    kept = np.flatnonzero(answers != wrong)[:n]
    clean, corrupted = (np.insert(question[kept], 2, P, axis=1) for question in (clean, corrupted))
    return Pairs(clean, corrupted, answers[kept], P + 1, wrong[kept])


CLOCK = Program(
    "clock",
    weights,
    pairs,
    logit_difference,
    moved=(
        ("embed", "L0.H0.v"),
        ("embed", "L0.H2.v"),
        ("L0.H0", "L0.MLP"),
        ("L0.H2", "L0.MLP"),
        ("L0.MLP", "logits"),
    ),
    fixed=(
        ("embed", "L0.H0.q"),
        ("embed", "L0.H0.k"),
        ("embed", "L0.H2.q"),
        ("embed", "L0.H2.k"),
    ),
)
