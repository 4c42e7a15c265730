import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binomtest, t

from probe.measures.memorization import accuracy_by_exposure, rising_accuracy, score_by_exposure
from probe.measures.memorization.clustered import share_interval


def test_bins_of_doubled_exposures():
    exposures = np.array([0, 5, 1, 0, 2, 3, 4, 7, 8, 0.3])
    right = np.array([1, 0, 1, 0, 0, 1, 1, 1, 0, 1], dtype=float)
    found = accuracy_by_exposure(exposures, right)
    assert found.least.tolist() == [0, 0.3, 1, 2, 4, 8]
    assert found.most.tolist() == [0, 0.3, 1, 3, 7, 8]
    assert found.n_facts.tolist() == [2, 1, 1, 2, 3, 1]
    np.testing.assert_allclose(found.mean_exposures, [0, 0.3, 1, 2.5, 16 / 3, 8])
    np.testing.assert_allclose(found.value, [0.5, 1, 1, 0.5, 2 / 3, 0])
    exact = binomtest(2, 3).proportion_ci(0.95, method="exact")
    assert (found.low[4].item(), found.high[4].item()) == pytest.approx(tuple(exact))
    assert (found.low[1].item(), found.high[5].item()) == pytest.approx((0.025, 0.975))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.sampled_from(["doubling", "quantile"]))
def test_bins_part_all_facts_in_order(exposures, bins):
    at = np.array(exposures, dtype=float)
    right = (np.arange(len(at)) % 3 == 0).astype(float)
    found = accuracy_by_exposure(at, right, bins=bins)
    assert (found.most[:-1] < found.least[1:]).all()
    assert (found.least[0] == 0) == (0 in exposures)
    assert found.most[0] == 0 or found.least[0] > 0
    for i in range(len(found.least)):
        here = (at >= found.least[i].item()) & (at <= found.most[i].item())
        assert here.sum() == found.n_facts[i]
        assert found.value[i].item() == pytest.approx(right[here].mean())
        assert found.mean_exposures[i].item() == pytest.approx(at[here].mean())
    assert found.n_facts.sum() == len(at)


def test_quantile_bins_are_tenths_where_nothing_is_tied():
    rng = np.random.default_rng(0)
    exposures = np.r_[np.zeros(7), rng.permutation(np.arange(1.0, 51.0))]
    found = accuracy_by_exposure(exposures, np.ones(57), bins="quantile")
    assert found.n_facts.tolist() == [7] + [5] * 10
    tied = accuracy_by_exposure(np.repeat([1.0, 2.0, 3.0], [30, 3, 4]), np.ones(37), bins="quantile")
    assert tied.n_facts.tolist() == [30, 3, 4]


def test_score_in_bins():
    exposures = np.array([0, 0, 0, 1, 2, 2])
    score = np.array([[-3.0, -1.0, -2.0, -1.0, 0.0, -0.5]])
    found = score_by_exposure(exposures, torch.tensor(score))
    np.testing.assert_allclose(found.value, [[-2, -1, -0.25]])
    half = t.ppf(0.975, 2) / np.sqrt(3)
    assert (found.low[0, 0].item(), found.high[0, 0].item()) == pytest.approx((-2 - half, -2 + half))
    assert torch.isnan(found.low[0]).tolist() == [False, True, False]
    clustered = score_by_exposure(exposures, score, clusters=[0, 1, 1, 2, 2, 2])
    assert torch.isnan(clustered.high[0]).tolist() == [False, True, True]
    assert clustered.high[0, 0] > found.high[0, 0]


def test_batches_items_and_clusters_reach_the_interval():
    rng = np.random.default_rng(0)
    exposures, facts = rng.integers(0, 5, 60), rng.integers(6, size=(60, 2))
    accuracy, items = rng.integers(0, 9, (2, 3, 60)) / 8, np.full(60, 8)
    found = accuracy_by_exposure(exposures, accuracy, items, facts, confidence=0.8)
    assert found.value.shape == (2, 3, 4)  # 0, 1, 2 to 3, 4
    here = (exposures == 2) | (exposures == 3)
    labels = np.unique(facts[here], return_inverse=True)[1].reshape(-1, 2)
    share, low, high = share_interval(accuracy[1, 2, here], np.full(here.sum(), 8.0), labels, 0.8)
    assert [x[1, 2, 2].item() for x in (found.value, found.low, found.high)] == pytest.approx(
        [float(x) for x in (share, low, high)]
    )


def slow_isotonic(at, right, items):
    """At each exposures the largest, over where one starts below, of the least mean over where one ends above."""
    levels = np.unique(at)

    def mean(low, high):
        here = (at >= low) & (at <= high)
        return (right * items)[here].sum() / items[here].sum()

    return [max(min(mean(low, high) for high in levels if high >= x) for low in levels if low <= x) for x in levels]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 25))
