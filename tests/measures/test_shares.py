import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from probe.measures.shares import clopper_pearson, wilson

CONFIDENCES = st.floats(0.01, 0.999)


@pytest.mark.parametrize(("interval", "method"), [(clopper_pearson, "exact"), (wilson, "wilson")])
@given(n=st.integers(1, 60), confidence=CONFIDENCES)
def test_against_scipy_one_by_one(interval, method, n, confidence):
    successes = np.arange(n + 1)
    low, high = interval(successes, n, confidence)
    expected = [binomtest(k, n).proportion_ci(confidence, method=method) for k in range(n + 1)]
    np.testing.assert_allclose(low, [found.low for found in expected], atol=1e-9)
    np.testing.assert_allclose(high, [found.high for found in expected], atol=1e-9)
    assert (low[0], high[n]) == (0.0, 1.0)
    assert (low <= successes / n).all()
    assert (successes / n <= high).all()


@given(st.floats(0.1, 40), st.floats(0.1, 40), CONFIDENCES)
def test_exact_interval_of_what_is_not_whole(right, wrong, confidence):
    low, high = clopper_pearson(right, right + wrong, confidence)
    tail = (1 - confidence) / 2
    assert low == pytest.approx(beta.ppf(tail, right, wrong + 1), rel=1e-6)
    assert high == pytest.approx(beta.ppf(1 - tail, right + 1, wrong), rel=1e-6)


@pytest.mark.parametrize("interval", [clopper_pearson, wilson])
def test_batches_of_different_numbers(interval):
    successes, n = np.array([[0.0, 2.0], [3.5, 9.0]]), np.array([[4.0, 5.0], [7.25, 9.0]])
    found = interval(successes, n, 0.9)
    for at in np.ndindex(2, 2):
        assert tuple(end[at] for end in found) == interval(successes[at], n[at], 0.9)
