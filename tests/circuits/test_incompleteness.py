"""A circuit and the model without the same edges: against the textbook, set by set; and a backup head by hand."""

import numpy as np
import pytest
import torch
from scipy import stats

from circuits import Circuit, EdgeAblation, Graph, Pairs, answer_loss, eap, faithfulness_of, logit_difference
from circuits.incompleteness import incompleteness_of
from probe.suites.architecture import Architecture
from probe.suites.hooked import HookedTransformer
from tests.circuits.masked import masked_forward
from tests.circuits.models import ours, random_pairs


def circuit_of(graph, mask, ablation="corrupted"):
    about = {"metric": "m", "direction": 1, "method": "by hand", "ablation": ablation}
    return Circuit.chosen(graph, mask, np.zeros(graph.mask.shape), **about)


@pytest.fixture(scope="module")
def case():
    """A model in float64, pairs, a circuit of 7 of its edges, and the metric of each pair with any edges ablated."""
    model, arch, weights = ours(torch.float64)
    pairs = random_pairs(n=6)
    scores = eap(model, pairs, logit_difference)
    size = np.abs(scores.values)
    circuit = scores.circuit(size >= np.sort(size.ravel())[-7])
    _, instead = masked_forward(arch, weights, torch.tensor(pairs.corrupted))

    def metric_without(edges):
        gone = {tuple(edge.split(" -> ")): torch.ones((), dtype=torch.float64) for edge in edges}
        logits = masked_forward(arch, weights, torch.tensor(pairs.clean), instead, gone)[0][:, -1].numpy()
        return logits[range(6), pairs.answers] - logits[range(6), pairs.wrong_answers]

    return model, pairs, circuit, metric_without


def names(circuit):
    return {str(edge) for edge, _ in circuit.edges()}


def test_each_row_is_what_a_loop_over_the_sets_gives(case):
    model, pairs, circuit, metric_without = case
    table = incompleteness_of(model, pairs, logit_difference, circuit, n_subsets=8, n_greedy=3, n_candidates=2)
    assert list(table["chosen"]) == ["none", "all", *["random"] * 8, *["greedy"] * 3]
    inside = names(circuit)
    outside = {str(circuit.graph.edge(*place)) for place in np.argwhere(circuit.graph.mask).tolist()} - inside
    for row in table.itertuples():
        removed = set(row.edges)
        assert removed <= inside
        assert row.n_removed == len(row.edges) == len(removed)
        alone, whole = metric_without(outside | removed), metric_without(removed)
        assert row.circuit == pytest.approx(alone.mean(), abs=1e-10)
        assert row.model == pytest.approx(whole.mean(), abs=1e-10)
        assert row.difference == pytest.approx((alone - whole).mean(), abs=1e-10)
        assert row.incompleteness == abs(row.difference)
        between = stats.t.interval(0.95, 5, loc=(alone - whole).mean(), scale=stats.sem(alone - whole))
        assert (row.low, row.high) == pytest.approx(between, abs=1e-9)
    assert set(table["edges"][0]) == set()
    assert set(table["edges"][1]) == inside
    assert len(set(table["edges"][2:10])) > 4
    assert set(table["metric"]) == {"logit_difference"}
    assert set(table["ablation"]) == {"corrupted"}


def test_greedily_the_furthest_apart_of_the_candidates_is_taken(case):
    """With all edges as candidates there is nothing to draw: a loop finds the same."""
    model, pairs, circuit, metric_without = case
    table = incompleteness_of(model, pairs, logit_difference, circuit, n_subsets=0, n_greedy=99, n_candidates=99)
    inside = names(circuit)
    outside = {str(circuit.graph.edge(*place)) for place in np.argwhere(circuit.graph.mask).tolist()} - inside
    taken = set()
    greedy = table[table["chosen"] == "greedy"]
    assert greedy["n_removed"].tolist() == list(range(1, circuit.n_edges + 1))
    for found in greedy["edges"]:
        apart = {
            edge: abs((metric_without(outside | taken | {edge}) - metric_without(taken | {edge})).mean())
            for edge in inside - taken
        }
        taken.add(max(apart, key=apart.get))
        assert set(found) == taken
    alone = incompleteness_of(model, pairs, logit_difference, circuit, n_subsets=0, n_greedy=3, n_candidates=1)
    assert alone["n_removed"].tolist() == [0, circuit.n_edges, 1, 2, 3]
    others = incompleteness_of(model, pairs, logit_difference, circuit, n_subsets=0, n_greedy=3, n_candidates=1, seed=1)
    assert alone["edges"].tolist() != others["edges"].tolist()  # what is drawn then decides


def test_so_many_candidates_are_tried_in_one_call(case, monkeypatch):
    model, pairs, circuit, _ = case
    tried, values = [], EdgeAblation.values
    monkeypatch.setattr(
        EdgeAblation, "values", lambda runs, masks: tried.append(masks.shape[:2]) or values(runs, masks)
    )
    incompleteness_of(model, pairs, logit_difference, circuit, n_subsets=4, n_greedy=6, n_candidates=3)
    assert tried == [(2, 6), *[(2, 3)] * 5, (2, 2)]


