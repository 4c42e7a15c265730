"""A circuit: some edges of a model's graph with their scores, and where they came from; plain data, saved as JSON."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from circuits.graph import Edge, Graph, Node
from probe import storage

if TYPE_CHECKING:
    import networkx as nx

FORMAT = "grokscope circuit"
"""What a file says it is."""
SCHEMA_VERSION = 1
"""Of the file: another number means that what is written below has changed."""
_RECORDED = ("grokscope", "torch", "transformer-lens")


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _RECORDED}


@dataclass(frozen=True, eq=False)
class Circuit:
    """Some edges of a model's graph. Two are equal where all their fields are.

    Edges are kept as numbers, so that a million of them is two arrays; ``edges``, ``nodes`` and ``score`` speak of
    them as objects.

    Args:
        graph: all edges there are.
        index: which edges are in the circuit: ``source * graph.n_destinations + destination``, ascending.
        scores: the score of each of these, finite.
        metric: name of what the scores are about.
        direction: 1 if a larger value of the metric means that the behaviour is there, -1 if a smaller one does.
        method: how they were scored, such as ``"eap"``.
        ablation: what an edge is changed to when it is taken away, such as ``"corrupted"``.
        model_digest: digest of the weights (``Checkpoint.digest``); None where nothing says.
        step: optimizer steps taken; None where nothing says.
        versions: of the programs that found it.

    Raises:
        ValueError: an index is no edge, is not ascending, or there are not as many scores, or one is not finite.
    """

    graph: Graph
    index: Int[np.ndarray, " edge"]
    scores: Float[np.ndarray, " edge"]
    metric: str
    direction: int
    method: str
    ablation: str
    model_digest: str | None = None
    step: int | None = None
    versions: Mapping[str, str] = field(default_factory=_versions)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", np.array(self.index, dtype=np.int64))
        object.__setattr__(self, "scores", np.array(self.scores, dtype=np.float64))
        if self.index.ndim != 1 or self.scores.shape != self.index.shape:
            raise ValueError(f"scores: got {self.scores.shape} for edges {self.index.shape}; expected one for each")
        wrong = (self.index < 0) | (self.index >= self.graph.mask.size)
        wrong[~wrong] = ~self.graph.mask.ravel()[self.index[~wrong]]
        if wrong.any():
            raise ValueError(f"index: got {self.index[wrong][0]}, which is no edge of {self.graph}")
        if (np.diff(self.index) <= 0).any():
            raise ValueError("index: got edges out of order or twice; expected ascending ones")
        if not np.isfinite(self.scores).all():
            edge = self.graph.edge(*self._places[int(np.argmin(np.isfinite(self.scores)))].tolist())
            raise ValueError(f"scores: that of {edge} is not finite")
        if self.direction not in (1, -1):
            raise ValueError(f"direction: got {self.direction}; expected 1 or -1")

    @classmethod
    def chosen(
        cls,
        graph: Graph,
        mask: Bool[np.ndarray, "source destination"],
        scores: Float[np.ndarray, "source destination"],
        **provenance: Any,
    ) -> "Circuit":
        """The edges where ``mask`` holds, with their scores; further arguments as of ``Circuit``.

        Raises:
            ValueError: an array has another shape than ``graph.mask``, or the mask holds where there is no edge.
        """
        for name, array in (("mask", mask), ("scores", scores)):
            if np.shape(array) != graph.mask.shape:
                raise ValueError(f"{name}: got shape {np.shape(array)}; expected {graph.mask.shape}")
        if np.asarray(mask).dtype != bool:
            raise ValueError(f"mask: got {np.asarray(mask).dtype}; expected booleans")
        index = np.flatnonzero(mask)
        return cls(graph, index, np.ravel(scores)[index], **provenance)

    @property
    def _places(self) -> Int[np.ndarray, "edge 2"]:
        return np.stack(np.divmod(self.index, self.graph.n_destinations), axis=1)

    @property
    def mask(self) -> Bool[np.ndarray, "source destination"]:
        """Which edges are in the circuit."""
        found = np.zeros(self.graph.mask.size, dtype=bool)
        found[self.index] = True
        return found.reshape(self.graph.mask.shape)

    @property
    def n_edges(self) -> int:
        return len(self.index)

    def edges(self) -> Iterator[tuple[Edge, float]]:
        """Its edges and their scores, the largest by absolute value first; equal ones in order of the graph."""
        order = np.argsort(-np.abs(self.scores), kind="stable")
        for place, score in zip(self._places[order], self.scores[order].tolist(), strict=True):
            yield self.graph.edge(*place.tolist()), score

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Nodes at either end of an edge, in order of the graph; of a layer, those that write come last."""
        sources, destinations = self._places.T
        reading = dict.fromkeys(self.graph.destinations[i][0] for i in np.unique(destinations))
        writing = dict.fromkeys(self.graph.sources[i] for i in np.unique(sources))
        kinds = {"embed": 0, "kv_head": 1, "head": 1, "mlp": 2, "logits": 3}

        def place(node: Node) -> tuple[int, int, str, int]:
            layer = self.graph.n_layers if node.kind == "logits" else -1 if node.layer is None else node.layer
            return layer, kinds[node.kind], node.kind, node.head or 0

        return tuple(sorted(reading | writing, key=place))

    def score(self, edge: Edge) -> float:
        """The score of an edge of the circuit.

        Raises:
            ValueError: it is not in the circuit.
        """
        source, destination = self.graph.place(edge)
        index = source * self.graph.n_destinations + destination
        at = int(np.searchsorted(self.index, index))
        if at == self.n_edges or self.index[at] != index:
            raise ValueError(f"edge: {edge} is not in the circuit")
        return float(self.scores[at])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Circuit):
            return NotImplemented
        return self._about == other._about and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in ("index", "scores")
        )

    @property
    def _about(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("index", "scores")}

    def intersection(self, other: "Circuit") -> "Circuit":
        """The edges that are in both, with the scores, and all else, of this one; also ``circuit & other``.

        Raises:
            ValueError: the other is of a model with another graph.
        """
        return self._kept(np.isin(self.index, self._comparable(other), assume_unique=True))

    def difference(self, other: "Circuit") -> "Circuit":
        """The edges that are in this one and not in the other; also ``circuit - other``.

        Raises:
            ValueError: the other is of a model with another graph.
        """
        return self._kept(~np.isin(self.index, self._comparable(other), assume_unique=True))

    __and__, __sub__ = intersection, difference

    def jaccard(self, other: "Circuit") -> float:
        """Edges that are in both, as a share of those that are in either; 1 if both are empty.

        Raises:
            ValueError: the other is of a model with another graph.
        """
        shared = len(np.intersect1d(self.index, self._comparable(other), assume_unique=True))
        either = self.n_edges + other.n_edges - shared
        return shared / either if either else 1.0

    def _comparable(self, other: "Circuit") -> Int[np.ndarray, " edge"]:
        if other.graph != self.graph:
            raise ValueError(f"other: it is of {other.graph}; expected one of {self.graph}")
        return other.index

    def _kept(self, keep: Bool[np.ndarray, " edge"]) -> "Circuit":
        return replace(self, index=self.index[keep], scores=self.scores[keep])

    def text(self, limit: int | None = 20) -> str:
        """Where it came from, and its edges, the largest scores by absolute value first.

        Args:
            limit: edges shown; None for all.
        """
        wanted = "larger" if self.direction == 1 else "smaller"
        lines = [
            f"{self.n_edges:,} of {self.graph.n_edges:,} edges, {len(self.nodes):,} nodes",
            f"{self.method} of {self.metric} ({wanted} where the behaviour is there), ablation: {self.ablation}"
            + ("" if self.step is None else f", step {self.step:,}"),
        ]
        shown = self.n_edges if limit is None else min(limit, self.n_edges)
        rows = [(str(edge), score) for (edge, score), _ in zip(self.edges(), range(shown), strict=False)]
        width = max((len(edge) for edge, _ in rows), default=0)
        lines += [f"  {edge:<{width}}  {score:+.4g}" for edge, score in rows]
        if shown < self.n_edges:
            lines.append(f"  and {self.n_edges - shown:,} more")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def to_networkx(self) -> "nx.MultiDiGraph":
        """A multigraph for networkx: nodes by name with ``kind``, ``layer``, ``head``; edges by input with ``score``.

        Where query heads share a head of keys and values, it has an edge ``"kv"`` without a score to each of those
        that write in the circuit, so that paths through it are paths of the graph.
        """
        import networkx as nx

        graph = nx.MultiDiGraph(metric=self.metric, direction=self.direction, method=self.method)
        for node in self.nodes:
            graph.add_node(str(node), kind=node.kind, layer=node.layer, head=node.head)
        for edge, score in self.edges():
            graph.add_edge(str(edge.source), str(edge.destination), key=edge.input, score=score)
        group = self.graph.n_heads // self.graph.n_kv
        for node in self.nodes:
            if node.kind == "head" and group > 1 and graph.out_degree(str(node)):
                assert node.head is not None
                shared = str(Node("kv_head", node.layer, node.head // group))
                if shared in graph:
                    graph.add_edge(shared, str(node), key="kv")
        return graph

    def to_json(self) -> str:
        """JSON that ``from_json`` reads: the graph, the names of its rows and columns, and edges as three lists."""
        source, destination = self._places.T
        content = {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            **self._about,
            "graph": self.graph.to_dict(),
            "versions": dict(self.versions),
            "sources": self.graph.source_names,
            "destinations": self.graph.destination_names,
            "edges": {"source": source.tolist(), "destination": destination.tolist(), "score": self.scores.tolist()},
        }
        return json.dumps(content, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes, model_digest: str | None = None) -> "Circuit":
        """What ``to_json`` wrote.

        Args:
            text: the JSON.
            model_digest: of the model that it has to be of; None to take that of any.

        Raises:
            ValueError: it is no circuit, or of another schema, or of another model than was asked for.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise ValueError(f"circuit: not JSON ({error})") from error
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise ValueError(f"circuit: not a circuit; expected JSON with format {FORMAT!r}")
        schema = content.pop("schema_version", None)
        if schema != SCHEMA_VERSION:
            raise ValueError(f"schema_version: got {schema}; this version of grokscope reads {SCHEMA_VERSION}")
        expected = {f.name for f in fields(cls)} - {"index", "scores"} | {"sources", "destinations", "edges"}
        for name in sorted(expected ^ set(content)):
            raise ValueError(f"circuit: {name} is {'missing' if name in expected else 'not part of a circuit'}")
        if model_digest is not None and content["model_digest"] != model_digest:
            raise ValueError(
                f"model_digest: the circuit is of the model {content['model_digest']}; expected {model_digest}"
            )
        edges, sources, destinations = (content.pop(name) for name in ("edges", "sources", "destinations"))
        try:
            graph = Graph(**content.pop("graph"))
            columns = [np.array(edges[name]) for name in ("source", "destination", "score")]
            index = np.ravel_multi_index((columns[0].astype(np.int64), columns[1].astype(np.int64)), graph.mask.shape)
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"circuit: graph or edges are not as they should be ({error})") from error
        if tuple(sources) != graph.source_names or tuple(destinations) != graph.destination_names:
            raise ValueError("circuit: sources or destinations are not those of its graph")
        return cls(graph, index, columns[2], **content)

    def save(self, path: str) -> None:
        """Write it to a local path or URL; a file that is there is replaced."""
        storage.write_atomically(str(path), (self.to_json() + "\n").encode())

    @classmethod
    def load(cls, path: str, model_digest: str | None = None) -> "Circuit":
        """Read what ``save`` wrote; arguments and errors as of ``from_json``.

        Raises:
            FileNotFoundError: there is no such file.
        """
        try:
            return cls.from_json(storage.read_bytes(str(path)), model_digest)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
