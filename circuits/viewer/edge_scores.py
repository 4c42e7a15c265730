"""Edge scores at a step, and of one edge or node over steps, as the front end is told them."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from circuits.graph import Graph
from circuits.viewer.messages import GraphShape, History, Numbers, Scores
from circuits.viewer.opened import Seen

ARROW = " -> "
"""What the name of an edge has, and that of a node has not."""


def shape_of(graph: Graph) -> GraphShape:
    """A graph as the front end is told it."""
    return GraphShape(
        sources=list(graph.source_names),
        destinations=list(graph.destination_names),
        n_before=graph.n_before.tolist(),
        n_layers=graph.n_layers,
        n_heads=graph.n_heads,
    )


def by_edge(graph: Graph, values: np.ndarray) -> Numbers:
    """An array [source, destination] as a list over edges: for each destination, the sources that it reads."""
    return values.T[graph.mask.T].tolist()


def edge_names(graph: GraphShape) -> list[str]:
    """Names of the edges, in the same order."""
    return [
        f"{source}{ARROW}{destination}"
        for destination, n_before in zip(graph.destinations, graph.n_before, strict=True)
        for source in graph.sources[:n_before]
    ]


def node_names(graph: GraphShape) -> list[str]:
    """Names of the nodes: those that write, then those that only read."""
    readers = (name[:-2] if name[-2:] in (".q", ".k", ".v") else name for name in graph.destinations)
    return list(dict.fromkeys([*graph.sources, *readers]))


def check_part(field: str, name: str, known: Iterable[str]) -> None:
    """
    Raises:
        ValueError: the name is none of those known; the message names the nearest.
    """
    among = list(known)
    if name not in among:
        near = difflib.get_close_matches(name, among, n=1, cutoff=0.0)
        raise ValueError(f"{field}: got {name!r}; expected a part of the graph, such as {near[0] if near else 'none'}")


def places_of(graph: Graph, name: str) -> Bool[np.ndarray, "source destination"]:
    """Where an edge is, or where the edges of a node are, in and out; nowhere if the graph has no such part."""
    mask = np.zeros_like(graph.mask)
    source, arrow, destination = name.partition(ARROW)
    rows = np.array(graph.source_names) == source
    if arrow:
        mask[np.ix_(rows, np.array(graph.destination_names) == destination)] = True
    else:
        mask[rows] = True
        mask[:, np.array([str(node) for node, _ in graph.destinations]) == name] = True
    return mask & graph.mask


def stored_scores(seen: Seen, graph: Graph, model: str, step: int, values: Float[np.ndarray, "source dest"]) -> Scores:
    """What a run says of the edges of a model at a step, where it has these scores."""
    told = seen.of_circuit.get((model, step), {})
    circuit = seen.inside.get((model, step), frozenset())
    return Scores(
        model=model,
        step=step,
        values=by_edge(graph, values),
        inside=[name in circuit for name in edge_names(shape_of(graph))],
        faithfulness=told.get(("faithfulness", "own")),
        low=told.get(("faithfulness_low", "own")),
        high=told.get(("faithfulness_high", "own")),
        random=told.get(("faithfulness", "random")),
        metric_whole=told.get(("metric", "whole")),
        metric_none=told.get(("metric", "none")),
    )


def history_of(
    name: str,
    graphs: Mapping[str, Graph],
    steps: Mapping[str, Sequence[int]],
    scores: Callable[[str, int], Float[np.ndarray, "source destination"] | None],
    inside: Mapping[tuple[str, int], frozenset[str]] | None,
) -> History:
    """Scores of an edge, or of a node the sum of the sizes of those of its edges, over the steps of every model.

    Args:
        name: of the edge or the node.
        graphs: by model.
        steps: of each model, those that may have scores.
        scores: of a model at a step; asked for one after the other, and not held.
        inside: edges of the circuit found at each model and step; None if nothing says.

    Raises:
        ValueError: no model has such a part; the message names the nearest.
    """
    is_edge = ARROW in name
    names = edge_names if is_edge else node_names
    check_part("name", name, dict.fromkeys(part for graph in graphs.values() for part in names(shape_of(graph))))
    lines = []
    for model, graph in graphs.items():
        places = places_of(graph, name)
        if not places.any():
            continue
        found = {}
        for step in steps.get(model, ()):
            if (values := scores(model, step)) is not None:
                there = values[places]
                found[step] = float(there[0] if is_edge else np.abs(there).sum())
        among = None if inside is None or not is_edge else [name in inside.get((model, at), ()) for at in found]
        lines.append(History.Line(model=model, step=list(found), score=list(found.values()), inside=among))
    return History(name=name, lines=lines)
