"""How many items it takes, against the binomial distribution itself."""

import numpy as np
import pytest
from scipy import stats

from probe.measures.scale.item_counts import expected_exact_match, items_needed, resolution


def test_one_right_answer_of_so_many():
    """The rule of three: about 3 / share."""
    needed = items_needed([0.001, 0.01, 0.1, 1.0, 0.0])
    np.testing.assert_array_equal(needed, [2995, 299, 29, 1, np.inf])
    for share, n in zip((0.001, 0.01, 0.1), needed, strict=False):
        assert stats.binom.sf(0, n, share) >= 0.95 > stats.binom.sf(0, n - 1, share)


@pytest.mark.parametrize(("share", "chance"), [(0.3, 0.25), (0.5, 0.25), (0.35, 0.1)])
def test_above_chance_the_test_has_its_power(share, chance):
    n = items_needed(share, chance)
    beyond = stats.binom.isf(0.05, n, chance)  # more right than this is significant
    assert 0.94 < stats.binom.sf(beyond, n, share) < 0.97
    assert isinstance(n, float)


def test_at_or_below_chance_no_number_is_enough():
    assert items_needed(0.25, 0.25) == np.inf
    assert items_needed(0.1, 0.25) == np.inf


def test_what_so_many_items_show():
    found = resolution([0, 0, 3], 200, [0.001, 0.02, 0.01])
    np.testing.assert_array_equal(found.needed, [2995, 149, 299])
    np.testing.assert_array_equal(found.enough, [False, True, False])
    np.testing.assert_array_equal(found.compatible, [True, False, True])
    assert found.at_most[0] == pytest.approx(1 - 0.05 ** (1 / 200))
    np.testing.assert_allclose(stats.binom.cdf(3, 200, found.at_most[2]), 0.05)


def test_an_answer_is_right_if_all_its_tokens_are():
    np.testing.assert_allclose(expected_exact_match(np.log([0.5, 0.9]), [3, 10]), [0.125, 0.9**10])
    with pytest.raises(ValueError, match=r"token_log_likelihood: 0\.1 given"):
        expected_exact_match(0.1, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: items_needed(1.5), "share: 1.5 given"),
        (lambda: items_needed(0.5, 1.0), "chance: 1.0 given"),
        (lambda: items_needed(0.5, power=1.0), "confidence: 1.0 given"),
        (lambda: resolution([3], 2, 0.1), r"n_right: \[3\] of 2 given"),
    ],
)
def test_what_are_no_counts_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
