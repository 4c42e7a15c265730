"""The law of loss against laws that are known, and its intervals against simulations."""

import numpy as np
import pytest
from scipy import optimize

from probe.measures.scale.loss_law import HUBER, fit_loss_law

CHINCHILLA = (1.69, 406.4, 0.34, 410.7, 0.28)
"""E, A, alpha, B, beta of Hoffmann et al. 2022, equation 10."""


def runs(n_sizes=5, n_amounts=5):
    n_params, tokens = np.meshgrid(np.geomspace(7e7, 1.6e10, n_sizes), np.geomspace(1e9, 1e12, n_amounts))
    return n_params.ravel(), tokens.ravel()


def law(n_params, tokens, coefficients=CHINCHILLA):
    limit, a, alpha, b, beta = coefficients
    return limit + a / n_params**alpha + b / tokens**beta


@pytest.fixture(scope="module")
def exact():
    n_params, tokens = runs()
    return fit_loss_law(n_params, tokens, law(n_params, tokens))


def test_an_exact_law_is_found(exact):
    found = (exact.limit, exact.size_factor, exact.size_exponent, exact.data_factor, exact.data_exponent)
    np.testing.assert_allclose([each.estimate for each in found], CHINCHILLA, rtol=2e-3)
    assert exact.misfit < 1e-5
    assert exact.optimal_share.estimate == pytest.approx(0.28 / 0.62, abs=1e-3)
    assert exact.n == 25


def test_what_follows_from_the_law(exact):
    """Tokens for a loss invert it; the best size is where a search over sizes at equal compute finds it."""
    assert exact.loss(7e10, 1.4e12) == pytest.approx(law(7e10, 1.4e12), rel=1e-3)
    tokens = exact.tokens_for([1e9, 1e10, 1e8], 2.3)
    np.testing.assert_allclose(exact.loss([1e9, 1e10], tokens[:2]), 2.3)
    assert tokens[1] < tokens[0]
    assert tokens[2] == np.inf  # so small a model has not that loss with any data
    for flops in (1e20, 1e23):
        searched = optimize.minimize_scalar(lambda x, c=flops: exact.loss(10**x, c / 6 / 10**x), bounds=(6, 13))
        assert np.log10(exact.best_size(flops)) == pytest.approx(searched.x, abs=1e-3)


def test_runs_that_went_wrong_do_not_move_it():
    n_params, tokens = runs()
    loss = law(n_params, tokens) * np.exp(2e-4 * np.random.default_rng(0).normal(size=25))
    loss[[3, 17]] *= 1.3
    found = fit_loss_law(n_params, tokens, loss)
    assert found.size_exponent.estimate == pytest.approx(0.34, abs=0.03)
    assert found.data_exponent.estimate == pytest.approx(0.28, abs=0.03)


def test_the_objective_is_no_larger_than_a_general_optimizers():
    rng = np.random.default_rng(1)
    n_params, tokens = runs(4, 4)
    loss = law(n_params, tokens) * np.exp(0.01 * rng.normal(size=16))

    def objective(p):
        terms = np.stack([np.full(16, p[0]), p[1] - p[2] * np.log(n_params / 1e9), p[3] - p[4] * np.log(tokens / 3e10)])
        r = np.abs(np.log(np.exp(terms).sum(0)) - np.log(loss))
        return np.where(r < HUBER, r**2 / 2, HUBER * (r - HUBER / 2)).sum()

    found = fit_loss_law(n_params, tokens, loss)
    a, b = found.size_factor.estimate, found.data_factor.estimate
    alpha, beta = found.size_exponent.estimate, found.data_exponent.estimate
    ours = objective([np.log(found.limit.estimate), np.log(a / 1e9**alpha), alpha, np.log(b / 3e10**beta), beta])
    start = [0.5, -1, 0.3, -0.5, 0.3]
    simplex = optimize.minimize(objective, start, method="Nelder-Mead", options={"maxiter": 8000, "maxfev": 8000})
    assert ours <= simplex.fun * 1.02


def test_intervals_hold_what_is_true_and_are_as_wide_as_estimates_scatter():
    rng = np.random.default_rng(2)
    n_params, tokens = runs()
    held, estimates, widths = np.zeros(3), [], []
    for _ in range(12):
        found = fit_loss_law(n_params, tokens, law(n_params, tokens) * np.exp(0.005 * rng.normal(size=25)))
        intervals = found.limit, found.size_exponent, found.data_exponent
        held += [each.low <= true <= each.high for each, true in zip(intervals, (1.69, 0.34, 0.28), strict=True)]
        estimates.append([each.estimate for each in intervals])
        widths.append([each.high - each.low for each in intervals])
    assert held.min() >= 9
    ratio = np.mean(widths, axis=0) / (2 * 1.96 * np.std(estimates, axis=0))
    assert ratio.min() > 0.75
    assert ratio.max() < 2.5


def test_evaluations_along_a_run_are_resampled_together():
    rng = np.random.default_rng(3)
    n_params, tokens = runs(6, 6)
    of_model = {size: 0.01 * rng.normal() for size in np.unique(n_params)}
    loss = law(n_params, tokens) * np.exp([of_model[size] for size in n_params])
    alone = fit_loss_law(n_params, tokens, loss).size_exponent
    together = fit_loss_law(n_params, tokens, loss, run=n_params).size_exponent
    assert together.high - together.low > 1.3 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": [1.0] * 5, "n_params": [1] * 5, "tokens": [1] * 5}, "loss: 5 runs given, expected 6"),
        ({"loss": [1, 2, 3, 4, 5, 0]}, "loss: 0.0 given, expected numbers above 0"),
        ({"n_params": [1, 1, 2, 2, 1, 2]}, "n_params: 2 different given, expected 3"),
        ({"tokens": [1, 1, 2, 2, 1, 2]}, "tokens: 2 different given, expected 3"),
        ({"run": [1, 2]}, "run: 2 given, expected one for each of 6"),
        ({"tokens": [1, 2, 3]}, "loss: 6 given, expected one per run"),
    ],
)
def test_what_is_no_set_of_runs_is_refused(change, message):
    given = {"n_params": [1, 2, 3, 1, 2, 3], "tokens": [1, 1, 2, 2, 3, 3], "loss": [3, 2.9, 2.8, 2.7, 2.6, 2.5]}
    with pytest.raises(ValueError, match=message):
        fit_loss_law(**(given | change))
