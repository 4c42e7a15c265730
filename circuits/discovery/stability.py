"""How sure it is that an edge is in the circuit: the same choice from resampled pairs."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from circuits.discovery.budget import Budget
from circuits.discovery.ranking import Rule, greedy
from circuits.graph import Graph
from circuits.scores import EdgeScores

_RESAMPLES_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Stability:
    """In how many resamples of the pairs each edge is chosen.

    Attributes:
        graph: all edges there are.
        share: of the resamples whose circuit has the edge; 0 where there is no edge.
        jaccard: of each resample's circuit with that of all pairs.
        n_resamples: how many there were.
        n_pairs: in each.
    """

    graph: Graph
    share: Float[np.ndarray, "source destination"]
    jaccard: Float[np.ndarray, " resample"]
    n_resamples: int
    n_pairs: int

    def edges(self, level: float = 0.95) -> Bool[np.ndarray, "source destination"]:
        """Those that are in at least this share of the circuits.

        Raises:
            ValueError: the level is not above 0 and at most 1.
        """
        if not 0 < level <= 1:
            raise ValueError(f"level: got {level}; expected above 0 and at most 1")
        return self.share >= level


def edge_stability(
    scores: EdgeScores, budget: Budget, *, rule: Rule = greedy, n_resamples: int = 200, seed: int = 0
) -> Stability:
    """Choose the circuit again from pairs drawn with replacement, as many as there are (Efron & Tibshirani 1993).

    It says what other pairs of the same kind would change, and nothing of whether the scores are right. Pairs that are
    not independent, such as several about one fact, make it too sure.

    Args:
        scores: with ``per_example``.
        budget: of each circuit.
        rule: how its edges are chosen.
        n_resamples: how often pairs are drawn.
        seed: of what is drawn.

    Raises:
        ValueError: the scores are not by example, there is one pair alone, or no resample.
    """
    if scores.per_example is None:
        raise ValueError("scores: they are means alone; expected those of each pair, by per_example=True")
    n_pairs = len(scores.per_example)
    for name, number, least in (("scores", n_pairs, 2), ("n_resamples", n_resamples, 1)):
        if number < least:
            raise ValueError(f"{name}: got {number}{' pair' * (name == 'scores')}; expected at least {least}")
    whole = rule(scores.graph, scores.values, budget, scores.ablation)
    drawn = np.random.default_rng(seed)
    times = drawn.multinomial(n_pairs, np.full(n_pairs, 1 / n_pairs), size=n_resamples) / n_pairs
    flat = scores.per_example.reshape(n_pairs, -1)
    chosen = np.zeros(scores.graph.mask.shape)
    jaccard = np.empty(n_resamples)
    for start in range(0, n_resamples, _RESAMPLES_AT_ONCE):
        means = (times[start : start + _RESAMPLES_AT_ONCE] @ flat).reshape(-1, *scores.graph.mask.shape)
        for number, values in enumerate(means, start=start):
            mask = rule(scores.graph, values, budget, scores.ablation)
            chosen += mask
            either = (mask | whole).sum()
            jaccard[number] = (mask & whole).sum() / either if either else 1.0
    return Stability(scores.graph, chosen / n_resamples, jaccard, n_resamples, n_pairs)
