"""Forms and their fits, against the formulas and against a general optimizer."""

import numpy as np
import pytest
from scipy import optimize

from probe.measures.scale.fitting import RESOLUTION, aic, criterion_of, fit_all, fit_form
from probe.measures.scale.forms import KINDS, forms
from probe.measures.scale.noise import checked_sizes

N = 9
U = np.linspace(0, 1, N)
SCALE = 10 ** (6 + 4 * U)


def of_kind(kind, n_parameters=None, positive=False, chance=None, u=U):
    found = [form for form in forms(u, positive, chance) if form.kind == kind]
    return next(form for form in found if n_parameters in (None, form.n_parameters))


def test_every_kind_is_there_and_chance_saves_a_parameter():
    assert {form.kind for form in forms(U, False)} == set(KINDS)
    known = [(form.kind, form.n_parameters, form.level) for form in forms(U, False, 0.25) if form.level]
    assert known == [("logistic", 3, 0.25), ("jump", 2, 0.25)]
    assert len(forms(U, True)) == len(forms(U, False)) + 1


@pytest.mark.parametrize(
    ("kind", "n_parameters", "values"),
    [
        ("flat", 1, np.full(N, 0.3)),
        ("power_law", 2, 0.2 + 0.5 * U),
        ("power_law", 3, 0.9 - 0.6 * np.exp(-np.geomspace(0.25, 40, 24)[13] * U)),
        ("logistic", 4, 0.1 + 0.7 / (1 + np.exp(-(U - 0.6) / np.geomspace(0.02, 0.5, 13)[5]))),
        ("jump", 3, np.where(U > 0.55, 0.8, 0.1)),
        ("broken", 4, 0.3 + 0.2 * np.minimum(U, 0.5) + 0.9 * np.maximum(U - 0.5, 0)),
        ("broken", 4, 0.3 + 0.2 * np.minimum(U, 0.5)),
        ("u_shape", 3, 0.3 + 2 * (U - 0.5) ** 2),
        ("u_shape", 4, 0.3 + 0.5 * np.maximum(0.5 - U, 0) + 0.9 * np.maximum(U - 0.5, 0)),
        ("inverted_u", 3, 0.8 - 2 * (U - 0.5) ** 2),
    ],
)
def test_a_curve_of_a_form_is_fitted_without_a_rest(kind, n_parameters, values):
    sizes = checked_sizes(SCALE, values, 0.01)
    best = max((fit for fit in fit_all(U, sizes, None) if fit.form.kind == kind), key=lambda fit: fit.largest)
    np.testing.assert_allclose(best.at(U), values, atol=1e-6)
    assert best.form.n_parameters == n_parameters
    assert best.excess(sizes) == 0


def test_a_broken_power_law_is_two_lines_in_log_value():
    law = next(form for form in forms(U, True) if "first" in form.nodes)
    node = 321
    curve = law.columns(np.linspace(0, 1, 201))[node, :, 0]
    bend = np.diff(np.log(curve), 2)
    assert (np.abs(bend) > 1e-9).sum() <= 2
    np.testing.assert_allclose(law.columns(np.array([0.3]))[node], law.columns(np.array([0.3, 1.0]))[node, :1])


def test_a_turn_turns_and_a_break_goes_on():
    wrong = 0.8 - 2 * (U - 0.5) ** 2
    assert fit_form(of_kind("u_shape", 4), U, checked_sizes(SCALE, wrong, 0.01)).largest == -np.inf
    assert not [fit for fit in fit_all(U, checked_sizes(SCALE, wrong, 0.01), None) if fit.largest == -np.inf]
    assert fit_form(of_kind("broken", 4), U, checked_sizes(SCALE, wrong, 0.01)).largest == -np.inf
    rises = fit_form(of_kind("broken", 4), U, checked_sizes(SCALE, U + np.sin(9 * U) / 20, 0.01))
    assert (rises.coefficients[rises.best[0]][1:] > 0).all()


def test_the_likelihood_is_that_of_a_normal_distribution():
    rng = np.random.default_rng(0)
    sizes = checked_sizes(SCALE, 2 + rng.normal(size=N), rng.uniform(0.1, 0.3, N))
    fit = fit_form(of_kind("logistic", 4), U, sizes)
    assert (fit.inflation[:, 0] == 1).all()
    for node, scatter in ((0, 0), (300, 1)):
        misfit = sizes.value - fit.form.columns(U)[node] @ fit.coefficients[node]
        variance = sizes.variance * fit.inflation[node, scatter]
        terms = -(misfit**2) / variance / 2 - np.log(2 * np.pi * variance) / 2
        assert fit.log_likelihood[node, scatter] == pytest.approx(terms.sum())
        assert fit.inflation[node, 1] == pytest.approx((misfit**2 / sizes.variance).mean())
    unknown = fit_form(of_kind("logistic", 4), U, checked_sizes(SCALE, sizes.value))
    node, _ = unknown.best
    misfit = sizes.value - unknown.at(U)
    assert unknown.inflation[node, 0] == pytest.approx((misfit**2).mean())
    expected = -N / 2 * (np.log(2 * np.pi * (misfit**2).mean()) + 1)
    assert unknown.largest == pytest.approx(expected)


