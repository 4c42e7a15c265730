import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr, t

from probe.measures.memorization import rank_correlation


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 30), st.integers(1, 6), st.integers(0, 10**6))
def test_value_is_spearmans_with_ties(n, levels, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, levels + 1, n), rng.integers(0, 2, (2, n))
    assume(np.ptp(x) > 0 and (np.ptp(y, axis=1) > 0).all())
    found = rank_correlation(x, y)
    np.testing.assert_allclose(found.value, [spearmanr(x, row).statistic for row in y], atol=1e-12)
    inside = torch.isnan(found.low) | ((found.low <= found.value) & (found.value <= found.high))
    assert inside.all()
    assert torch.isnan(found.low).equal(found.value.abs() > 1 - 1e-9)


def jackknife_half_width(x, y, labels, confidence):
    """On the scale of atanh, from rho of all facts but those of one label."""
    names = np.unique(labels)
    rho = np.array([spearmanr(x[labels != m], y[labels != m]).statistic for m in names])
    whole = spearmanr(x, y).statistic
    variance = (len(names) - 1) / len(names) * ((rho - rho.mean()) ** 2).sum()
    return t.ppf((1 + confidence) / 2, len(names) - 2) * np.sqrt(variance) / (1 - whole**2)


@pytest.mark.parametrize("kind", ["continuous", "right or wrong"])
@pytest.mark.parametrize("clusters", [None, 60])
def test_interval_against_the_jackknife(kind, clusters):
    rng = np.random.default_rng(0)
    labels = np.arange(300) if clusters is None else np.arange(300) % clusters
    effect = rng.normal(size=300)[labels]
    x = np.exp(rng.normal(size=300) + effect)
    y = np.log(x) + rng.normal(size=300) + effect
    if kind == "right or wrong":
        x, y = np.round(x), (y > 1).astype(float)
    found = rank_correlation(x, y, None if clusters is None else labels, 0.9)
    half = jackknife_half_width(x, y, labels, 0.9)
    assert np.arctanh(found.high) - np.arctanh(found.value) == pytest.approx(half, rel=0.03)
    assert np.arctanh(found.value) - np.arctanh(found.low) == pytest.approx(half, rel=0.03)


def weighted_rho(x, y, weights):
    """Spearman's of facts that count as much as their weights say."""

    def ranks(values):
        below, equal = values < values[:, None], values == values[:, None]
        centred = (below + equal / 2) @ weights
        return centred - weights @ centred

    a, b = ranks(x), ranks(y)
    return weights @ (a * b) / np.sqrt((weights @ a**2) * (weights @ b**2))


def test_interval_is_that_of_the_influence_of_each_fact():
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 4, 12), rng.integers(0, 3, 12)
    even, step = np.full(12, 1 / 12), 1e-6
    away = [weighted_rho(x, y, (1 + step) * even - step * one) for one in np.eye(12)]
    towards = [weighted_rho(x, y, (1 - step) * even + step * one) for one in np.eye(12)]
    influence = (np.array(towards) - away) / (2 * step)
    assert influence.sum() == pytest.approx(0, abs=1e-6)
    error = np.sqrt(11 / 12 * ((influence / 12 / (1 - 1 / 12)) ** 2).sum())
    found = rank_correlation(x, y)
    half = t.ppf(0.975, 10) * error / (1 - found.value**2)
    assert np.arctanh(found.high) - np.arctanh(found.value) == pytest.approx(half, rel=1e-5)


def test_few_clusters_have_students_quantile():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 30))
    halves = []
    for confidence in (0.95, 0.5):
        found = rank_correlation(np.exp(x), y, np.arange(30) % 6, confidence)
        halves.append(np.arctanh(found.high) - np.arctanh(found.value))
    assert halves[0] / halves[1] == pytest.approx(t.ppf(0.975, 4) / t.ppf(0.75, 4))


def test_both_operands_may_be_shared():
    rng = np.random.default_rng(0)
    a, b = np.meshgrid(np.arange(25), np.arange(25), indexing="ij")
    facts = np.stack([a.ravel(), b.ravel()], axis=1)
    x, y = np.exp(rng.normal(size=25))[facts].prod(1), rng.normal(size=25)[facts].sum(1)
    widths = [found.high - found.low for found in (rank_correlation(x, y, c) for c in (facts, facts[:, 0], None))]
    assert widths[0] > 1.2 * widths[1] > 2 * widths[2]
    swapped = rank_correlation(x, y, facts[:, ::-1])
    assert swapped.low == pytest.approx(rank_correlation(x, y, facts).low)


def test_only_order_matters_and_its_direction_is_the_sign():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 9, 50)
    y = x + rng.normal(size=50) * 4
    found, stretched, turned = rank_correlation(x, y), rank_correlation(x**3, np.exp(y)), rank_correlation(x, -y)
    assert (found.value, found.low, found.high) == pytest.approx((stretched.value, stretched.low, stretched.high))
    assert (found.value, found.low, found.high) == pytest.approx((-turned.value, -turned.high, -turned.low))
    assert found.value > 0.3
    assert found.n == 50


@pytest.mark.parametrize("threshold", [None, 0.8])
def test_coverage(threshold):
    rng = np.random.default_rng(2)
    x, noise = rng.normal(size=(2, 300, 40))
    far_x, far_noise = rng.normal(size=(2, 10**5))

    def score(x, noise):
        y = 0.5 * x + np.sqrt(0.75) * noise
        return y if threshold is None else (y > threshold).astype(float)

    true = spearmanr(far_x, score(far_x, far_noise)).statistic
    found = [rank_correlation(np.exp(a), score(a, b)) for a, b in zip(x, noise, strict=True)]
    assert 0.91 <= np.mean([one.low <= true <= one.high for one in found]) <= 0.98


def test_a_batch_is_as_its_members():
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 9, 30), rng.normal(size=(2, 3, 30))
    batch = rank_correlation(x, torch.tensor(y, dtype=torch.float64))
    one = rank_correlation(x, y[1, 2])
    assert isinstance(one.low, float)
    assert (batch.value[1, 2], batch.low[1, 2], batch.high[1, 2]) == pytest.approx((one.value, one.low, one.high))


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: rank_correlation([1.0, 2.0, -3.0, 0.0], range(4)), "exposures: -3"),
        (lambda: rank_correlation([1.0] * 4, range(4)), "exposures: 1 given for all"),
        (lambda: rank_correlation(range(3), range(3)), "exposures: 3"),
        (lambda: rank_correlation(range(5), range(4)), "score: shape"),
        (lambda: rank_correlation(range(4), [1.0, np.nan, 1.0, 0.0]), "score: nan"),
        (lambda: rank_correlation(range(4), [1.0] * 4), "score: all facts have one,"),
        (lambda: rank_correlation(range(4), [[0.0, 1.0, 1.0, 1.0], [1.0] * 4]), r"score: all facts have one at \[1\]"),
        (lambda: rank_correlation(range(4), range(4), [0, 1, 2, 2]), "clusters: 3"),
        (lambda: rank_correlation(range(4), range(4), confidence=1.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
