import itertools

import numpy as np
import pytest
import torch

from probe.measures.transition import fit_piecewise_linear
from probe.measures.transition.curves import date_interval
from probe.measures.transition.noise import Noise
from probe.measures.transition.piecewise import _in_order, _pieces, _start

NAN, INF = float("nan"), float("inf")
STEPS = np.arange(81) * 100
X = STEPS / 8000


def deviations(rng, n, rho):
    return Noise(rho, np.ones(n), 1.0).color(np.sqrt(1 - rho**2) * rng.normal(size=n))


def pieces(x, places, slopes, level=0.0):
    """By integrating the slopes: knots, then interpolation."""
    at = [0.0, *places, 1.0]
    return np.interp(x, at, level + np.concatenate([[0], np.cumsum(np.array(slopes) * np.diff(at))]))


@pytest.mark.parametrize(
    ("places", "slopes"),
    [([], [0.7]), ([0.4], [0.0, 2.0]), ([0.3, 0.613], [0.0, 3.0, 0.0]), ([0.2, 0.5, 0.8], [1.0, -2.0, 0.5, 4.0])],
)
def test_breaks_are_found(places, slopes):
    rng = np.random.default_rng(0)
    fit = fit_piecewise_linear(STEPS, pieces(X, places, slopes, 0.3) + 1e-3 * rng.normal(size=81), scale="linear")
    assert len(fit.breaks) == len(places)
    for found, place in zip(fit.breaks, places, strict=True):
        assert found.estimate == pytest.approx(place * 8000, abs=30)
        assert found.low < found.estimate < found.high < found.low + 60
        assert found.n == 81
    assert [slope * 8000 for slope in fit.slopes] == pytest.approx(slopes, abs=0.02)
    expected = pieces(np.array([0, *places, 1.0]), places, slopes, 0.3)
    assert fit.knots == pytest.approx(expected.tolist(), abs=5e-3)
    assert min(fit.bic, key=fit.bic.get) == len(places)
    assert set(fit.bic) >= {"constant", 0, 1}


def test_a_constant_has_no_slope():
    fit = fit_piecewise_linear(STEPS, 3 + 0.1 * np.random.default_rng(1).normal(size=81))
    assert fit.breaks == ()
    assert fit.slopes == (0.0,)
    assert fit.knots == pytest.approx((3, 3), abs=0.05)
    exact = fit_piecewise_linear(STEPS, np.full(81, 0.25))
    assert (exact.breaks, exact.slopes, exact.knots) == ((), (0.0,), (0.25, 0.25))


def test_log_scale_breaks_where_the_curve_does():
    steps = np.unique(np.geomspace(10, 50_000, 90).round())
    x = np.log1p(steps)
    z = (x - x[0]) / (x[-1] - x[0])
    curve = pieces(z, [0.35, 0.7], [0.0, 2.0, 0.0]) + 1e-3 * np.random.default_rng(2).normal(size=len(x))
    fit = fit_piecewise_linear(torch.tensor(steps), torch.tensor(curve, dtype=torch.float32))
    expected = np.expm1(x[0] + np.array([0.35, 0.7]) * (x[-1] - x[0]))
    assert [found.estimate for found in fit.breaks] == pytest.approx(expected.tolist(), rel=0.02)
    assert fit.slopes == pytest.approx([0, 2 / (x[-1] - x[0]), 0], abs=0.01)


def test_the_start_is_the_best_set_of_places():
    """Against one linear least-squares problem for each set."""
    rng = np.random.default_rng(3)
    x, curve = np.sort(rng.uniform(size=18)), rng.normal(size=18)
    places = np.interp(np.linspace(1.5, 15.5, 15), np.arange(18), x)
    for n_breaks in (1, 2, 3):
        errors = {}
        for chosen in itertools.combinations(places, n_breaks):
            rows = np.stack([np.ones(18), x - x[0], *(np.maximum(x - place, 0) for place in chosen)], axis=1)
            coefficients, *_ = np.linalg.lstsq(rows, curve, rcond=None)
            errors[chosen] = ((rows @ coefficients - curve) ** 2).sum(), coefficients
        best = min(errors, key=lambda chosen: errors[chosen][0])
        found = _start(x, curve, n_breaks)
        assert found[2 : 2 + n_breaks] == pytest.approx(best)
        assert np.delete(found, range(2, 2 + n_breaks)) == pytest.approx(errors[best][1], rel=1e-6)
        assert ((_pieces(x)(found).values - curve) ** 2).sum() == pytest.approx(errors[best][0], rel=1e-6)


def test_derivatives_are_those_of_the_values():
    form_at = _pieces(X)
    p = np.array([0.3, 1.0, 0.3333, 0.7111, 2.0, -4.0])
    for i, change in enumerate(np.eye(6) * 1e-6):
        numeric = (form_at(p + change).values - form_at(p - change).values) / 2e-6
        np.testing.assert_allclose(form_at(p).derivatives[i], numeric, atol=1e-6)
    between = (X > 0.3333) & (X < 0.7111)
    assert np.unique(form_at(p).slope[between]).tolist() == [3.0]


