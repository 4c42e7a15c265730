"""Whether a circuit is all of what a model does: alike without edges of it as the model is (Wang et al. 2022).

A circuit that does alone what the model does may still lack what would stand in for a part of it, such as backup heads.
So some of its edges, K, are taken away from the circuit and from the model: with m the mean of a metric over pairs,
|m(C - K) - m(N - K)| is 0 for every K where nothing is lacking.

1. K is none and all of the circuit's edges, and subsets of them that are drawn.
2. And greedily: of some edges drawn among those that are left, ever the one with which the two are furthest apart.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from circuits.ablated_runs import EdgeAblation
from circuits.circuit import Circuit
from circuits.discovery.eliminating import check_graph
from circuits.metrics import Metric
from circuits.pairs import Pairs
from probe.measures.ratios import ratio_of_means

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

Subsets = Bool[np.ndarray, "subset edge"]
Values = Float[np.ndarray, "side subset pair"]


def incompleteness_of(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    circuit: Circuit,
    *,
    n_subsets: int = 20,
    n_greedy: int = 10,
    n_candidates: int = 10,
    ablation: str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
) -> pd.DataFrame:
    """How differently a circuit and the model do without the same edges of the circuit.

    The incompleteness score of Wang et al. 2022 (arXiv 2211.00593, section 4 and appendix), of edges instead of heads.
    The subset found greedily is the one that is furthest from 0 on these pairs, so on others it is a little nearer.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        pairs: the contrast.
        metric: what is read.
        circuit: of this model.
        n_subsets: drawn with replacement, all subsets being as likely: each edge is in one with probability 1/2.
        n_greedy: edges that are taken one after the other, or all there are, if these are fewer.
        n_candidates: among which each of these is chosen.
        ablation: what ablated edges carry; that of the circuit, if not given.
        seed: of what is drawn, and of the pairs that ``"resample"`` draws.
        batch_size: pairs at a time; as many as fit, if not given.

    Returns:
        A row for each subset K: ``chosen``, how: ``"none"``, ``"all"``, ``"random"`` or ``"greedy"``, of which each is
        the one before and an edge more; ``n_removed``, edges in it; ``circuit`` and ``model``, the mean of the metric
        over pairs of either without them; ``difference``, the first less the second, with Student's 95 % interval over
        pairs, of this subset by itself, ``low`` and ``high``; ``incompleteness``, its absolute value; ``edges``, their
        names; ``metric``, ``ablation``. All in units of the metric.

    Raises:
        ValueError: as of ``EdgeAblation``; the circuit is of a model with another graph, or has no edges; or a number
            is negative, or there are no candidates.
    """
    numbers = {"n_subsets": (n_subsets, 0), "n_greedy": (n_greedy, 0), "n_candidates": (n_candidates, 1)}
    for name, (number, least) in numbers.items():
        if number < least:
            raise ValueError(f"{name}: got {number}; expected at least {least}")
    if not circuit.n_edges:
        raise ValueError("circuit: it has no edges; expected some that could be taken away")
    runs = EdgeAblation(model, pairs, metric, ablation=ablation or circuit.ablation, seed=seed, batch_size=batch_size)
    check_graph(runs.graph, circuit)
    lot = np.random.default_rng(seed)
    none, every = np.zeros(circuit.n_edges, dtype=bool), np.ones(circuit.n_edges, dtype=bool)
    drawn = np.stack([none, every, *(lot.random((n_subsets, circuit.n_edges)) < 0.5)])
    found = [(drawn, _values(runs, circuit, drawn))]
    found += _greedily(runs, circuit, min(n_greedy, circuit.n_edges), n_candidates, lot)
    subsets, values = np.concatenate([part for part, _ in found]), np.concatenate([part for _, part in found], axis=1)
    table = _table(circuit, subsets, values)
    chosen = ["none", "all", *["random"] * n_subsets, *["greedy"] * (len(found) - 1)]
    table.insert(0, "chosen", chosen)
    return table.assign(metric=metric.name, ablation=runs.ablation)


def _values(runs: EdgeAblation, circuit: Circuit, subsets: Subsets) -> Values:
    """The metric of each pair without each of some subsets of a circuit's edges: of the circuit, then of the model."""
    every = runs.graph.mask
    removed = np.zeros((len(subsets), every.size), dtype=bool)
    removed[:, circuit.index] = subsets
    removed = removed.reshape(-1, *every.shape)
    return runs.values(np.stack([every & ~circuit.mask | removed, removed]))[0]


def _greedily(
    runs: EdgeAblation, circuit: Circuit, n: int, n_candidates: int, lot: np.random.Generator
) -> Iterator[tuple[Subsets, Values]]:
    """Subsets of 1 to n edges, each as an array of one, and the metric without it."""
    taken = np.zeros(circuit.n_edges, dtype=bool)
    for _ in range(n):
        candidates = lot.permutation(np.flatnonzero(~taken))[:n_candidates]
        tried = np.repeat(taken[None], len(candidates), axis=0)
        tried[np.arange(len(candidates)), candidates] = True
        values = _values(runs, circuit, tried)
        best = int(np.abs((values[0] - values[1]).mean(-1)).argmax())
        taken = tried[best]
        yield taken[None], values[:, best : best + 1]


def _table(circuit: Circuit, subsets: Subsets, values: Values) -> pd.DataFrame:
    names = np.array(
        [str(circuit.graph.edge(*divmod(i, circuit.graph.n_destinations))) for i in circuit.index.tolist()]
    )
    # the ratio of a mean to 1, whose interval is Student's
    difference = ratio_of_means(values[0] - values[1], np.ones(values.shape[-1]))
    return pd.DataFrame(
        {
            "n_removed": subsets.sum(1),
            "circuit": values[0].mean(-1),
            "model": values[1].mean(-1),
            "difference": difference.estimate,
            "low": difference.low,
            "high": difference.high,
            "incompleteness": np.abs(difference.estimate),
            "edges": [tuple(names[subset].tolist()) for subset in subsets],
        }
    )
