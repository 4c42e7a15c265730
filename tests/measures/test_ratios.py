"""Ratios of means: the ends of the interval are where a t-test turns, and it covers what it says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from probe.measures.ratios import ratio_of_means


def drawn(seed, *shape, ratio=0.7, bottom=2.0):
    rng = np.random.default_rng(seed)
    denominators = bottom + rng.normal(size=shape)
    return ratio * denominators + 0.5 * rng.normal(size=shape), denominators


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 40),
    bottom=st.floats(-3, 3),
    confidence=st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_ends_are_where_a_t_test_of_the_difference_turns(seed, n, bottom, confidence):
    """All ratios r are in it for which the mean of top - r bottom is not told from 0 at this level."""
    top, below = drawn(seed, n, bottom=bottom)
    found = ratio_of_means(top, below, confidence)
    assert found.n == n
    assert found.estimate == pytest.approx(top.mean() / below.mean())
    if ttest_1samp(below, 0).pvalue >= 1 - confidence:
        assert (found.low, found.high) == (-np.inf, np.inf)
        return
    assert found.low < found.estimate < found.high
    for end in (found.low, found.high):
        assert ttest_1samp(top - end * below, 0).pvalue == pytest.approx(1 - confidence, rel=1e-6)


def test_over_ones_it_is_students_interval_of_the_mean():
    top, _ = drawn(0, 3, 15)
    found = ratio_of_means(top, np.ones(15), 0.9)
    expected = ttest_1samp(top, 0, axis=1).confidence_interval(0.9)
    np.testing.assert_allclose(found.estimate, top.mean(1))
    np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high])


def test_proportional_numbers_have_a_ratio_without_doubt():
    _, below = drawn(0, 9)
    found = ratio_of_means(-3 * below, below)
    np.testing.assert_allclose([found.estimate, found.low, found.high], -3, rtol=1e-6)
    assert (ratio_of_means([1.0, 1.0], [4.0, 4.0]).low, ratio_of_means([1.0, 1.0], [4.0, 4.0]).high) == (0.25, 0.25)


def test_it_is_not_the_mean_of_ratios():
    assert ratio_of_means([1.0, 3.0], [1.0, 1e-3]).estimate == pytest.approx(4 / 1.001)


def test_examples_that_do_not_count_are_left_out_one_by_one():
    top, below = drawn(1, 4, 10)
    top[1, 3] = below[1, 7] = top[2, 3] = below[2, 3] = np.nan
    top[3, :-1] = np.nan
    found = ratio_of_means(top, below)
    assert found.n.tolist() == [10, 8, 9, 1]
    for row in range(3):
        counts = ~np.isnan(top[row] + below[row])
        alone = ratio_of_means(top[row, counts], below[row, counts])
        for name in ("estimate", "low", "high"):
            assert getattr(found, name)[row] == pytest.approx(getattr(alone, name))
    assert found.estimate[3] == top[3, -1] / below[3, -1]
    assert np.isnan([found.low[3], found.high[3]]).all()


def test_without_examples_or_without_a_denominator_there_is_no_ratio():
    none = ratio_of_means([np.nan, 1.0], [1.0, np.nan])
    assert none.n == 0
    assert np.isnan([none.estimate, none.low, none.high]).all()
    zero = ratio_of_means([1.0, 2.0], [1.0, -1.0])
    assert np.isnan(zero.estimate)
    assert (zero.low, zero.high) == (-np.inf, np.inf)


def test_many_tops_over_one_bottom():
    top, _ = drawn(2, 2, 3, 8)
    _, below = drawn(3, 8)
    found = ratio_of_means(top, below)
    assert found.estimate.shape == found.low.shape == found.high.shape == found.n.shape == (2, 3)
    for index in np.ndindex(2, 3):
        alone = ratio_of_means(top[index], below)
        assert (found.low[index], found.high[index]) == (pytest.approx(alone.low), pytest.approx(alone.high))


@pytest.mark.parametrize("n", [4, 25])
def test_it_covers_as_often_as_it_says(n):
    """Exact for normal numbers: of 4000 data sets 95 %, within four standard errors of that share."""
    found = ratio_of_means(*drawn(n, 4000, n, bottom=4.0))
    assert np.isfinite(found.low).mean() > 0.9
    covered = ((found.low <= 0.7) & (found.high >= 0.7)).mean()
    assert covered == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 4000) ** 0.5)


def test_of_many_examples_it_is_that_of_a_bootstrap():
    top, below = drawn(5, 400)
    found = ratio_of_means(top, below)
    chosen = np.random.default_rng(0).integers(400, size=(4000, 400))
    low, high = np.quantile(top[chosen].mean(1) / below[chosen].mean(1), [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.1 * (high - low))
    assert found.high == pytest.approx(high, abs=0.1 * (high - low))


def test_a_confidence_that_cannot_be():
    with pytest.raises(ValueError, match="confidence: 1 given"):
        ratio_of_means([1.0], [1.0], 1)
