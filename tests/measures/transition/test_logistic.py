import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from probe.measures.intervals import bootstrap_interval
from probe.measures.transition import fit_logistic
from probe.measures.transition.logistic import logistic_fits
from probe.measures.transition.noise import Noise

NAN, INF = float("nan"), float("inf")


def deviations(rng, n, rho):
    return Noise(rho, np.ones(n), 1.0).color(np.sqrt(1 - rho**2) * rng.normal(size=n))


def logistic_curve(x, center, width=0.05, before=0.0, after=1.0):
    return before + (after - before) * expit((x - center) / width)


@settings(deadline=None, max_examples=40)
@given(
    st.floats(0.3, 0.7), st.floats(0.02, 0.1), st.floats(-5, 5), st.floats(0.5, 10), st.booleans(), st.booleans()
)  # fmt: skip
def test_an_exact_logistic_is_found(center, width, before, height, rising, log):
    steps = np.unique(np.geomspace(10, 50_000, 90).round()) if log else np.arange(90) * 100
    x = np.log1p(steps) if log else steps
    z = (x - x[0]) / (x[-1] - x[0])
    after = before + (height if rising else -height)
    fit = fit_logistic(steps, logistic_curve(z, center, width, before, after), "log" if log else "linear")
    expected = [x[0] + (center + side * width * np.log(9)) * (x[-1] - x[0]) for side in (-1, 0, 1)]
    expected = [max(v, x[0]) for v in expected]
    expected = np.expm1(expected) if log else expected
    assert fit.form == "logistic"
    assert [fit.start, fit.date.estimate, fit.end] == pytest.approx(list(expected), rel=1e-4)
    assert (fit.before, fit.after) == pytest.approx((before, after), rel=1e-4, abs=1e-4)
    assert fit.date.low <= fit.date.estimate <= fit.date.high
    assert fit.date.high - fit.date.low < 1e-2 * fit.date.estimate
    assert fit.n == len(steps)


def test_any_kind_of_array():
    steps = np.arange(30) * 10
    curve = logistic_curve(np.linspace(0, 1, 30), 0.4)
    found = fit_logistic(steps, curve)
    assert fit_logistic(steps.tolist(), curve.tolist()) == found
    single = fit_logistic(torch.tensor(steps), torch.tensor(curve, dtype=torch.float32))
    assert single.date.estimate == pytest.approx(found.date.estimate, rel=1e-4)
    assert type(found.date.estimate) is float


def coverage(n, rho, by_slope, runs, seed=0, interval=None):
    rng = np.random.default_rng(seed)
    steps = np.arange(n) * 100
    x = steps / steps[-1]
    covered = []
    for _ in range(runs):
        center = rng.uniform(0.35, 0.65)
        level = logistic_curve(x, center)
        scale = 0.005 + 0.08 * 4 * level * (1 - level) if by_slope else 0.08
        curve = level + scale * deviations(rng, n, rho)
        if interval is None:
            date = fit_logistic(steps, curve, "linear").date
            low, high = (-INF, -INF) if date is None else (date.low, date.high)
        else:
            low, high = interval(steps, curve)
        covered.append(low <= center * steps[-1] <= high)
    return np.mean(covered)


# 95 % nominal; the bounds are 3.5 standard errors of 120 runs around the coverage that 1000 runs showed
@pytest.mark.parametrize(
    ("n", "rho", "by_slope", "least"),
    [(100, 0.0, False, 0.88), (100, 0.8, False, 0.85), (100, 0.8, True, 0.89), (40, 0.5, True, 0.89)],
)
def test_intervals_cover(n, rho, by_slope, least):
    assert coverage(n, rho, by_slope, 120) >= least


def test_intervals_are_not_merely_wide():
    rng = np.random.default_rng(1)
    steps = np.arange(100) * 100
    half = {}
    for rho in (0.0, 0.8):
        dates = []
        for _ in range(40):
            curve = logistic_curve(steps / 9900, 0.5) + 0.08 * deviations(rng, 100, rho)
            dates.append(fit_logistic(steps, curve, "linear").date)
        dates = [date for date in dates if date is not None]
        half[rho] = np.median([(date.high - date.low) / 2 for date in dates])
        scatter = np.std([date.estimate for date in dates])
        assert 1.4 < half[rho] / scatter < 3.2
    assert half[0.8] > 2 * half[0.0]


