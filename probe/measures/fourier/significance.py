"""Which frequencies a network uses: three named rules, each beside what noise of the same shape would give.

A frequency is key when its score passes the rule's threshold and the null quantile: the NULL_LEVEL quantile
of the largest score over all frequencies (and neurons) when the array is Gaussian noise. For noise, each
score is the share of a random direction that falls into a fixed subspace, which is Beta-distributed, so no
simulation is needed. The largest of m scores is treated as that of m independent ones; they are nearly so,
and the dependence that they sum to at most 1 makes large maxima rarer. An untrained network is not noise:
passing the null says "structured", not "generalizes".

The rules can disagree: a frequency may stand out in the embedding without reaching the logits. Rules after
Nanda et al. 2023, arXiv 2301.05217, section 4; "logits" after Chughtai et al. 2023, arXiv 2302.03025, section
4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import beta
from torch import Tensor

from probe.measures.fourier import fourier_basis, frequency_power
from probe.measures.progress import logit_cosines

NULL_LEVEL = 0.99


@dataclass(frozen=True)
class KeyFrequencies:
    """The frequencies that one rule calls key, and what it saw."""

    rule: Literal["logits", "embedding", "neurons"]
    frequencies: tuple[int, ...]  # ascending, within 1..n//2
    scores: Float[Tensor, " frequency"]  # of k = 1..n//2, at index k - 1
    threshold: float  # the rule's own bar
    null_quantile: float  # the bar that noise sets


def key_frequencies_by_logits(cube: Float[Tensor | np.ndarray, "n n n"], threshold: float = 0.005) -> KeyFrequencies:
    """Rule "logits" (the default rule of this project): the logit cosine of k is above 0.005.

    Null: the cosine of a cube of noise, centred over answers, with a fixed direction. It rises as n falls
    (about 0.003 at n = 113, 0.03 at n = 23), so that small groups need more than 0.005.
    """
    scores = logit_cosines(_one(cube, 3, "cube"))
    n = cube.shape[-1]
    # a squared cosine is Beta(1/2, (D - 1)/2); the sign halves the upper tail
    tail = _upper_tail(len(scores)) * 2
    null = beta.isf(tail, 0.5, (n * n * (n - 1) - 1) / 2) ** 0.5
    return _significant("logits", scores, threshold, float(null))


def key_frequencies_by_embedding(W_E: Float[Tensor | np.ndarray, "p d"], relative_norm: float = 0.25) -> KeyFrequencies:
    """Rule "embedding": the norm of k's Fourier components is above a quarter of the largest such norm.

    Scores are shares of W's power apart from the constant, so the threshold is the largest score / 16. The
    null matters here: noise has all norms alike, and a quarter of the largest would make every frequency key.
    It fits any matrix over the tokens or the answers, such as the transposed neuron-logit map.
    """
    power = frequency_power(_one(W_E, 2, "W_E"))[1:]
    scores = power / power.sum()
    p, d = W_E.shape
    # 2 d of the (p - 1) d dimensions; for k = p/2 it is d of them, so its null is lower than the one used
    null = _null_share(2 * d, (p - 1) * d, len(scores))
    return _significant("embedding", scores, relative_norm**2 * scores.max().item(), null)


def key_frequencies_by_neurons(
    neurons: Float[Tensor | np.ndarray, "n n neuron"], threshold: float = 0.85
) -> KeyFrequencies:
    """Rule "neurons": some neuron whose best frequency is k has more than 85 % of its variance in it.

    The score of k is the largest such share among the neurons whose best frequency is k, 0 if there are none.
    """
    best, share = neuron_frequencies(_one(neurons, 3, "neurons"))
    n, n_neurons = neurons.shape[-2:]
    scores = share.new_zeros(n // 2 + 1).scatter_reduce(0, best, share, "amax")[1:]
    null = _null_share(8, n * n - 1, n_neurons * len(scores))
    return _significant("neurons", scores, threshold, null)


def neuron_frequencies(
    neurons: Float[Tensor | np.ndarray, "*batch n n neuron"],
) -> tuple[Int[Tensor, "*batch neuron"], Float[Tensor, "*batch neuron"]]:
    """Best frequency of each neuron and its share of the neuron's variance, over all inputs (a, b).

    The share of k is that of a least-squares fit in the products of {1, cos w_k a, sin w_k a} with {1, cos
    w_k b, sin w_k b}, apart from the constant. A neuron that is constant has frequency 0 and share 0.
    """
    neurons = torch.as_tensor(neurons, dtype=torch.float64)
    if neurons.ndim < 3 or neurons.shape[-3] != neurons.shape[-2] or neurons.shape[-2] < 2:
        raise ValueError(
            f"neurons: shape {tuple(neurons.shape)} given, expected [*batch, n, n, neuron] with n at least 2"
        )
    n = neurons.shape[-2]
    # a row of zeros stands for the sine that the last frequency of an even n lacks
    basis = torch.cat([fourier_basis(n, neurons.device), neurons.new_zeros(1 - n % 2, n)])
    centred = neurons - neurons.mean((-3, -2), keepdim=True)
    power = torch.einsum("ia, ...abm, jb -> ...ijm", basis, centred, basis).square()
    k = torch.arange(1, n // 2 + 1, device=neurons.device)
    rows = torch.stack([torch.zeros_like(k), 2 * k - 1, 2 * k], dim=1)
    by_frequency = power[..., rows[:, :, None], rows[:, None, :], :].sum((-3, -2))
    variance = power.sum((-3, -2))
    # a neuron that never fires leaves rounding error at most
    varies = variance > 1e-20 * neurons.square().sum((-3, -2))
    share, best = (by_frequency / torch.where(varies, variance, 1.0).unsqueeze(-2)).max(-2)
    return torch.where(varies, best + 1, 0), torch.where(varies, share, 0.0)


def _significant(
    rule: Literal["logits", "embedding", "neurons"], scores: Tensor, threshold: float, null_quantile: float
) -> KeyFrequencies:
    passing = (scores > threshold) & (scores > null_quantile)
    frequencies = tuple((passing.nonzero().flatten() + 1).tolist())
    return KeyFrequencies(rule, frequencies, scores, threshold, null_quantile)


def _null_share(dimensions: int, of: int, n_scores: int) -> float:
    """Null quantile of the largest of several shares of noise, each in a subspace of so many dimensions."""
    if dimensions >= of:
        return 1.0  # the subspace is everything: no share is remarkable
    return float(beta.isf(_upper_tail(n_scores), dimensions / 2, (of - dimensions) / 2))


def _upper_tail(n_scores: int) -> float:
    """Tail of one score at which the largest of several independent ones reaches the NULL_LEVEL quantile."""
    return -float(np.expm1(np.log(NULL_LEVEL) / n_scores))


def _one(array: Tensor | np.ndarray, ndim: int, field: str) -> Tensor | np.ndarray:
    if array.ndim != ndim:
        raise ValueError(
            f"{field}: shape {tuple(array.shape)} given, expected {ndim} dimensions: "
            "key frequencies are chosen for one model at a time"
        )
    return array
