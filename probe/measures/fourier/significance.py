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
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import beta
from torch import Tensor

from probe.measures.arrays import checked, unit_scale, valid
from probe.measures.fourier.logits import logit_cosines
from probe.measures.fourier.spectra import checked_over_tokens, degree2_fit, frequency_power

NULL_LEVEL = 0.99
RELATIVE_NORM = 0.25  # share of the largest norm, from which a frequency of an embedding counts
SINGLE_FREQUENCY = 0.85  # share of a neuron's variance in one component, from which it counts as being of it


@dataclass(frozen=True)
class KeyFrequencies:
    """The frequencies that one rule calls key, and what it saw."""

    rule: Literal["logits", "embedding", "neurons"]
    frequencies: tuple[int, ...]  # ascending, within 1..n//2
    scores: Float[Tensor, " frequency"]  # of k = 1..n//2, at index k - 1
    threshold: float  # the rule's own bar
    null_quantile: float  # the bar that noise sets


def key_frequencies(
    logits: Float[Tensor | np.ndarray, "n n n"] | None = None,
    embedding: Float[Tensor | np.ndarray, "p d"] | None = None,
    neuron_logit_map: Float[Tensor | np.ndarray, "neuron p"] | None = None,
    neurons: Float[Tensor | np.ndarray, "n n neuron"] | None = None,
) -> list[int]:
    """The key frequencies, ascending, by the rule that goes with the one array given.

    `by_logits`, `by_neurons`, and `by_embedding` for the embedding and for the neuron-logit map over its answers. What
    they saw, and the null, is what those say. The answer to (a, b) is taken to be a + b: arrays of another operation
    are first put in the order that makes it one, as `probe.measures.fourier.logits` says. For p = 2 and 3 no embedding,
    map or neuron has a key frequency: they have no frequency but one, so that noise has all of its variance in it.
    Raises ValueError unless exactly one array is given.
    """
    given = {"logits": logits, "embedding": embedding, "neuron_logit_map": neuron_logit_map, "neurons": neurons}
    names = [name for name, array in given.items() if array is not None]
    if len(names) != 1:
        said = ", ".join(names) or "nothing"
        raise ValueError(f"logits: {said} given, expected exactly one of {', '.join(given)}: each has its own rule")
    if logits is not None:
        found = by_logits(logits)
    elif neurons is not None:
        found = by_neurons(neurons)
    elif embedding is not None:
        found = by_embedding(embedding)
    else:
        answers = checked(neuron_logit_map, "neuron_logit_map", "neuron p").T
        found = _by_matrix(answers, "neuron_logit_map", RELATIVE_NORM)
    return list(found.frequencies)


def by_logits(logits: Float[Tensor | np.ndarray, "n n n"], threshold: float = 0.005) -> KeyFrequencies:
    """Rule "logits" (the default rule of this project): the logit cosine of k is above 0.005.

    Null: the cosine of a cube of noise, centred over answers, with a fixed direction. It rises as n falls
    (about 0.003 at n = 113, 0.03 at n = 23), so that small groups need more than 0.005.
    """
    cube = valid(logits, "logits", "n n n")
    scores = logit_cosines(cube)[1:]
    return _significant("logits", scores, threshold, null_cosine(len(cube), len(scores)))


def by_embedding(embedding: Float[Tensor | np.ndarray, "p d"], relative_norm: float = RELATIVE_NORM) -> KeyFrequencies:
    """Rule "embedding": the norm of k's Fourier components is above a quarter of the largest such norm.

    Scores are shares of the power apart from the constant, so the threshold is the largest score / 16. The
    null matters here: noise has all norms alike, and a quarter of the largest would make every frequency key.
    It fits any matrix over the tokens or the answers, such as the transposed neuron-logit map.
    """
    return _by_matrix(embedding, "embedding", relative_norm)


def _by_matrix(matrix: Any, field: str, relative_norm: float) -> KeyFrequencies:
    W = unit_scale(checked_over_tokens(matrix, field, "p d"), 2)
    if (W - W.mean(0)).norm() <= 1e-10 * W.norm():
        raise ValueError(f"{field}: the same row for every token given, which has no frequencies")
    power = frequency_power(W)[1:]
    scores = power / power.sum()
    p, d = W.shape
    # 2 d of the (p - 1) d dimensions; for k = p/2 it is d of them, so its null is lower than the one used
    null = _null_share(2 * d, (p - 1) * d, len(scores))
    return _significant("embedding", scores, relative_norm**2 * scores.max().item(), null)


def by_neurons(
    neurons: Float[Tensor | np.ndarray, "n n neuron"], threshold: float = SINGLE_FREQUENCY
) -> KeyFrequencies:
    """Rule "neurons": some neuron whose best frequency is k has more than 85 % of its variance in it.

    The score of k is the largest such share among the neurons whose best frequency is k, 0 if there are none.
    """
    maps = checked_over_tokens(neurons, "neurons", "n n neuron")
    best, share = degree2_fit(maps)
    n, n_neurons = maps.shape[-2:]
    scores = share.new_zeros(n // 2 + 1).scatter_reduce(0, best, share, "amax")[1:]
    null = _null_share(8, n * n - 1, n_neurons * len(scores))
    return _significant("neurons", scores, threshold, null)


def null_cosine(n: int, n_scores: int) -> float:
    """Null quantile of the largest of several logit cosines of one [n, n, n] cube of noise, centred over answers."""
    # a squared cosine is Beta(1/2, (D - 1)/2); the sign halves the upper tail
    return float(beta.isf(2 * _upper_tail(n_scores), 0.5, (n * n * (n - 1) - 1) / 2) ** 0.5)


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
