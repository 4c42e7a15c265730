"""Verdicts on curves of known shape: how often they are wrong, and how often their intervals hold what is true.

Rates of all kinds are in ``verdict_rates``, and stated in ``probe.measures.scale.comparison``; here a few, with room.
"""

import numpy as np
import pytest
from scipy.special import expit

from probe.measures.scale import shape
from probe.measures.scale.forms import KINDS

U = np.linspace(0, 1, 12)
SCALE = 10 ** (7 + 5 * U)
CURVES = {
    "flat": (lambda u: 0.25 + 0 * u, None),
    "power_law": (lambda u: 0.25 + 0.5 * u, None),
    "logistic": (lambda u: 0.1 + 0.7 * expit((u - 0.55) / 0.08), 0.55),
    "jump": (lambda u: np.where(u < 0.6, 0.05, 0.6), 0.6),
    "u_shape": (lambda u: 0.35 + (u - 0.55) ** 2, 0.55),
    "inverted_u": (lambda u: 0.6 - np.abs(u - 0.5), 0.5),
}


def measured(curve, n_items, rng, u=U):
    value = rng.binomial(n_items, curve(u)) / n_items
    return value, np.sqrt(value * (1 - value) / n_items)


@pytest.mark.parametrize("kind", CURVES)
def test_a_known_shape_is_told_or_left_undecided(kind):
    curve, place = CURVES[kind]
    rng = np.random.default_rng(5)
    found = [shape(SCALE, *measured(curve, 500, rng)) for _ in range(8)]
    kinds = [one.kind for one in found]
    assert sum(one not in (kind, "undecided") for one in kinds) <= 1
    assert kinds.count(kind) >= (1 if kind == "power_law" else 5)
    if place:
        told = [one.place for one in found if one.kind == kind]
        held = sum(one.low <= 10 ** (7 + 5 * place) <= one.high for one in told)
        assert held >= len(told) - 1


def test_probabilities_are_weights_of_all_kinds():
    rng = np.random.default_rng(0)
    found = shape(SCALE, *measured(CURVES["logistic"][0], 100, rng))
    assert tuple(found.probabilities) == KINDS
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert found.probabilities[found.likeliest] == max(found.probabilities.values())
    assert set(found.held_out) == set(KINDS)
    assert found.n == 12


def test_order_and_unit_do_not_matter():
    rng = np.random.default_rng(2)
    value, error = measured(CURVES["logistic"][0], 500, rng)
    first = shape(SCALE, value, error)
    mixed = rng.permutation(12)
    again = shape(SCALE[mixed], value[mixed], error[mixed])
    np.testing.assert_allclose(again.fitted, first.fitted[mixed])
    assert again.probabilities == pytest.approx(first.probabilities)
    larger = shape(1000 * SCALE, value, error)
    assert larger.kind == first.kind
    assert larger.place.estimate == pytest.approx(1000 * first.place.estimate)
    percent = shape(SCALE, 100 * value + 200, 100 * error)  # no shares, and no error but the one given
    assert percent.kind == first.kind
    np.testing.assert_allclose(percent.fitted, 100 * first.fitted + 200, rtol=0.02)


def test_a_falling_loss_has_the_exponent_of_its_power_law():
    loss = 1.7 + 400 * SCALE**-0.34
    found = shape(SCALE, loss + 0.002 * np.random.default_rng(0).normal(size=12), 0.002)
    assert found.kind == "power_law"
    assert found.exponent.low <= 0.34 <= found.exponent.high
    assert found.exponent.high < 0.45
    assert found.place is None
    line = shape(SCALE, 3 - 0.2 * np.log10(SCALE), 0.01)
    assert (line.likeliest, line.exponent.estimate, line.exponent.low) == ("power_law", 0, 0)


def test_a_jump_is_placed_between_two_sizes():
    value = np.r_[np.full(7, 0.02), np.full(5, 0.5)]
    found = shape(SCALE, value, np.sqrt(value * (1 - value) / 500))
    assert found.kind == "jump"
    assert (found.place.low, found.place.estimate, found.place.high) == pytest.approx((SCALE[6], SCALE[7], SCALE[7]))
    np.testing.assert_allclose(found.fitted, value, atol=1e-3)
    falling = shape(SCALE, 1 - value, np.sqrt(value * (1 - value) / 500))
    assert falling.kind == "jump"


