"""Path patching: what does the part of a question that travels along one path through the model do to the answer?

A path is a chain of edges, such as ``embed -> L0.H1.v -> L1.H0.k -> logits``. Only what goes along it is changed:

1. In a run on one question, the first edge carries what its source wrote on the other; all else is as it was. The
   node that reads it, and it alone, is kept.
2. In another such run the second edge carries what that node has written, and so on, to the last edge.

Paths that begin alike share these runs, and a batch holds the same pairs several times over, with another path in each.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from circuits.ablated_runs import ROW_NUMBERS
from circuits.checking import check_finite, check_fit, check_sums, summed_sites
from circuits.differences import Differences
from circuits.exchange import Exchange
from circuits.graph import Edge, Graph, Input, Node
from circuits.metrics import Metric
from circuits.pairs import Pairs
from circuits.passes import Pass, batches_of, forward, ready, weights_out
from circuits.patched import Patched, Way, check_way
from circuits.patching import Contrast
from probe.activations.forward import Batch

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

Path = Sequence[str | Node]
"""Nodes one after the other: ``embed``, a head or an MLP, then what reads it, of heads with the input by which they do,
such as ``L1.H0.k``. With grouped-query attention ``L1.H2.k`` is the key that L1.H2 shares with others."""


def patch_paths(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    paths: Sequence[Path],
    *,
    way: Way = "noise",
    rows: int | None = None,
) -> Patched:
    """The metric of each pair after each of many paths is patched (Goldowsky-Dill et al. 2023, arXiv 2304.05969; Wang
    et al. 2023, arXiv 2211.00593).

    Of a path n0 -> n1 -> ... -> nk, n0 has what it writes on the other question, on its edge to n1 only; n1, computed
    with this, on its edge to n2 only; and so on. All else reads what it reads without a patch. A path may end before
    the logits: what nk then writes goes everywhere, and changes all that is computed from it. So a path of two nodes
    is one edge ablated. The graph has no positions: a path is patched at all of them.

    An edge enters one input of a node, the query, key or value of a head. The residual stream passes by MLPs that a
    path does not name, where Wang et al. recompute them.

    A path whose n0 writes the same on both questions leaves the metric exactly as it was. There are as many kinds of
    runs as the longest path has edges, and each has as many rows as there are different beginnings of that length, for
    each pair. Memory is ``rows x sources x positions x d_model`` numbers, beside what every beginning that goes on
    wrote in its last layer.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        pairs: clean and corrupted questions.
        metric: a number for each pair, always about the clean question's answer.
        paths: each at least two nodes, as ``circuits.path_patching.Path`` says, such as
            ``["embed", "L0.H1.v", "L1.MLP", "logits"]``.
        way: ``"noise"``: corrupted activations go along the path of the clean run; ``"denoise"``: clean ones along that
            of the corrupted run.
        rows: questions in a forward pass: pairs times paths. As many as fit, if not given. Values do not depend on it,
            up to rounding.

    Returns:
        Values [path, pair]; paths are labelled as ``"embed -> L0.H1.v -> L1.MLP -> logits"``.

    Raises:
        ValueError: a node or an edge of a path is not in the model's graph, a head is given without its input, or a
            path twice; the way is unknown; the model is in training mode, is no decoder with a residual stream that is
            a sum, or does not know the tokens of the pairs; an activation or the metric is not finite.
    """
    check_way(way)
    graph = Graph.of(model)
    check_fit(model, pairs)
    chains = {" -> ".join(str(node) for node in path): _chain(graph, path) for path in paths}
    if not paths or len(set(chains.values())) < len(paths):
        raise ValueError(
            f"paths: got {len(paths)}, of which {len(set(chains.values()))} differ; expected some, each once"
        )
    W_O = weights_out(model, graph)
    if rows is None:
        numbers = graph.n_sources * pairs.clean.shape[1] * model.cfg.d_model
        rows = max(1, ROW_NUMBERS["cuda" if W_O[0].is_cuda else "cpu"] // numbers)
    found, clean, corrupted = [], [], []
    with ready(model, graph):

        def read(batch: Batch, numbers: range, what: str) -> Pass:
            done = forward(model, graph, batch, keep={s for s, _ in graph.source_sites} | set(summed_sites(graph)))
            check_finite(graph, done.kept, numbers, what)
            return done

        for examples in batches_of(len(pairs), rows):
            contrast = Contrast(pairs, metric, way, examples, W_O[0].device, read)
            check_sums(graph, Differences(graph, contrast.there, contrast.put, W_O, 1), contrast.there, contrast.put)
            found.append(_values(model, graph, W_O, contrast, list(chains.values()), max(1, rows // contrast.n)))
            clean.append(contrast.clean)
            corrupted.append(contrast.corrupted)
    values = np.concatenate(found, -1)
    return Patched(
        xr.DataArray(values, {"path": list(chains), "pair": np.arange(len(pairs))}, ("path", "pair")),
        np.concatenate(clean),
        np.concatenate(corrupted),
        metric.name,
        metric.direction,
        "path",
        way,
    )


Chain = tuple[tuple[int, int], ...]
"""Edges as rows and columns of the graph."""


def _chain(graph: Graph, path: Path) -> Chain:
    """The edges of a path."""
    if isinstance(path, str) or len(path) < 2:
        raise ValueError(f"paths: got {path!r}; expected two nodes or more, such as ['embed', 'L0.H1.v', 'logits']")
    nodes = [_node(name) for name in path]
    if nodes[0][1] is not None:
        raise ValueError(f"paths: {path[0]} is first, where nothing is read; expected it without an input")
    edges = []
    for (source, _), (node, into) in pairwise(nodes):
        if node.kind in ("head", "kv_head") and into is None:
            raise ValueError(f"paths: got {node}; expected the input by which it reads, such as {node}.k")
        read_by: Input = into or node.kind  # type: ignore[assignment]  # the names of the others' inputs are their kinds
        edges.append(graph.place(Edge(source, _reader(graph, node, read_by), read_by)))
    return tuple(edges)


def _node(name: str | Node) -> tuple[Node, Input | None]:
    if isinstance(name, Node):
        return name, None
    stem, dot, end = name.rpartition(".")
    if dot and end in ("q", "k", "v"):
        return Node.named(stem), end  # type: ignore[return-value]
    return Node.named(name), None


def _reader(graph: Graph, node: Node, into: Input) -> Node:
    """Who reads the input of a node: of keys and values that heads share, their head of keys and values."""
    if node.kind != "head" or into == "q" or graph.n_kv == graph.n_heads:
        return node
    assert node.head is not None
    return Node("kv_head", node.layer, node.head // (graph.n_heads // graph.n_kv))


def _values(
    model: "HookedModel",
    graph: Graph,
    W_O: Sequence[Float[Tensor, "head d_head d_model"]],
    contrast: Contrast,
    chains: Sequence[Chain],
    at_once: int,
) -> Float[np.ndarray, "path pair"]:
    """The metric after each path is patched, so many beginnings of paths in a pass."""
    site_of = {row: site for site, rows in graph.source_sites for row in range(rows.start, rows.stop)}
    differs = {}
    for row in {chain[0][0] for chain in chains}:
        changed = contrast.put[site_of[row]] != contrast.there[site_of[row]]
        head = row - dict(graph.source_sites)[site_of[row]].start
        differs[row] = (changed if changed.ndim == 3 else changed[:, :, head]).flatten(1).any(1)
    place = {chain: number for number, chain in enumerate(chains)}
    found = np.empty((len(chains), contrast.n))
    written: dict[Chain, Tensor] = {}
    for length in range(1, max(map(len, chains)) + 1):
        before, written = written, {}
        # by which site a beginning goes on: all that read an input of a node write at one
        site_after = {chain[:length]: site_of[chain[length][0]] for chain in chains if len(chain) > length}
        beginnings = sorted({chain[:length] for chain in chains if len(chain) >= length})
        for start in range(0, len(beginnings), at_once):
            some = beginnings[start : start + at_once]
            taken = torch.zeros(len(some), *graph.mask.shape, dtype=torch.bool)
            instead: dict[str, list[Tensor]] = {}
            for number, beginning in enumerate(some):
                row, column = beginning[-1]
                taken[number, row, column] = True
                site = site_of[row]
                rows = instead.setdefault(site, [contrast.put[site]] * len(some))  # of the others no edge is taken
                if length > 1:
                    rows[number] = before[beginning[:-1]]
            exchange = Exchange(
                graph,
                W_O,
                taken.repeat_interleave(contrast.n, 0).to(W_O[0].device),
                {site: torch.cat(rows) for site, rows in instead.items()},
            )
            keep = {site_after[beginning] for beginning in some if beginning in site_after}
            done = forward(model, graph, contrast.times(len(some)), keep=keep, exchange=exchange)
            for number, beginning in enumerate(some):
                if beginning in site_after:
                    rows_of_it = slice(number * contrast.n, (number + 1) * contrast.n)
                    written[beginning] = done.kept[site_after[beginning]][rows_of_it].clone()
            ending = [number for number, beginning in enumerate(some) if beginning in place]
            if ending:
                logits = done.logits.unflatten(0, (-1, contrast.n))[ending].flatten(0, 1)
                touched = torch.stack([differs[some[number][0][0]] for number in ending])
                found[[place[some[number]] for number in ending]] = contrast.values(logits, touched)
    return found
