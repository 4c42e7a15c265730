"""How many bits of its training data a model holds.

* `recovered_bits`, of facts whose answers were drawn uniformly from V values: sum of log2 V + log2 p(answer), which is
  n log2(V / e^loss) of Allen-Zhu & Li 2024 (arXiv 2404.05405, definitions 4.1 and 4.3) for the mean loss in nats. Facts
  that the model is wrong about count negative. Nothing is cut at 0 fact by fact: the sum bounds from below what the
  weights can hold only as it is, and answers guessed at random would otherwise seem to be held in part.
* `unintended_bits`, of any text: sum of log2 max(p, p_ref) - log2 p_ref (Morris et al. 2025, arXiv 2505.24832, section
  2), which is cut at the reference datum by datum, as the definition says. The reference takes away what is common to
  all such data. With a uniform reference it is at least the bits recovered.

The control of both are facts or texts that were never shown: on average at most 0 recovered bits, but more than 0
unintended ones for any model that is not the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import t
from torch import Tensor

from probe.measures.arrays import checked, number
from probe.measures.intervals import check_confidence

LogProbs = Float[np.ndarray | Tensor, "*batch fact"]
_ROUNDING = 1e-5  # nats by which a log-probability in float32 may lie above 0


@dataclass(frozen=True)
class MemorizedBits:
    """Bits held of a set of data: floats for one model, float64 tensors [*batch] for a batch of them.

    Attributes:
        bits: sum over the data.
        low: lower end of its interval: of as many data, drawn anew.
        high: upper end; not above ``total``.
        total: information in the data, the most that can be held; per model where references differ.
        n: facts or texts.
    """

    bits: Any
    low: Any
    high: Any
    total: Any
    n: int

    def per_parameter(self, n_params: Any) -> MemorizedBits:
        """The same divided by the number of parameters, one for all or one per model: bits per parameter.

        Raises ValueError for numbers that are not above 0.
        """
        sizes = checked(n_params, "n_params", "*batch")
        if (sizes <= 0).any():
            raise ValueError(f"n_params: {sizes[sizes <= 0][0].item():g} given, expected numbers above 0")
        bits, low, high, total = (
            number(torch.as_tensor(x, dtype=torch.float64) / sizes)
            for x in (self.bits, self.low, self.high, self.total)
        )
        return MemorizedBits(bits, low, high, total, self.n)


def recovered_bits(
    log_probs: LogProbs, n_values: float | Float[np.ndarray | Tensor, " fact"], confidence: float = 0.95
) -> MemorizedBits:
    """Bits recovered of facts with random attributes.

    ``log_probs`` are natural logarithms of the probability of the right answer, summed over its tokens; over all
    tokens of the vocabulary, so that what a model must learn to answer with a value at all counts against it, or
    normalized over the values. ``n_values`` is V, the number of values an answer is drawn from, one for all facts or
    one for each. ``total`` is the sum of log2 V.

    The interval is Student's of the mean over facts. Facts that are all held equally well leave no width, which says
    nothing about rare exceptions: `memorized_share` does.

    Raises ValueError for a probability above 1, fewer than 2 facts or values, or a confidence outside (0, 1).
    """
    held = _checked_log_probs(log_probs, "log_probs")
    values = checked(n_values, "n_values", "*fact").to(held.device)
    if values.shape not in ((), held.shape[-1:]):
        raise ValueError(f"n_values: shape {tuple(values.shape)} given, expected a number or {held.shape[-1]} of them")
    if (values < 2).any():
        raise ValueError(f"n_values: {values[values < 2][0].item():g} given, expected at least 2 values")
    information = values.log().expand(held.shape[-1])
    return _sum_of(information + held, information.sum(), confidence)


def unintended_bits(log_probs: LogProbs, reference_log_probs: LogProbs, confidence: float = 0.95) -> MemorizedBits:
    """Bits of texts or facts that a model holds beyond a reference, from natural log-probabilities of whole data.

    ``reference_log_probs`` are those of a model that knows the kind of data but not these: for random data the law they
    are drawn from, for text a model trained on much more of it; one per datum, or [*batch, fact]. ``total`` is the
    information that the data have under the reference, a sum of -log2 p_ref.

    Raises ValueError for a probability above 1, shapes that do not fit, fewer than 2 data, or a confidence outside
    (0, 1).
    """
    held = _checked_log_probs(log_probs, "log_probs")
    reference = _checked_log_probs(reference_log_probs, "reference_log_probs").to(held.device)
    if reference.shape not in (held.shape[-1:], held.shape):
        raise ValueError(
            f"reference_log_probs: shape {tuple(reference.shape)} given, expected [fact] or {tuple(held.shape)}"
        )
    return _sum_of((held - reference).clamp(min=0), -reference.sum(-1), confidence)


def _sum_of(nats: Float[Tensor, "*batch fact"], total: Float[Tensor, "*batch"], confidence: float) -> MemorizedBits:
    check_confidence(confidence)
    bits, n = nats / np.log(2), nats.shape[-1]
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * bits.std(-1) * n**0.5
    sums, limit = bits.sum(-1), total / np.log(2)
    return MemorizedBits(number(sums), number(sums - half), number((sums + half).minimum(limit)), number(limit), n)


def _checked_log_probs(log_probs: LogProbs, field: str) -> Float[Tensor, "*batch fact"]:
    values = checked(log_probs, field, "*batch fact")
    if values.shape[-1] < 2:
        raise ValueError(f"{field}: shape {tuple(values.shape)} given, expected at least 2 facts")
    if (values > _ROUNDING).any():
        raise ValueError(f"{field}: {values.max().item():g} given, expected logarithms of probabilities, at most 0")
    return values.clamp(max=0)
