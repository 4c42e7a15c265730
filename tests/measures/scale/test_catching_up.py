"""Where a curve along training gets to a level, and the best size for equal compute."""

import numpy as np
import pytest

from probe.measures.scale.catching_up import best_size, reached_at

TOKENS = np.array([1e9, 2e9, 4e9, 8e9, 16e9])
RISING = np.array([0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_level_between_two_evaluations_is_interpolated_in_log_data():
    found = reached_at(TOKENS, RISING, 0.35)
    assert found.tokens == pytest.approx(4e9 * np.sqrt(2))
    assert (found.low, found.high) == (4e9, 8e9)
    assert reached_at(TOKENS, RISING, 0.3).tokens == pytest.approx(4e9)
    falling = reached_at(TOKENS, 3 - RISING, 2.65, rising=False)
    assert falling.tokens == pytest.approx(found.tokens)
    mixed = np.array([3, 0, 4, 1, 2])
    assert reached_at(TOKENS[mixed], RISING[mixed], 0.35) == found


def test_sampling_error_widens_it():
    found = reached_at(TOKENS, RISING, 0.35, stderr=0.05)
    assert (found.low, found.high) == (2e9, 16e9)  # .3 may be .35 and .4 may not; .2 is surely less and .5 more
    assert reached_at(TOKENS, RISING, 0.35, 0.02, level_stderr=0.1).high == np.inf


def test_what_is_not_reached_is_censored_and_a_level_has_to_last():
    never = reached_at(TOKENS, RISING, 0.9)
    assert np.isnan(never.tokens)
    assert (never.low, never.high, never.last) == (16e9, np.inf, 0.5)
    assert never.reason == "not reached with 1.6e+10"
    at_once = reached_at(TOKENS, RISING, 0.05)
    assert np.isnan(at_once.tokens)
    assert (at_once.low, at_once.high) == (0, 1e9)
    assert at_once.reason == "reached at the first evaluation, 1e+09"
    assert reached_at(TOKENS, [0.1, 0.6, 0.1, 0.4, 0.6], 0.5).tokens > 8e9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TOKENS, RISING, np.nan), "level: nan"),
        ((TOKENS, RISING, 0.3, 0.02, -1), "level: 0.3 .* -1 given"),
        (([1, 1], [0.1, 0.2], 0.3), "scale: 1 given 2 times"),
    ],
)
def test_what_is_no_level_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        reached_at(*arguments)


def test_the_best_size_is_the_vertex_and_its_interval_holds_it():
    sizes = np.geomspace(1e7, 1e10, 7)
    exact = best_size(sizes, 2 + 0.1 * (np.log10(sizes) - 8.3) ** 2)
    assert exact.estimate == pytest.approx(10**8.3)
    assert exact.low == pytest.approx(exact.high, rel=1e-3)
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        found = best_size(sizes, 2 + 0.1 * (np.log10(sizes) - 8.3) ** 2 + 0.02 * rng.normal(size=7))
        held += found.low <= 10**8.3 <= found.high
    assert held >= 89


def test_a_curve_without_a_minimum_has_no_best_size():
    sizes = np.geomspace(1e7, 1e10, 7)
    bent = best_size(sizes, -((np.log10(sizes) - 8.3) ** 2))
    assert np.isnan(bent.estimate)
    noise = best_size(sizes, np.random.default_rng(1).normal(size=7) + 1e-3 * (np.log10(sizes) - 8) ** 2)
    assert (noise.low, noise.high) == (0, np.inf)
    with pytest.raises(ValueError, match="n_params: 3 sizes given, expected 4"):
        best_size([1, 2, 3], [3, 2, 3])