def test_intervals_that_ignore_autocorrelation_do_not_cover():
    """The ordinary standard error of nonlinear least squares: what this package is for not using."""

    def ordinary(steps, curve):
        fit, _ = logistic_fits(steps.astype(float), curve)
        J = fit.form.derivatives.T
        variance = ((curve - fit.form.values) ** 2).sum() / (len(curve) - 4) * np.linalg.inv(J.T @ J)[2, 2]
        half = 1.985 * np.sqrt(variance)
        return fit.parameters[2] - half, fit.parameters[2] + half

    assert coverage(100, 0.0, False, 100, interval=ordinary) > 0.88
    assert coverage(100, 0.8, False, 100, interval=ordinary) < 0.7


@pytest.mark.parametrize("kind", ["constant", "white", "autocorrelated", "walk", "line", "exact line"])
def test_a_curve_without_transition_gets_no_date(kind):
    rng = np.random.default_rng(2)
    n, steps = 80, np.arange(80) * 50
    curves = {
        "constant": lambda: np.full(n, 0.37),
        "white": lambda: rng.normal(size=n),
        "autocorrelated": lambda: deviations(rng, n, 0.9),
        "walk": lambda: rng.normal(size=n).cumsum(),
        "line": lambda: 5 * steps / steps[-1] + deviations(rng, n, 0.5),
        "exact line": lambda: 1 - 0.001 * steps,
    }
    fits = [
        fit_logistic(steps, curves[kind](), "linear") for _ in range(1 if "ex" in kind or kind == "constant" else 60)
    ]
    dated = sum(fit.date is not None for fit in fits)
    assert dated <= 0.1 * len(fits)  # measured: 0 to 4 %
    for fit in fits:
        assert fit.form == min(fit.bic, key=fit.bic.get)
        assert (fit.form == "logistic") or (fit.date is None and fit.start is None and fit.date_or_inf == INF)


def test_shuffled_steps_have_no_transition():
    rng = np.random.default_rng(3)
    steps = np.arange(80) * 50
    curve = logistic_curve(np.linspace(0, 1, 80), 0.5) + 0.02 * rng.normal(size=80)
    assert fit_logistic(steps, curve, "linear").date is not None
    shuffled = [fit_logistic(steps, rng.permutation(curve), "linear") for _ in range(30)]
    assert sum(fit.date is not None for fit in shuffled) <= 2


def test_time_reversed_it_is_the_same_transition_downwards():
    rng = np.random.default_rng(4)
    steps = np.arange(80) * 50
    curve = logistic_curve(np.linspace(0, 1, 80), 0.4) + 0.02 * rng.normal(size=80)
    forwards, backwards = (fit_logistic(steps, c, "linear") for c in (curve, curve[::-1]))
    assert backwards.date.estimate == pytest.approx(steps[-1] - forwards.date.estimate, rel=1e-3)
    assert (backwards.before, backwards.after) == pytest.approx((forwards.after, forwards.before), abs=1e-3)
    assert backwards.after < backwards.before


def test_a_transition_between_two_evaluations_is_known_to_lie_there():
    steps = np.arange(60) * 10
    date = fit_logistic(steps, (steps > 300).astype(float), "linear").date
    assert (date.low, date.high) == (300, 310)
    assert 300 < date.estimate < 310
    log = fit_logistic(steps, (steps > 300).astype(float)).date
    assert (log.low, log.high) == pytest.approx((300, 310))


def test_a_transition_that_is_not_over_is_censored():
    x = np.linspace(0, 1, 60)
    steps = np.arange(60) * 10
    rng = np.random.default_rng(5)
    assert fit_logistic(steps, logistic_curve(x, 1.3, 0.1) + 1e-3 * rng.normal(size=60), "linear").date is None
    early = fit_logistic(steps, logistic_curve(x, 0.97, 0.1) + 0.01 * rng.normal(size=60), "linear").date
    assert early is None or early.high == INF


