"""Memory against rule by losses: how far those of facts that were shown lie below those of facts that never were.

What a rule gives, it gives to both. Where losses alone tell which facts were shown, there is memory: that is the attack
on membership by a threshold of the loss (Yeom et al. 2018, arXiv 1709.01604, section 3), and the area under its curve
is the probability that of one fact of each kind the one that was shown has the lower loss.

The control are the facts never shown themselves, which are to be of the same kind as the others: drawn from among the
same facts, at every frequency. Then an untrained model has 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata
from torch import Tensor

from probe.measures.arrays import checked
from probe.measures.intervals import check_confidence
from probe.measures.memorization.arguments import Estimate, checked_correct, checked_labels, estimate
from probe.measures.memorization.clustered import effective_items, memberships, n_clusters
from probe.measures.shares import clopper_pearson

LEVELS = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class LossSeparation:
    """Losses of facts shown beside those of facts never shown.

    Attributes:
        auc: probability that a fact that was shown has a lower loss than one that was not, equal ones by half.
        shown: quantiles of the losses of facts that were shown, in the unit of the losses.
        unseen: the same of facts that were not.
    """

    auc: Estimate
    shown: Float[Tensor, "*batch level"]
    unseen: Float[Tensor, "*batch level"]


def loss_separation(
    losses: Float[np.ndarray | Tensor, "*batch fact"],
    shown: Bool[np.ndarray | Tensor, " fact"],
    clusters: Int[np.ndarray | Tensor, " fact"] | None = None,
    levels: Sequence[float] = LEVELS,
    confidence: float = 0.95,
) -> LossSeparation:
    """How well losses tell facts that were ``shown`` from those that were not, of each model, and quantiles of both.

    The area is Mann and Whitney's statistic. Its variance is that of the placements of each fact among those of the
    other kind (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, 837), summed over ``clusters``, such as mirrored
    facts, which are shown or not together (Obuchowski 1997, Biometrics 53, 567). The interval is Clopper and Pearson's,
    of as many independent facts as would give that variance (`effective_items`); where no fact is out of order nothing
    shows how they scatter, and it is that of as many facts as there are of the fewer kind.

    Measured on 600 draws each (10 to 900 facts of a kind; normal losses of equal and unequal scatter, a share of facts
    that is memorized or that the rule gets right, ties; areas from .5 to .999): 95 % intervals held the area in 92 to
    100 %, of 40 facts beside 10 in 91 to 100 %. Newcombe's (2006, Statistics in Medicine 25, 559, method 5), which take
    both kinds for equally scattered, held it in 81 % where the rule gets a tenth of the facts never shown right. With
    mirrored pairs of one loss it was 93 to 100 %; without ``clusters``, for areas up to .95, 83 to 90 %.

    Raises ValueError for losses that are not finite, lengths that differ, facts that are all shown or all not, levels
    that are no shares, or a confidence outside (0, 1).
    """
    values = checked(losses, "losses", "*batch fact")
    mask = checked_correct(shown, "shown", "fact").bool().cpu().numpy()
    if values.shape[-1] != len(mask):
        raise ValueError(f"losses: shape {tuple(values.shape)} given, expected [*batch, {len(mask)}], one per fact")
    if mask.all() or not mask.any():
        raise ValueError(f"shown: all of {len(mask)} facts are {mask[0]}, expected some of each kind")
    labels = checked_labels(clusters, len(mask))
    if labels.ndim != 1:
        raise ValueError(f"clusters: shape {labels.shape} given, expected ({len(mask)},), one per fact")
    if not all(0 <= level <= 1 for level in levels):
        raise ValueError(f"levels: {tuple(levels)} given, expected shares from 0 to 1")
    check_confidence(confidence)
    rows = values.reshape(-1, len(mask)).cpu().numpy()
    placed = _placements(rows, mask)
    auc = placed[:, mask].mean(1)
    influence = placed - auc[:, None]
    for kind in (mask, ~mask):
        n = n_clusters(labels[kind])
        influence[:, kind] *= np.sqrt(n / max(n - 1, 1)) / kind.sum()
    variance = ((memberships(labels)[0] @ influence.T) ** 2).sum(0)
    fewer = min(n_clusters(labels[mask]), n_clusters(labels[~mask]))
    independent = effective_items(auc, variance, fewer, len(mask), confidence)
    low, high = clopper_pearson(auc * independent, independent, confidence)
    batch = values.shape[:-1]
    quantiles = (
        torch.as_tensor(np.quantile(rows[:, kind], levels, axis=1).T.reshape(*batch, -1), device=values.device)
        for kind in (mask, ~mask)
    )
    return LossSeparation(estimate((part.reshape(batch) for part in (auc, low, high)), len(mask), values), *quantiles)


def _placements(
    losses: Float[np.ndarray, "model fact"], shown: Bool[np.ndarray, " fact"]
) -> Float[np.ndarray, "model fact"]:
    """Of a fact that was shown, the share of those that were not above it; of one that was not, of those below it."""
    among_all = rankdata(losses, axis=1)
    found = np.empty(losses.shape)
    found[:, shown] = 1 - (among_all[:, shown] - rankdata(losses[:, shown], axis=1)) / (~shown).sum()
    found[:, ~shown] = (among_all[:, ~shown] - rankdata(losses[:, ~shown], axis=1)) / shown.sum()
    return found
