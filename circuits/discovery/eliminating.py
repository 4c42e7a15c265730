"""Edges taken away one after the other, as long as the metric does not change by much: ACDC, and pruning a circuit.

1. Edges are looked at in an order. Each is ablated beside all that have been taken away before it.
2. If the mean of the metric changes by less than the threshold, the edge is taken away; else it is kept, for good.

The outcome of each look decides what the next one is about. So that one forward pass can hold several looks all the
same, the next few edges are ablated one more at a time, as if all were to be taken away; what comes after the first one
that is kept is looked at again. There are more of these the longer none has been kept. The circuit is exactly that of
one look at a time.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from circuits.ablated_runs import EdgeAblation
from circuits.circuit import Circuit
from circuits.discovery.budget import Budget
from circuits.discovery.ranking import Mask, Scores, on_paths, read_by_logits
from circuits.graph import Graph
from circuits.metrics import Metric
from circuits.pairs import Pairs
from probe.progress import progress_shown

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel


def acdc(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    *,
    ablation: str = "corrupted",
    budget: Budget,
    model_digest: str | None = None,
    step: int | None = None,
    progress: bool = False,
) -> Circuit:
    """Automatic circuit discovery (Conmy et al. 2023, arXiv 2304.14997).

    All edges are looked at from the logits back, those into one input from the last source to the first, and taken away
    where that changes the mean of the metric by less than ``budget.threshold``, up or down. So a threshold of 0 keeps
    all edges. Edges into nodes that nothing in the circuit reads any more have no effect and go without a look.

    The score of an edge is the change of the metric when it was looked at.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        pairs: the contrast.
        metric: what is looked at; any, as no gradient is taken. Theirs is ``kl_from_clean``.
        ablation: what edges that are taken away carry: ``"corrupted"``, ``"resample"``, ``"mean"`` or ``"zero"``.
        budget: a threshold.
        model_digest, step: of the model, for the circuit's record.
        progress: whether to show how far it is, on the error stream.

    Raises:
        ValueError: the budget is no threshold, or as of ``EdgeAblation``.
    """
    runs = EdgeAblation(model, pairs, metric, ablation=ablation)
    graph = runs.graph
    order = [
        (row, column)
        for column in reversed(range(graph.n_destinations))
        for row in reversed(range(int(graph.n_before[column])))
    ]
    kept, scores = _eliminated(runs, graph.mask.copy(), order, _threshold(budget), "ACDC", progress)
    return _circuit(runs, kept, scores, metric, "acdc", model_digest, step)


def pruned(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    circuit: Circuit,
    *,
    budget: Budget,
    progress: bool = False,
) -> Circuit:
    """A circuit without the edges that it does not need, so that it is minimal (Wang et al. 2023, arXiv 2211.00593).

    Its edges are looked at from the smallest absolute score to the largest, each with all edges ablated that are not in
    the circuit, or no longer, and taken away where that changes the mean of the metric by less than
    ``budget.threshold``, up or down. What then lies on no path is looked at once more, all together: where zeros or
    means are put in, a node that reads nothing may still write what matters. Ablation is that of the circuit; scores
    are those of the looks.

    Args:
        model, pairs, metric, progress: as of ``acdc``.
        circuit: of this model.
        budget: a threshold.

    Raises:
        ValueError: as of ``acdc``; or the circuit is of a model with another graph.
    """
    runs = EdgeAblation(model, pairs, metric, ablation=circuit.ablation)
    check_graph(runs.graph, circuit)
    ascending = np.argsort(np.abs(circuit.scores), kind="stable")
    order = [divmod(index, runs.graph.n_destinations) for index in circuit.index[ascending].tolist()]
    threshold = _threshold(budget)
    kept, scores = _eliminated(runs, circuit.mask, order, threshold, "pruning", progress)
    bare = on_paths(runs.graph, kept)
    before, after = runs.values(runs.graph.mask & ~np.stack([kept, bare]))[0].mean(1)
    if abs(after - before) < threshold:
        kept = bare
    return _circuit(runs, kept, scores, metric, f"{circuit.method}, pruned", circuit.model_digest, circuit.step)


def check_graph(graph: Graph, circuit: Circuit) -> None:
    """
    Raises:
        ValueError: the circuit is of a model with another graph.
    """
    if circuit.graph != graph:
        raise ValueError(f"circuit: it is of {circuit.graph}; the model's graph is {graph}")


def _threshold(budget: Budget) -> float:
    if budget.threshold is None:
        raise ValueError(f"budget: got {budget}; expected a threshold, as edges are looked at one after the other")
    return budget.threshold


def _circuit(
    runs: EdgeAblation,
    kept: Mask,
    scores: Scores,
    metric: Metric,
    method: str,
    model_digest: str | None,
    step: int | None,
) -> Circuit:
    return Circuit.chosen(
        runs.graph,
        kept,
        scores,
        metric=metric.name,
        direction=metric.direction,
        method=method,
        ablation=runs.ablation,
        model_digest=model_digest,
        step=step,
    )


def _eliminated(
    runs: EdgeAblation, kept: Mask, order: Sequence[tuple[int, int]], threshold: float, what: str, progress: bool
) -> tuple[Mask, Scores]:
    """What is kept of some edges, and by how much the metric changed as each of these was looked at."""
    graph = runs.graph
    scores = np.zeros(graph.mask.shape)
    most = max(1, runs.rows_at_once // len(runs.pairs))
    now = float(runs.values(graph.mask & ~kept)[0].mean())
    place, at_once = 0, 1
    with progress_shown(f"{what}: {len(order):,} edges, {len(runs.pairs)} pairs", 0, len(order), progress) as advance:
        while place < len(order):
            ahead, end = _ahead(graph, kept, order, place, at_once, skip_unread=threshold > 0)
            without = np.repeat(kept[None], len(ahead) + 1, axis=0)
            for k, edge in enumerate(ahead):
                without[k + 1 :, edge[0], edge[1]] = False
            values = runs.values(graph.mask & ~without[1:])[0].mean(1) if ahead else np.empty(0)
            before = place
            for k, (edge, value) in enumerate(zip(ahead, values.tolist(), strict=True)):
                change = value - now
                if abs(change) >= threshold:
                    scores[edge] = change
                    kept, place, at_once = without[k], order.index(edge, place) + 1, max(1, k)
                    break
                now = value
            else:
                kept, place, at_once = without[-1], end, min(most, 2 * at_once)
            # edges that nothing reads lie between those that were looked at: they are gone as well
            if threshold > 0:
                for edge in order[before:place]:
                    if scores[edge] == 0:
                        kept[edge] = False
            advance(place - before, f"{int(kept.sum()):,} edges kept or not yet looked at")
    return kept, scores


def _ahead(
    graph: Graph, kept: Mask, order: Sequence[tuple[int, int]], place: int, n: int, *, skip_unread: bool
) -> tuple[list[tuple[int, int]], int]:
    """The next n edges to look at, without those that nothing reads, and where in the order the ones after begin."""
    read = read_by_logits(graph, kept)
    found: list[tuple[int, int]] = []
    while place < len(order) and len(found) < n:
        if not skip_unread or read[order[place][1]]:
            found.append(order[place])
        place += 1
    return found, place
