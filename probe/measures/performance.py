"""Cross-entropy and accuracy, one number per example; a subset's number is the mean of its examples."""

from __future__ import annotations

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