def test_rising_accuracy_is_isotonic_regression(seed, n):
    rng = np.random.default_rng(seed)
    at, items = rng.integers(0, 6, n).astype(float), rng.integers(1, 5, n)
    at[:2] = 0, 5
    right = rng.integers(0, items + 1) / items
    found = rising_accuracy(at, np.stack([right, 1 - right]), items)
    assert found.exposures.tolist() == np.unique(at).tolist()
    np.testing.assert_allclose(found.value[0], slow_isotonic(at, right, items), atol=1e-9)
    np.testing.assert_allclose(found.value[1], slow_isotonic(at, 1 - right, items), atol=1e-9)
    assert (found.value.diff(dim=-1) >= -1e-12).all()
    assert ((found.low <= found.value) & (found.value <= found.high)).all()


def test_a_curve_that_falls_lies_within_its_ends():
    found = rising_accuracy(np.repeat([0.0, 1.0], 50), np.repeat([1.0, 0.0], 50))
    assert found.value.tolist() == [0.5, 0.5]
    assert found.low.tolist()[0] == found.high.tolist()[1] == 0.5  # which the facts themselves deny
    assert found.low[1] < 0.5 < found.high[0]


def test_ends_are_those_of_the_facts_next_below_and_above():
    rng = np.random.default_rng(0)
    exposures = rng.permutation(np.r_[np.arange(1.0, 21.0), [30.0] * 7])
    right = (rng.random(27) < 0.2 + exposures / 50).astype(float)
    found = rising_accuracy(exposures, right)
    ordered = right[np.argsort(exposures)]
    for i, (first, last) in {
        0: (0, 9),
        4: (4, 13),
        20: (20, 27),
    }.items():  # windows of 9 of 27 facts
        k, n = int(ordered[first:last].sum()), last - first
        high = binomtest(k, n).proportion_ci(0.95, method="exact").high
        assert found.high[i].item() == pytest.approx(max(high, found.value[i].item()))
    for i, (first, last) in {0: (0, 1), 4: (0, 5), 12: (4, 13), 20: (18, 27)}.items():
        k, n = int(ordered[first:last].sum()), last - first
        low = binomtest(k, n).proportion_ci(0.95, method="exact").low
        assert found.low[i].item() == pytest.approx(min(low, found.value[i].item()))


def test_all_facts_of_one_number_of_exposures_count():
    right = np.r_[np.arange(100) < 30, np.arange(100) < 60]
    found = rising_accuracy(np.repeat([0.0, 1.0], 100), right)
    assert found.value.tolist() == pytest.approx([0.3, 0.6])
    low, high = binomtest(30, 100).proportion_ci(0.95, method="exact")
    assert (found.low[0].item(), found.high[0].item()) == pytest.approx((low, high))


def test_windows_of_accuracies_have_their_effective_number():
    accuracy, items = np.array([0.1, 0.5, 0.9, 0.2, 0.7, 0.4, 1.0, 0.8]), np.array([10, 10, 20, 10, 10, 10, 10, 10])
    found = rising_accuracy(np.arange(8.0), accuracy, items)
    share, low, _ = share_interval(accuracy[4:8], items[4:8] * 1.0, np.arange(4), 0.95)  # of 8 facts windows are 4
    assert found.low[7].item() == pytest.approx(low, rel=1e-9)
    assert share == pytest.approx(0.725)


def test_rising_shares_are_covered():
    rng = np.random.default_rng(1)
    doublings = rng.integers(0, 8, 100)
    shares = expit(-4 + 1.2 * np.arange(8))
    found = rising_accuracy(2.0**doublings, rng.random((200, 100)) < shares[doublings])
    inside = (found.low.numpy() <= shares) & (shares <= found.high.numpy())
    assert (inside.mean(0) >= 0.95).all()
    assert (found.high - found.low).mean() < 0.45


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: accuracy_by_exposure([1.0, -2.0], [1.0, 0.0]), "exposures: -2"),
        (lambda: accuracy_by_exposure([1.0, np.nan], [1.0, 0.0]), "exposures: nan"),
        (lambda: accuracy_by_exposure([1.0, 2.0, 3.0], [1.0, 0.0]), "correct: shape"),
        (lambda: accuracy_by_exposure([1.0, 2.0], [1.0, 0.5]), "correct: 0.5"),
        (lambda: accuracy_by_exposure([1.0, 2.0], [1.0, 0.0], bins="log"), "bins: 'log'"),
        (lambda: accuracy_by_exposure([1.0, 2.0], [1.0, 0.0], clusters=[1, 2, 3]), "clusters"),
        (lambda: accuracy_by_exposure([1.0, 2.0], [1.0, 0.0], confidence=2.0), "confidence"),
        (lambda: score_by_exposure([1.0, 2.0, 3.0], [1.0, 0.0]), "score: shape"),
        (lambda: score_by_exposure([1.0, 2.0], [1.0, np.inf]), "score: inf"),
        (lambda: score_by_exposure([1.0, 2.0], [1.0, 0.0], confidence=0.0), "confidence"),
        (lambda: rising_accuracy([2.0, 2.0], [1.0, 0.0]), "exposures: 2 given for all"),
        (lambda: rising_accuracy([1.0, 2.0], [1.0, 0.0, 1.0]), "correct: shape"),
        (lambda: rising_accuracy([1.0, 2.0], [1.0, 0.0], confidence=1.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
