import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from probe.measures.transition.censored import RESOLUTION, fit_censored


def simulated(seed, n=40, cut=7.3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    y = 7 + X @ [1.0, -0.5] + 0.3 * rng.normal(size=n)
    return X, np.minimum(y, cut), y < cut


def slow_loss(X, y, observed, ridge=0.0):
    def loss(p):
        s = np.exp(p[-1])
        mean = p[0] + X @ p[1:-1]
        each = [norm.logpdf(v, m, s) + np.log(2 * np.pi) / 2 if o else norm.logsf(v, m, s)
                for v, m, o in zip(y, mean, observed, strict=True)]  # fmt: skip
        return -sum(each) + ridge * sum((p[1:-1] / s) ** 2) / 2 + observed.sum() * (RESOLUTION / s) ** 2 / 2

    return loss


@pytest.mark.parametrize("ridge", [0.0, 2.0])
def test_is_the_maximum_of_the_likelihood(ridge):
    X, y, observed = simulated(0)
    fit = fit_censored(X, y, observed, ridge=ridge)
    loss = slow_loss(X, y, observed, ridge)
    found = [*fit.coefficients, np.log(fit.scatter)]
    best = minimize(loss, [7, 0, 0, 0], method="BFGS")
    assert loss(found) == pytest.approx(-fit.log_likelihood, abs=1e-8)
    assert loss(found) <= best.fun + 1e-9
    np.testing.assert_allclose(found, best.x, atol=1e-4)


def test_without_censoring_it_is_least_squares():
    X, y, _ = simulated(1, cut=100)
    fit = fit_censored(X, y, np.ones(len(y), bool))
    design = np.column_stack([np.ones(len(y)), X])
    b, rss, *_ = np.linalg.lstsq(design, y, rcond=None)
    np.testing.assert_allclose(fit.coefficients, b, atol=1e-6)
    assert fit.scatter == pytest.approx(np.sqrt(rss[0] / len(y) + RESOLUTION**2), rel=1e-6)


def test_exact_times_leave_the_resolution():
    x = np.arange(5.0)
    fit = fit_censored(x[:, None], 3 * x + 1, np.ones(5, bool))
    np.testing.assert_allclose(fit.coefficients, [1, 3], atol=1e-6)
    assert fit.scatter == pytest.approx(RESOLUTION)


def test_censored_runs_are_not_taken_for_late_ones():
    X, y, observed = simulated(2, n=2000, cut=7.0)
    fit = fit_censored(X, y, observed)
    np.testing.assert_allclose(fit.coefficients, [7, 1, -0.5], atol=0.05)
    assert fit.scatter == pytest.approx(0.3, abs=0.03)
    # far beyond the censoring there is nothing to learn from a censored run
    far = fit_censored(X, np.where(observed, y, -50.0), observed)
    assert far.coefficients[0] < 6.9


def test_a_batch_is_as_its_members_and_leaves_out_what_is_not_counted():
    X, y, observed = simulated(3)
    counted = np.stack([np.ones(len(y), bool), np.arange(len(y)) % 3 > 0])
    batch = fit_censored(np.stack([X, 2 * X]), np.stack([y, y + 1]), observed, counted)
    first = fit_censored(X, y, observed)
    second = fit_censored(2 * X[counted[1]], y[counted[1]] + 1, observed[counted[1]])
    for field in ("coefficients", "scatter", "log_likelihood"):
        both = getattr(batch, field)
        np.testing.assert_allclose(both[0], getattr(first, field), atol=1e-6)
        np.testing.assert_allclose(both[1], getattr(second, field), atol=1e-6)


def test_without_features_a_mean():
    y = np.array([1.0, 2.0, 6.0])
    fit = fit_censored(np.empty((3, 0)), y, np.ones(3, bool))
    np.testing.assert_allclose(fit.coefficients, [3.0], atol=1e-8)
