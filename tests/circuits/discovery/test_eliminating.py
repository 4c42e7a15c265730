"""ACDC and pruning: known circuits to the edge, and one look at a time as the definition has it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from circuits import (
    Budget,
    EdgeAblation,
    Metric,
    acdc,
    greedy_edges,
    kl_from_clean,
    logit_difference,
    minimality,
    pruned,
    top_edges,
)
from circuits.discovery import on_paths
from probe.suites.hooked import HookedTransformer
from tests.circuits.models import ours, random_pairs
from tests.circuits.programs.known import PROGRAMS

THRESHOLD = Budget(threshold=1e-4)


def written(circuit):
    return {str(edge) for edge, _ in circuit.edges()}


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
@pytest.mark.parametrize("ablation", ["corrupted", "zero"])
def test_acdc_finds_exactly_the_edges_of_a_known_program(program, ablation):
    model, pairs = program.model(), program.pairs(20, 0)
    circuit = acdc(model, pairs, program.metric, ablation=ablation, budget=THRESHOLD, model_digest="d", step=7)
    assert written(circuit) == program.known_edges | (program.fixed_edges if ablation == "zero" else set())
    assert (circuit.method, circuit.ablation, circuit.model_digest, circuit.step) == ("acdc", ablation, "d", 7)


@pytest.mark.parametrize("ablation", ["mean", "resample"])
def test_and_by_what_other_questions_have_in_common(ablation):
    program = PROGRAMS[1]
    circuit = acdc(program.model(), program.pairs(20, 0), program.metric, ablation=ablation, budget=THRESHOLD)
    assert written(circuit) == program.known_edges


def one_look_at_a_time(runs, threshold, order=None):
    """Conmy et al. 2023, algorithm 1, with a pass for each edge and none left out."""
    graph, scores = runs.graph, {}
    if order is None:
        order = [(row, column) for column in range(graph.n_destinations) for row in range(graph.n_before[column])][::-1]
    kept = graph.mask.copy()
    now = runs.values(graph.mask & ~kept)[0].mean()
    for place in order:
        kept[place] = False
        value = runs.values(graph.mask & ~kept)[0].mean()
        if abs(value - now) >= threshold:
            kept[place] = True
            scores[place] = value - now
        else:
            now = value
    return kept, scores


@pytest.mark.parametrize("threshold", [0.01, 0.05])
@pytest.mark.parametrize("metric", [logit_difference, kl_from_clean], ids=lambda metric: metric.name)
def test_looks_ahead_change_nothing(threshold, metric):
    model, _, _ = ours(torch.float64, normalization="LN")
    pairs = random_pairs(n=4)
    kept, scores = one_look_at_a_time(EdgeAblation(model, pairs, metric), threshold)
    circuit = acdc(model, pairs, metric, budget=Budget(threshold=threshold))
    assert 0 < kept.sum() < kept.size
    np.testing.assert_array_equal(circuit.mask, kept)
    for edge, score in circuit.edges():
        assert score == pytest.approx(scores[circuit.graph.place(edge)], abs=1e-9)


def test_thresholds_at_the_ends():
    model, _, _ = ours()
    pairs = random_pairs()
    assert acdc(model, pairs, logit_difference, budget=Budget(threshold=0)).n_edges == 46
    assert acdc(model, pairs, logit_difference, budget=Budget(threshold=1e6)).n_edges == 0
    with pytest.raises(ValueError, match="budget: got 5 edges; expected a threshold"):
        acdc(model, pairs, logit_difference, budget=Budget(n_edges=5))


def test_progress_is_told(capsys):
    model, _, _ = ours()
    acdc(model, random_pairs(), logit_difference, budget=Budget(threshold=1e6), progress=True)
    assert "ACDC: 46 edges, 5 pairs" in capsys.readouterr().err


@pytest.mark.parametrize("program", [PROGRAMS[1], PROGRAMS[4]], ids=str)
def test_a_circuit_is_pruned_to_what_it_needs(program):
    model, pairs = program.model(), program.pairs(20, 0)
    every = top_edges(model, pairs, program.metric, budget=Budget(share=1))
    assert every.n_edges == every.graph.n_edges
    found = pruned(model, pairs, program.metric, every, budget=THRESHOLD)
    assert written(found) == program.known_edges
    assert found.method == "eap-ig-inputs, largest, pruned"
    with pytest.raises(ValueError, match="circuit: it is of Graph"):
        pruned(ours(n_layers=1)[0], random_pairs(), logit_difference, every, budget=THRESHOLD)


def test_pruning_keeps_to_the_ablation_of_the_circuit():
    program = PROGRAMS[0]
    model, pairs = program.model(), program.pairs(20, 0)
    every = replace(top_edges(model, pairs, program.metric, budget=Budget(share=1)), ablation="zero")
    found = pruned(model, pairs, program.metric, every, budget=THRESHOLD)
    assert written(found) == program.known_edges | program.fixed_edges
    assert found.ablation == "zero"


def test_circuits_by_score_have_one_signature():
    program = PROGRAMS[1]
    model, pairs, budget = program.model(), program.pairs(20, 0), Budget(n_edges=len(program.known_edges))
    for find, rule in ((top_edges, "largest"), (greedy_edges, "greedy")):
        circuit = find(model, pairs, program.metric, ablation="corrupted", budget=budget, step=3)
        assert written(circuit) == program.known_edges
        assert (circuit.method, circuit.step) == (f"eap-ig-inputs, {rule}", 3)


def test_edges_that_nothing_reads_any_more_are_not_looked_at(monkeypatch):
    """With all seven into the logits gone, the other 39 go without a look."""
    looks = []
    values = EdgeAblation.values
    monkeypatch.setattr(EdgeAblation, "values", lambda self, masks: looks.append(masks) or values(self, masks))
    acdc(ours()[0], random_pairs(), logit_difference, budget=Budget(threshold=1e6))
    assert sum(masks.reshape(-1, *masks.shape[-2:]).shape[0] for masks in looks) == 1 + 7
    assert [len(masks) for masks in looks[1:]] == [1, 2, 4]


@pytest.mark.parametrize(("ablation", "threshold", "stay"), [("zero", 0.2, True), ("corrupted", 0.05, False)])
def test_edges_on_no_path_stay_where_the_metric_needs_them(ablation, threshold, stay):
    """Under zero ablation a node that reads nothing still writes what its biases make of that."""
    model, _, _ = ours(torch.float64, normalization="LN", biases=True)
    pairs = random_pairs(n=4)
    every = top_edges(model, pairs, logit_difference, ablation=ablation, budget=Budget(share=1))
    ascending = every.index[np.argsort(np.abs(every.scores), kind="stable")]
    order = [divmod(int(index), every.graph.n_destinations) for index in ascending]
    kept, scores = one_look_at_a_time(EdgeAblation(model, pairs, logit_difference, ablation=ablation), threshold, order)
    bare = on_paths(every.graph, kept)
    assert bare.sum() < kept.sum()
    found = pruned(model, pairs, logit_difference, every, budget=Budget(threshold=threshold))
    np.testing.assert_array_equal(found.mask, kept if stay else bare)
    for edge, score in found.edges():
        assert score == pytest.approx(scores[every.graph.place(edge)], abs=1e-9)


def test_of_two_parts_that_can_stand_in_for_each_other_one_is_kept():
    """The idle head is made a copy of the other: either of them alone writes the answer, whose logit is then 8."""
    answered = Metric(
        "answered", 1, lambda logits, asked: (logits.gather(1, asked.answers[:, None])[:, 0] > 4).double()
    )
    arch, weights = PROGRAMS[0].weights()
    for name in ("W_Q", "W_K", "W_V", "W_O"):
        weights[f"blocks.0.attn.{name}"][0] = weights[f"blocks.0.attn.{name}"][1]
    model, pairs = HookedTransformer.with_weights(arch, weights), PROGRAMS[0].pairs(20, 0)
    every = top_edges(model, pairs, logit_difference, budget=Budget(share=1))
    alone = minimality(model, pairs, answered, every)
    assert (alone["adds"] == 0).all()  # no edge is needed by itself
    found = pruned(model, pairs, answered, every, budget=THRESHOLD)
    assert written(found) in ({"embed -> L0.H0.v", "L0.H0 -> logits"}, {"embed -> L0.H1.v", "L0.H1 -> logits"})
    assert (minimality(model, pairs, answered, found)["adds"] == 1).all()