def test_a_known_chance_level_makes_emergence_surer():
    value = np.r_[np.zeros(11), 0.132]
    error = np.sqrt(value * (1 - value) / 204)
    unsure, sure = shape(SCALE, value, error), shape(SCALE, value, error, chance=0.0)
    assert sure.kind == "jump"
    assert sure.probabilities["jump"] > unsure.probabilities["jump"]


def test_scatter_of_models_is_no_shape():
    rng = np.random.default_rng(4)
    value = 0.5 + 0.08 * rng.normal(size=(8, 12))
    found = [shape(SCALE, one, 0.002) for one in value]
    assert sum(one.kind not in ("flat", "undecided") for one in found) <= 1
    assert np.median([one.excess for one in found]) == pytest.approx(0.08, rel=0.5)


def test_without_errors_the_scatter_is_estimated():
    rng = np.random.default_rng(1)
    told = [shape(SCALE, CURVES["logistic"][0](U) + 0.02 * rng.normal(size=12)) for _ in range(5)]
    assert [one.kind for one in told].count("logistic") >= 4
    assert np.median([one.excess for one in told]) == pytest.approx(0.02, rel=0.6)
    assert shape(SCALE, 0.5 + 0.02 * rng.normal(size=12)).likeliest == "flat"


def test_too_few_sizes_are_undecided():
    found = shape(SCALE[:4], [0.0, 0.1, 0.4, 0.9], 0.01)
    assert (found.kind, found.reason) == ("undecided", "4 sizes; to compare forms takes 5")
    assert all(np.isnan(list(found.probabilities.values())))
    assert found.place is None
    assert shape(SCALE[:4], [0.585, 0.544, 0.408, 0.571]).kind == "undecided"
    few = shape(SCALE[::2], CURVES["logistic"][0](U[::2]))
    assert few.kind == "undecided"
    assert few.reason


def test_a_turn_of_few_sizes_is_told_if_both_ways_are_beyond_error():
    scope_neglect = [0.585, 0.544, 0.408, 0.571]
    assert shape(SCALE[:4], scope_neglect, 0.014).kind == "u_shape"
    assert shape(SCALE[:4], scope_neglect[::-1], 0.014).kind == "u_shape"
    assert shape(SCALE[:4], [1 - value for value in scope_neglect], 0.014).kind == "inverted_u"
    assert shape(SCALE[:4], scope_neglect, 0.08).kind == "undecided"
    assert shape(SCALE[:4], [0.585, 0.544, 0.408, 0.42], 0.014).kind == "undecided"  # falls, and does not rise
    assert shape(SCALE[:4], [0.4, 0.6, 0.4, 0.6], 0.014).kind == "undecided"  # turns twice
    five = shape(SCALE[:5], [0.6, 0.5, 0.4, 0.5, 0.6], 0.014)
    assert five.kind == "u_shape"
    assert five.place.low < SCALE[2] < five.place.high


def test_why_it_is_undecided_is_said():
    rng = np.random.default_rng(0)
    reasons = [shape(SCALE, *measured(lambda u: 0.25 + 0.2 * u, 60, rng)) for _ in range(8)]
    unsure = [one for one in reasons if one.kind == "undecided"]
    assert unsure
    assert all("AIC" in one.reason or "foresees" in one.reason or "fits best" in one.reason for one in unsure)
    assert all(one.reason == "" for one in reasons if one.kind != "undecided")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([5], [0.2]), "scale: one size given, expected several: one has no shape"),
        (([1, 2, 2], [0, 1, 2]), "scale: 2 given 2 times"),
        (([1, 2], [0, 1], None, np.nan), "chance: nan given, expected the level of guessing, .* or None if unknown"),
        (
            ([1, 2], [0.3, 40], None, 0.25),
            r"value: 40 given beside a chance level of 0\.25, .* divide percentages by 100",
        ),
        (([1, np.nan], [0, 1]), "scale: nan given, expected the size of every model"),
        (([1, 2], [0, 1], None, None, 1.0), r"confidence: 1.0 given"),
    ],
)
def test_what_has_no_shape_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        shape(*arguments)
