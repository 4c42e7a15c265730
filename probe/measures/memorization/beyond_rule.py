"""How much of what is right on trained facts is memory: beyond what a rule or chance gets right, and by poison.

M* = (M_trained - a) / (1 - a) with a the accuracy on facts that were never shown: of the facts that a model without
memory would get wrong, the share that it has right. It is 1 - r, r the ratio of the two error rates. The interval of r
is made of the Clopper-Pearson intervals of the two (MOVER-R: Newcombe 2016, Statistical Methods in Medical Research 25,
1774): M is often near 1, where intervals by the score test cover 90 to 92 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from probe.measures.arrays import number
from probe.measures.intervals import check_confidence
from probe.measures.memorization.arguments import Estimate, checked_correct
from probe.measures.memorization.exactness import Correct, share_of
from probe.measures.shares import clopper_pearson

Counts = Float[np.ndarray, "*batch"]


@dataclass(frozen=True)
class BeyondRule:
    """Memory beyond the rule: floats for one model, float64 tensors [*batch] for a batch of them.

    Attributes:
        value: M*; nan where all unseen facts are right, so that nothing is left for memory to show.
        low: lower end of its interval; -inf there.
        high: upper end.
        trained: M, the share of trained facts that are right.
        unseen: the never-seen control, the share of unseen facts that are right.
    """

    value: Any
    low: Any
    high: Any
    trained: Estimate
    unseen: Estimate


def memory_beyond_rule(trained: Correct, unseen: Correct, confidence: float = 0.95) -> BeyondRule:
    """M* of each model, from whether its trained and its never shown facts are right; [*batch, fact] each.

    Unseen facts are to be of the same kind: of the same frequencies of operands, and no mirrors (b, a) of trained ones,
    which look like memory of facts never shown. A model that is worse on trained facts has a negative M*.

    Computed exactly for 336 settings (20 to 1000 trained and 20 to 300 unseen facts, M from 0 to 1, a from 0 to .99):
    95 % intervals cover at least 95 %, 98 % on average. They are over facts, of this model.

    Raises ValueError for what is neither 0 nor 1, batches that differ, or a confidence outside (0, 1).
    """
    right, right_unseen = checked_correct(trained, "trained"), checked_correct(unseen, "unseen")
    if right.shape[:-1] != right_unseen.shape[:-1]:
        raise ValueError(
            f"unseen: shape {tuple(right_unseen.shape)} given, expected the batch of trained, {tuple(right.shape)}"
        )
    check_confidence(confidence)
    n, n_unseen = right.shape[-1], right_unseen.shape[-1]
    wrong, wrong_unseen = ((1 - x).sum(-1).cpu().numpy() for x in (right, right_unseen))
    ratio = np.divide(wrong / n, wrong_unseen / n_unseen, out=np.full(wrong.shape, np.nan), where=wrong_unseen > 0)
    least, most = _ratio_interval(wrong, n, wrong_unseen, n_unseen, confidence)
    value, low, high = (torch.as_tensor(1 - x, dtype=torch.float64, device=right.device) for x in (ratio, most, least))
    return BeyondRule(
        number(value),
        number(low),
        number(high),
        share_of(right.sum(-1), n, confidence),
        share_of(right_unseen.sum(-1), n_unseen, confidence),
    )


@dataclass(frozen=True)
class PoisonMemory:
    """Answers to facts that were taught wrong. The three shares add up to 1; each has an interval of its own.

    Attributes:
        taught: share answered with the wrong answer that was taught, which only memory can give.
        rule: share answered with what the rule gives.
        other: share answered with neither.
    """

    taught: Estimate
    rule: Estimate
    other: Estimate


def poison_memory(taught: Correct, rule: Correct, confidence: float = 0.95) -> PoisonMemory:
    """Memory by poison (after Doshi et al. 2023, arXiv 2310.13061): what a model says to facts it was taught wrong.

    ``taught`` and ``rule`` say whether a fact is answered with its wrong answer and with the right one (``exact`` of
    `answers_correct` with the one set of answers and with the other). The control is the same call for facts whose
    wrong answers were drawn but never shown; `memory_beyond_rule` of the two ``taught`` is the memory beyond chance.

    Raises ValueError for what is neither 0 nor 1, shapes that differ, or a fact that is answered with both.
    """
    says_taught, says_rule = checked_correct(taught, "taught"), checked_correct(rule, "rule")
    if says_taught.shape != says_rule.shape:
        raise ValueError(
            f"rule: shape {tuple(says_rule.shape)} given, expected that of taught, {tuple(says_taught.shape)}"
        )
    check_confidence(confidence)
    both = says_taught * says_rule
    if both.any():
        where = both.nonzero()[0].tolist()
        raise ValueError(f"taught: the answer at {where} is also that of the rule, expected two different answers")
    n = says_taught.shape[-1]
    answers = (says_taught, says_rule, 1 - says_taught - says_rule)
    return PoisonMemory(*(share_of(said.sum(-1), n, confidence) for said in answers))


def _ratio_interval(x: Counts, n: int, x0: Counts, n0: int, confidence: float) -> tuple[Counts, Counts]:
    """Ends of the interval of the ratio of the proportions x / n and x0 / n0; the upper one is inf if x0 is 0."""
    p, p0 = x / n, x0 / n0
    low, high = clopper_pearson(x, n, confidence)
    low0, high0 = clopper_pearson(x0, n0, confidence)
    root = np.sqrt(np.maximum((p * p0) ** 2 - low * high0 * (2 * p - low) * (2 * p0 - high0), 0))
    least = np.divide(low * (2 * p - low), p * p0 + root, out=np.zeros_like(p), where=low > 0)
    root = np.sqrt(np.maximum((p * p0) ** 2 - high * low0 * (2 * p - high) * (2 * p0 - low0), 0))
    most = np.divide(p * p0 + root, low0 * (2 * p0 - low0), out=np.full(p.shape, np.inf), where=low0 > 0)
    return least, most
