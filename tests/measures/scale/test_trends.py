"""Linearity and breakthroughness against what they are by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.measures.scale import breakthroughness, linearity

VALUES = st.lists(st.floats(-5, 5).map(lambda v: round(v, 3)), min_size=2, max_size=12)


def by_hand(values):
    """I and the root mean and median square of the steps, term by term."""
    highest, lowest = values.index(max(values)), values.index(min(values))
    sign = (highest > lowest) - (highest < lowest)
    squares = sorted((b - a) ** 2 for a, b in itertools.pairwise(values))
    middle = len(squares) // 2
    median = squares[middle] if len(squares) % 2 else (squares[middle - 1] + squares[middle]) / 2
    return sign * (max(values) - min(values)), (sum(squares) / len(squares)) ** 0.5, median**0.5


@given(VALUES)
def test_both_are_what_the_definition_says(values):
    improvement, mean, median = by_hand(values)
    if improvement == 0:
        assert linearity(values) == breakthroughness(values) == 0
        return
    assert linearity(values) == pytest.approx(improvement / mean)
    expected = improvement / median if median else np.sign(improvement) * np.inf
    assert breakthroughness(values) == pytest.approx(expected)
    assert abs(linearity(values)) <= len(values) - 1 + 1e-9


def test_a_line_has_n_minus_1_and_a_jump_its_root():
    line, jump = np.arange(12) / 7, np.r_[np.zeros(11), 0.132]
    assert linearity(line) == pytest.approx(11)
    assert breakthroughness(line) == pytest.approx(11)
    assert linearity(jump) == pytest.approx(np.sqrt(11))
    assert breakthroughness(jump) == np.inf
    assert linearity(jump[::-1]) == pytest.approx(-np.sqrt(11))
    assert breakthroughness(-jump) == -np.inf


def test_neither_depends_on_level_and_unit_and_both_turn_with_the_sign():
    values = np.array([0.1, 0.3, 0.2, 0.6, 0.7])
    for measure in (linearity, breakthroughness):
        assert measure(5 * values + 3) == pytest.approx(measure(values))
        assert measure(-values) == pytest.approx(-measure(values))


def test_the_floor_is_the_least_that_counts_as_a_usual_step():
    jump = np.r_[np.zeros(11), 0.13]
    assert breakthroughness(jump, floor=0.01) == pytest.approx(13)
    values = [0.0, 0.1, 0.3, 0.6]  # steps .1, .2, .3
    assert breakthroughness(values, floor=0.15) == breakthroughness(values) == pytest.approx(3)
    assert breakthroughness(values, floor=0.25) == pytest.approx(0.6 / 0.25)
    assert breakthroughness(values, floor=0) == breakthroughness(values)


def test_a_batch_is_measured_curve_by_curve():
    curves = np.random.default_rng(0).normal(size=(2, 3, 8))
    for measure in (linearity, breakthroughness):
        found = measure(curves)
        assert found.shape == (2, 3)
        np.testing.assert_allclose(found, [[measure(curve) for curve in row] for row in curves])
    floors = np.array([0.1, 0.2, 5.0])
    expected = [[breakthroughness(curve, floor) for curve, floor in zip(row, floors, strict=True)] for row in curves]
    np.testing.assert_allclose(breakthroughness(curves, floors), expected)


def test_what_has_no_trend_is_refused():
    for given_values in ([0.1], 0.5, []):
        with pytest.raises(ValueError, match=r"values: shape .* given, expected two sizes or more"):
            linearity(given_values)
    with pytest.raises(ValueError, match="values: nan given, expected finite numbers"):
        breakthroughness([0, np.nan])
    with pytest.raises(ValueError, match=r"floor: -0.1 given, expected a number from 0 on"):
        breakthroughness([0, 1], floor=-0.1)
