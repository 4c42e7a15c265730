import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm, t

from probe.measures.transition.critical import critical_fraction_bracket, fit_critical_fraction

NAN, INF = float("nan"), float("inf")
BUDGET = 10_000


def suite(f_c=0.25, alpha=1.0, scatter=0.2, seed=0, budget=BUDGET, n_fractions=10, n_seeds=3):
    rng = np.random.default_rng(seed)
    f = np.repeat(np.linspace(0.1, 0.8, n_fractions), n_seeds)
    above = f > f_c
    time = np.where(above, 300 * np.where(above, f - f_c, 1) ** -alpha * np.exp(scatter * rng.normal(size=len(f))), INF)
    return f, np.where(time > budget, INF, time)


def slow_log_likelihood(f, steps, budget, f_c, a, alpha, s):
    total = 0.0
    for fraction, step in zip(f, steps, strict=True):
        if fraction <= f_c:
            total += 0.0 if np.isinf(step) else -INF
        else:
            median = a - alpha * np.log(fraction - f_c)
            if np.isfinite(step):
                total += norm.logpdf(np.log(step), median, s) + np.log(2 * np.pi) / 2 - (0.01 / s) ** 2 / 2
            else:
                total += norm.logsf(np.log(budget), median, s)
    return total


def slow_profile(f, steps, budget, f_c, start):
    def loss(p):
        return -slow_log_likelihood(f, steps, budget, f_c, p[0], abs(p[1]), np.exp(p[2]))

    return -minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-8, "maxiter": 2000}).fun


def test_recovers_a_law_without_scatter():
    f, steps = suite(scatter=0.0, f_c=0.33, alpha=0.8)
    fit = fit_critical_fraction(f, steps, BUDGET)
    assert fit.f_c == pytest.approx(0.33, abs=1e-4)
    assert fit.alpha == pytest.approx(0.8, abs=1e-3)
    assert fit.c == pytest.approx(300, rel=1e-3)
    assert 0.32 < fit.low < 0.33 < fit.high < 0.34
    assert fit.alpha_low < 0.8 < fit.alpha_high < 0.85
    assert (fit.n, fit.n_censored) == (30, np.isinf(steps).sum())
    np.testing.assert_allclose(fit.predict([0.2, 0.3, 0.53]), [INF, INF, 300 * 0.2**-0.8], rtol=1e-3)
    assert fit.predict(0.53) == pytest.approx(300 * 0.2**-0.8, rel=1e-3)
    assert fit.predict(fit.f_c) == INF


def test_an_interval_finer_than_the_grid():
    fit = fit_critical_fraction(*suite(scatter=0.0, f_c=0.3141, n_fractions=40, n_seeds=10), BUDGET)
    assert 0.313 < fit.low < 0.3141 < fit.high < 0.315
    assert fit.low < fit.f_c < fit.high


def test_intervals_are_where_the_likelihood_has_fallen_by_the_stated_amount():
    f, steps = suite(seed=3, budget=3000)
    fit = fit_critical_fraction(f, steps, 3000)
    start = [np.log(fit.c), fit.alpha, np.log(fit.scatter)]
    best = slow_profile(f, steps, 3000, fit.f_c, start)
    for other in (fit.f_c - 0.01, fit.f_c + 0.003):
        assert slow_profile(f, steps, 3000, other, start) < best
    n = 30 - fit.n_censored
    assert 10 <= fit.n_censored <= 18
    fall = n * np.log1p(t.ppf(0.975, n - 3) ** 2 / (n - 3)) / 2
    assert 0 < fit.low < fit.f_c < fit.high < f[np.isfinite(steps)].min()
    for end in (fit.low, fit.high):
        assert best - slow_profile(f, steps, 3000, end, start) == pytest.approx(fall, abs=1e-4)
    for end in (fit.alpha_low, fit.alpha_high):

        def loss(p, exponent=end):
            return -slow_log_likelihood(f, steps, 3000, p[0], p[1], exponent, np.exp(p[2]))

        starts = ([x, np.log(300), np.log(0.2)] for x in (0.1, 0.2, 0.25, 0.29))
        profile = -min(minimize(loss, x, method="Nelder-Mead").fun for x in starts)
        assert best - profile == pytest.approx(fall, abs=0.02)


