import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from probe.measures.transition.noise import (
    MAX_EVALUATIONS,
    Form,
    Noise,
    fit_form,
    forms_without_transition,
    likeliest_law,
    thinned,
)


def ar1(rng, n, rho):
    series = rng.normal(size=n)
    series[1:] *= np.sqrt(1 - rho**2)
    for i in range(1, n):
        series[i] += rho * series[i - 1]
    return series


def dense_covariance(noise):
    """Of the deviations, entry by entry."""
    n = len(noise.scale)
    return np.array(
        [
            [
                noise.sigma**2 / (1 - noise.autocorrelation**2) * noise.autocorrelation ** abs(i - j)
                * noise.scale[i] * noise.scale[j]
                for j in range(n)
            ]
            for i in range(n)
        ]
    )  # fmt: skip


@given(st.floats(-0.5, 0.98), st.integers(0, 1000))
def test_whitening_makes_the_law_independent(rho, seed):
    rng = np.random.default_rng(seed)
    noise = Noise(rho, rng.uniform(0.5, 3, size=12), 0.7)
    rows = rng.normal(size=(2, 3, 12))
    np.testing.assert_allclose(noise.color(noise.whiten(rows)), rows, atol=1e-9)
    np.testing.assert_allclose(noise.whiten(noise.color(rows)), rows, atol=1e-9)
    root = noise.color(noise.sigma * np.eye(12)).T
    np.testing.assert_allclose(root @ root.T, dense_covariance(noise), rtol=1e-9, atol=1e-12)


def test_half_widths_are_those_of_least_squares_under_the_law():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 60)
    fit = forms_without_transition(x, 3 * x + 0.1 * ar1(rng, 60, 0.7))["linear"]
    J = np.stack([np.ones_like(x), x], axis=1)
    inverse = np.linalg.inv(J.T @ J)
    variance = np.diag(inverse @ J.T @ dense_covariance(fit.noise) @ J @ inverse)
    rho = fit.noise.autocorrelation
    assert 0.3 < rho < 0.95
    quantile = stats.t.ppf(0.95, 60 * (1 - rho) / (1 + rho))
    np.testing.assert_allclose(fit.half_widths(0.9), quantile * np.sqrt(variance), rtol=1e-6)
    np.testing.assert_allclose(fit.parameters, np.linalg.lstsq(J, x * 0 + fit.form.values, rcond=None)[0], atol=1e-8)


def test_degrees_of_freedom():
    independent, strong = (Noise(rho, np.ones(40), 1.0) for rho in (0.0, 0.9))
    assert independent.quantile(0.95, 4) == pytest.approx(stats.t.ppf(0.975, 36))
    assert strong.quantile(0.95, 4) == pytest.approx(stats.t.ppf(0.975, 40 * 0.1 / 1.9))
    assert independent.quantile(0.95, 39.7) == strong.quantile(0.95, 39.0) == pytest.approx(stats.t.ppf(0.975, 1))
    assert Noise(0.98, np.ones(400), 1.0).quantile(0.95, 4) == pytest.approx(stats.t.ppf(0.975, 400 * 0.05 / 1.95))


@pytest.mark.parametrize("restricted", [False, True])
def test_the_law_is_the_most_likely_one_on_its_grid(restricted):
    """Against the textbook likelihoods with dense matrices, Harville 1974 for the restricted one."""
    rng = np.random.default_rng(1)
    n, x = 40, np.linspace(-3, 3, 40)
    slope = np.exp(-(x**2))
    derivatives = np.stack([np.ones(n), x])
    residual = (0.2 + slope) * ar1(rng, n, 0.6)
    best = -np.inf
    for rho, growth in itertools.product(np.linspace(-0.5, 0.98, 75), (0, 1, 10, 100, 1000) if restricted else (0,)):
        scale = np.sqrt(1 + growth * (slope / slope.max()) ** 2)
        V = dense_covariance(Noise(rho, scale, 1.0))
        W = np.linalg.inv(V)
        free, left = n, residual
        information = 0.0
        if restricted:
            X = derivatives.T / np.linalg.norm(derivatives.T, axis=0)
            left = residual - X @ np.linalg.solve(X.T @ W @ X, X.T @ W @ residual)
            free, information = n - 2, np.linalg.slogdet(X.T @ W @ X)[1]
        variance = left @ W @ left / free
        value = -0.5 * (free * np.log(variance) + np.linalg.slogdet(V)[1] + information + free)
        if value > best:
            best, expected = value, (rho, growth, np.sqrt(variance))
    found = likeliest_law(residual, Form(np.zeros(n), derivatives, slope) if restricted else None, 1.0)
    law, likelihood = found.noise, found.log_likelihood
    assert likelihood == pytest.approx(best, abs=1e-4)
    assert law.autocorrelation == pytest.approx(expected[0])
    assert law.sigma == pytest.approx(expected[2], rel=1e-4)
    assert law.scale.max() == pytest.approx(np.sqrt(1 + expected[1]), rel=1e-3)


def test_restricted_likelihood_is_less_biased():
    rng = np.random.default_rng(2)
    x = np.linspace(0, 1, 40)
    form = Form(np.zeros(40), np.stack([np.ones(40), x, x**2]), np.zeros(40))
    project = np.eye(40) - form.derivatives.T @ np.linalg.pinv(form.derivatives.T)
    found = []
    for _ in range(150):
        residual = project @ ar1(rng, 40, 0.6)
        found.append([likeliest_law(residual, given, 1.0).noise.autocorrelation for given in (None, form)])
    plain, restricted = np.mean(found, axis=0)
    assert plain < 0.5
    assert restricted == pytest.approx(0.58, abs=0.05)


def test_bic_counts_parameters_with_the_correction_for_few_evaluations():
    rng = np.random.default_rng(3)
    x, n = np.arange(30.0), 30
    curve = rng.normal(size=n)
    fits = forms_without_transition(x, curve)
    for name, k in (("constant", 3), ("linear", 4)):
        fit = fits[name]
        # the parameters at the generalized fit are not handed back; where rho is small they hardly differ
        likelihood = likeliest_law(curve - fit.form.values, None, np.ptp(curve)).log_likelihood
        assert fit.bic == pytest.approx(k * np.log(n) * n / (n - k - 2) - 2 * likelihood, abs=0.2)
    searched = fit_form(curve, lambda p: Form(p[0] * np.ones(n), np.ones((1, n)), np.zeros(n)), np.zeros(1), searched=2)
    assert searched.bic - fits["constant"].bic == pytest.approx(np.log(n) * n * (5 / (n - 7) - 3 / (n - 5)))


def test_thinned_keeps_what_is_nearest_to_an_even_spread():
    x = np.log1p(np.arange(0.0, 100_001.0, 50))
    used = thinned(x)
    even = np.linspace(x[0], x[-1], MAX_EVALUATIONS)
    assert used.tolist() == np.unique(np.abs(x[:, None] - even).argmin(axis=0)).tolist()
    assert (used[0], used[-1]) == (0, len(x) - 1)
    assert thinned(x[:MAX_EVALUATIONS]).tolist() == list(range(MAX_EVALUATIONS))


def test_what_a_curve_does_not_determine_has_no_interval():
    def form(p):
        return Form(np.full(20, p[0] + p[1]), np.ones((2, 20)), np.zeros(20))

    fit = fit_form(np.random.default_rng(0).normal(size=20), form, np.zeros(2))
    assert np.isinf(fit.half_widths(0.95)).all()
