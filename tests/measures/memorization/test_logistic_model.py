import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit
from scipy.stats import norm, t

from probe.measures.memorization.logistic_model import fit_logistic_model, jackknife_variance


def design(*columns):
    return np.stack([np.ones(len(columns[0])), *columns], axis=1)


def penalized(features, right, n, coefficients):
    """Firth's log likelihood as it is printed."""
    p = expit(features @ coefficients)
    information = features.T @ np.diag(n * p * (1 - p)) @ features
    return (right * np.log(p) + (n - right) * np.log(1 - p)).sum() + np.log(np.linalg.det(information)) / 2


def profile(features, right, n, direction, value):
    """Its maximum where coefficients times direction are a value, by a search that knows no derivatives."""
    axis = direction / np.linalg.norm(direction)
    others = np.linalg.svd(axis[None])[2][1:]
    base = axis * value / np.linalg.norm(direction)
    found = minimize(
        lambda free: -penalized(features, right, n, base + free @ others),
        np.zeros(len(others)),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12},
    )
    return -found.fun


def draw(seed=0, n=40):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return design(x), (rng.random(n) < expit(0.5 + x)).astype(float), np.ones(n)


@pytest.mark.parametrize("counts", [(3, 10, 7, 12), (0, 10, 7, 12), (0, 5, 9, 9)])
def test_of_two_groups_half_is_added_to_every_cell(counts):
    """What Firth's penalty is for a saturated model."""
    k, n, k2, n2 = counts
    model = fit_logistic_model(design(np.array([0.0, 1.0])), np.array([k, k2]) * 1.0, np.array([n, n2]) * 1.0)
    low, high = np.log((k + 0.5) / (n - k + 0.5)), np.log((k2 + 0.5) / (n2 - k2 + 0.5))
    assert model.coefficients == pytest.approx([low, high - low], abs=1e-5)


def test_interval_of_a_single_share():
    """Of an intercept alone the penalized likelihood is that of k + 1/2 of n + 1."""
    k, n = 3.0, 20.0
    model = fit_logistic_model(np.ones((1, 1)), np.array([k]), np.array([n]))

    def height(b):
        return (k + 0.5) * np.log(expit(b)) + (n - k + 0.5) * np.log(expit(-b))

    top = logit((k + 0.5) / (n + 1))
    assert model.coefficients[0] == pytest.approx(top, abs=1e-6)
    ends = [brentq(lambda b: 2 * (height(top) - height(b)) - norm.ppf(0.95) ** 2, top, top + side) for side in (-5, 5)]
    value, low, high = model.interval(np.ones(1), 0.9)
    assert (value, low, high) == pytest.approx((top, *ends), abs=1e-5)


@pytest.mark.parametrize("direction", [(0.0, 1.0), (1.0, 0.0), (1.0, -0.7)])
def test_interval_against_a_profile_without_derivatives(direction):
    features, right, n = draw()
    direction = np.array(direction)
    model = fit_logistic_model(features, right, n)
    value, low, high = model.interval(direction, 0.95)
    assert low < value < high
    assert model.log_likelihood + np.linalg.slogdet(model.triangle)[1] == pytest.approx(
        penalized(features, right, n, model.coefficients)
    )
    for end in (low, high):
        fall = penalized(features, right, n, model.coefficients) - profile(features, right, n, direction, end)
        assert 2 * fall == pytest.approx(norm.ppf(0.975) ** 2, rel=1e-4)


def test_much_data_give_maximum_likelihood():
    from sklearn.linear_model import LogisticRegression

    features, right, n = draw(n=4000)
    plain = LogisticRegression(C=np.inf, tol=1e-10).fit(features[:, 1:], right)
    model = fit_logistic_model(features, right, n)
    assert model.coefficients == pytest.approx([plain.intercept_[0], plain.coef_[0, 0]], rel=5e-3)
    p = expit(features @ model.coefficients)
    information = features.T @ (features * (p * (1 - p))[:, None])
    direction = np.array([0.3, 1.0])
    assert model.error(direction) == pytest.approx(np.sqrt(direction @ np.linalg.inv(information) @ direction))


def test_items_of_a_fact_are_as_many_facts():
    features, _, _ = draw(n=10)
    k = np.arange(10.0) % 5
    together = fit_logistic_model(features, k, np.full(10, 4.0))
    each = fit_logistic_model(
        np.repeat(features, 4, axis=0), np.array([i < x for x in k for i in range(4)]) * 1.0, np.ones(40)
    )
    np.testing.assert_allclose(together.coefficients, each.coefficients, atol=1e-5)
    slope = np.array([0.0, 1.0])
    np.testing.assert_allclose(together.interval(slope, 0.95), each.interval(slope, 0.95), atol=1e-4)


def test_units_do_not_matter():
    features, right, n = draw()
    shifted = features @ np.array([[1.0, 500.0], [0.0, 1e-3]])
    slope = np.array([0.0, 1.0])
    labels = np.arange(40) % 8
    for of in (None, labels):
        plain = fit_logistic_model(features, right, n, of).interval(slope, 0.95)
        scaled = fit_logistic_model(shifted, right, n, of).interval(slope, 0.95)
        np.testing.assert_allclose(np.array(scaled) * 1e-3, plain, rtol=1e-4)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=3, max_size=8))
