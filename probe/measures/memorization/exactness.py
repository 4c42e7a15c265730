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
from scipy.special import betaincinv
from torch import Tensor

from probe.measures.arrays import checked, number, valid
from probe.measures.complexity.mean_interval import t_interval
from probe.measures.intervals import check_confidence

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


@dataclass(frozen=True)
class Share:
    """A share and its interval: floats for one model, float64 tensors [*batch] for a batch of them.

    Attributes:
        value: the share.
        low: lower end.
        high: upper end.
        n: of facts, or of seeds.
    """

    value: Any
    low: Any
    high: Any
    n: int


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


def memorized_share(correct: Correct, confidence: float = 0.95) -> Share:
    """M: the share of facts that are answered exactly, of each model, with an interval over facts.

    The interval is Clopper and Pearson's (1934, Biometrika 26, 404): it holds the share of all facts of this kind with
    at least the stated confidence however near to 0 or 1, if the facts are independent of each other given the model.
    It says nothing of other models: for those, `share_over_seeds`.

    Raises ValueError for what is neither 0 nor 1, or a confidence outside (0, 1).
    """
    right = checked_correct(correct, "correct")
    check_confidence(confidence)
    return share_of(right.sum(-1), right.shape[-1], confidence)


def share_over_seeds(shares: Float[np.ndarray | Tensor, "*seed_and_batch"], confidence: float = 0.95) -> Share:
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
    mean, low, high = (
        torch.tensor([getattr(one, end) for one in means], dtype=torch.float64, device=values.device)
        .clamp(0, 1)
        .reshape(values.shape[1:])
        for end in ("estimate", "low", "high")
    )
    return Share(number(mean), number(low), number(high), len(values))


def checked_correct(correct: Any, field: str, dims: str = "*batch fact") -> Float[Tensor, "*batch fact"]:
    """Whether facts are right, as float64 0 and 1; a ValueError that names ``field`` for anything else."""
    values = checked(correct, field, dims)
    neither = (values != 0) & (values != 1)
    if neither.any():
        raise ValueError(f"{field}: {values[neither][0].item():g} given, expected 0 or 1, or booleans")
    return values


def share_of(successes: Float[Tensor, "*batch"], n: int, confidence: float) -> Share:
    """Share of n and its Clopper-Pearson interval."""
    low, high = clopper_pearson(successes.cpu().numpy(), n, confidence)
    ends = [torch.as_tensor(end, dtype=torch.float64, device=successes.device) for end in (low, high)]
    return Share(number(successes / n), number(ends[0]), number(ends[1]), n)


def clopper_pearson(
    successes: Float[np.ndarray, "*batch"], n: int, confidence: float
) -> tuple[Float[np.ndarray, "*batch"], Float[np.ndarray, "*batch"]]:
    """Ends of the exact interval of a proportion."""
    k, tail = np.asarray(successes), (1 - confidence) / 2
    # betaincinv takes no zero; the interval of none begins at 0, that of all ends at 1
    low = np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1), 1 - tail), 1.0)
    return low, high


def _token_ids(tokens: Any, field: str) -> Int[Tensor, "*batch fact token"]:
    ids = valid(tokens, field, "*batch fact token")
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(f"{field}: {ids.dtype} given, expected integer token ids")
    return ids
