"""Eigenvalues of the full OV and QK circuits of each head: does it copy what it attends to, does it match tokens?

The OV circuit W_E W_V W_O W_U says how attending to a token changes the logit of every token, the QK circuit
W_E W_Q W_K^T W_E^T how much each token's query asks for every token's key (Elhage et al. 2021, A Mathematical Framework
for Transformer Circuits). Both are d_vocab x d_vocab, but of rank d_head: their other eigenvalues are those of the
d_head x d_head product in the other order, W_O (W_U W_E) W_V and W_K^T (W_E^T W_E) W_Q, and 0.

The score sum(lambda) / sum(|lambda|) is 1 if all eigenvalues are positive, as where each token raises its own logit, or
asks for itself, and -1 if all are negative. The weight of normalizations, and that LayerNorm takes away the mean, are
folded into the matrices; the scale of each token and shifts are not in them, nor are biases, learned positions, or what
MLPs make of an embedding before a head reads it. The score of any one head tells little without that of chance: heads
whose matrices are random have scores on either side of 0, wider the fewer dimensions a head has.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from einops import einsum
from jaxtyping import Complex, Float
from torch import Tensor

from circuits.heads.weights import head_weights, read_through
from probe.suites.hooked import weights_by_name

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel


def ov_copying(model: "HookedModel", *, draws: int = 200, seed: int = 0) -> xr.Dataset:
    """Eigenvalues of each head's full OV circuit, and its copying score.

    No d_vocab x d_vocab matrix is made; one of d_model x d_model is, for all heads.

    Args:
        model: a hooked model, ours or a ``TransformerBridge``.
        draws: random heads for the scores of chance, at least 20.
        seed: of these.

    Returns:
        ``score`` [layer, head], -1 to 1; ``eigenvalues`` [layer, head, d_head], complex, the largest first by absolute
        value; ``chance_low`` and ``chance_high``, between which 95 % of the scores are of heads whose W_V and W_O are
        random (Gaussian) between the same embedding and unembedding; in ``attrs`` what the circuit is.

    Raises:
        ValueError: the model answers by other tokens than it reads, so that the circuit is not square; a norm is within
            its heads or after them; or draws are too few.
    """
    weights = weights_by_name(model)
    W_E, W_U = weights["embed.W_E"], weights["unembed.W_U"]
    if len(W_E) != W_U.shape[1]:
        raise ValueError(
            f"model: it reads {len(W_E)} tokens and has logits of {W_U.shape[1]}; expected equally many, as the OV"
            " circuit has eigenvalues where what it reads and what it writes are the same"
        )
    heads = head_weights(model, weights)
    unembed = read_through(model, weights, "ln_final", _fine(W_U))
    return _eigen(heads.W_O, unembed @ _fine(W_E), heads.W_V, draws, seed).assign_attrs(circuit="OV", position="none")


def qk_matching(model: "HookedModel", *, draws: int = 200, seed: int = 0) -> xr.Dataset:
    """Eigenvalues of each head's full QK circuit, and how much tokens ask for themselves.

    In models with rotary positions this is the score at offset 0, where query and key are turned alike; at others the
    circuit is another. ``attrs["position"]`` says which it is.

    Args:
        model, draws, seed: as of ``ov_copying``.

    Returns:
        As of ``ov_copying``; chance is of random W_Q and W_K.

    Raises:
        ValueError: a norm is within the model's heads or after them; or draws are too few.
    """
    weights = weights_by_name(model)
    heads = head_weights(model, weights)
    W_E = _fine(weights["embed.W_E"])
    rotary = "rotary" in str(getattr(model.cfg, "positional_embedding_type", None))
    return _eigen(heads.W_K.mT, W_E.T @ W_E, heads.W_Q, draws, seed).assign_attrs(
        circuit="QK", position="offset 0" if rotary else "none"
    )


def _fine(matrix: Tensor) -> Tensor:
    return matrix.to(torch.promote_types(matrix.dtype, torch.float32))


def _eigen(
    left: Float[Tensor, "layer head d_head d_model"],
    between: Float[Tensor, "d_model d_model"],
    right: Float[Tensor, "layer head d_model d_head"],
    draws: int,
    seed: int,
) -> xr.Dataset:
    if draws < 20:
        raise ValueError(f"draws: got {draws}; expected at least 20, for an interval of 95 %")
    between = between.double()
    values = _eigenvalues(left, between, right).cpu().numpy()
    order = np.argsort(-np.abs(values), -1)
    generator = torch.Generator().manual_seed(seed)

    def random(shape: torch.Size) -> Tensor:
        return torch.randn((draws, *shape[2:]), generator=generator, dtype=torch.float64).to(between)

    chance = _scores(_eigenvalues(random(left.shape), between, random(right.shape)).cpu().numpy())
    low, high = np.quantile(chance, (0.025, 0.975))
    axes = ("layer", "head")
    return xr.Dataset(
        {
            "score": (axes, _scores(values)),
            "eigenvalues": ((*axes, "d_head"), np.take_along_axis(values, order, -1)),
            "chance_low": float(low),
            "chance_high": float(high),
        },
        {axis: np.arange(n) for axis, n in zip(axes, values.shape, strict=False)},
    )


def _eigenvalues(left: Tensor, between: Tensor, right: Tensor) -> Complex[Tensor, "*batch d_head"]:
    return torch.linalg.eigvals(einsum(left, between, right, "... e d, d c, ... c f -> ... e f"))


def _scores(values: np.ndarray) -> np.ndarray:
    """Sum over sum of absolute values; nan of a head that is 0. Complex ones come in pairs, so the sum is real."""
    with np.errstate(invalid="ignore"):
        return values.sum(-1).real / np.abs(values).sum(-1)