def test_intervals_hold_the_planted_values():
    fits = [fit_critical_fraction(*suite(f_c=0.22, alpha=0.7, seed=s), BUDGET) for s in range(20)]
    assert sum(x.low <= 0.22 <= x.high for x in fits) >= 17
    assert sum(x.alpha_low <= 0.7 <= x.alpha_high for x in fits) >= 17
    assert np.median([x.high - x.low for x in fits]) < 0.15
    narrow = [fit_critical_fraction(*suite(f_c=0.22, alpha=0.7, seed=s), BUDGET, confidence=0.5) for s in range(20)]
    assert 4 <= sum(x.low <= 0.22 <= x.high for x in narrow) <= 16


def test_runs_that_never_generalized_count_and_their_budget_too():
    f, steps = suite(seed=1, alpha=0.8, budget=5000)
    short, long = (fit_critical_fraction(f, steps, budget) for budget in (5000, 1_000_000))
    assert long.low > short.low + 0.01  # not even in a million steps: below the critical fraction, then
    observed = np.isfinite(steps)
    without = fit_critical_fraction(f[observed], steps[observed], 5000)
    assert without.low < short.low
    each = np.where(f < 0.3, 1_000_000, 5000)
    assert fit_critical_fraction(f, steps, each) == fit_critical_fraction(f, steps, torch.from_numpy(each))
    assert fit_critical_fraction(f, steps, np.full(30, 5000)) == short
    assert fit_critical_fraction(f, steps, np.where(observed, 1_000_000, 5000)) == short


def test_where_nothing_bounds_it_the_interval_reaches_0():
    f = np.repeat([0.5, 0.6, 0.8], 3)
    rng = np.random.default_rng(0)
    fit = fit_critical_fraction(f, 1000 / f * np.exp(0.3 * rng.normal(size=9)), BUDGET)
    assert fit.low == 0
    assert fit.high == 0.5
    assert fit.alpha_low == 0


def test_times_that_rise_with_the_fraction_have_no_exponent():
    f = np.repeat([0.2, 0.4, 0.6, 0.8], 3)
    steps = np.where(f > 0.3, 1000 * f * np.tile([0.9, 1, 1.1], 4), INF)
    fit = fit_critical_fraction(f, steps, BUDGET)
    assert fit.alpha == 0
    assert fit.predict(fit.f_c) == INF
    assert fit.predict(0.9) == pytest.approx(fit.c)
    assert fit.alpha_low == 0
    assert 0.2 <= fit.f_c < 0.4
    assert (fit.low, fit.high) == (pytest.approx(0.2, abs=0.02), 0.4)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 1000), unit=st.sampled_from([0.01, 10.0, 1e6]))
def test_the_unit_of_time_does_not_matter(seed, unit):
    f, steps = suite(seed=seed)
    fit = fit_critical_fraction(f, steps, BUDGET)
    other = fit_critical_fraction(
        torch.from_numpy(f), torch.from_numpy(np.where(np.isinf(steps), NAN, steps * unit)), BUDGET * unit
    )
    for field in ("f_c", "low", "high", "alpha", "alpha_low", "scatter"):
        assert getattr(other, field) == pytest.approx(getattr(fit, field), rel=1e-4, abs=1e-5)
    assert other.c == pytest.approx(unit * fit.c, rel=1e-3)
    assert 0 <= fit.low <= fit.f_c <= fit.high <= f[np.isfinite(steps)].min()
    assert fit.alpha_low <= fit.alpha <= fit.alpha_high


def test_bad_input_is_refused():
    f, steps = suite()
    for wrong, match in (
        ((f * 100, steps, BUDGET), r"^fractions: 10 given"),
        ((np.where(f < 0.2, 0, f), steps, BUDGET), r"^fractions: 0 given"),
        ((np.full(30, NAN), steps, BUDGET), r"^fractions: nan"),
        ((np.where(f < 0.5, 0.3, 0.6), steps, BUDGET), r"^fractions: \[0.3, 0.6\]"),
        ((f, steps[:-1], BUDGET), r"^steps: shape \(29,\)"),
        ((f, np.full(30, INF), BUDGET), r"^steps: 0 runs generalized"),
        ((f, np.where(f > 0.75, 100, NAN), BUDGET), r"^steps: 3 runs generalized"),
        ((np.where(f > 0.6, 0.7, f), np.where(f > 0.6, 100, NAN), BUDGET), r"^steps: 9 runs .* \[0.7\]"),
        ((f, np.where(f > 0.6, 0, NAN), BUDGET), r"^steps: 0 given"),
        ((f, steps, 100), r"^budget: 100 given, but a run generalized"),
        ((f, np.full(30, 5.0), -1), r"^budget: -1"),
        ((f, steps, INF), r"^budget: inf"),
        ((f, steps, [BUDGET, BUDGET]), r"^budget: shape \(2,\)"),
        ((f, steps, BUDGET, 95), r"^confidence: 95"),
    ):
        with pytest.raises(ValueError, match=match):
            fit_critical_fraction(*wrong)
    for wrong, match in (
        ((f * 100, steps), r"^fractions: "),
        ((f, steps[:-1]), r"^steps: shape"),
        ((f, steps, 0), r"^confidence: 0"),
    ):
        with pytest.raises(ValueError, match=match):
            critical_fraction_bracket(*wrong)


