"""How large a circuit may be."""

from dataclasses import dataclass

import numpy as np

from circuits.graph import Graph


@dataclass(frozen=True)
class Budget:
    """A number of edges, a share of all edges, or the least score that an edge may have: one of the three.

    Args:
        n_edges: edges, at least 1.
        share: of all edges of the model, above 0 and at most 1; rounded to the nearest number of edges, at least 1.
        threshold: the least absolute score, at least 0, in units of the metric: edges whose ablation changes the metric
            by less are left out.

    Raises:
        ValueError: none or several are given, or one is outside what is said above.
    """

    n_edges: int | None = None
    share: float | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("n_edges", "share", "threshold") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"budget: got {' and '.join(given) or 'nothing'}; expected n_edges, share or threshold")
        if self.n_edges is not None and (self.n_edges < 1 or self.n_edges != int(self.n_edges)):
            raise ValueError(f"n_edges: got {self.n_edges}; expected a whole number of at least 1")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"share: got {self.share}; expected above 0 and at most 1")
        if self.threshold is not None and not 0 <= self.threshold < np.inf:
            raise ValueError(f"threshold: got {self.threshold}; expected a finite number of at least 0")

    def edges_of(self, graph: Graph) -> int:
        """How many edges of a graph there may be: all, if it is a threshold that tells.

        Raises:
            ValueError: it has fewer edges.
        """
        if self.n_edges is not None and self.n_edges > graph.n_edges:
            raise ValueError(f"n_edges: got {self.n_edges}; the model has {graph.n_edges} edges")
        if self.share is not None:
            return max(1, round(self.share * graph.n_edges))
        return graph.n_edges if self.n_edges is None else int(self.n_edges)

    def __str__(self) -> str:
        if self.n_edges is not None:
            return f"{self.n_edges} edges"
        return (
            f"{self.share:.3g} of all edges" if self.share is not None else f"scores of at least {self.threshold:.3g}"
        )