def test_subsets_are_drawn_by_the_seed_with_half_of_the_edges(case):
    model, pairs, circuit, _ = case
    tables = [
        incompleteness_of(
            model, pairs, logit_difference, circuit, n_subsets=200, n_greedy=0, seed=seed, batch_size=size
        )
        for seed, size in ((0, None), (0, 4), (1, None))
    ]
    assert tables[0]["edges"].tolist() == tables[1]["edges"].tolist() != tables[2]["edges"].tolist()
    np.testing.assert_allclose(tables[0]["difference"], tables[1]["difference"], atol=1e-10)
    for edge in names(circuit):
        share = np.mean([edge in subset for subset in tables[0]["edges"][2:]])
        assert 0.36 < share < 0.64  # 4 standard deviations


def test_with_no_edge_taken_and_with_all_it_is_what_faithfulness_reads(case):
    model, pairs, circuit, _ = case
    for ablation in ("zero", "resample"):
        table = incompleteness_of(
            model, pairs, answer_loss, circuit, n_subsets=0, n_greedy=0, ablation=ablation, seed=3
        )
        found = faithfulness_of(model, pairs, answer_loss, circuit, n_random=0, ablation=ablation, seed=3)
        assert table["circuit"].tolist() == pytest.approx([found.circuit.mean(), found.none.mean()])
        assert table["model"].tolist() == pytest.approx([found.whole.mean(), found.without.mean()])
        assert set(table["metric"]) == {"answer_loss"}
        assert set(table["ablation"]) == {ablation}


def test_nothing_lacks_where_all_edges_are_in_the_circuit(case):
    model, pairs, circuit, _ = case
    every = circuit_of(circuit.graph, circuit.graph.mask)
    table = incompleteness_of(model, pairs, logit_difference, every, n_subsets=3, n_greedy=2, n_candidates=3)
    np.testing.assert_allclose(table["incompleteness"], 0, atol=1e-12)
    assert table["model"].std() > 0.1


def test_a_backup_head_makes_a_faithful_circuit_incomplete():
    """By hand: both heads write the first direction to the second, the MLP writes at most 1 of that to the third.

    Token 1 is the first direction, token 0 nothing, and logit 0 reads the third. So the metric is min(heads, 1), and
    with one head in the circuit it is 1 as in the model. Without the edge from that head it is 0 in the circuit, and 1
    in the model; without the MLP's edge to the logits it is 0 in both.
    """
    arch = Architecture(
        d_model=3, n_heads=2, n_layers=1, d_head=1, d_mlp=2, activation="relu", biases=True, d_vocab=2, n_ctx=1
    )
    w = {name: torch.zeros(shape) for name, shape in arch.shapes.items()}
    w["embed.W_E"][1, 0] = 1
    w["blocks.0.attn.W_V"][:, 0, 0] = 1
    w["blocks.0.attn.W_O"][:, 0, 1] = 1
    w["blocks.0.mlp.W_in"][1] = 1
    w["blocks.0.mlp.b_in"][1] = -1
    w["blocks.0.mlp.W_out"][:, 2] = torch.tensor([1.0, -1.0])
    w["unembed.W_U"][2, 0] = 1
    model = HookedTransformer.with_weights(arch, w)
    pairs = Pairs(np.array([[1], [1]]), np.array([[0], [0]]), np.array([0, 0]), 2, np.array([1, 1]))
    graph, mask = Graph(1, 2), np.zeros(Graph(1, 2).mask.shape, dtype=bool)
    first, second, third = "embed -> L0.H0.v", "L0.H0 -> L0.MLP", "L0.MLP -> logits"
    for edge in (first, second, third):
        source, destination = edge.split(" -> ")
        mask[graph.source_names.index(source), graph.destination_names.index(destination)] = True
    circuit = circuit_of(graph, mask)
    assert faithfulness_of(model, pairs, logit_difference, circuit, n_random=0).faithfulness().estimate == 1
    table = incompleteness_of(model, pairs, logit_difference, circuit, n_subsets=30, n_greedy=1)
    for row in table.itertuples():
        removed = set(row.edges)
        assert row.model == (0 if third in removed else 1)
        assert row.circuit == (0 if removed else 1)
        assert row.difference == row.circuit - row.model
    last = table.iloc[-1]
    assert last["edges"] in ((first,), (second,))
    assert (last["incompleteness"], last["low"], last["high"]) == (1, -1, -1)  # both pairs alike


def test_what_is_refused(case):
    model, pairs, circuit, _ = case
    for name, number in (("n_subsets", -1), ("n_greedy", -1), ("n_candidates", 0)):
        with pytest.raises(ValueError, match=f"{name}: got {number}; expected at least {number + 1}"):
            incompleteness_of(model, pairs, logit_difference, circuit, **{name: number})
    with pytest.raises(ValueError, match="circuit: it has no edges"):
        incompleteness_of(model, pairs, logit_difference, circuit - circuit)
    graph = Graph(1, 2)
    with pytest.raises(ValueError, match="circuit: it is of Graph"):
        incompleteness_of(model, pairs, logit_difference, circuit_of(graph, graph.mask))
    with pytest.raises(ValueError, match="ablation: got 'none'"):
        incompleteness_of(model, pairs, logit_difference, circuit, ablation="none")
