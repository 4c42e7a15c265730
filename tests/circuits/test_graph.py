"""Nodes, edges and circuits: what there is, what is saved, and sets of edges against Python's own sets."""

import json
import time
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits import Circuit, Edge, Graph, Node
from tests.circuits.models import gpt2, llama, neox, ours

PROVENANCE = {"metric": "logit_difference", "direction": 1, "method": "eap", "ablation": "corrupted"}


@st.composite
def graphs(draw):
    kv = draw(st.integers(1, 3))
    return Graph(
        n_layers=draw(st.integers(1, 3)),
        n_heads=kv * draw(st.integers(1, 3)),
        n_kv_heads=kv,
        parallel=draw(st.booleans()),
        mlps=draw(st.booleans()),
    )


@st.composite
def circuits_of(draw, graph):
    chosen = draw(st.sets(st.sampled_from(np.flatnonzero(graph.mask).tolist())))
    scores = draw(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=len(chosen), max_size=len(chosen))
    )
    digest = draw(st.none() | st.text(min_size=1))
    step = draw(st.none() | st.integers(0, 10**9))
    return Circuit(graph, sorted(chosen), scores, **PROVENANCE, model_digest=digest, step=step)


@given(graphs())
@settings(max_examples=25, deadline=None)
def test_edges_are_from_every_node_to_every_input_that_comes_after_it(graph):
    """Counted node by node, as they are computed."""
    expected, before = [], [Node("embed")]
    kv_kind = "head" if graph.n_kv_heads == graph.n_heads else "kv_head"
    for layer in range(graph.n_layers):
        heads = [Node("head", layer, i) for i in range(graph.n_heads)]
        for i in range(graph.n_heads):
            expected += [Edge(source, heads[i], "q") for source in before]
        for i in range(graph.n_kv_heads):
            expected += [Edge(source, Node(kv_kind, layer, i), into) for source in before for into in "kv"]
        seen_by_mlp = before if graph.parallel else before + heads
        if graph.mlps:
            expected += [Edge(source, Node("mlp", layer), "mlp") for source in seen_by_mlp]
        before = before + heads + [Node("mlp", layer)] * graph.mlps
    expected += [Edge(source, Node("logits"), "logits") for source in before]
    found = list(graph.edges())
    assert len(found) == len(set(found)) == graph.n_edges == len(expected)
    assert set(found) == set(expected)
    assert (
        graph.mask.shape
        == (graph.n_sources, graph.n_destinations)
        == (
            len(graph.sources),
            len(graph.destinations),
        )
    )
    for edge in found:
        assert graph.edge(*graph.place(edge)) == edge


def test_graphs_of_models():
    assert Graph.of(ours(n_layers=3)[0]) == Graph(3, 2)
    assert Graph.of(neox()) == Graph(2, 2, parallel=True)
    assert Graph.of(neox(use_parallel_residual=False)) == Graph(2, 2) == Graph.of(gpt2())
    assert Graph.of(llama()) == Graph(2, 4, 2)


def test_nodes_and_edges_are_written_and_read():
    nodes = [Node("embed"), Node("head", 0, 3), Node("kv_head", 12, 1), Node("mlp", 7), Node("logits")]
    assert [str(node) for node in nodes] == ["embed", "L0.H3", "L12.KV1", "L7.MLP", "logits"]
    assert [Node.named(str(node)) for node in nodes] == nodes
    assert str(Edge(nodes[1], Node("head", 2, 0), "k")) == "L0.H3 -> L2.H0.k"
    assert str(Edge(nodes[0], nodes[3], "mlp")) == "embed -> L7.MLP"
    for name in ("L0.H", "L0H1", "l0.H1", "L0.H1.q", "L-1.H0", "", "embed2"):
        with pytest.raises(ValueError, match="name: got"):
            Node.named(name)
    with pytest.raises(ValueError, match="head: got None"):
        Node("head", 1)
    with pytest.raises(ValueError, match="layer: got 1; expected None"):
        Node("embed", 1)
    with pytest.raises(ValueError, match="kind: got 'attn'"):
        Node("attn", 1)
    with pytest.raises(ValueError, match="source: got logits"):
        Edge(Node("logits"), Node("mlp", 0), "mlp")
    with pytest.raises(ValueError, match=r"input: got 'q' of L1\.KV0; expected k, v"):
        Edge(Node("embed"), Node("kv_head", 1, 0), "q")
    with pytest.raises(ValueError, match=r"input: got 'q' of L0\.MLP; expected mlp"):
        Edge(Node("embed"), Node("mlp", 0), "q")


