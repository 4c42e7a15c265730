import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from scipy.stats import beta, binomtest, norm, t

from probe.measures.memorization.arguments import checked_labels, checked_outcomes
from probe.measures.memorization.clustered import (
    difference_interval,
    influence_variance,
    mean_interval,
    share_interval,
)


def pairs_of(n):
    a, b = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    return np.stack([a.ravel(), b.ravel()], axis=1)


def slow_variance(influences, weights, labels):
    """Pair by pair of facts, from the definition."""
    sets = [set(np.atleast_1d(row).tolist()) for row in labels]
    names = sorted(set().union(*sets))
    share = {m: sum(w for w, s in zip(weights, sets, strict=True) if m in s) for m in names}
    shared = alone = 0.0
    for x, of_x in zip(influences, sets, strict=True):
        for y, of_y in zip(influences, sets, strict=True):
            shared += x * y * sum(1 / (1 - share[m]) ** 2 for m in of_x & of_y if share[m] < 1 - 1e-9)
            alone += x * y * (len(of_x) == 2 and of_x == of_y)
    shared *= (len(names) - 1) / len(names)
    return max(shared - alone, alone) if labels.ndim == 2 else shared


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.booleans(), st.integers(0, 10**6))
def test_variance_against_all_pairs_of_facts(n, two, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=(n, 2) if two else n)
    if len(np.unique(labels)) < 2:
        labels[0] = 4
    weights = rng.dirichlet(np.ones(n))
    influences = weights * rng.normal(size=(3, n))
    influences -= weights * influences.sum(1, keepdims=True)
    found = influence_variance(influences, weights, checked_labels(labels, n))
    np.testing.assert_allclose(
        found, [slow_variance(row, weights, labels) for row in influences], rtol=1e-9, atol=1e-15
    )


def test_of_one_label_it_is_the_jackknife_of_the_mean():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=24), np.repeat(np.arange(6), 4)
    means = np.array([values[labels != m].mean() for m in range(6)])
    expected = 5 / 6 * ((means - values.mean()) ** 2).sum()
    mean, low, high = mean_interval(values, labels, 0.9)
    assert mean == pytest.approx(values.mean())
    half = t.ppf(0.95, 5) * np.sqrt(expected)
    assert (low, high) == pytest.approx((mean - half, mean + half))


def test_mean_of_independent_facts_is_students():
    values = np.array([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 0.0, 1.0]])
    found = mean_interval(values, np.arange(4), 0.95)
    for row, (mean, low, high) in zip(values, np.array(found).T, strict=True):
        half = t.ppf(0.975, 3) * row.std(ddof=1) / 2
        assert (mean, low, high) == pytest.approx((row.mean(), row.mean() - half, row.mean() + half))


def test_one_fact_has_no_spread():
    mean, low, high = mean_interval(np.array([[3.0]]), np.arange(1), 0.95)
    assert mean == 3.0
    assert np.isnan(low).all()
    assert np.isnan(high).all()


@pytest.mark.parametrize("k", [0, 1, 5, 12])
def test_share_of_independent_facts_is_exact(k):
    share, low, high = share_interval((np.arange(12) < k).astype(float), np.ones(12), np.arange(12), 0.9)
    exact = binomtest(k, 12).proportion_ci(0.9, method="exact")
    assert share == pytest.approx(k / 12)
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_share_of_clusters_by_their_effective_number():
    accuracy, items = np.array([0.1, 0.4, 0.5, 0.9]), np.array([10.0, 20.0, 10.0, 10.0])
    p = (accuracy * items).sum() / 50
    change = items / 50 * (accuracy - p) / (1 - items / 50)
    variance = 3 / 4 * (change**2).sum()
    n = p * (1 - p) / variance * (norm.ppf(0.975) / t.ppf(0.975, 3)) ** 2
    assert n < 50
    expected = beta.ppf(0.025, p * n, n - p * n + 1), beta.ppf(0.975, p * n + 1, n - p * n)
    share, low, high = share_interval(accuracy, items, np.arange(4), 0.95)
    assert (share, low, high) == pytest.approx((p, *expected))


