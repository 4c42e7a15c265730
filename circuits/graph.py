"""The computational graph of a transformer: what writes to the residual stream, and the inputs that read from it.

The residual stream is a sum, so the input of every head, MLP and of the logits is the sum of what all nodes before it
wrote: an edge is one term of such a sum. Nodes that write are rows, inputs that read are columns, both in the order in
which the model computes them, so all that is known of edges is arrays [source, destination], and those of one
destination are the rows up to ``n_before``. ``Edge`` and ``Node`` objects are made on request.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Int

NodeKind = Literal["embed", "head", "kv_head", "mlp", "logits"]
Input = Literal["q", "k", "v", "mlp", "logits"]

_NAMES = {"embed": "embed", "head": "L{layer}.H{head}", "kv_head": "L{layer}.KV{head}", "mlp": "L{layer}.MLP"}
_NAMES["logits"] = "logits"
_PATTERNS = {kind: re.sub(r"\{(\w+)\}", r"(?P<\1>\\d+)", name.replace(".", r"\.")) for kind, name in _NAMES.items()}


@dataclass(frozen=True, order=True)
class Node:
    """A part of the model.

    Args:
        kind: ``"embed"``: the residual stream that enters the first block; ``"head"``: an attention head; ``"mlp"``;
            ``"logits"``: final normalization and unembedding. ``"kv_head"``: a head of keys and values that several
            query heads share (grouped-query attention); it reads the residual stream, and writes to them alone.
        layer: of a head or an MLP, from 0; None for the others.
        head: of a head, from 0; None for the others.

    Raises:
        ValueError: the kind is unknown, or has a layer or head that it should not have, or lacks one.
    """

    kind: NodeKind
    layer: int | None = None
    head: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(NodeKind):
            raise ValueError(f"kind: got {self.kind!r}; expected one of {', '.join(get_args(NodeKind))}")
        for field in ("layer", "head"):
            value, expected = getattr(self, field), f"{{{field}}}" in _NAMES[self.kind]
            if expected != (value is not None) or (value is not None and value < 0):
                said = "0 or more" if expected else "None"
                raise ValueError(f"{field}: got {value}; expected {said} for a node of kind {self.kind!r}")

    def __str__(self) -> str:
        """``embed``, ``L0.H3``, ``L0.KV1``, ``L0.MLP`` or ``logits``."""
        return _NAMES[self.kind].format(layer=self.layer, head=self.head)

    @classmethod
    def named(cls, name: str) -> "Node":
        """The node that is written so.

        Raises:
            ValueError: there is none.
        """
        for kind in get_args(NodeKind):
            if match := re.fullmatch(_PATTERNS[kind], name):
                return cls(kind, **{field: int(number) for field, number in match.groupdict().items()})
        raise ValueError(
            f"name: got {name!r}; expected embed, L0.H3, L0.KV1, L0.MLP or logits, or another layer or head"
        )


@dataclass(frozen=True, order=True)
class Edge:
    """What a node wrote, as it enters one input of a later node.

    Args:
        source: the node that writes: ``embed``, a head or an MLP.
        destination: the node that reads.
        input: by which of its inputs: ``"q"``, ``"k"`` or ``"v"`` of a head, ``"mlp"``, or ``"logits"``.

    Raises:
        ValueError: the source writes nothing to the residual stream, or the destination has no such input.
    """

    source: Node
    destination: Node
    input: Input

    def __post_init__(self) -> None:
        if self.source.kind not in ("embed", "head", "mlp"):
            raise ValueError(f"source: got {self.source}; expected embed, a head or an MLP")
        inputs = {"head": "qkv", "kv_head": "kv", "mlp": ("mlp",), "logits": ("logits",), "embed": ()}
        if self.input not in inputs[self.destination.kind]:
            expected = ", ".join(inputs[self.destination.kind]) or "another destination, as this one reads nothing"
            raise ValueError(f"input: got {self.input!r} of {self.destination}; expected {expected}")

    def __str__(self) -> str:
        """``embed -> L0.H3.q``, ``L0.H3 -> L1.MLP`` or ``L1.MLP -> logits``."""
        return f"{self.source} -> {_named(self.destination, self.input)}"

    @classmethod
    def named(cls, name: str) -> "Edge":
        """The edge that is written so.

        Raises:
            ValueError: there is none.
        """
        source, arrow, destination = name.partition(" -> ")
        node, _, into = destination.rpartition(".") if destination[-2:] in (".q", ".k", ".v") else (destination, "", "")
        if not arrow:
            raise ValueError(f"name: got {name!r}; expected a source and a destination, as in 'embed -> L0.H3.q'")
        to = Node.named(node)
        return cls(Node.named(source), to, into or ("logits" if to.kind == "logits" else "mlp"))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Graph:
    """All nodes and edges of a decoder-only transformer whose blocks add to a residual stream.

    Sources, in order: ``embed``; then of each layer its heads and its MLP. Destinations, in order: of each layer the q
    inputs of its heads, the k and the v inputs of its heads of keys and values, and its MLP's; then ``logits``.

    Args:
        n_layers: blocks.
        n_heads: attention heads in each.
        n_kv_heads: heads of keys and values in each; ``n_heads`` if not given, else a divisor of it.
        parallel: whether a block's MLP reads what its attention reads (GPT-NeoX, GPT-J), and so none of its heads.
        mlps: whether blocks have MLPs.

    Raises:
        ValueError: a number is below 1, or ``n_kv_heads`` does not divide ``n_heads``.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int | None = None
    parallel: bool = False
    mlps: bool = True

    def __post_init__(self) -> None:
        if self.n_kv_heads is None:
            object.__setattr__(self, "n_kv_heads", self.n_heads)
        for field in ("n_layers", "n_heads", "n_kv_heads"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}: got {getattr(self, field)}; expected at least 1")
        if self.n_heads % self.n_kv:
            raise ValueError(f"n_kv_heads: got {self.n_kv_heads}; expected a divisor of n_heads, {self.n_heads}")

    @classmethod
    def of(cls, model: Any) -> "Graph":
        """The graph of a hooked model, ours or a ``TransformerBridge``, from its config and its hook points.

        Raises:
            ValueError: blocks differ from each other, or lack a hook point at which nodes write or read.
        """
        cfg = model.cfg
        for field in ("per_layer_num_key_value_heads", "per_layer_num_attention_heads"):
            if len(set(getattr(cfg, field, None) or ())) > 1:
                raise ValueError(f"model: its layers have unequal numbers of heads ({field}); expected equal ones")
        graph = cls(
            n_layers=cfg.n_layers,
            n_heads=cfg.n_heads,
            n_kv_heads=getattr(cfg, "n_key_value_heads", None),
            parallel=bool(getattr(cfg, "parallel_attn_mlp", False)),
            mlps=not getattr(cfg, "attn_only", False),
        )
        sites = [site for site, _ in graph.source_sites] + [site for site, _ in graph.destination_sites]
        for site in sites:
            if site not in model.hook_dict:
                raise ValueError(
                    f"model: it has no hook point {site}; expected a decoder whose blocks all have attention"
                    + (" and an MLP" if graph.mlps else "")
                )
        return graph

    @property
    def n_kv(self) -> int:
        """Heads of keys and values of a layer."""
        assert self.n_kv_heads is not None
        return self.n_kv_heads

    @cached_property
    def sources(self) -> tuple[Node, ...]:
        """Nodes that write to the residual stream, in order."""
        found = [Node("embed")]
        for layer in range(self.n_layers):
            found += [Node("head", layer, head) for head in range(self.n_heads)]
            found += [Node("mlp", layer)] * self.mlps
        return tuple(found)

    @cached_property
    def destinations(self) -> tuple[tuple[Node, Input], ...]:
        """Inputs that read the residual stream, in order, each as the node and which of its inputs it is."""
        kv: NodeKind = "head" if self.n_kv == self.n_heads else "kv_head"
        found: list[tuple[Node, Input]] = []
        for layer in range(self.n_layers):
            found += [(Node("head", layer, head), "q") for head in range(self.n_heads)]
            found += [(Node(kv, layer, head), "k") for head in range(self.n_kv)]
            found += [(Node(kv, layer, head), "v") for head in range(self.n_kv)]
            found += [(Node("mlp", layer), "mlp")] * self.mlps
        return (*found, (Node("logits"), "logits"))

    @cached_property
    def source_names(self) -> tuple[str, ...]:
        """Sources as they are written."""
        return tuple(map(str, self.sources))

    @cached_property
    def destination_names(self) -> tuple[str, ...]:
        """Destinations as they are written: ``L0.H3.q``, ``L0.KV1.k``, ``L0.MLP`` or ``logits``."""
        return tuple(_named(*destination) for destination in self.destinations)

    @property
    def n_sources(self) -> int:
        return 1 + self.n_layers * (self.n_heads + self.mlps)

    @property
    def n_destinations(self) -> int:
        return self.n_layers * (self.n_heads + 2 * self.n_kv + self.mlps) + 1

    @cached_property
    def n_before(self) -> Int[np.ndarray, " destination"]:
        """How many sources each destination reads: the first so many."""
        per_layer = self.n_heads + self.mlps
        counts: list[int] = []
        for layer in range(self.n_layers):
            before = 1 + layer * per_layer
            counts += [before] * (self.n_heads + 2 * self.n_kv)
            counts += [before if self.parallel else before + self.n_heads] * self.mlps
        return np.array([*counts, self.n_sources])

    @cached_property
    def mask(self) -> Bool[np.ndarray, "source destination"]:
        """Where there is an edge."""
        return np.arange(self.n_sources)[:, None] < self.n_before

    @cached_property
    def feeds(self) -> Bool[np.ndarray, "destination source"]:
        """Which inputs are of the node that writes: of a head its q, and its own or its group's k and v."""
        found = np.zeros((self.n_destinations, self.n_sources), dtype=bool)
        group = self.n_heads // self.n_kv
        for column, (node, _) in enumerate(self.destinations):
            if node.kind == "kv_head":
                assert node.head is not None
                heads = range(node.head * group, (node.head + 1) * group)
                found[column, [self._rows[Node("head", node.layer, head)] for head in heads]] = True
            elif node in self._rows:
                found[column, self._rows[node]] = True
        return found

    @property
    def n_edges(self) -> int:
        return int(self.n_before.sum())

    def edge(self, source: int, destination: int) -> Edge:
        """The edge at a row and a column.

        Raises:
            ValueError: there is none.
        """
        outside = not (0 <= source < self.n_sources and 0 <= destination < self.n_destinations)
        if outside or source >= self.n_before[destination]:
            raise ValueError(f"edge: got [{source}, {destination}], where there is none; expected one within mask")
        return Edge(self.sources[source], *self.destinations[destination])

    def place(self, edge: Edge) -> tuple[int, int]:
        """Row and column of an edge.

        Raises:
            ValueError: the graph has no such edge.
        """
        row = self._rows.get(edge.source)
        column = self._columns.get((edge.destination, edge.input))
        if row is None or column is None or row >= self.n_before[column]:
            raise ValueError(f"edge: got {edge}; the graph has no such edge: {self}")
        return row, column

    def edges(self) -> Iterator[Edge]:
        """All edges, by row and column."""
        for source, destination in np.argwhere(self.mask):
            yield self.edge(source, destination)

    @cached_property
    def _rows(self) -> dict[Node, int]:
        return {node: row for row, node in enumerate(self.sources)}

    @cached_property
    def _columns(self) -> dict[tuple[Node, Input], int]:
        return {destination: column for column, destination in enumerate(self.destinations)}

    @cached_property
    def source_sites(self) -> tuple[tuple[str, slice], ...]:
        """Hook points whose activations tell what sources write, in order, with their rows.

        Those of heads are ``hook_z``: what a head writes is that times its W_O.
        """
        found = [("blocks.0.hook_resid_pre", slice(0, 1))]
        for layer in range(self.n_layers):
            start = found[-1][1].stop
            found.append((f"blocks.{layer}.attn.hook_z", slice(start, start + self.n_heads)))
            if self.mlps:
                found.append((f"blocks.{layer}.hook_mlp_out", slice(start + self.n_heads, start + self.n_heads + 1)))
        return tuple(found)

    @cached_property
    def destination_sites(self) -> tuple[tuple[str, slice], ...]:
        """Hook points of the inputs, before normalization, in order, with their columns."""
        widths = {"hook_q_input": self.n_heads, "hook_k_input": self.n_kv, "hook_v_input": self.n_kv}
        if self.mlps:
            widths["hook_mlp_in"] = 1
        found: list[tuple[str, slice]] = []
        start = 0
        for layer in range(self.n_layers):
            for name, width in widths.items():
                found.append((f"blocks.{layer}.{name}", slice(start, start + width)))
                start += width
        return (*found, (f"blocks.{self.n_layers - 1}.hook_resid_post", slice(start, start + 1)))

    def to_dict(self) -> dict[str, Any]:
        """Its fields, from which ``Graph(**fields)`` makes it again."""
        return asdict(self)


def _named(destination: Node, into: Input) -> str:
    return f"{destination}.{into}" if into in ("q", "k", "v") else str(destination)