def test_what_is_no_edge_of_a_graph():
    graph = Graph(2, 2, parallel=True)
    with pytest.raises(ValueError, match="no such edge"):
        graph.place(Edge(Node("head", 0, 0), Node("mlp", 0), "mlp"))  # the MLP does not read that layer's heads
    Graph(2, 2).place(Edge(Node("head", 0, 0), Node("mlp", 0), "mlp"))
    with pytest.raises(ValueError, match="no such edge"):
        graph.place(Edge(Node("mlp", 1), Node("head", 1, 0), "q"))
    with pytest.raises(ValueError, match=r"edge: got \[1, 0\], where there is none"):
        graph.edge(1, 0)
    with pytest.raises(ValueError, match="where there is none"):
        graph.edge(-1, 0)
    with pytest.raises(ValueError, match="n_kv_heads: got 3; expected a divisor of n_heads, 4"):
        Graph(1, 4, 3)
    with pytest.raises(ValueError, match="n_layers: got 0"):
        Graph(0, 4)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_a_circuit_is_read_as_it_was_written(data):
    circuit = data.draw(circuits_of(data.draw(graphs())))
    text = circuit.to_json()
    assert Circuit.from_json(text) == circuit
    assert Circuit.from_json(text).to_json() == text
    content = json.loads(text)
    edges = content["edges"]
    read = {  # as another program would
        f"{content['sources'][s]} -> {content['destinations'][d]}": score
        for s, d, score in zip(edges["source"], edges["destination"], edges["score"], strict=True)
    }
    assert read == {str(edge): score for edge, score in circuit.edges()}


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_circuits_are_sets_of_edges(data):
    graph = data.draw(graphs())
    one, other = data.draw(circuits_of(graph)), data.draw(circuits_of(graph))
    a, b = dict(one.edges()), dict(other.edges())
    assert one.n_edges == len(a) == one.mask.sum()
    assert dict((one & other).edges()) == {edge: a[edge] for edge in a.keys() & b.keys()}
    assert dict((one - other).edges()) == {edge: a[edge] for edge in a.keys() - b.keys()}
    either = a.keys() | b.keys()
    assert one.jaccard(other) == (len(a.keys() & b.keys()) / len(either) if either else 1)
    assert one.jaccard(one) == 1
    assert (one & one) == one
    assert (one - one).n_edges == 0
    assert set(one.nodes) == {node for edge in a for node in (edge.source, edge.destination)}
    magnitudes = [abs(score) for _, score in one.edges()]
    assert magnitudes == sorted(magnitudes, reverse=True)
    for edge in graph.edges():
        assert bool(one.mask[graph.place(edge)]) == (edge in a)
        if edge in a:
            assert one.score(edge) == a[edge]
        else:
            with pytest.raises(ValueError, match="is not in the circuit"):
                one.score(edge)


def small():
    graph = Graph(2, 2)
    mask = np.zeros(graph.mask.shape, bool)
    scores = np.zeros(graph.mask.shape)
    for name, into, score in [("embed", ("L0.H1", "v"), 0.5), ("L0.H1", ("L1.H0", "k"), -2), ("L1.H0", ("logits",), 1)]:
        node = Node.named(into[0])
        place = graph.place(Edge(Node.named(name), node, into[-1]))
        mask[place], scores[place] = True, score
    return Circuit.chosen(graph, mask, scores, **PROVENANCE, model_digest="abc", step=1000)


def test_equal_circuits_are_equal_in_all_that_they_say():
    assert small() == small()
    for field, value in {"metric": "loss", "direction": -1, "method": "x", "ablation": "zero", "step": 2}.items():
        assert replace(small(), **{field: value}) != small()
    assert replace(small(), model_digest=None) != small()
    assert replace(small(), versions={}) != small()
    assert replace(small(), scores=[1, 2, 3]) != small()
    assert replace(small(), graph=Graph(2, 2, mlps=True, parallel=True)) != small()
    assert small() != 3


def test_text_says_where_it_came_from_and_its_largest_edges():
    assert small().text(2).splitlines() == [
        "3 of 46 edges, 4 nodes",
        "eap of logit_difference (larger where the behaviour is there), ablation: corrupted, step 1,000",
        "  L0.H1 -> L1.H0.k  -2",
        "  L1.H0 -> logits   +1",
        "  and 1 more",
    ]
    assert str(small()).splitlines()[-1] == "  embed -> L0.H1.v  +0.5"
    assert "smaller where" in replace(small(), direction=-1).text()
    empty = small() - small()
    assert empty.text().startswith("0 of 46 edges, 0 nodes")
    assert [str(node) for node in small().nodes] == ["embed", "L0.H1", "L1.H0", "logits"]


def test_networkx_has_the_paths():
    graph = small().to_networkx()
    assert set(graph.nodes) == {"embed", "L0.H1", "L1.H0", "logits"}
    assert graph.nodes["L0.H1"] == {"kind": "head", "layer": 0, "head": 1}
    assert graph.edges["L0.H1", "L1.H0", "k"] == {"score": -2.0}
    assert nx.shortest_path(graph, "embed", "logits") == ["embed", "L0.H1", "L1.H0", "logits"]
    assert nx.is_directed_acyclic_graph(graph)
    grouped = Graph(1, 4, 2)
    edges = [
        Edge(Node("embed"), Node("kv_head", 0, 1), "k"),
        Edge(Node("head", 0, 2), Node("logits"), "logits"),
        Edge(Node("head", 0, 0), Node("logits"), "logits"),
    ]
    mask = np.zeros(grouped.mask.shape, bool)
    for edge in edges:
        mask[grouped.place(edge)] = True
    found = Circuit.chosen(grouped, mask, np.ones(mask.shape), **PROVENANCE).to_networkx()
    assert nx.has_path(found, "embed", "L0.H2")  # which shares keys and values 1 with L0.H3
    assert not nx.has_path(found, "embed", "L0.H0")
    assert found.edges["L0.KV1", "L0.H2", "kv"] == {}


