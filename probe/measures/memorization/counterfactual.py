"""Counterfactual memorization: how much better models do on an example for having been trained on it.

mem(x) = mean performance on x of models trained with x, minus that of models trained without it (Zhang et al. 2021,
arXiv 2112.12938, definition 2.1; for accuracy Feldman & Zhang 2020, arXiv 2008.03703, definition 1). What a rule, or
other examples, tell about x is in both means: models trained without x are the control.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.measures.arrays import checked
from probe.measures.intervals import check_confidence
from probe.measures.memorization.arguments import checked_correct
from probe.measures.memorization.clustered import Parts, difference_interval, effective_items
from probe.measures.shares import clopper_pearson


@dataclass(frozen=True)
class CounterfactualMemorization:
    """Counterfactual memorization of every example.

    Attributes:
        value: ``with_example`` minus ``without_example``; nan where all models were trained with it, or none.
        low: lower end of its interval over models; nan there.
        high: upper end.
        with_example: mean performance of models trained with the example; nan if there are none.
        without_example: mean performance of the others.
        n_with: models trained with the example.
        n_without: the others.
    """

    value: Float[Tensor, "*batch example"]
    low: Float[Tensor, "*batch example"]
    high: Float[Tensor, "*batch example"]
    with_example: Float[Tensor, "*batch example"]
    without_example: Float[Tensor, "*batch example"]
    n_with: Int[Tensor, " example"]
    n_without: Int[Tensor, " example"]


def counterfactual_memorization(
    in_training: Bool[np.ndarray | Tensor, "model example"],
    performance: Float[np.ndarray | Tensor, "*batch model example"],
    confidence: float = 0.95,
) -> CounterfactualMemorization:
    """Counterfactual memorization from which ``model`` was trained with which ``example``, and how it does on it.

    ``performance`` lies in [0, 1]: whether the answer is right, the share of its tokens, or a probability. Training
    sets are to be drawn independently of each other.

    Each mean has the interval of a share of as many independent trials as give its variance over models (`clustered`);
    of models that all do equally well, such as all right, Clopper and Pearson's: 4 models that are all right say 40 %
    or more. Both are put together as of independent means. It is an interval for each example by itself.

    Measured on 1200 draws each of 4 to 40 models: 95 % intervals covered 96 to 100 % for right or wrong, 95 to 99 % for
    shares that scatter; for shares close to 1 with some models far below, which few models do not show, 80 to 91 %.

    Raises ValueError for shapes that do not fit, performance outside [0, 1], what is neither in nor out, examples that
    are all in every model or in none, or a confidence outside (0, 1).
    """
    inside = checked_correct(in_training, "in_training", "model example")
    values = checked(performance, "performance", "*batch model example")
    if values.shape[-2:] != inside.shape:
        raise ValueError(
            f"performance: shape {tuple(values.shape)} given, expected [*batch, model, example] of in_training,"
            f" {tuple(inside.shape)}"
        )
    outside = (values < 0) | (values > 1)
    if outside.any():
        raise ValueError(f"performance: {values[outside][0].item():g} given, expected numbers from 0 to 1")
    check_confidence(confidence)
    member, scores = inside.cpu().numpy() == 1, values.cpu().numpy()
    if not (member.any(0) & ~member.all(0)).any():
        raise ValueError("in_training: every example is in all models or in none, expected some that are in a part")
    ends = [_mean(scores, models, confidence) for models in (member, ~member)]
    parts = [*difference_interval(*ends), ends[0][0], ends[1][0], member.sum(0), (~member).sum(0)]
    return CounterfactualMemorization(*(torch.as_tensor(x, device=values.device) for x in parts))


def _mean(
    scores: Float[np.ndarray, "*batch model example"], models: Bool[np.ndarray, "model example"], confidence: float
) -> Parts:
    """Mean over ``models`` of each example and its interval; nan where there are none."""
    n = models.sum(0).astype(float)
    some = np.maximum(n, 1)
    # exactly 1 where all are
    mean = np.where(models, scores, 0).sum(-2) / some
    square = (np.where(models, scores - mean[..., None, :], 0) ** 2).sum(-2)
    variance = square / some / np.maximum(n - 1, 1)
    # of models that all do equally well nothing shows how they scatter: as many trials as there are models
    items = effective_items(mean, variance, some, np.where(variance > 0, np.inf, some), confidence)
    mean, low, high = (np.where(n > 0, x, np.nan) for x in (mean, *clopper_pearson(mean * items, items, confidence)))
    return mean, low, high
