"""Which edges are chosen by their scores: the largest ones, or greedily from the logits back.

What has no effect is taken away in the end, so that there may be fewer edges than the budget allows. Under corrupted
and resample ablation that is all that lies on no path from the embedding to the logits: a node none of whose inputs is
in the circuit writes what it writes on the other question. Where zeros or means are put in, such a node may write
something else, and only what the logits do not read, by whatever way, is without effect.
"""

import heapq
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from circuits.discovery.budget import Budget
from circuits.graph import Graph

Scores = Float[np.ndarray, "source destination"]
Mask = Bool[np.ndarray, "source destination"]
Rule = Callable[[Graph, Scores, Budget, str], Mask]
"""How edges are chosen: from a graph, the score of each edge, a budget and the ablation to which are in the circuit."""


def largest(graph: Graph, scores: Scores, budget: Budget, ablation: str = "corrupted") -> Mask:
    """The edges with the largest absolute scores, of equal ones the first; of these, those with an effect."""
    size = np.where(graph.mask, np.abs(scores), -1.0).ravel()
    # a stable order, so that equal scores are taken in order of the graph
    order = np.argsort(-size, kind="stable")[: budget.edges_of(graph)]
    chosen = np.zeros(graph.mask.size, dtype=bool)
    chosen[order[size[order] >= (budget.threshold or 0)]] = True
    return with_effect(graph, chosen.reshape(graph.mask.shape), ablation)


def greedy(graph: Graph, scores: Scores, budget: Budget, ablation: str = "corrupted") -> Mask:
    """From the logits back: ever the edge with the largest absolute score into a node that is read already.

    So no edge is chosen that nothing in the circuit reads (Hanna et al. 2024, arXiv 2403.17806, appendix C, who call it
    greedy search). Of a node whose output is read all inputs are open to be chosen; with heads of keys and values that
    several heads share, so are theirs.
    """
    size = np.abs(scores)
    chosen = np.zeros(graph.mask.shape, dtype=bool)
    read = np.zeros(graph.n_sources, dtype=bool)
    opened = np.zeros(graph.n_destinations, dtype=bool)
    frontier: list[tuple[float, int, int]] = []

    def open_(columns: Bool[np.ndarray, " destination"]) -> None:
        for column in np.flatnonzero(columns & ~opened):
            opened[column] = True
            for row in range(graph.n_before[column]):
                heapq.heappush(frontier, (-size[row, column], row, int(column)))

    open_(np.arange(graph.n_destinations) == graph.n_destinations - 1)
    for _ in range(budget.edges_of(graph)):
        if not frontier:
            break
        below, row, column = heapq.heappop(frontier)
        if -below < (budget.threshold or 0):
            break
        chosen[row, column] = True
        if not read[row]:
            read[row] = True
            open_(graph.feeds[:, row])
    return with_effect(graph, chosen, ablation)


def with_effect(graph: Graph, mask: Mask, ablation: str) -> Mask:
    """Those of some edges that can have an effect when all others are ablated so."""
    return on_paths(graph, mask) if ablation in ("corrupted", "resample") else mask & read_by_logits(graph, mask)


def on_paths(graph: Graph, mask: Mask) -> Mask:
    """Those of some edges that lie on a path of such edges from the embedding to the logits.

    A path enters a head by its query, key or value.
    """
    reached = np.zeros(graph.n_destinations, dtype=bool)
    writes = np.zeros(graph.n_sources, dtype=bool)
    for row in range(graph.n_sources):
        writes[row] = row == 0 or bool(reached[graph.feeds[:, row]].any())
        if writes[row]:
            reached |= mask[row]
    leads_on = read_by_logits(graph, mask)
    return mask & writes[:, None] & leads_on


def read_by_logits(graph: Graph, mask: Mask) -> Bool[np.ndarray, " destination"]:
    """Inputs from which a path of such edges leads to the logits; what enters any other has no effect at all."""
    leads_on = np.arange(graph.n_destinations) == graph.n_destinations - 1
    for row in reversed(range(graph.n_sources)):
        if (mask[row] & leads_on).any():
            leads_on |= graph.feeds[:, row]
    return leads_on