def test_a_file_is_saved_whole_and_refused_if_it_is_of_another_model(tmp_path):
    path = str(tmp_path / "a" / "circuit.json")
    small().save(path)
    assert Circuit.load(path) == Circuit.load(path, model_digest="abc") == small()
    with pytest.raises(ValueError, match=r"circuit\.json: model_digest: the circuit is of the model abc; expected abd"):
        Circuit.load(path, model_digest="abd")
    replace(small(), model_digest=None).save(path)
    with pytest.raises(ValueError, match="of the model None; expected abc"):
        Circuit.load(path, model_digest="abc")
    with pytest.raises(FileNotFoundError):
        Circuit.load(str(tmp_path / "none.json"))


WRONG = [
    (lambda c: c.update(schema_version=2), "schema_version: got 2"),
    (lambda c: c.update(format="x"), "not a circuit"),
    (lambda c: c.pop("metric"), "metric is missing"),
    (lambda c: c.update(more=1), "more is not part"),
    (lambda c: c["graph"].update(n_layers=3), "not those of its graph"),
    (lambda c: c["sources"].reverse(), "not those of its graph"),
    (lambda c: c["edges"].pop("score"), "not as they should be"),
    (lambda c: c["edges"].update(destination=[15, 15, 15]), "not as they should be"),
    (lambda c: c["edges"]["score"].pop(), "expected one for each"),
    (lambda c: c["edges"].update(source=[6, 6, 6], destination=[0, 1, 2]), "is no edge"),
    (lambda c: c["edges"].update(source=[0, 0, 0], destination=[2, 1, 3]), "ascending"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_no_circuit(change, message):
    content = json.loads(small().to_json())
    change(content)
    with pytest.raises(ValueError, match=message):
        Circuit.from_json(json.dumps(content))


def test_what_cannot_be_a_circuit():
    with pytest.raises(ValueError, match="not JSON"):
        Circuit.from_json("{")
    with pytest.raises(ValueError, match="not a circuit"):
        Circuit.from_json("[]")
    with pytest.raises(ValueError, match=r"scores: that of embed -> L0\.H1\.v is not finite"):
        replace(small(), scores=[np.nan, 1, 2])
    with pytest.raises(ValueError, match="direction: got 0"):
        replace(small(), direction=0)
    graph = Graph(2, 2)
    with pytest.raises(ValueError, match="is no edge"):
        Circuit.chosen(graph, ~graph.mask, np.zeros(graph.mask.shape), **PROVENANCE)
    with pytest.raises(ValueError, match="mask: got shape"):
        Circuit.chosen(graph, graph.mask[:2], np.zeros(graph.mask.shape), **PROVENANCE)
    with pytest.raises(ValueError, match="expected booleans"):
        Circuit.chosen(graph, graph.mask.astype(int), np.zeros(graph.mask.shape), **PROVENANCE)
    with pytest.raises(ValueError, match="expected one of"):
        small().jaccard(replace(small(), graph=Graph(2, 2, parallel=True), index=[0], scores=[1]))


def test_a_million_edges_take_no_object_each(monkeypatch):
    graph = Graph(36, 20)
    assert graph.n_edges > 8e5
    made = []
    checked = Edge.__post_init__
    monkeypatch.setattr(Edge, "__post_init__", lambda self: made.append(1) or checked(self))
    start = time.perf_counter()
    scores = np.random.default_rng(0).normal(size=graph.mask.shape)
    whole = Circuit.chosen(graph, graph.mask, scores, **PROVENANCE)
    part = Circuit.chosen(graph, graph.mask & (scores > 0), scores, **PROVENANCE)
    assert (whole - part).n_edges == whole.n_edges - part.n_edges
    assert whole.jaccard(part) == part.n_edges / whole.n_edges
    assert Circuit.from_json(whole.to_json()) == whole
    assert whole.text(3).count("\n") == 5
    assert len(made) < 10
    assert time.perf_counter() - start < 20


@given(graphs())
@settings(max_examples=25, deadline=None)
def test_inputs_feed_the_node_that_reads_them(graph):
    """Heads of keys and values, each the next so many heads."""
    group = graph.n_heads // graph.n_kv_heads
    assert graph.feeds.shape == (graph.n_destinations, graph.n_sources)
    for (node, into), row in zip(graph.destinations, graph.feeds, strict=True):
        fed = [graph.sources[source] for source in np.flatnonzero(row)]
        if node.kind == "kv_head":
            assert into in "kv"
            assert fed == [Node("head", node.layer, node.head * group + i) for i in range(group)]
        else:
            assert fed == ([] if node.kind == "logits" else [node])
