"""Cross-entropy and accuracy, one number per example; a subset's number is the mean of its examples.

``outcomes`` is both at once, of answers of one token or several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def cross_entropy(
    logits: Float[Tensor | np.ndarray, "*batch example answer"], answers: Int[Tensor | np.ndarray, " example"]
) -> Float[Tensor, "*batch example"]:
    """Loss of each example in nats: ``-log_softmax(logits)`` at the right answer, in float64.

    float64 is part of the definition: a float32 log-softmax rounds losses below about 1e-7 to zero, which
    stalls training and hides the end of a curve (Nanda et al. 2023, arXiv 2301.05217, appendix).

    Raises ValueError if ``answers`` does not fit ``logits``.
    """
    logits = torch.as_tensor(logits, dtype=torch.float64)
    answers = _checked_answers(answers, logits)
    at_answer = answers.expand(logits.shape[:-1]).unsqueeze(-1)
    return -logits.log_softmax(-1).gather(-1, at_answer).squeeze(-1)


def accuracy(
    logits: Float[Tensor | np.ndarray, "*batch example answer"], answers: Int[Tensor | np.ndarray, " example"]
) -> Float[Tensor, "*batch example"]:
    """1.0 where the right answer has the largest logit, else 0.0. The lowest index wins among equal logits.

    Raises ValueError if ``answers`` does not fit ``logits``.
    """
    logits = torch.as_tensor(logits)
    answers = _checked_answers(answers, logits)
    return (logits.argmax(-1) == answers).to(torch.float64)


@dataclass(frozen=True)
class Outcomes:
    """What a model gave for the tokens of each answer, where those before it in the answer are given to it.

    Answers may have unequal numbers of tokens: ``scored`` says which there are.

    Attributes:
        log_probs: of the right token, in nats; 0 where nothing is scored.
        predicted: the token with the largest logit, the lowest of equal ones; NOT_SCORED (-1) where nothing is scored.
        right: whether that is the right one; true where nothing is scored.
        scored: where there is a token to be predicted.
    """

    log_probs: Float[Tensor, "*batch example token"]
    predicted: Int[Tensor, "*batch example token"]
    right: Bool[Tensor, "*batch example token"]
    scored: Bool[Tensor, "example token"]

    @classmethod
    def joined(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Those of several batches of examples as one."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts], dim=-2) for field in fields(cls)))

    @property
    def loss(self) -> Float[Tensor, "*batch example"]:
        """Nats per token, the mean over the tokens of an answer."""
        return -self.log_probs.sum(-1) / self.scored.sum(-1)

    @property
    def exact(self) -> Float[Tensor, "*batch example"]:
        """1.0 where all tokens are right, which is where greedy decoding gives the answer; else 0.0."""
        return self.right.all(-1).to(torch.float64)

    @property
    def token_accuracy(self) -> Float[Tensor, "*batch example"]:
        """Share of an answer's tokens that are right."""
        return (self.right & self.scored).sum(-1) / self.scored.sum(-1).double()


def outcomes(
    logits: Float[Tensor | np.ndarray, "*batch example token answer"],
    targets: Int[Tensor | np.ndarray, "example token"],
) -> Outcomes:
    """Log-probability and correctness of every token of every answer, in float64 as ``cross_entropy`` is.

    Args:
        logits: over the tokens that can be part of an answer.
        targets: the right ones, as places among these; -1 where nothing is scored.

    Raises ValueError if ``targets`` does not fit ``logits``, or an example has nothing that is scored.
    """
    logits = torch.as_tensor(logits, dtype=torch.float64)
    targets = torch.as_tensor(targets, dtype=torch.int64, device=logits.device)
    if logits.ndim < 3 or targets.shape != logits.shape[-3:-1]:
        raise ValueError(
            f"targets: shape {tuple(targets.shape)} given, expected [example, token] of logits of shape"
            f" {tuple(logits.shape)}, which is [*batch, example, token, answer]"
        )
    scored = targets != -1
    if not scored.any(-1).all():
        raise ValueError(f"targets: example {int((~scored.any(-1)).nonzero()[0])} has no scored token, expected one")
    outside = targets[(targets < -1) | (targets >= logits.shape[-1])]
    if len(outside):
        raise ValueError(f"targets: {int(outside[0])} given, expected -1 or 0 to {logits.shape[-1] - 1}, as logits has")
    at_target = targets.clamp(min=0).expand(logits.shape[:-1]).unsqueeze(-1)
    log_probs = logits.log_softmax(-1).gather(-1, at_target).squeeze(-1)
    predicted = logits.argmax(-1)
    return Outcomes(
        log_probs=torch.where(scored, log_probs, 0.0),
        predicted=torch.where(scored, predicted, -1),
        right=(predicted == targets) | ~scored,
        scored=scored,
    )


def subset_mean(
    values: Float[Tensor | np.ndarray, "*batch example"], mask: Bool[Tensor | np.ndarray, " example"]
) -> Float[Tensor, "*batch"]:
    """Mean over the examples where ``mask`` is true.

    Raises ValueError for an empty subset or a mask of another length.
    """
    values = torch.as_tensor(values, dtype=torch.float64)
    mask = torch.as_tensor(mask, dtype=torch.bool, device=values.device)
    if mask.ndim != 1 or mask.shape[0] != values.shape[-1]:
        raise ValueError(f"mask: shape {tuple(mask.shape)} given, expected ({values.shape[-1]},), one per example")
    if not mask.any():
        raise ValueError("mask: no example selected, expected at least one; leave empty subsets out")
    return values[..., mask].mean(-1)


def _checked_answers(answers: Tensor | np.ndarray, logits: Tensor) -> Tensor:
    if logits.ndim < 2:
        raise ValueError(f"logits: shape {tuple(logits.shape)} given, expected [*batch, example, answer]")
    answers = torch.as_tensor(answers, dtype=torch.int64, device=logits.device)
    n_examples, n_answers = logits.shape[-2:]
    if answers.shape != (n_examples,):
        raise ValueError(f"answers: shape {tuple(answers.shape)} given, expected ({n_examples},), one per example")
    outside = answers[(answers < 0) | (answers >= n_answers)]
    if len(outside):
        raise ValueError(f"answers: {int(outside[0])} given, expected 0 to {n_answers - 1}, as logits has")
    return answers