def test_separation_on_a_line(facts):
    x, right = (np.array(column, dtype=float) for column in zip(*facts, strict=True))
    if np.ptp(x) == 0:
        return
    model = fit_logistic_model(design(x), right, np.ones(len(x)))
    apart = False
    up = down = False
    if right.any() and not right.all():
        up = x[right == 1].min() >= x[right == 0].max()
        down = x[right == 1].max() <= x[right == 0].min()
    else:
        apart = True  # the intercept alone tells
    assert model.separated == (up or down or apart)
    value, low, high = model.interval(np.array([0.0, 1.0]), 0.9)
    assert np.isfinite(value)
    assert (high == np.inf) == (up or apart)
    assert (low == -np.inf) == (down or apart)


def test_facts_of_which_some_items_are_right_pin_the_line():
    x, slope = np.arange(4.0), np.array([0.0, 1.0])
    one = fit_logistic_model(design(x), np.array([0.0, 1.0, 4.0, 4.0]), np.full(4, 4.0))
    assert one.separated  # as steep as one likes through the second fact
    assert one.interval(slope, 0.95)[2] == np.inf
    two = fit_logistic_model(design(x), np.array([0.0, 1.0, 3.0, 4.0]), np.full(4, 4.0))
    assert not two.separated
    assert np.isfinite(two.interval(slope, 0.95)).all()
    mixed = fit_logistic_model(design(x), np.array([1.0, 1.0, 3.0, 3.0]), np.full(4, 4.0))
    assert not mixed.separated


def exact_jackknife(features, y, labels):
    def fit(keep):
        return np.linalg.lstsq(features[keep], y[keep], rcond=None)[0]

    whole = fit(np.full(len(y), True))
    changes = np.array([fit(~keep) - whole for keep in labels])
    return changes.T @ changes


def test_jackknife_of_a_line_is_exact():
    rng = np.random.default_rng(0)
    features = design(rng.normal(size=30))
    y = rng.normal(size=(2, 30))
    residual = y - y @ np.linalg.pinv(features).T @ features.T
    for labels in (np.arange(30), np.arange(30) % 7):
        found = jackknife_variance(features, np.ones(30), residual, labels)
        for row, variance in zip(y, found, strict=True):
            members = [labels == m for m in np.unique(labels)]
            np.testing.assert_allclose(variance, exact_jackknife(features, row, members), rtol=1e-9)


def test_of_two_labels_pairs_are_taken_off_once():
    rng = np.random.default_rng(0)
    a, b = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
    labels = np.stack([a.ravel(), b.ravel()], axis=1)
    features, y = design(rng.normal(size=8)[labels].sum(1)), rng.normal(size=8)[labels].sum(1) + rng.normal(size=64) / 9
    residual = y - np.linalg.lstsq(features, y, rcond=None)[0] @ features.T
    found = jackknife_variance(features, np.ones(64), residual[None], labels)[0]
    operands = exact_jackknife(features, y, [(labels == m).any(1) for m in range(8)])
    np.testing.assert_allclose(found, operands - of_pairs(features, residual, labels), rtol=1e-9)
    # facts that do not depend on each other: not less than of independent pairs
    noise = rng.normal(size=(50, 64))
    noise -= noise @ np.linalg.pinv(features).T @ features.T
    for row, variance in zip(noise, jackknife_variance(features, np.ones(64), noise, labels), strict=True):
        least = of_pairs(features, row, labels)
        assert (np.linalg.eigvalsh(variance - least) > -1e-12 * np.trace(least)).all()


def of_pairs(features, residual, labels):
    """Variance if facts of different pairs of operands were independent."""
    bread, meat = np.linalg.inv(features.T @ features), np.zeros((2, 2))
    for i in range(8):
        for j in range(i):
            pair = (np.sort(labels, axis=1) == (j, i)).all(1)
            score = features[pair].T @ residual[pair]
            meat += np.outer(score, score)
    return bread @ meat @ bread


def test_clusters_stretch_the_interval_and_never_shrink_it():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 20)
    x = rng.normal(size=10)[labels]
    slope = np.array([0.0, 1.0])
    right = (rng.random(200) < expit(rng.normal(size=10)[labels] * 2)).astype(float)
    model = fit_logistic_model(design(x), right, np.ones(200), labels)
    p = expit(design(x) @ model.coefficients)
    variance = jackknife_variance(design(x), p * (1 - p), (right - p)[None], labels)[0]
    stretch = np.sqrt(variance[1, 1]) / model.error(slope)
    assert stretch > 1.5
    assert model.quantile(slope, 0.95) == pytest.approx(t.ppf(0.975, 8) * stretch)
    even = (np.arange(200) % 2).astype(float)  # every cluster half right: less scatter than chance has
    assert fit_logistic_model(design(x), even, np.ones(200), labels).quantile(slope, 0.95) == pytest.approx(
        t.ppf(0.975, 8)
    )
