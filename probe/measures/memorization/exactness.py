"""Which facts a model answers exactly, and which share of them that is.

A fact is memorized where every scored token of its answer is the most likely one. M is the share of the trained facts
of which that is so (Tirumala et al. 2022, arXiv 2205.10770). Its control is the same share of facts that
were never shown; what both have in common is chance or a rule, see `memory_beyond_rule`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.measures.arrays import checked, valid
from probe.measures.intervals import check_confidence, t_interval
from probe.measures.memorization.arguments import Estimate, checked_correct, estimate
from probe.measures.shares import clopper_pearson

Correct = Bool[np.ndarray | Tensor, "*batch fact"] | Float[np.ndarray | Tensor, "*batch fact"]
Tokens = Int[np.ndarray | Tensor, "*batch fact token"]


@dataclass(frozen=True)
class AnswerCorrectness:
    """Answers of several tokens, compared token by token.

    Attributes:
        exact: whether all scored tokens of a fact are right.
        token_share: share of its scored tokens that are right.
    """

    exact: Bool[Tensor, "*batch fact"]
    token_share: Float[Tensor, "*batch fact"]


def answers_correct(predicted: Tokens, answers: Tokens) -> AnswerCorrectness:
    """Predicted token ids against those of any set of answers; where ``answers`` are -1 nothing is scored.

    For predictions by the largest logit given the tokens before, `probe.measures.performance.outcomes` says the same of
    the right answers; this takes its ``predicted``, or what was decoded, and other answers, such as those that were
    taught wrong. Both kinds of prediction agree on ``exact``, though not on ``token_share``. ``answers`` are [fact,
    token], or one set per model.

    Raises ValueError for shapes that do not fit, ids that are not integers, or a fact without a scored token.
    """
    given, right = _token_ids(predicted, "predicted"), _token_ids(answers, "answers")
    if right.shape not in (given.shape[-2:], given.shape):
        raise ValueError(
            f"answers: shape {tuple(right.shape)} given, expected [fact, token] of predicted, {tuple(given.shape)}"
        )
    right = right.to(given.device)
    scored = right != -1
    if not scored.any(-1).all():
        where = (~scored.any(-1)).nonzero()[0].tolist()
        raise ValueError(f"answers: only -1 given for fact {where[-1]}, expected at least one token that is scored")
    n_right, n_scored = ((given == right) & scored).sum(-1), scored.sum(-1)
    return AnswerCorrectness(n_right == n_scored, n_right.to(torch.float64) / n_scored)


def memorized_share(correct: Correct, confidence: float = 0.95) -> Estimate:
    """M: the share of facts that are answered exactly, of each model, with an interval over facts.

    The interval is Clopper and Pearson's (1934, Biometrika 26, 404): it holds the share of all facts of this kind with
    at least the stated confidence however near to 0 or 1, if the facts are independent of each other given the model.
    It says nothing of other models: for those, `share_over_seeds`.

    Raises ValueError for what is neither 0 nor 1, or a confidence outside (0, 1).
    """
    right = checked_correct(correct, "correct")
    check_confidence(confidence)
    return share_of(right.sum(-1), right.shape[-1], confidence)


def share_over_seeds(shares: Float[np.ndarray | Tensor, "*seed_and_batch"], confidence: float = 0.95) -> Estimate:
    """Mean over seeds of the shares of their models, at every step or whatever else there is, with Student's interval.

    Ends are cut at 0 and 1. Seeds that all have one share leave no width: that says that few seeds were asked, not that
    others would agree.

    Raises ValueError for fewer than 2 seeds, or what is no share.
    """
    values = checked(shares, "shares", "*seed_and_batch")
    if values.ndim < 1 or len(values) < 2:
        raise ValueError(f"shares: shape {tuple(values.shape)} given, expected [seed, *batch] of at least 2 seeds")
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"shares: {values[(values < 0) | (values > 1)][0]:g} given, expected numbers from 0 to 1")
    means = [t_interval(cell, confidence) for cell in values.reshape(len(values), -1).mT]
    parts = np.array([(one.estimate, one.low, one.high) for one in means]).clip(0, 1).T
    return estimate(parts.reshape(3, *values.shape[1:]), len(values), values)


def share_of(successes: Float[Tensor, "*batch"], n: int, confidence: float) -> Estimate:
    """Share of n and its Clopper-Pearson interval."""
    k = successes.cpu().numpy()
    return estimate((k / n, *clopper_pearson(k, n, confidence)), n, successes)


def _token_ids(tokens: Any, field: str) -> Int[Tensor, "*batch fact token"]:
    ids = valid(tokens, field, "*batch fact token")
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(f"{field}: {ids.dtype} given, expected integer token ids")
    return ids
