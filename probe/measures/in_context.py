"""What is learned from the examples in the context alone (Olsson et al. 2022, arXiv 2209.11895; Brown et al. 2020).

Tokens of one sequence are not independent of each other; sequences are. So all intervals are over sequences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import t

from probe.measures.intervals import Interval, check_confidence, t_interval
from probe.measures.memorization.clustered import share_interval


@dataclass(frozen=True)
class ShotCurve:
    """Accuracy and loss by how many examples were shown before.

    Attributes:
        shown: numbers of examples, ascending, those that occur.
        accuracy: of each, share right, with its interval over sequences.
        loss: of each, nats, likewise.
    """

    shown: Int[np.ndarray, " k"]
    accuracy: tuple[Interval, ...]
    loss: tuple[Interval, ...]


def shot_curve(
    right: Bool[np.ndarray, "sequence place"],
    loss: Float[np.ndarray, "sequence place"],
    shown: Int[np.ndarray, "sequence place"],
    confidence: float = 0.95,
) -> ShotCurve:
    """The k-shot curve of what was predicted at every place of some sequences.

    Of each number of examples all places count alike that have it. Intervals of accuracy are Clopper and Pearson's of
    the effective number of places (``share_interval``); of the loss Student's, of the ratio of two sums over sequences.

    Args:
        right: whether each was predicted rightly.
        loss: of each, nats.
        shown: how many examples were shown before each; -1 where a place is not to be counted.
        confidence: of the intervals.

    Raises:
        ValueError: the arrays have different shapes, or nothing is to be counted.
    """
    check_confidence(confidence)
    right, loss, shown = np.asarray(right, dtype=bool), np.asarray(loss, dtype=np.float64), np.asarray(shown)
    if not right.shape == loss.shape == shown.shape or right.ndim != 2:
        raise ValueError(
            f"right, loss, shown: shapes {right.shape}, {loss.shape}, {shown.shape} given, expected one and the same,"
            " [sequence, place]"
        )
    numbers = np.unique(shown[shown >= 0])
    if not len(numbers):
        raise ValueError("shown: no place is to be counted, expected one at least that is 0 or more")
    accuracies, losses = [], []
    for number in numbers:
        here = shown == number
        places = here.sum(1)
        with_it = places > 0
        n = places[with_it].astype(np.float64)
        share = (right & here).sum(1)[with_it] / n
        value, low, high = share_interval(share, n, np.arange(len(n)), confidence)
        accuracies.append(Interval(float(value), float(low), float(high), len(n)))
        losses.append(_ratio((loss * here).sum(1)[with_it], n, confidence))
    return ShotCurve(numbers, tuple(accuracies), tuple(losses))


def icl_score(
    loss: Float[np.ndarray, "sequence place"], early: int = 0, late: int = -1, confidence: float = 0.95
) -> Interval:
    """Loss late in the context less loss early in it, nats; below 0 where something is learned from what is between.

    Olsson et al. take tokens 500 and 50 of long texts; of shorter sequences, the first and the last are taken here if
    nothing else is said.

    Args:
        loss: of each place of each sequence, nats.
        early, late: places, as Python counts them.
        confidence: of the interval, Student's over sequences.

    Raises:
        ValueError: there is no such place, the two are one, or there are fewer than 2 sequences.
    """
    loss = np.asarray(loss, dtype=np.float64)
    n, places = loss.shape
    for field, place in (("early", early), ("late", late)):
        if not -places <= place < places:
            raise ValueError(f"{field}: got {place}; expected -{places} to {places - 1}, a place of {places}")
    if early % places >= late % places:
        raise ValueError(f"late: got {late}; expected a place after early, {early}")
    if n < 2:
        raise ValueError(f"loss: {n} sequence given, expected 2 or more, over which the interval is")
    return t_interval(torch.as_tensor(loss[:, late] - loss[:, early]), confidence)


def _ratio(sums: Float[np.ndarray, " sequence"], n: Float[np.ndarray, " sequence"], confidence: float) -> Interval:
    """Mean over places of sequences that have some, by linearization; its ends are nan of one sequence."""
    mean = sums.sum() / n.sum()
    count = len(n)
    if count < 2:
        return Interval(float(mean), np.nan, np.nan, count)
    variance = count / (count - 1) * ((sums - mean * n) ** 2).sum() / n.sum() ** 2
    half = t.ppf((1 + confidence) / 2, count - 1) * np.sqrt(variance)
    return Interval(float(mean), float(mean - half), float(mean + half), count)