def test_pieces_of_less_than_two_evaluations_do_not_count():
    class Fit:
        def __init__(self, *places):
            self.parameters = np.array([0.0, 0.0, *places, *([1.0] * len(places))])

    x = np.arange(10.0)
    assert _in_order(x, Fit(1.5, 4.0))
    assert _in_order(x, Fit(1.0, 4.0))  # an evaluation at a break ends the piece before it
    assert not _in_order(x, Fit(0.5, 4.0))
    assert not _in_order(x, Fit(4.0, 1.5))
    assert not _in_order(x, Fit(4.2, 5.5))
    assert _in_order(x, Fit(4.2, 6.5))
    assert not _in_order(x, Fit(4.2, 8.5))
    assert not _in_order(x, Fit(-1.0, 5.0))
    assert not _in_order(x, Fit(5.0, 11.0))


@pytest.mark.parametrize(("rho", "by_slope", "least"), [(0.0, False, 0.85), (0.5, True, 0.85), (0.8, False, 0.72)])
def test_intervals_cover_where_the_number_of_breaks_is_right(rho, by_slope, least):
    """Bounds: 3.5 standard errors of 60 runs below the coverage that 300 runs showed (.94, .95, .84)."""
    rng = np.random.default_rng(4)
    steps = np.arange(100) * 100
    x = steps / steps[-1]
    covered, right = [], 0
    for _ in range(60):
        places = np.array([rng.uniform(0.25, 0.4), rng.uniform(0.6, 0.75)])
        level = np.clip((x - places[0]) / np.diff(places), 0, 1)
        scale = np.where((level > 0) & (level < 1), 0.045, 0.005) if by_slope else 0.04
        breaks = fit_piecewise_linear(steps, level + scale * deviations(rng, 100, rho), scale="linear").breaks
        if len(breaks) == 2:
            right += 1
            covered += [
                found.low <= place * steps[-1] <= found.high for found, place in zip(breaks, places, strict=True)
            ]
    assert right >= 40  # measured: 84 to 100 %
    assert np.mean(covered) >= least


@pytest.mark.parametrize("rho", [0.0, 0.9, None])
def test_noise_has_no_breaks(rho):
    rng = np.random.default_rng(5)
    found = []
    for _ in range(30):
        curve = rng.normal(size=81).cumsum() if rho is None else deviations(rng, 81, rho)
        found.append(len(fit_piecewise_linear(STEPS, curve, scale="linear").breaks))
    assert np.mean(np.array(found) > 0) <= 0.1  # measured: 0 to 3 %


@pytest.mark.parametrize("level", [1e6, 1e8, -1e8])
@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
def test_a_level_and_a_unit_do_not_move_the_breaks(level, unit):
    curve = pieces(X, [0.3, 0.6], [0.0, 3.0, 0.0]) + 0.01 * np.random.default_rng(7).normal(size=81)
    plain, raised = (fit_piecewise_linear(STEPS, c, scale="linear") for c in (curve, unit * (curve + level)))
    assert len(plain.breaks) == len(raised.breaks) == 2
    for one, other in zip(plain.breaks, raised.breaks, strict=True):
        ends = (other.estimate, other.low, other.high)
        assert ends == pytest.approx((one.estimate, one.low, one.high), rel=1e-5)
    assert np.array(raised.knots) / unit - level == pytest.approx(plain.knots, abs=1e-6)
    assert np.array(raised.slopes) / unit == pytest.approx(plain.slopes, abs=1e-5)


def test_max_breaks_is_a_limit():
    curve = pieces(X, [0.3, 0.6], [0.0, 3.0, 0.0]) + 1e-3 * np.random.default_rng(6).normal(size=81)
    one = fit_piecewise_linear(STEPS, curve, max_breaks=1, scale="linear")
    assert len(one.breaks) == 1
    assert set(one.bic) == {"constant", 0, 1}


def test_an_interval_ends_within_training_or_not_at_all():
    x = np.log1p([10.0, 100.0, 1000.0])
    places = (np.log1p(at) for at in (200, 800, 12))
    inside, after, before = (date_interval(place, place - 0.5, place + 0.5, x, "log") for place in places)
    assert (inside.low, inside.high) == pytest.approx((201 / np.exp(0.5) - 1, 201 * np.exp(0.5) - 1))
    assert after.estimate == pytest.approx(800)
    assert after.high == INF
    assert before.low == pytest.approx(10)


@pytest.mark.parametrize(
    ("steps", "curve", "more", "message"),
    [
        (range(9), [0.0] * 9, {}, "steps: 9 given, expected at least 10"),
        (range(14), [0.0] * 14, {}, "max_breaks: 3 given, expected 1 to 2 for 14 evaluations"),
        (range(30), [0.0] * 30, {"max_breaks": 0}, "max_breaks: 0 given, expected 1 to 3"),
        (range(30), [0.0] * 30, {"max_breaks": 4}, "max_breaks: 4 given, expected 1 to 3"),
        (range(30), [0.0] * 29, {}, "curve: shape"),
        (range(30), [0.0] * 29 + [NAN], {}, "curve: nan given"),
        (range(30), [0.0] * 30, {"confidence": 0}, "confidence: 0 given"),
        (range(30), [0.0] * 30, {"scale": "x"}, "scale: 'x' given"),
    ],
)
def test_bad_input(steps, curve, more, message):
    with pytest.raises(ValueError, match=message):
        fit_piecewise_linear(steps, curve, **more)