def test_scale_is_that_of_the_fit():
    steps = np.unique(np.geomspace(10, 50_000, 90).round())
    curve = logistic_curve(np.log1p(steps), np.log1p(3000), 0.3)
    log, linear = fit_logistic(steps, curve), fit_logistic(steps, curve, "linear")
    assert log.date.estimate == pytest.approx(3000, rel=1e-4)
    assert linear.date.estimate != pytest.approx(3000, rel=1e-3)
    # a logistic in log steps is symmetric there
    assert (log.start + 1) * (log.end + 1) == pytest.approx(3001**2, rel=1e-3)


@pytest.mark.parametrize("level", [1e3, 1e6, 1e8, -1e8])
@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
def test_a_level_and_a_unit_do_not_move_the_date(level, unit):
    rng = np.random.default_rng(7)
    steps = np.unique(np.geomspace(1, 40_000, 120).round())
    curve = logistic_curve(np.log1p(steps), 8, 0.4) + 0.03 * rng.normal(size=len(steps))
    plain, raised = fit_logistic(steps, curve), fit_logistic(steps, unit * (curve + level))
    for end in ("estimate", "low", "high"):
        assert getattr(raised.date, end) == pytest.approx(getattr(plain.date, end), rel=1e-6)
    assert (raised.start, raised.end) == pytest.approx((plain.start, plain.end), rel=1e-6)
    assert raised.before / unit - level == pytest.approx(plain.before, abs=1e-6)
    assert raised.after / unit - level == pytest.approx(plain.after, abs=1e-6)
    assert raised.autocorrelation == pytest.approx(plain.autocorrelation)
    fit, _ = logistic_fits(np.log1p(steps), unit * (curve + level))
    residual = unit * (curve + level) - fit.form.values
    assert np.abs(residual).max() < 0.2 * unit
    assert fit.form.values[0] == pytest.approx(fit.parameters[0], abs=0.01 * unit)


def test_a_long_curve_is_thinned():
    steps = np.arange(0, 100_001, 10)
    curve = logistic_curve(np.log1p(steps), np.log1p(4000), 0.2)
    fit = fit_logistic(steps, curve)
    assert fit.n <= 400
    assert fit.date.estimate == pytest.approx(4000, rel=1e-3)


def test_over_seeds_a_run_without_date_is_beyond_the_budget():
    steps = np.arange(60) * 10
    curves = [logistic_curve(np.linspace(0, 1, 60), center) for center in (0.4, 0.5)] + [np.zeros(60)]
    dates = [fit_logistic(steps, curve, "linear").date_or_inf for curve in curves]
    assert bootstrap_interval(dates).estimate == pytest.approx(0.5 * steps[-1], rel=1e-3)
    assert bootstrap_interval(dates).high == INF


def test_confidence_widens():
    rng = np.random.default_rng(6)
    steps = np.arange(60) * 10
    curve = logistic_curve(np.linspace(0, 1, 60), 0.5) + 0.05 * rng.normal(size=60)
    dates = [fit_logistic(steps, curve, "linear", confidence).date for confidence in (0.5, 0.95, 0.99)]
    widths = [date.high - date.low for date in dates]
    assert widths[0] < widths[1] < widths[2]


@pytest.mark.parametrize(
    ("steps", "curve", "more", "message"),
    [
        (range(9), [0.0] * 9, {}, "steps: 9 given, expected at least 10"),
        (range(12), [0.0] * 11, {}, "curve: shape"),
        (range(12), [0.0] * 11 + [NAN], {}, "curve: nan given"),
        (range(12), [0.0] * 11 + [INF], {}, "curve: inf given"),
        (range(12), [[0.0] * 12], {}, "curve: shape"),
        ([*range(11), 10], [0.0] * 12, {}, "steps: 10 given after 10"),
        (range(12), [0.0] * 12, {"scale": "square"}, "scale: 'square' given"),
        (range(12), [0.0] * 12, {"confidence": 95}, "confidence: 95 given"),
    ],
)
def test_bad_input(steps, curve, more, message):
    with pytest.raises(ValueError, match=message):
        fit_logistic(steps, curve, **more)