def test_clusters_that_all_agree_count_as_one_item_each():
    for level, accuracy in ((0.0, np.zeros(5)), (1.0, np.ones(5))):
        share, low, high = share_interval(accuracy, np.full(5, 50.0), np.arange(5), 0.95)
        exact = binomtest(int(5 * level), 5).proportion_ci(0.95, method="exact")
        assert share == level
        assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    # one cluster says as little, whatever its share
    share, low, high = share_interval(np.array([0.0, 1.0]), np.ones(2), np.zeros(2, int), 0.95)
    assert (share, low, high) == pytest.approx((0.5, beta.ppf(0.025, 0.5, 1.5), beta.ppf(0.975, 1.5, 0.5)))


def test_three_pairs_of_three_operands_are_not_three_independent_facts():
    right = np.array([1.0, 1.0, 0.0])
    shared = share_interval(right, np.ones(3), np.array([[0, 1], [1, 2], [2, 0]]), 0.95)
    alone = share_interval(right, np.ones(3), np.arange(3), 0.95)
    assert shared[0] == alone[0]
    assert shared[1] < alone[1]
    assert shared[2] > alone[2]


def test_there_are_never_more_items_than_there_are():
    share, low, high = share_interval(np.full(4, 0.5), np.full(4, 10.0), np.arange(4), 0.95)
    exact = binomtest(20, 40).proportion_ci(0.95, method="exact")
    assert (low, high) == pytest.approx((exact.low, exact.high))
    assert share == 0.5


def test_operands_that_differ_are_covered_only_with_clusters():
    rng, facts = np.random.default_rng(0), pairs_of(20)
    effect = rng.normal(size=(300, 20))
    right = (rng.random((300, 400)) < expit(effect[:, facts[:, 0]] + effect[:, facts[:, 1]])).astype(float)
    covered = []
    for labels in (facts, np.arange(400)):
        _, low, high = share_interval(right, np.ones(400), labels, 0.95)
        covered.append(((low <= 0.5) & (high >= 0.5)).mean())
    assert covered[0] >= 0.91
    assert covered[1] < 0.6


def test_difference_of_wilsons_intervals_is_newcombes():
    """Newcombe 1998, Table II, example (a): 56/70 against 48/80, method 10: .0524 to .3339."""
    intervals = [binomtest(k, n).proportion_ci(0.95, method="wilson") for k, n in ((56, 70), (48, 80))]
    parts = [tuple(map(np.array, (p, x.low, x.high))) for p, x in zip((0.8, 0.6), intervals, strict=True)]
    value, low, high = difference_interval(*parts)
    assert (value, low, high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


@given(arrays(np.int64, 8, elements=st.integers(0, 20)))
def test_accuracies_are_those_of_items(right):
    accuracy, items = checked_outcomes((right / 20).astype(np.float32), 20)
    np.testing.assert_allclose(accuracy * 20, right, atol=1e-12)
    assert items.tolist() == [20.0] * 8


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: checked_outcomes([0.0, 0.5], None), "correct: 0.5"),
        (lambda: checked_outcomes([0.0, 0.55], 10), "correct: 0.55"),
        (lambda: checked_outcomes([0.0, 1.1], 10), "correct: 1.1"),
        (lambda: checked_outcomes([0.0, -0.1], 10), "correct: -0.1"),
        (lambda: checked_outcomes([0.0, 1.0], 0), "n_items: 0"),
        (lambda: checked_outcomes([0.0, 1.0], 2.5), "n_items: 2.5"),
        (lambda: checked_outcomes([0.0, 1.0], [1, 2, 3]), "n_items: shape"),
        (lambda: checked_labels([0, 1, 2], 4), "clusters"),
        (lambda: checked_labels([0.0, 1.0], 2), "clusters: float64"),
        (lambda: checked_labels(np.zeros((2, 3), int), 2), "clusters"),
        (lambda: checked_labels([True, False], 2, "terms"), "terms: bool"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
