import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from probe.measures.memorization import exposures_to_memorize, fact_exposures

INF = float("inf")
GRID = np.array([1.0, 2, 4, 8, 16, 32])


def slow_crossing(exposures, curve, threshold):
    before = 0.0
    for at, m in zip(exposures, curve, strict=True):
        if m >= threshold:
            return before, at
        before = at
    return before, INF


@settings(max_examples=60, deadline=None)
@given(arrays(np.int64, (3, 6), elements=st.integers(0, 10)), st.sampled_from([0.1, 0.4, 0.9, 1.0]))
def test_the_first_evaluation_at_the_threshold_and_the_one_before(counts, threshold):
    found = exposures_to_memorize(GRID, counts / 10, threshold)
    for run in range(3):
        expected = slow_crossing(GRID, counts[run] / 10, threshold)
        assert (found.above[run].item(), found.reached[run].item()) == expected
        assert (found.low[run].item(), found.high[run].item()) == expected
        one = exposures_to_memorize(GRID, counts[run] / 10, threshold)
        assert (one.above, one.reached) == expected


def test_the_default_threshold_and_the_ends():
    found = exposures_to_memorize([0.5, 1.0, 3.0], [[0.89, 0.9, 0.2], [0.9, 1, 1], [0.1, 0.1, 0.1]])
    assert found.above.tolist() == [0.5, 0.0, 3.0]
    assert found.reached.tolist() == [1.0, 0.5, INF]
    assert isinstance(exposures_to_memorize([0.5, 1.0], [0.1, 0.95]).reached, float)


def test_nine_of_ten_in_float32_is_not_below():
    assert exposures_to_memorize([1, 2], np.array([0.9, 1.0], dtype=np.float32), 0.9, 10).reached == 1.0


@pytest.mark.parametrize("threshold", [0.4, 0.9])
@pytest.mark.parametrize("n", [20, 200])
def test_the_interval_is_that_of_order_statistics(threshold, n):
    """Without forgetting, T is a quantile of the exposures of facts; it lies between two of them in order."""
    times = np.sort(np.random.default_rng(n).permutation(1000)[:n] + 1.0)
    exposures = np.arange(1, 1001.0)
    curve = (times[:, None] <= exposures).mean(0)
    found = exposures_to_memorize(exposures, curve, threshold, n)
    # the largest r with P(fewer than r below the quantile) <= 2.5 %, and the smallest s likewise
    r = max((r for r in range(1, n + 1) if binom.cdf(r - 1, n, threshold) <= 0.025), default=0)
    s = min((s for s in range(1, n + 1) if binom.sf(s - 1, n, threshold) <= 0.025), default=n + 1)
    assert found.low == (times[r - 1] - 1 if r else 0)
    assert found.high == (times[s - 1] if s <= n else INF)
    assert found.low < found.reached <= found.high


def test_the_interval_covers_the_planted_exposures():
    rng = np.random.default_rng(3)
    exposures, truth = 1.2 ** np.arange(40), -20 * np.log(1 - 0.9)
    facts = rng.exponential(20, size=(400, 60, 1))
    found = exposures_to_memorize(exposures, (facts <= exposures).mean(1), 0.9, 60)
    covered = ((found.low < truth) & (truth <= found.high)).double().mean().item()
    assert covered >= 0.94
    alone = ((found.above < truth) & (truth <= found.reached)).double().mean().item()
    assert alone < 0.6  # the bracket says when it was seen, not how sure that is


def slow_fact(exposures, correct, consecutive):
    n = len(correct)
    for i in range(n - consecutive + 1):
        if all(correct[i : i + consecutive]):
            return (exposures[i - 1] if i else 0.0), exposures[i]
    return exposures[n - consecutive], INF


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.bool_, (2, 3, 6)),
    arrays(np.int64, (3, 6), elements=st.integers(0, 3)),
    st.integers(1, 6),
)
def test_a_fact_is_learned_where_it_is_right_in_a_row(correct, shown, consecutive):
    exposures = shown.cumsum(-1)
    found = fact_exposures(exposures, correct, consecutive)
    assert found.above.shape == found.reached.shape == (2, 3)
    for run in range(2):
        for fact in range(3):
            expected = slow_fact(exposures[fact], correct[run, fact], consecutive)
            assert (found.above[run, fact].item(), found.reached[run, fact].item()) == expected


def test_three_evaluations_in_a_row_by_default():
    correct = np.array([[1, 0, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1]])
    found = fact_exposures(GRID, torch.from_numpy(correct))
    assert found.reached.tolist() == [INF, 2.0, 1.0, INF]
    assert found.above.tolist() == [8.0, 1.0, 0.0, 8.0]


def test_exposures_may_differ_between_runs():
    correct = np.ones((2, 1, 3), dtype=bool)
    found = fact_exposures(np.array([[[1, 2, 3.0]], [[0, 5, 6.0]]]), correct)
    assert found.reached.tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: exposures_to_memorize([1, 1], [0.1, 0.2]), "exposures"),
        (lambda: exposures_to_memorize([2, 1], [0.1, 0.2]), "exposures"),
        (lambda: exposures_to_memorize([-1, 1], [0.1, 0.2]), "exposures: -1"),
        (lambda: exposures_to_memorize([[1, 2]], [0.1, 0.2]), "exposures"),
        (lambda: exposures_to_memorize([1, 2], [0.1, 0.2, 0.3]), "memorized"),
        (lambda: exposures_to_memorize([1, 2], [10.0, 90.0]), "memorized: 10"),
        (lambda: exposures_to_memorize([1, 2], [0.1, float("nan")]), "memorized"),
        (lambda: exposures_to_memorize([1, 2], [0.1, 0.2], 0.0), "threshold"),
        (lambda: exposures_to_memorize([1, 2], [0.1, 0.2], 1.1), "threshold"),
        (lambda: exposures_to_memorize([1, 2], [0.1, 0.2], n_facts=7), "n_facts"),
        (lambda: exposures_to_memorize([1, 2], [0.0, 1.0], n_facts=0), "n_facts"),
        (lambda: exposures_to_memorize([1, 2], [0.1, 0.2], confidence=2), "confidence"),
        (lambda: fact_exposures([1, 2, 3], [[0, 1, 0.5]]), "correct: 0.5"),
        (lambda: fact_exposures([1, 2, 3], [0, 1, 1]), "correct"),
        (lambda: fact_exposures([1, 2], [[0, 1, 1]]), "exposures"),
        (lambda: fact_exposures(np.ones((2, 3)), [[0, 1, 1]]), "exposures"),
        (lambda: fact_exposures([1, 3, 2], [[0, 1, 1]]), "exposures"),
        (lambda: fact_exposures([-1, 3, 4], [[0, 1, 1]]), "exposures: -1"),
        (lambda: fact_exposures([1, 2], [[0, 1]]), "consecutive: 3"),
        (lambda: fact_exposures([1, 2], [[0, 1]], 0), "consecutive: 0"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
