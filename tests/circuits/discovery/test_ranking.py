"""What rules choose by scores: against slow versions and networkx; budgets."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits import Budget, Graph, greedy, largest
from circuits.discovery import on_paths
from circuits.discovery.ranking import read_by_logits

GRAPHS = [Graph(2, 2), Graph(2, 4, 2, parallel=True), Graph(3, 1, mlps=False)]


def as_networkx(graph, mask):
    """Sources and destinations as nodes apart; a destination leads to the sources that it feeds."""
    found = nx.DiGraph()
    found.add_nodes_from([("in", name) for name in graph.destination_names])
    found.add_nodes_from([("out", name) for name in graph.source_names])
    for source, destination in np.argwhere(mask):
        found.add_edge(("out", graph.source_names[source]), ("in", graph.destination_names[destination]))
    for name in graph.destination_names:
        node, dot, into = name.rpartition(".")
        if into in ("q", "k", "v") and dot:
            layer, _, head = node.partition(".")
            group = graph.n_heads // graph.n_kv
            heads = [node] if head.startswith("H") else [f"{layer}.H{int(head[2:]) * group + i}" for i in range(group)]
            found.add_edges_from((("in", name), ("out", h)) for h in heads)
        elif name.endswith("MLP"):
            found.add_edge(("in", name), ("out", name))
    return found


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.9))
def test_paths_are_those_of_networkx(graph, seed, share):
    mask = graph.mask & (np.random.default_rng(seed).random(graph.mask.shape) < share)
    found = as_networkx(graph, mask)
    after = nx.descendants(found, ("out", "embed")) | {("out", "embed")}
    before = nx.ancestors(found, ("in", "logits")) | {("in", "logits")}
    expected = np.zeros_like(mask)
    for source, destination in np.argwhere(mask):
        ends = ("out", graph.source_names[source]), ("in", graph.destination_names[destination])
        expected[source, destination] = ends[0] in after and ends[1] in before
    np.testing.assert_array_equal(on_paths(graph, mask), expected)
    read = [("in", name) in before for name in graph.destination_names]
    np.testing.assert_array_equal(read_by_logits(graph, mask), read)


def slowly_greedy(graph, scores, n):
    """By the definition: of all edges into what is read already, the largest that is not in yet."""
    chosen = np.zeros_like(graph.mask)
    for _ in range(n):
        written = chosen.any(1)
        open_ = np.array([name == "logits" for name in graph.destination_names]) | graph.feeds[:, written].any(1)
        candidates = graph.mask & open_ & ~chosen
        if not candidates.any():
            break
        chosen.ravel()[np.where(candidates, np.abs(scores), -1).argmax()] = True
    return chosen


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40))
def test_rules_are_what_they_say(graph, seed, n):
    n = min(n, graph.n_edges)
    scores = np.random.default_rng(seed).normal(size=graph.mask.shape) * graph.mask
    np.testing.assert_array_equal(
        greedy(graph, scores, Budget(n_edges=n)), on_paths(graph, slowly_greedy(graph, scores, n))
    )
    cut = np.sort(np.abs(scores[graph.mask]))[-n]
    expected = on_paths(graph, graph.mask & (np.abs(scores) >= cut))
    np.testing.assert_array_equal(largest(graph, scores, Budget(n_edges=n)), expected)
    np.testing.assert_array_equal(largest(graph, scores, Budget(threshold=float(cut))), expected)
    # a node that reads zeros or means alone may still write: all that is read has an effect
    for ablation in ("zero", "mean"):
        read = slowly_greedy(graph, scores, n)
        np.testing.assert_array_equal(greedy(graph, scores, Budget(n_edges=n), ablation), read)
        expected = graph.mask & (np.abs(scores) >= cut)
        expected &= read_by_logits(graph, expected)
        np.testing.assert_array_equal(largest(graph, scores, Budget(n_edges=n), ablation), expected)


def test_greedy_takes_no_large_edge_that_nothing_reads():
    graph = Graph(1, 2, mlps=False)
    scores = np.zeros(graph.mask.shape)
    head = graph.source_names.index("L0.H0")
    value, logits = graph.destination_names.index("L0.H0.v"), graph.n_destinations - 1
    other = graph.destination_names.index("L0.H1.v")
    scores[head, logits], scores[0, value], scores[0, other] = 1, 2, 9
    chosen = greedy(graph, scores, Budget(n_edges=2))
    assert {tuple(place) for place in np.argwhere(chosen)} == {(head, logits), (0, value)}
    assert not largest(graph, scores, Budget(n_edges=2)).any()  # of the two largest neither is on a path
    # a threshold ends it where nothing as large is open, whatever lies behind
    assert not greedy(graph, scores, Budget(threshold=1.5)).any()
    assert greedy(graph, scores, Budget(threshold=1.0)).sum() == 2


def test_equal_scores_are_taken_in_order():
    graph = Graph(1, 2)
    ones = np.ones(graph.mask.shape)
    assert greedy(graph, ones, Budget(n_edges=1))[0, -1]
    assert largest(graph, ones, Budget(share=1)).sum() == graph.n_edges


def test_all_heads_of_a_group_are_fed_by_its_keys_and_values():
    graph = Graph(1, 4, 2)
    fed = {
        name: {graph.source_names[i] for i in np.flatnonzero(row)}
        for name, row in zip(graph.destination_names, graph.feeds, strict=True)
    }
    assert fed["L0.KV1.k"] == {"L0.H2", "L0.H3"}
    assert fed["L0.H1.q"] == {"L0.H1"}
    assert fed["L0.MLP"] == {"L0.MLP"}
    assert fed["logits"] == set()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "budget: got nothing; expected n_edges, share or threshold"),
        ({"n_edges": 3, "share": 0.1}, "budget: got n_edges and share; expected"),
        ({"n_edges": 0}, "n_edges: got 0; expected a whole number of at least 1"),
        ({"n_edges": 2.5}, "n_edges: got 2.5"),
        ({"share": 0.0}, "share: got 0.0; expected above 0"),
        ({"share": 1.5}, "share: got 1.5"),
        ({"threshold": -1.0}, "threshold: got -1.0; expected a finite number"),
        ({"threshold": float("nan")}, "threshold: got nan"),
    ],
)
def test_budgets_that_cannot_be(fields, said):
    with pytest.raises(ValueError, match=said):
        Budget(**fields)


def test_budgets_of_a_graph():
    graph = Graph(2, 2)
    assert Budget(share=0.1).edges_of(graph) == 5  # of 46
    assert Budget(share=0.0001).edges_of(graph) == 1
    assert Budget(threshold=0.1).edges_of(graph) == graph.n_edges == 46
    with pytest.raises(ValueError, match="n_edges: got 47; the model has 46 edges"):
        Budget(n_edges=47).edges_of(graph)
