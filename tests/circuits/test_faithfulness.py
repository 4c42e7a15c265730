"""How good circuits are: known ones, all edges and none, by definition; curves of a case worked out by hand."""

from functools import partial

import numpy as np
import pytest
import torch

from circuits import (
    EdgeAblation,
    Graph,
    agreement,
    eap,
    eap_ig,
    faithfulness_curve,
    faithfulness_of,
    largest,
    logit_difference,
    minimality,
)
from circuits.curves import FaithfulnessCurve
from circuits.faithfulness import Faithfulness, faithfulness_of_masks, random_masks
from tests.circuits.models import ours, random_pairs
from tests.circuits.programs.known import PROGRAMS


def known(program, model, pairs, extra=()):
    """The circuit of a program's known edges, and of others."""
    scores = eap(model, pairs, program.metric)
    mask = np.array(
        [
            [
                f"{source} -> {destination}" in {*program.known_edges, *extra}
                for destination in scores.graph.destination_names
            ]
            for source in scores.graph.source_names
        ]
    )
    return scores.circuit(mask & scores.graph.mask)


@pytest.mark.parametrize("program", [PROGRAMS[1], PROGRAMS[2], PROGRAMS[5]], ids=str)
def test_a_known_circuit_does_all_and_nothing_is_left_without_it(program):
    model, pairs = program.model(), program.pairs(20, 0)
    found = faithfulness_of(model, pairs, program.metric, known(program, model, pairs), n_random=10)
    assert found.faithfulness().estimate == pytest.approx(1, abs=1e-5)
    assert found.completeness().estimate == pytest.approx(1, abs=1e-5)
    assert found.agreement()[0] == 1
    assert found.agreement()[1] < 1  # of 20 pairs it is not known for sure
    assert found.control().estimate.max() < 0.9
    frame = found.to_frame().set_index("measure")
    assert frame.loc["faithfulness", "value"] == pytest.approx(1, abs=1e-5)
    assert frame.loc["faithfulness of random circuits", "high"] == found.control().estimate.max()
    assert set(frame["ablation"]) == {"corrupted"}
    assert "ablation: corrupted, 20 pairs" in str(found)


def test_all_edges_and_none():
    model, _, _ = ours()
    pairs = random_pairs()
    scores = eap(model, pairs, logit_difference)
    every, none = scores.circuit(), scores.circuit(np.zeros_like(scores.graph.mask))
    for circuit, expected in ((every, 1), (none, 0)):
        found = faithfulness_of(model, pairs, logit_difference, circuit, ablation="mean", n_random=2)
        assert found.faithfulness().estimate == pytest.approx(expected, abs=1e-5)
        assert found.completeness().estimate == pytest.approx(expected, abs=1e-5)
        assert found.ablation == "mean"
        np.testing.assert_allclose(found.random, np.stack([found.circuit] * 2), atol=1e-5)


def test_each_number_is_what_its_edges_give():
    model, _, _ = ours(torch.float64)
    pairs = random_pairs(n=6)
    scores = eap(model, pairs, logit_difference)
    circuit = scores.circuit(np.abs(scores.values) > np.quantile(np.abs(scores.values), 0.8))
    found = faithfulness_of(model, pairs, logit_difference, circuit, n_random=3, seed=5)
    runs = EdgeAblation(model, pairs, (logit_difference, agreement))
    every, inside = runs.graph.mask, circuit.mask
    masks = [np.zeros_like(every), every, every & ~inside, inside]
    for name, mask in zip(("whole", "none", "circuit", "without"), masks, strict=True):
        np.testing.assert_allclose(getattr(found, name), runs.values(mask)[0], atol=1e-12)
    np.testing.assert_array_equal(found.agrees, runs.values(every & ~inside)[1])
    assert (found.n_edges, found.n_all) == (inside.sum(), every.sum())
    assert found.text().startswith(f"{inside.sum()} of {every.sum()} edges, ablation: corrupted, 6 pairs")
    m = {name: getattr(found, name).mean() for name in ("whole", "none", "circuit", "without")}
    assert found.faithfulness().estimate == pytest.approx((m["circuit"] - m["none"]) / (m["whole"] - m["none"]))
    left = (m["without"] - m["none"]) / (m["whole"] - m["none"])
    assert found.completeness().estimate == pytest.approx(1 - left)
    for mask, values in zip(random_masks(every, circuit.n_edges, 3, 5), found.random, strict=True):
        assert mask.sum() == circuit.n_edges
        assert not (mask & ~every).any()
        np.testing.assert_allclose(values, runs.values(every & ~mask)[0], atol=1e-12)


def test_several_circuits_at_a_time_are_what_each_is_alone():
    model, _, _ = ours(torch.float64)
    pairs = random_pairs(n=6)
    scores = eap(model, pairs, logit_difference)
    size = np.abs(scores.values)
    circuits = [scores.circuit(size > np.quantile(size, share)) for share in (0.9, 0.7, 0.8)]
    runs = EdgeAblation(model, pairs, (logit_difference, agreement), ablation="resample", seed=2)
    asked = [(circuit.mask, n) for circuit, n in zip(circuits, (2, 0, 3), strict=True)]
    together = faithfulness_of_masks(runs, asked, seed=2)
    for found, circuit, (_, n) in zip(together, circuits, asked, strict=True):
        alone = faithfulness_of(model, pairs, logit_difference, circuit, ablation="resample", n_random=n, seed=2)
        for name in ("whole", "none", "circuit", "without", "random", "agrees"):
            np.testing.assert_allclose(getattr(found, name), getattr(alone, name), atol=1e-12)
        assert found.text() == alone.text()
    with pytest.raises(ValueError, match="n_random: got -1"):
        faithfulness_of_masks(runs, [(circuits[0].mask, -1)])


