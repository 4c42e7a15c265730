"""What is called flat, a jump or a turn has to be one; and what the verdict says of curves that are nearly one."""

import numpy as np
import pytest

from probe.measures.scale import shape
from probe.measures.scale.admission import ORDERED, admitted, order_p
from probe.measures.scale.comparison import CLOSE, _foreseen, _rivals, _simplest
from probe.measures.scale.fitting import fit_all
from probe.measures.scale.forms import CONTAINED_IN, KINDS
from probe.measures.scale.noise import checked_sizes
from probe.measures.scale.places import change_of

SCALE = np.geomspace(1e7, 1e12, 8)


def kinds_admitted(value, stderr):
    sizes = checked_sizes(SCALE[: len(value)], value, stderr)
    fits = fit_all(sizes.unit, sizes, None)
    return {fit.form.kind for fit in fits if admitted(fit, fits[0], sizes)}


def test_an_order_by_chance_has_a_probability_by_chance():
    rng = np.random.default_rng(0)
    p = np.array([order_p(rng.normal(size=7)) for _ in range(300)])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p <= level) == pytest.approx(level, abs=3.5 * np.sqrt(level * (1 - level) / 300))
    assert order_p(np.arange(7.0)) < 0.01
    assert order_p(np.array([0.3, 0.5, 0.4, 0.1, 0.0, 0.1, 0.3])) < ORDERED  # a turn is an order too
    assert order_p(np.array([0.0, 1, 0, 1, 0, 1, 0])) > 0.9


@pytest.mark.parametrize("value", [[0, 0, 0, 0.02, 0.1, 0.23], [0.01, 0.01, 0.02, 0.03, 0.4, 0.5]])
@pytest.mark.parametrize("n_items", [200, 1000, 10_000])
def test_a_curve_that_leaves_its_level_is_not_flat_however_few_the_sizes(value, n_items):
    error = np.sqrt(np.array(value) * (1 - np.array(value)) / n_items)
    found = shape(SCALE[:6], value, error)
    assert found.kind != "flat"
    assert found.likeliest != "flat"
    assert "flat" not in kinds_admitted(np.array(value), error)
    assert shape(SCALE[:6], value).kind != "flat"


def test_values_that_differ_by_sampling_error_are_flat_and_say_how_much_may_be_missed():
    value = np.array([0.26, 0.24, 0.25, 0.27, 0.23, 0.25, 0.26, 0.24])
    found = shape(SCALE, value, np.sqrt(value * (1 - value) / 200))
    assert found.kind == "flat"
    assert found.change.low < 0 < found.change.high
    assert 0.05 < found.change.high - found.change.low < 0.25
    narrower = shape(SCALE, value, np.sqrt(value * (1 - value) / 200), confidence=0.5).change
    assert narrower.high < found.change.high
    assert shape(SCALE, np.linspace(0.1, 0.8, 8), 0.01).change is None


def test_a_change_is_held_by_its_interval():
    """Of a line that is too weak to be told; 95 % intervals of the curves that are told to be flat or not."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        sizes = checked_sizes(SCALE, 0.3 + 0.02 * rng.normal(size=8) + 0.02 * np.linspace(0, 1, 8), 0.02)
        interval = change_of(sizes, 0.95)
        held += interval.low <= 0.02 <= interval.high
    assert held >= 184


def test_the_largest_of_many_steps_in_noise_is_no_jump():
    rng = np.random.default_rng(2)
    jumps = sum("jump" in kinds_admitted(0.5 + 0.02 * rng.normal(size=8), 0.02) for _ in range(100))
    assert jumps <= 12


def test_the_simplest_of_those_that_are_about_as_good():
    assert _simplest({"flat": 1.9, "power_law": 1.0, "jump": 0.0}) == "flat"
    assert _simplest({"flat": CLOSE + 0.1, "jump": 0.0}) == "jump"
    assert _simplest({"flat": 30.0, "power_law": 1.0, "logistic": 0.0, "jump": 1.5}) == "power_law"
    assert _simplest({"u_shape": 0.5, "inverted_u": 0.0}) == "inverted_u"
    assert _rivals("jump", {"jump": 0.0, "logistic": 1.0, "power_law": 5.9}).startswith("jump or power_law")
    assert _rivals("jump", {"jump": 0.0, "logistic": 1.0, "power_law": 6.1}) == ""
    assert _rivals("jump", {"jump": 0.0, "logistic": -2.1}).startswith("jump or logistic")


def test_kinds_are_contained_in_kinds():
    assert set(CONTAINED_IN) == set(KINDS)
    for kind, others in CONTAINED_IN.items():
        assert kind not in others
        for other in others:  # what contains it is contained in nothing that does not
            assert set(CONTAINED_IN[other]) <= set(others)


def test_another_kind_that_foresaw_the_largest_sizes_is_named():
    held_out, surprise = {"power_law": -9.0, "logistic": -2.0}, {"power_law": 40.0, "logistic": 2.0}
    assert _foreseen("power_law", 8, held_out, surprise) == "logistic foresees the largest 2 sizes, power_law does not"
    assert _foreseen("logistic", 8, held_out, surprise) == ""
    assert _foreseen("power_law", 8, held_out, {"power_law": 5.0, "logistic": 2.0}) == ""  # it is no surprise
    assert _foreseen("power_law", 8, {"power_law": -4.0, "logistic": -2.0}, surprise) == ""  # nor is the other better
    assert _foreseen("jump", 8, held_out | {"jump": -30.0}, surprise | {"jump": 99.0}) == ""
    found = shape(SCALE, [0.1, 0.11, 0.1, 0.1, 0.11, 0.1, 0.1, 0.9], 0.01)
    assert found.kind == "jump"  # no jump can be foreseen
    assert found.held_out["jump"] < -20
