"""Composition: how much of what a head writes does a later head read, by its queries, keys or values?

The score of a matrix that writes and one that reads is ||A B|| / (||A|| ||B||), Frobenius norms, with A = W_V W_O of
the earlier head and B, of the later one, W_Q W_K^T for queries, W_K W_Q^T for keys and W_V W_O for values (Elhage et
al. 2021, A Mathematical Framework for Transformer Circuits; vectors are rows). Random matrices have scores above 0 too,
about 1 / sqrt(d_model), so those of random heads of the same shapes stand beside each score.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from circuits.heads.weights import head_weights
from probe.suites.hooked import weights_by_name

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

PRODUCT_NUMBERS = 1 << 26
"""Numbers that the products of pairs of heads, d_head x d_head each, may be at a time."""


def composition_scores(model: "HookedModel", *, draws: int = 200, seed: int = 0) -> xr.Dataset:
    """Q-, K- and V-composition of all pairs of heads, the later one in a later layer.

    The weight of the normalization before a head, and that LayerNorm takes away the mean, are folded into what it reads
    by, W_Q, W_K and W_V; the scale of each token is not. Rotary positions turn queries and keys; scores are those at
    offset 0. No d_model x d_model matrix is made: with W_V = Q R, Q orthonormal, ||W_V W_O|| is ||R W_O||, and likewise
    on the other side.

    Args:
        model: a hooked model, ours or a ``TransformerBridge``.
        draws: pairs of random heads for the baseline, at least 20.
        seed: of these.

    Returns:
        ``score`` [input, source, destination], 0 to 1: ``input`` is q, k or v, and heads are by name, ``L0.H3``; nan
        where the destination is in no later layer, or a matrix is 0. ``above``, score - ``baseline``; ``z``, that over
        ``baseline_std``. ``baseline``, ``baseline_std``, ``baseline_low``, ``baseline_high``: mean, standard deviation
        and the central 95 % of the scores of ``draws`` pairs of heads whose matrices are random (Gaussian) and of the
        same shapes; ``expected``, 1 / sqrt(d_model), about the same: the square root of E||A B||^2 / (E||A||^2
        E||B||^2).

    Raises:
        ValueError: the model has one layer; a norm is within its heads or after them; or draws are too few.
    """
    cfg = model.cfg
    if cfg.n_layers < 2:
        raise ValueError(f"model: it has {cfg.n_layers} layer; expected two or more, as heads of one do not compose")
    heads = head_weights(model, weights_by_name(model))
    writes = _thin_left(heads.W_V, heads.W_O)
    reads = {
        "q": _thin_right(heads.W_Q, heads.W_K.mT),
        "k": _thin_right(heads.W_K, heads.W_Q.mT),
        "v": _thin_right(heads.W_V, heads.W_O),
    }
    found = np.stack([_all_pairs(writes, read) for read in reads.values()])
    random = _random_scores(heads.W_V, draws, seed)
    names = [f"L{layer}.H{head}" for layer in range(cfg.n_layers) for head in range(cfg.n_heads)]
    coords = {"input": list(reads), "source": names, "destination": names}
    score = xr.DataArray(found, coords, tuple(coords))
    low, high = np.quantile(random, (0.025, 0.975))
    mean, spread = random.mean(), random.std(ddof=1)
    return xr.Dataset(
        {
            "score": score,
            "above": score - mean,
            "z": (score - mean) / spread,
            "baseline": mean,
            "baseline_std": spread,
            "baseline_low": low,
            "baseline_high": high,
            "expected": cfg.d_model**-0.5,
        },
        attrs={"draws": draws},
    )


def _thin_left(tall: Tensor, wide: Tensor) -> Float[Tensor, "*head d_head d_model"]:
    """Of the product of a tall and a wide matrix, one with the same norm when anything is multiplied on the right."""
    return torch.linalg.qr(tall).R @ wide


def _thin_right(tall: Tensor, wide: Tensor) -> Float[Tensor, "*head d_model d_head"]:
    """The same for what is multiplied on the left."""
    return tall @ torch.linalg.qr(wide.mT).R.mT


def _all_pairs(
    writes: Float[Tensor, "layer head d_head d_model"], reads: Float[Tensor, "layer head d_model d_head"]
) -> Float[np.ndarray, "source destination"]:
    n_layers, n_heads, d_head, _ = writes.shape
    scores = writes.new_full((n_layers * n_heads, n_layers * n_heads), torch.nan)
    for layer in range(1, n_layers):
        earlier = writes[:layer].flatten(0, 1)
        at_once = max(1, PRODUCT_NUMBERS // (len(earlier) * d_head**2))
        for first, some in zip(range(0, n_heads, at_once), reads[layer].split(at_once), strict=True):
            columns = slice(layer * n_heads + first, layer * n_heads + first + len(some))
            scores[: len(earlier), columns] = _scores(earlier, some)
    return scores.cpu().numpy()


def _scores(
    writes: Float[Tensor, "source d_head d_model"], reads: Float[Tensor, "destination d_model d_head"]
) -> Float[Tensor, "source destination"]:
    products = einsum(writes, reads, "s e d, t d f -> s t e f")
    sizes = torch.linalg.matrix_norm(writes)[:, None] * torch.linalg.matrix_norm(reads)
    return torch.linalg.matrix_norm(products) / sizes


def _random_scores(like: Tensor, draws: int, seed: int) -> Float[np.ndarray, " draw"]:
    """Of pairs of random heads, a pair at a time: all together are as large as a model of many heads."""
    if draws < 20:
        raise ValueError(f"draws: got {draws}; expected at least 20, for an interval of 95 %")
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(draws):
        V, O, Q, K = torch.randn(4, *like.shape[2:], generator=generator, dtype=torch.float64)  # noqa: E741
        found.append(_scores(_thin_left(V, O.mT)[None], _thin_right(Q, K.mT)[None]).item())
    return np.array(found)
