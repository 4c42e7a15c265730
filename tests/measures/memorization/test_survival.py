import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import CensoredData, binomtest, ecdf

from probe.measures.memorization import kaplan_meier

INF = float("inf")


def brackets(times, seen):
    times, seen = np.asarray(times, float), np.asarray(seen, bool)
    return times, np.where(seen, times, INF)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=30))
def test_the_curve_is_that_of_scipy(facts):
    times, seen = (np.array(x) for x in zip(*facts, strict=True))
    curve = kaplan_meier(*brackets(times, seen))
    known = ecdf(CensoredData.right_censored(times, ~seen)).sf
    np.testing.assert_array_equal(curve.exposures, np.unique(times))
    np.testing.assert_allclose(curve.learned, 1 - known.evaluate(curve.exposures), atol=1e-12)
    assert curve.n_censored == (~seen).sum()
    assert (curve.low <= curve.learned + 1e-9).all()
    assert (curve.learned <= curve.high + 1e-9).all()
    assert (np.diff(curve.low) >= -1e-9).all()
    assert (np.diff(curve.high) >= -1e-9).all()


def test_remission_under_6_mercaptopurine():
    """Freireich et al. 1963, as in every textbook: half by week 23; 19 % by week 7, 37.3 % by 16, 55.2 % by 23."""
    weeks = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    ended = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    curve = kaplan_meier(*brackets(weeks, ended))
    assert (curve.median.estimate, curve.n_censored, curve.median.n) == (23.0, 12, 21)
    at = dict(zip(curve.exposures, curve.learned, strict=True))
    assert [at[t] for t in (6, 7, 16, 23, 35)] == pytest.approx([0.143, 0.193, 0.373, 0.552, 0.552], abs=5e-4)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_without_censoring_the_band_is_exact(confidence):
    times = np.array([3.0, 1, 4, 1, 5, 9, 2, 6])
    curve = kaplan_meier(times, torch.from_numpy(times), confidence)
    for i, at in enumerate(curve.exposures):
        low, high = binomtest(int((times <= at).sum()), len(times)).proportion_ci(confidence, method="exact")
        assert (curve.low[i], curve.high[i]) == pytest.approx((low, high), abs=1e-9)


def test_the_band_is_that_of_products_of_beta_variables():
    rng = np.random.default_rng(0)
    times, seen = np.array([1.0, 2, 2, 3, 4, 5, 5, 6, 7, 8]), np.array([1, 1, 0, 1, 0, 1, 1, 0, 1, 0], bool)
    curve = kaplan_meier(*brackets(times, seen))
    upper = np.ones(400_000)  # of the share that is not learned
    for i, at in enumerate(curve.exposures):
        at_risk, now, later = (times >= at).sum(), (seen & (times == at)).sum(), (times > at).sum()
        if now:
            upper = upper * rng.beta(at_risk - now + 1, now, len(upper))
        lower = upper * (rng.beta(later, 1, len(upper)) if later else 0)
        assert curve.low[i] == pytest.approx(1 - np.quantile(upper, 0.975), abs=0.01)
        assert curve.high[i] == pytest.approx(1 - np.quantile(lower, 0.025), abs=0.01)


def test_few_seeds_and_no_seed_that_got_there():
    assert kaplan_meier([3.0], [4.0]).median == kaplan_meier([3.0], [4.0], 0.5).median.__class__(4.0, 0.0, INF, 1)
    five = kaplan_meier([1.0, 2, 3, 4, 5], [2.0, 3, 4, 5, INF])
    assert (five.median.estimate, five.median.low, five.median.high) == (4.0, 0.0, INF)
    six = kaplan_meier(np.arange(6.0), np.arange(6.0) + 1)
    assert (six.median.low, six.median.high) == (0.0, 6.0)  # the extremes: 1/2^6 on either side is below 2.5 %
    never = kaplan_meier([50.0] * 10, [INF] * 10)
    assert (never.median.estimate, never.median.low, never.median.high) == (INF, 50.0, INF)
    assert (never.learned.tolist(), never.low.tolist(), never.high.tolist()) == ([0.0], [0.0], [1.0])


@pytest.mark.parametrize("n", [10, 24, 30, 44])
def test_half_is_half_also_where_the_product_rounds_to_less(n):
    times = np.arange(1.0, n + 1)
    assert kaplan_meier(times, times).median.estimate == n / 2


def test_the_lower_end_counts_facts_from_where_they_may_have_been_learned():
    above, reached = np.repeat([0.0, 10, 20], 20), np.repeat([10.0, 20, 30], 20)
    curve = kaplan_meier(above, reached)
    assert (curve.median.low, curve.median.estimate, curve.median.high) == (10.0, 20.0, 20.0)


def test_facts_given_up_early_are_watched_as_long_as_they_were():
    rng = np.random.default_rng(1)
    truth, covered, naive = 40 * np.log(2), [], []
    for _ in range(200):
        learned, budget = rng.exponential(40, 80), rng.uniform(5, 120, 80)
        seen = learned <= budget
        curve = kaplan_meier(*brackets(np.minimum(learned, budget), seen))
        covered.append(curve.median.low <= truth <= curve.median.high)
        naive.append(np.median(learned[seen]) < truth)
    assert np.mean(covered) >= 0.92
    assert np.mean(naive) > 0.95  # those that were learned in time are the quick ones


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: kaplan_meier([1.0, 2], [2.0]), "reached"),
        (lambda: kaplan_meier([1.0, 2], [2.0, float("nan")]), "reached"),
        (lambda: kaplan_meier([1.0, INF], [2.0, INF]), "above"),
        (lambda: kaplan_meier([1.0, 3], [2.0, 2.0]), "above: 3"),
        (lambda: kaplan_meier([-1.0, 1], [2.0, 2.0]), "above: -1"),
        (lambda: kaplan_meier([[1.0]], [[2.0]]), "above"),
        (lambda: kaplan_meier([], []), "above"),
        (lambda: kaplan_meier([1.0], [2.0], 1.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
