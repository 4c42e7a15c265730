"""The smallest faithful circuit: no smaller budget's is; stability of a choice over resampled pairs."""

import numpy as np
import pytest

from circuits import Budget, Graph, eap, edge_stability, faithfulness_of, greedy, logit_difference, smallest_circuit
from circuits.discovery.smallest import _sizes
from circuits.scores import EdgeScores
from tests.circuits.models import ours, random_pairs
from tests.circuits.programs.known import PROGRAMS


def scores_of(graph, per_example):
    values = per_example.mean(0)
    n = np.zeros(len(per_example))
    return EdgeScores(graph, values, per_example, n, n, "m", 1, "eap", "corrupted")


@pytest.mark.parametrize("level", [0.5, 0.9, 1.0])
def test_no_smaller_budget_is_as_faithful(level):
    model, _, _ = ours()
    pairs = random_pairs(n=6)
    scores = eap(model, pairs, logit_difference)
    found = smallest_circuit(model, pairs, logit_difference, scores, level=level, model_digest="d", step=2)
    assert (found.method, found.model_digest, found.step) == ("eap, greedy", "d", 2)

    def reached(n):
        circuit = scores.circuit(greedy(scores.graph, scores.values, Budget(n_edges=n)))
        return faithfulness_of(model, pairs, logit_difference, circuit, n_random=0).faithfulness().estimate >= level

    sizes = _sizes(scores.graph.n_edges).tolist()
    first = next((n for n in sizes if reached(n)), sizes[-1])
    np.testing.assert_array_equal(found.mask, greedy(scores.graph, scores.values, Budget(n_edges=first)))


def test_of_a_known_program_it_is_within_its_edges():
    program = PROGRAMS[1]
    model, pairs = program.model(), program.pairs(20, 0)
    scores = eap(model, pairs, program.metric)
    found = smallest_circuit(model, pairs, program.metric, scores, level=0.99)
    assert {str(edge) for edge, _ in found.edges()} == program.known_edges


def test_what_is_refused():
    model, _, _ = ours()
    pairs = random_pairs()
    scores = eap(model, pairs, logit_difference)
    with pytest.raises(ValueError, match="level: got 0; expected above 0"):
        smallest_circuit(model, pairs, logit_difference, scores, level=0)
    other = scores_of(Graph(1, 1), np.zeros((2, *Graph(1, 1).mask.shape)))
    with pytest.raises(ValueError, match="scores: they are of Graph"):
        smallest_circuit(model, pairs, logit_difference, other)
    alike = type(pairs)(pairs.clean, pairs.clean, pairs.answers, 11, pairs.wrong_answers)
    with pytest.raises(ValueError, match="whether all edges are ablated or none"):
        smallest_circuit(model, alike, logit_difference, eap(model, alike, logit_difference))


def test_sizes_grow_by_a_tenth_after_the_first_and_end_with_all():
    assert _sizes(3).tolist() == [1, 2, 3]
    sizes = _sizes(1000)
    assert sizes[:32].tolist() == list(range(1, 33))
    assert sizes[-1] == 1000
    assert (sizes[33:-1] <= np.ceil(sizes[32:-2] * 1.1)).all()
    assert (np.diff(sizes) > 0).all()


def test_an_edge_that_half_of_the_pairs_need_is_in_some_resamples():
    """Three heads to the logits, room for two: one is always needed, of the others each by half of the pairs."""
    graph = Graph(1, 3, mlps=False)
    per_example = np.zeros((20, *graph.mask.shape))
    heads = [graph.source_names.index(f"L0.H{head}") for head in range(3)]
    values = [graph.destination_names.index(f"L0.H{head}.v") for head in range(3)]
    for head, value, of in zip(heads, values, (slice(None), slice(0, 10), slice(10, 20)), strict=True):
        per_example[of, head, -1] = per_example[of, 0, value] = -1.0
    found = edge_stability(scores_of(graph, per_example), Budget(n_edges=4), n_resamples=400)
    assert found.share[heads[0], -1] == 1
    one, two = found.share[heads[1], -1], found.share[heads[2], -1]
    assert 0.3 < one < 0.7
    assert one + two == pytest.approx(1, abs=0.15)  # none where the halves are drawn equally often and ties go first
    np.testing.assert_array_equal(found.edges(0.95)[:, -1], np.arange(4) == heads[0])
    assert (found.n_resamples, found.n_pairs, len(found.jaccard)) == (400, 20, 400)
    again = edge_stability(scores_of(graph, per_example), Budget(n_edges=4), n_resamples=400)
    np.testing.assert_array_equal(again.share, found.share)
    sure = edge_stability(scores_of(graph, per_example), Budget(n_edges=6))
    assert (sure.jaccard == 1).all()
    below = edge_stability(scores_of(graph, 0.97 * per_example), Budget(threshold=1.0))  # no mean is as large
    assert not below.share.any()


def test_stability_needs_scores_of_each_pair():
    graph = Graph(1, 1)
    means = scores_of(graph, np.zeros((3, *graph.mask.shape)))
    alone = EdgeScores(graph, means.values, None, means.clean, means.clean, "m", 1, "eap", "corrupted")
    with pytest.raises(ValueError, match="per_example=True"):
        edge_stability(alone, Budget(n_edges=1))
    with pytest.raises(ValueError, match="scores: got 1 pair; expected at least 2"):
        edge_stability(scores_of(graph, np.zeros((1, *graph.mask.shape))), Budget(n_edges=1))
    with pytest.raises(ValueError, match="n_resamples: got 0"):
        edge_stability(means, Budget(n_edges=1), n_resamples=0)
    with pytest.raises(ValueError, match="level: got 0"):
        edge_stability(means, Budget(n_edges=1), n_resamples=1).edges(0)
