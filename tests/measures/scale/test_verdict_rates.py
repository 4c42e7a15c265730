"""Rates of right and wrong verdicts, and coverage, on a few of the curves of which the measures state them.

Seeds are fixed and margins wide: these are the rates of 10 to 60 curves. ``verdict_rates`` has all of them.
"""

import numpy as np
import pytest

from tests.measures.scale import verdict_rates as rates

OF_NAME = {known.name: known for known in rates.KNOWN}
SURE = {
    "flat, .25": 0.7,
    "power law, .8 - .55 exp(-3 u)": 0.6,
    "line, .25 + .5 u": 0.6,
    "logistic, .1 to .8 at .55, width .08": 0.9,
    "jump, .05 to .6 at .6": 0.7,
    "jump, 0 to .2 at the largest": 0.8,
    "U, .35 + (u - .55)^2": 0.6,
    "inverted U, .6 - abs(u - .5)": 0.9,
}
"""Of curves that eight sizes of 1000 items show, the least share of right verdicts."""


@pytest.mark.parametrize("name", SURE)
def test_what_eight_sizes_show_is_told(name):
    found = rates.verdict_rates(OF_NAME[name], 8, 1000, 10)
    assert found["right"] >= SURE[name]
    assert found["wrong"] <= 0.1
    assert np.isnan(found["held"]) or found["held"] >= 0.7


@pytest.mark.parametrize("known", rates.KNOWN, ids=lambda known: known.name)
def test_six_sizes_are_seldom_told_wrong(known):
    found = rates.verdict_rates(known, 6, 1000, 10)
    assert found["wrong"] <= 0.2


def test_no_curve_that_changes_is_told_to_be_flat_where_its_change_is_beyond_sampling_error():
    for known in rates.KNOWN:
        if known.kind != "flat" and known.name != "line, .3 + .1 u":
            assert rates.verdict_rates(known, 6, 200, 10)["flat"] <= 0.1


def test_a_scatter_of_models_is_seldom_taken_for_a_shape():
    for errors in (True, False):
        found = rates.verdict_rates(OF_NAME["flat, .25"], 12, 1000, 20, scatter=rates.SCATTER, errors=errors)
        assert found["wrong"] <= 0.35


@pytest.mark.parametrize("rise", rates.RISES)
def test_intervals_of_thresholds_hold_them(rise):
    for n_sizes, n_items in ((6, 200), (8, 1000), (12, 50)):
        found = rates.coverage(rise, n_sizes, n_items, 60)
        assert found["held"] >= 0.86
        assert found["exact"] >= 0.5
    assert rates.false_alarms(8, 200, 100) <= 0.08
