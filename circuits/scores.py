"""Scores of all edges of a model on some pairs, from which circuits are chosen."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from circuits.circuit import Circuit
from circuits.graph import Edge, Graph


@dataclass(frozen=True, eq=False)
class EdgeScores:
    """A score for each edge: about how much the metric changes when that edge alone is ablated.

    So an edge that the behaviour rests on has a score of the sign that ``direction`` has not: taking it away lowers the
    logit difference, and raises the loss.

    Attributes:
        graph: all edges there are.
        values: the mean over the pairs; 0 where there is no edge.
        per_example: of each pair; None where it was not asked for.
        clean: the metric of each pair on its clean question.
        corrupted: the metric, still about the clean answer, on its corrupted question.
        metric: name of the metric.
        direction: 1 if a larger value of it means that the behaviour is there, -1 if a smaller one does.
        method: how edges were scored.
        ablation: what an edge is changed to.
    """

    graph: Graph
    values: Float[np.ndarray, "source destination"]
    per_example: Float[np.ndarray, "pair source destination"] | None
    clean: Float[np.ndarray, " pair"]
    corrupted: Float[np.ndarray, " pair"]
    metric: str
    direction: int
    method: str
    ablation: str

    def __getitem__(self, edge: Edge) -> float:
        """The mean score of an edge.

        Raises:
            ValueError: the graph has no such edge.
        """
        return float(self.values[self.graph.place(edge)])

    def circuit(
        self,
        mask: Bool[np.ndarray, "source destination"] | None = None,
        *,
        model_digest: str | None = None,
        step: int | None = None,
    ) -> Circuit:
        """The circuit of some edges, with their mean scores.

        Args:
            mask: which edges; all, if not given.
            model_digest: of the model, as ``checkpoint.digest`` tells it; None where nothing says.
            step: optimizer steps taken; None where nothing says.

        Raises:
            ValueError: the mask has another shape than ``graph.mask``, or holds where there is no edge.
        """
        return Circuit.chosen(
            self.graph,
            self.graph.mask if mask is None else mask,
            self.values,
            metric=self.metric,
            direction=self.direction,
            method=self.method,
            ablation=self.ablation,
            model_digest=model_digest,
            step=step,
        )
