"""ACDC and pruning: known circuits to the edge, and one look at a time as the definition has it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from circuits import Budget, EdgeAblation, acdc, greedy_edges, kl_from_clean, logit_difference, pruned, top_edges
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


def one_look_at_a_time(model, pairs, metric, threshold):
    """Conmy et al. 2023, algorithm 1, with a pass for each edge and none left out."""
    runs = EdgeAblation(model, pairs, metric)
    graph, scores = runs.graph, {}
    kept = graph.mask.copy()
    now = runs.values(graph.mask & ~kept)[0].mean()
    for column in reversed(range(graph.n_destinations)):
        for row in reversed(range(graph.n_before[column])):
            kept[row, column] = False
            value = runs.values(graph.mask & ~kept)[0].mean()
            if abs(value - now) >= threshold:
                kept[row, column] = True
                scores[row, column] = value - now
            else:
                now = value
    return kept, scores


@pytest.mark.parametrize("threshold", [0.01, 0.05])
@pytest.mark.parametrize("metric", [logit_difference, kl_from_clean], ids=lambda metric: metric.name)
def test_looks_ahead_change_nothing(threshold, metric):
    model, _, _ = ours(torch.float64, normalization="LN")
    pairs = random_pairs(n=4)
    kept, scores = one_look_at_a_time(model, pairs, metric, threshold)
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
