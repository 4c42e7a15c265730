"""Areas under curves and their intervals against a bootstrap in a loop; curves of known programs; what is refused."""

from itertools import pairwise

import numpy as np
import pytest

from circuits import Budget, Graph, eap, eap_ig, faithfulness_curve, greedy, logit_difference
from circuits.curves import FaithfulnessCurve
from tests.circuits.models import ours, random_pairs
from tests.circuits.programs.known import PROGRAMS

SHARES = np.array([0.1, 0.4, 1.0])


def made_up(n_pairs, n_random=3, seed=0):
    drawn = np.random.default_rng(seed)
    none = drawn.normal(size=n_pairs)
    whole = none + 2 + drawn.normal(size=n_pairs)
    values = none + np.array([[0.3], [1.2], [1.0]]) * (whole - none) + 0.3 * drawn.normal(size=(3, n_pairs))
    random = none + 0.2 * drawn.normal(size=(3, n_random, n_pairs))
    return FaithfulnessCurve(SHARES, np.array([2, 8, 20]), values, random, whole, none, "m", "mean", "eap, greedy")


def slowly(curve, pairs):
    """CPR and CMD of some pairs, trapezoid by trapezoid."""
    whole, none = curve.whole[pairs].mean(), curve.none[pairs].mean()
    points = [(0.0, 0.0)]
    points += [
        (share, (values[pairs].mean() - none) / (whole - none))
        for share, values in zip(SHARES, curve.values, strict=True)
    ]
    cpr = cmd = 0.0
    for (left, low), (right, high) in pairwise(points):
        cpr += (right - left) * (low + high) / 2
        cmd += (right - left) * (abs(1 - low) + abs(1 - high)) / 2
    return cpr, cmd


@pytest.mark.parametrize(("area", "number"), [("cpr", 0), ("cmd", 1)])
def test_the_interval_of_an_area_is_a_bootstraps(area, number):
    curve = made_up(40)
    estimate, low, high = getattr(curve, area)(confidence=0.9)
    assert estimate == pytest.approx(slowly(curve, np.arange(40))[number])
    chosen = np.random.default_rng(9).integers(40, size=(1000, 40))
    expected = np.quantile([slowly(curve, pairs)[number] for pairs in chosen], [0.05, 0.95])
    np.testing.assert_allclose([low, high], expected, atol=0.12 * (expected[1] - expected[0]))
    assert getattr(curve, area)(confidence=0.9) == (estimate, low, high)
    assert getattr(curve, area)(confidence=0.9, seed=1) != (estimate, low, high)
    wider = getattr(curve, area)(confidence=0.99)
    assert wider[1] < low < high < wider[2]


def test_a_picture_has_the_intervals_of_its_table():
    curve = made_up(12)
    table, (line, random) = curve.to_frame(), curve.figure().data
    found = curve.faithfulness()
    np.testing.assert_allclose(table["low"], found.low)
    np.testing.assert_allclose(line.y + line.error_y.array, table["high"])
    np.testing.assert_allclose(line.y - line.error_y.arrayminus, table["low"])
    np.testing.assert_allclose(random.y + random.error_y.array, curve.control().max(1))
    np.testing.assert_allclose(random.y - random.error_y.arrayminus, curve.control().min(1))
    np.testing.assert_allclose(
        random.y, (curve.random.mean((1, 2)) - curve.none.mean()) / (curve.whole - curve.none).mean()
    )
    assert line.x.tolist() == table["n_edges"].tolist() == [2, 8, 20]
    assert set(table["ablation"]) == {"mean"}
    assert "ablation: mean" in curve.figure().layout.title.text


def test_without_random_circuits_there_is_no_control():
    curve = made_up(12, n_random=0)
    assert curve.to_frame()[["random", "random_least", "random_largest"]].isna().to_numpy().all()
    with pytest.raises(ValueError, match="random: the curve has no random circuits"):
        curve.control_cpr()


@pytest.mark.parametrize("program", [PROGRAMS[1], PROGRAMS[3]], ids=str)
def test_a_known_program_is_whole_from_its_known_edges_on(program):
    model, pairs = program.model(), program.pairs(20, 0)
    scores = eap_ig(model, pairs, program.metric)
    n, every = len(program.known_edges), scores.graph.n_edges
    shares = [(n - 1) / every, n / every, 0.5, 1]
    curve = faithfulness_curve(model, program.pairs(20, 1), program.metric, scores, shares=shares, n_random=3)
    assert curve.ablation == "corrupted"
    faithful = curve.faithfulness().estimate
    assert faithful[0] < 0.9
    np.testing.assert_allclose(faithful[1:], 1, atol=1e-4)
    assert curve.cpr()[0] > curve.control_cpr() + 0.2


def test_sizes_are_those_of_the_rules_circuits_each_within_the_next():
    model, _, _ = ours()
    pairs = random_pairs(n=4)
    scores = eap(model, pairs, logit_difference)
    curve = faithfulness_curve(model, pairs, logit_difference, scores, n_random=1, ablation="zero", batch_size=3)
    masks = [greedy(Graph(2, 2), scores.values, Budget(share=share), "zero") for share in curve.shares]
    assert curve.n_edges.tolist() == [mask.sum() for mask in masks]
    assert not any((small & ~large).any() for small, large in pairwise(masks))
    assert curve.ablation == "zero"
    with pytest.raises(ValueError, match="n_random: got -1; expected at least 0"):
        faithfulness_curve(model, pairs, logit_difference, scores, n_random=-1)