def shares(*generalized, of=3):
    fractions = np.repeat(np.arange(1, len(generalized) + 1) / 10, of)
    return fractions, np.concatenate([np.where(np.arange(of) < k, 100.0, NAN) for k in generalized])


def test_bracket_by_hand():
    b = critical_fraction_bracket(*shares(0, 0, 0, 1, 2, 3, 3, 3))
    assert (b.below, b.above, b.n, b.n_censored) == (0.4, 0.5, 24, 12)
    # (.1, .2) lies below the crossing: all 6 runs at .2 and .3 failed; (.2, .3) may hold it: 5 of 6 are not enough
    assert (b.low, b.high) == (0.2, 0.7)
    half = critical_fraction_bracket(*shares(0, 1, 2, of=2))
    assert (half.below, half.above, half.low, half.high) == (0.1, 0.2, 0.0, 1.0)
    none = critical_fraction_bracket(*shares(0, 0, 0))
    assert (none.below, none.above, none.low, none.high) == (0.3, 1.0, 0.2, 1.0)
    every = critical_fraction_bracket(*shares(3, 3, 3))
    assert (every.below, every.above, every.low, every.high) == (0.0, 0.1, 0.0, 0.2)
    assert critical_fraction_bracket(*shares(0, 5, of=5)).low == 0  # 5 runs can tell nothing at 95 %
    unequal = critical_fraction_bracket([0.1] * 6 + [0.2] * 2, [5.0] * 8)
    assert (unequal.below, unequal.above, unequal.low, unequal.high) == (0.0, 0.1, 0.0, 0.1)
    one = critical_fraction_bracket([0.3], [INF])
    assert (one.below, one.above, one.low, one.high) == (0.3, 1.0, 0.0, 1.0)


def test_bracket_with_a_dip_takes_the_last_crossing_and_a_wide_interval():
    b = critical_fraction_bracket(*shares(0, 0, 3, 0, 3, 3))
    assert (b.below, b.above) == (0.4, 0.5)
    assert (b.low, b.high) == (0.1, 0.6)


def test_bracket_of_outcomes_that_fall_with_the_fraction():
    f, steps = shares(6, 0, of=6)
    b = critical_fraction_bracket(f, steps)
    assert (b.below, b.above, b.low, b.high) == (0.2, 1.0, 0.0, 1.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=6), st.sampled_from([0.3, 0.9]))
def test_bracket_always_exists(runs, confidence):
    f = np.repeat(np.arange(1, len(runs) + 1) / 10, [n for n, _ in runs])
    steps = np.concatenate([np.where(np.arange(n) < k, 1.0, NAN) for n, k in runs])
    b = critical_fraction_bracket(f, steps, confidence)
    assert 0 <= b.low < b.high <= 1
    assert b.below < b.above


def test_many_runs_at_each_fraction():
    # 2 of 10 is as rare as .055, 1 of 10 as .011
    assert critical_fraction_bracket(*shares(2, 8, of=10)).low == 0
    assert critical_fraction_bracket(*shares(1, 9, of=10)).low == 0.1
    assert critical_fraction_bracket(*shares(1, 9, of=10)).high == 0.2
    assert critical_fraction_bracket(*shares(1, 9, of=10), confidence=0.99).low == 0
    assert critical_fraction_bracket(*shares(2, 8, of=10), confidence=0.85).low == 0.1


def test_bracket_holds_the_crossing():
    rng = np.random.default_rng(0)
    f = np.repeat(np.linspace(0.05, 0.95, 19), 3)
    for width in (0.02, 0.2):
        chance = 1 / (1 + np.exp(-(f - 0.42) / width))
        brackets = [critical_fraction_bracket(f, np.where(rng.random(len(f)) < chance, 50, INF)) for _ in range(100)]
        assert sum(b.low <= 0.42 <= b.high for b in brackets) >= 95
    abrupt = critical_fraction_bracket(f, np.where(f > 0.42, 50, INF))
    assert (abrupt.low, abrupt.high) == (pytest.approx(0.35), pytest.approx(0.5))