def test_the_share_of_pairs_that_agree_is_counted():
    row = np.zeros(4)
    found = Faithfulness(row + 1, row, row, row, np.empty((0, 4)), np.array([1.0, 1, 0, 1]), 1, 2, "m", 1, "zero")
    share, low, high = found.agreement()
    assert share == 0.75
    assert (low, high) == (pytest.approx(0.3006, abs=1e-3), pytest.approx(0.9544, abs=1e-3))  # Wilson, 3 of 4
    assert "random" not in str(found)


def test_an_edge_that_is_not_needed_adds_nothing():
    program = PROGRAMS[1]
    model, pairs = program.model(), program.pairs(20, 0)
    table = minimality(model, pairs, program.metric, known(program, model, pairs, extra=["embed -> logits"]))
    adds = table.set_index("edge")["adds"]
    assert set(adds.index) == {*program.known_edges, "embed -> logits"}
    assert adds["embed -> logits"] == pytest.approx(0, abs=1e-6)
    assert (adds.drop("embed -> logits") > 0.3).all()
    assert adds.is_monotonic_decreasing
    assert ((table["low"] <= table["adds"] + 1e-6) & (table["adds"] <= table["high"] + 1e-6)).all()


def test_what_is_refused():
    program = PROGRAMS[1]
    model, pairs = program.model(), program.pairs(5, 0)
    circuit = known(program, model, pairs)
    with pytest.raises(ValueError, match="n_random: got -1"):
        faithfulness_of(model, pairs, program.metric, circuit, n_random=-1)
    other = eap(ours(n_layers=1)[0], random_pairs(), logit_difference)
    with pytest.raises(ValueError, match="circuit: it is of Graph"):
        faithfulness_of(model, pairs, program.metric, other.circuit())
    with pytest.raises(ValueError, match="scores: they are of Graph"):
        faithfulness_curve(model, pairs, program.metric, other)
    with pytest.raises(ValueError, match="ablation: got 'none'"):
        minimality(model, pairs, program.metric, circuit, ablation="none")
    scores = eap(model, pairs, program.metric)
    for shares in ([], [0.5, 0.5], [0, 1], [0.5, 1.2]):
        with pytest.raises(ValueError, match="shares: got"):
            faithfulness_curve(model, pairs, program.metric, scores, shares=shares)


def test_areas_worked_out_by_hand():
    """F is .4, .8, 1 at shares .25, .5, 1, and 0 with no edge: three trapezoids."""
    whole, none = np.array([2.0, 4.0]), np.array([0.0, 0.0])
    values = np.array([[0.8, 1.6], [1.6, 3.2], [2.0, 4.0]])
    random = np.stack([0 * values, values], axis=1)
    curve = FaithfulnessCurve(
        np.array([0.25, 0.5, 1.0]), np.array([3, 6, 12]), values, random, whole, none, "m", "zero", "eap, greedy"
    )
    np.testing.assert_allclose(curve.faithfulness().estimate, [0.4, 0.8, 1])
    area = 0.25 * 0.2 + 0.25 * 0.6 + 0.5 * 0.9
    assert curve.cpr() == pytest.approx((area, area, area))  # each pair alike, so resampling changes nothing
    assert curve.cmd() == pytest.approx((1 - area,) * 3)
    assert curve.control_cpr() == pytest.approx(area / 2)
    table = curve.to_frame()
    np.testing.assert_allclose(table["random"], [0.2, 0.4, 0.5])
    assert table["n_edges"].tolist() == [3, 6, 12]
    figure = curve.figure()
    assert figure.layout.xaxis.title.text == "edges in the circuit"
    assert figure.layout.yaxis.title.text == "faithfulness (1: as the model)"
    assert [trace.name for trace in figure.data] == ["circuit", "random circuits (least to largest)"]


def test_above_and_below_one_are_both_far_from_the_model():
    curve = FaithfulnessCurve(
        np.array([0.5, 1.0]), np.array([1, 2]), np.array([[3.0, 3.0], [2.0, 2.0]]), np.empty((2, 0, 2)),
        np.array([2.0, 2.0]), np.zeros(2), "m", "zero", "eap",
    )  # fmt: skip
    # F is 1.5 and 1; the distance from 1 is 1, .5, 0
    assert curve.cpr()[0] == pytest.approx(0.5 * 0.75 + 0.5 * 1.25)
    assert curve.cmd()[0] == pytest.approx(0.5 * 0.75 + 0.5 * 0.25)
    assert len(curve.figure().data) == 1


def test_a_curve_is_of_the_circuits_that_the_rule_chooses():
    model, _, _ = ours()
    pairs = random_pairs(n=6)
    scores = partial(eap_ig, steps=2)(model, pairs, logit_difference)
    curve = faithfulness_curve(model, pairs, logit_difference, scores, rule=largest, shares=(0.1, 0.5, 1), n_random=2)
    assert curve.method == "eap-ig-inputs, largest"
    assert curve.n_edges[-1] == Graph(2, 2).n_edges
    assert curve.faithfulness().estimate[-1] == pytest.approx(1, abs=1e-5)
    size = np.where(scores.graph.mask, np.abs(scores.values), -1)
    chosen = scores.circuit(size >= np.sort(size.ravel())[-23])  # half of the 46 edges
    alone = faithfulness_of(model, pairs, logit_difference, chosen, n_random=0)
    np.testing.assert_allclose(curve.values[1], alone.circuit, atol=1e-5)
    assert curve.random.shape == (3, 2, 6)
    np.testing.assert_allclose(curve.random[-1], np.stack([curve.whole] * 2), atol=1e-5)
