"""An edge, on the model: its score on each pair, and what becomes of the metric when it is ablated."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from circuits.graph import Graph
from circuits.viewer.edge_scores import by_edge, check_part, edge_names, places_of, shape_of
from circuits.viewer.estimates import estimate_of
from circuits.viewer.live.loaded import Loaded
from circuits.viewer.messages import EdgeAnswer, OfEdge, Scores


def edge_answer(at: Loaded, asked: OfEdge) -> EdgeAnswer:
    """
    Raises:
        ValueError: the model has no such edge, or its task no pairs.
    """
    check_part("edge", asked.edge, edge_names(shape_of(at.graph)))
    places = places_of(at.graph, asked.edge)
    scores = at.scores
    assert scores.per_example is not None
    values = scores.per_example[:, places][:, 0].astype(np.float64)
    whole, ablated = at.ablation.values(np.stack([np.zeros_like(places), places]))[0]
    return EdgeAnswer(
        model=at.name,
        step=at.step,
        edge=asked.edge,
        metric=scores.metric,
        ablation=scores.ablation,
        values=values.tolist(),
        score=estimate_of(values),
        whole=estimate_of(whole),
        ablated=estimate_of(ablated),
        change=estimate_of(ablated - whole),
    )


@dataclass(frozen=True, eq=False)
class Computed:
    """Scores of all edges of a model at a step, of a run that did not store them.

    Attributes:
        values: the mean over the pairs.
        whole: the mean of the metric.
        none: the same with all edges ablated.
    """

    values: Float[np.ndarray, "source destination"]
    whole: float
    none: float

    def message(self, graph: Graph, model: str, step: int) -> Scores:
        """As the front end is told it: of no circuit, as none was looked for."""
        nothing = dict.fromkeys(("inside", "faithfulness", "low", "high", "random"))
        values = by_edge(graph, self.values)
        return Scores(model=model, step=step, values=values, metric_whole=self.whole, metric_none=self.none, **nothing)


def computed_scores(at: Loaded) -> Computed:
    """
    Raises:
        ValueError: edges of the model cannot be told apart, or its task has no pairs.
    """
    every = at.graph.mask
    whole, none = at.ablation.values(np.stack([np.zeros_like(every), every]))[0]
    return Computed(at.scores.values, float(whole.mean()), float(none.mean()))