def test_the_grid_comes_close_to_a_general_optimizer():
    rng = np.random.default_rng(3)
    u = np.linspace(0, 1, 12)
    for midpoint, width in ((0.4, 0.07), (0.71, 0.15)):
        truth = 2.1 + 0.6 / (1 + np.exp(-(u - midpoint) / width))
        values = truth + 0.03 * rng.normal(size=12)
        fit = fit_form(of_kind("logistic", 4, u=u), u, checked_sizes(10 ** (6 * u + 3), values, 0.03))

        def misfit(p, values=values):
            return (values - p[0] - p[1] / (1 + np.exp(-(u - p[2]) / p[3]))) / 0.03

        best = optimize.least_squares(misfit, [2.1, 0.6, midpoint, width])
        squares = ((values - fit.at(u)) ** 2).sum() / 0.03**2
        assert squares - 2 * best.cost < 0.02
        assert fit.form.nodes["midpoint"][fit.best[0]] == pytest.approx(best.x[2], abs=0.005)


def test_a_scatter_beyond_sampling_error_is_seen():
    rng = np.random.default_rng(1)
    u = np.linspace(0, 1, 60)
    values = 0.3 + 0.5 * u + 0.05 * rng.normal(size=60)
    sizes = checked_sizes(10 ** (6 * u), values, 1e-3)
    fit = fit_form(of_kind("power_law", u=u), u, sizes)
    assert fit.excess(sizes) == pytest.approx(0.05, rel=0.3)
    np.testing.assert_allclose(fit.variance(sizes), fit.excess(sizes) ** 2 + 1e-6, rtol=1e-3)
    exact = checked_sizes(SCALE, np.r_[0, np.full(N - 1, 0.5)])
    assert fit_form(of_kind("flat"), U, exact).excess(exact) > RESOLUTION * 0.5


def test_a_share_scatters_less_where_it_has_less_room():
    value = np.array([0.01, 0.03, 0.02, 0.01, 0.4, 0.7, 0.5, 0.6, 0.5])
    sizes = checked_sizes(SCALE, value, np.sqrt(value * (1 - value) / 5000))
    fit = fit_form(of_kind("jump"), U, sizes)
    assert fit.scatters
    variance = fit.variance(sizes)
    assert variance[4:].min() > 5 * variance[:4].max()
    np.testing.assert_allclose(variance / sizes.variance, variance[0] / sizes.variance[0])


def test_the_criterion_by_hand():
    sizes = checked_sizes(SCALE, U, 0.1)
    fit = fit_form(of_kind("power_law", 3), U, sizes)
    assert criterion_of(fit) == aic(fit) == pytest.approx(-2 * fit.largest + 6)
    unknown = fit_form(of_kind("power_law", 3), U, checked_sizes(SCALE, U + np.sin(9 * U)))
    assert criterion_of(unknown) == pytest.approx(-2 * unknown.largest + 8 + 40 / 4)
    assert aic(unknown) == pytest.approx(-2 * unknown.largest + 8)
    scattered = fit_form(of_kind("power_law", 2), U, checked_sizes(SCALE, U + np.sin(9 * U), 1e-3))
    assert criterion_of(scattered) == pytest.approx(-2 * scattered.largest + 6 + 24 / 5)  # 2 k (k + 1) / (n - k - 1)
    few = fit_form(of_kind("logistic", 4, u=U[:5]), U[:5], checked_sizes(SCALE[:5], U[:5]))
    assert criterion_of(few) == np.inf


def test_what_lies_ahead_is_a_mixture_of_all_nodes():
    sizes = checked_sizes(SCALE[:6], 0.2 + 0.5 * U[:6], 0.01)
    fit = fit_form(of_kind("power_law", 3, u=U[:6]), U[:6], sizes)
    log_weight, mean, spread = fit.ahead(U[6:], np.full(3, 0.02**2))
    assert np.exp(log_weight).sum() == pytest.approx(1)
    assert mean.shape == spread.shape == (fit.log_likelihood.size, 3)
    assert (spread >= 0.02 - 1e-12).all()
    likeliest = int(log_weight.argmax())
    np.testing.assert_allclose(mean[likeliest], 0.2 + 0.5 * U[6:], atol=1e-6)
