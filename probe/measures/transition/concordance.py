"""How well predictions put runs in order: concordance for times, some censored, and for outcomes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def concordance_index(
    steps: Float[np.ndarray, " run"], reached: Bool[np.ndarray, " run"], predicted: Float[np.ndarray, " run"]
) -> float:
    """Share of comparable pairs of runs that ``predicted`` puts in the right order, ties counting half.

    ``steps`` are those at which an event was ``reached`` or, if not, observation ended. A pair is comparable if the
    event of one is known to come first (Harrell et al. 1982, JAMA 247, 2543). 1/2 is chance; nan without such a pair.

    Raises ValueError for arrays of different lengths, or nan in ``steps`` or ``predicted``.
    """
    times, events, scores = np.asarray(steps, float), np.asarray(reached, bool), np.asarray(predicted, float)
    for field, given in (("steps", times), ("reached", events), ("predicted", scores)):
        if given.ndim != 1 or len(given) != len(times):
            raise ValueError(f"{field}: shape {given.shape} given, expected one number per run, as of steps")
        if np.isnan(given).any():
            raise ValueError(f"{field}: nan given, expected numbers")
    everything = np.ones((1, len(times)))
    return float(pair_score(earlier_pairs(times, events), scores, everything)[0])


def earlier_pairs(steps: Float[np.ndarray, " run"], reached: Bool[np.ndarray, " run"]) -> Bool[np.ndarray, "run run"]:
    """Whether the event of the first run is known to come before that of the second."""
    before = steps[:, None] < steps
    # a run observed up to the step of another's event had not reached it then
    before |= (steps[:, None] == steps) & ~reached
    return reached[:, None] & before


def pair_score(
    comparable: Bool[np.ndarray, "run run"],
    scores: Float[np.ndarray, " run"],
    weights: Float[np.ndarray, "resample run"],
) -> Float[np.ndarray, " resample"]:
    """Share of comparable pairs of which the first has the lower score, runs counted ``weights`` times; nan if none."""
    agrees = 0.5 * (scores[:, None] == scores) + (scores[:, None] < scores)
    total, right = (((weights @ matrix) * weights).sum(1) for matrix in (comparable.astype(float), comparable * agrees))
    return np.divide(right, total, out=np.full(len(weights), np.nan), where=total > 0)
