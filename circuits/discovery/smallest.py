"""The smallest circuit that is faithful: budgets grow until the circuit does alone what the model does."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from circuits.ablated_runs import EdgeAblation
from circuits.circuit import Circuit
from circuits.discovery.budget import Budget
from circuits.discovery.ranking import Rule, greedy
from circuits.discovery.scoring import chosen_by
from circuits.metrics import Metric
from circuits.pairs import Pairs
from circuits.scores import EdgeScores
from probe.measures.ratios import ratio_of_means

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

ONE_BY_ONE = 32
"""Up to so many edges every budget is tried; then each is by a tenth larger than the last."""
_ROUNDING = 1e-5


def smallest_circuit(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    scores: EdgeScores,
    *,
    level: float = 0.9,
    rule: Rule = greedy,
    model_digest: str | None = None,
    step: int | None = None,
) -> Circuit:
    """The circuit of the smallest budget with which a rule's circuit is faithful on these pairs.

    Faithfulness is that of ``circuits.faithfulness``, under the ablation of the scores. With all edges it is 1, so that
    there always is a circuit. It is chosen by what it does on these pairs, and so does a little less well on others.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        pairs: the contrast.
        metric: what the circuit is to do.
        scores: of the edges of this model.
        level: of faithfulness, above 0 and at most 1.
        rule: how edges are chosen: ``greedy`` or ``largest``.
        model_digest, step: of the model, for the circuit's record.

    Raises:
        ValueError: the level is not as said; the scores are of another graph; or the metric is the same whether all
            edges are ablated or none, so that there is nothing to be faithful to.
    """
    if not 0 < level <= 1:
        raise ValueError(f"level: got {level}; expected above 0 and at most 1")
    runs = EdgeAblation(model, pairs, metric, ablation=scores.ablation)
    if scores.graph != runs.graph:
        raise ValueError(f"scores: they are of {scores.graph}; the model's graph is {runs.graph}")
    every = runs.graph.mask
    whole, none = runs.values(every & ~np.stack([every, np.zeros_like(every)]))[0]
    if abs(whole.mean() - none.mean()) <= _ROUNDING * np.abs(whole).mean():
        raise ValueError(
            f"metric: {metric.name} is {whole.mean():.4g} on average whether all edges are ablated or none; expected"
            " a difference that a circuit could make"
        )
    sizes = _sizes(runs.graph.n_edges)
    at_once = max(1, runs.rows_at_once // len(pairs))
    for start in range(0, len(sizes), at_once):
        some = sizes[start : start + at_once]
        masks = np.stack([rule(runs.graph, scores.values, Budget(n_edges=n), scores.ablation) for n in some.tolist()])
        faithful = ratio_of_means(runs.values(every & ~masks)[0] - none, whole - none).estimate >= level
        # rounding may keep the whole model itself a little below 1
        faithful |= some == runs.graph.n_edges
        if faithful.any():
            budget = Budget(n_edges=int(some[faithful.argmax()]))
            break
    return chosen_by(scores, rule, budget, model_digest=model_digest, step=step)


def _sizes(n_edges: int) -> Int[np.ndarray, " size"]:
    """Numbers of edges that are tried, ascending, the last one all."""
    sizes = list(range(1, min(ONE_BY_ONE, n_edges) + 1))
    while sizes[-1] < n_edges:
        sizes.append(min(n_edges, -(-sizes[-1] * 11 // 10)))
    return np.array(sizes)
