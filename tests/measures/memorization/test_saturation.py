import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.stats import t

from probe.measures.memorization import fit_capacity

C = 5e5


def models(scatter=0.03, knee=100.0, top=8.0, n_amounts=6, n_seeds=2, seed=0, held=1.0):
    """Amounts of data up to ``top`` capacities, and bits of models whose capacities scatter."""
    rng = np.random.default_rng(seed)
    data = np.repeat(np.geomspace(0.1 * C, top * C, n_amounts), n_seeds)
    own = C * np.exp(scatter * rng.normal(size=len(data)))
    bits = held * data * (1 + (data / own) ** knee) ** (-1 / knee)
    return data, np.minimum(bits * np.exp(-0.002 * np.abs(rng.normal(size=len(data)))), data)


@pytest.mark.parametrize("knee", [1.5, 4.0, 20.0])
def test_an_exact_curve_is_found(knee):
    data = np.geomspace(0.05 * C, 20 * C, 9)
    found = fit_capacity(data, (data**-knee + C**-knee) ** (-1 / knee))
    assert found.capacity.estimate == pytest.approx(C, rel=1e-4)
    assert found.knee == pytest.approx(knee, rel=1e-3)
    assert found.n == 9


def test_a_sharp_knee_is_the_smaller_of_data_and_capacity():
    data = np.array([1e5, 2e5, 4e5, 8e5, 16e5, 32e5])
    found = fit_capacity(data, np.minimum(data, C))
    assert found.capacity.estimate == pytest.approx(C, rel=2e-3)
    assert found.knee > 20
    assert found.at_least == C


def test_is_least_squares_in_log_bits():
    data, bits = models(scatter=0.1, knee=3.0)
    found = fit_capacity(data, bits)

    def misfit(p):
        k = np.exp(p[1])
        return np.log(bits) - p[0] + np.log1p((data / np.exp(p[0])) ** -k) / k

    best = least_squares(misfit, [np.log(C), np.log(3)], bounds=([0, 0], [20, 3]))
    assert found.capacity.estimate == pytest.approx(np.exp(best.x[0]), rel=1e-4)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_on_a_sharp_knee_the_interval_is_that_of_the_models_on_the_plateau(confidence):
    """Those below it hold all there is and say nothing about C, whatever their number."""
    below = np.geomspace(1e-3 * C, 0.3 * C, 30)
    plateau = C * np.exp(0.05 * np.random.default_rng(3).normal(size=4))
    data = np.concatenate([below, [4 * C, 5 * C, 6 * C, 7 * C]])
    found = fit_capacity(data, np.concatenate([below, plateau]), confidence)
    logs = np.log(plateau)
    half = t.ppf((1 + confidence) / 2, 3) * logs.std(ddof=1) / 2
    expected = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    got = found.capacity.estimate, found.capacity.low, found.capacity.high
    assert got == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("knee", "n_seeds"), [(100.0, 1), (100.0, 3), (3.0, 3)])
def test_planted_capacity_is_covered(knee, n_seeds):
    found = [fit_capacity(*models(0.04, knee, n_seeds=n_seeds, seed=seed)).capacity for seed in range(60)]
    assert np.mean([x.low <= C <= x.high for x in found]) >= 0.86
    assert np.median([x.high / x.low for x in found]) < (1.6 if n_seeds == 1 else 1.2)


@pytest.mark.parametrize("held", [1.0, 0.7, 0.3])
def test_no_plateau_was_seen(held):
    data, bits = models(top=0.8, held=held, knee=100.0)
    found = fit_capacity(data[::-1], bits[::-1])
    assert (found.capacity, found.knee) == (None, None)
    assert found.at_least == bits.max()


def test_a_knee_beyond_the_data_is_no_plateau():
    data = np.geomspace(0.01 * C, 0.9 * C, 8)
    assert fit_capacity(data, 1 / (1 / data + 1 / C)).capacity is None


def test_one_model_on_the_plateau_has_no_spread():
    data = np.array([0.1, 0.2, 0.4, 0.6, 2.0]) * C
    found = fit_capacity(data, np.minimum(data, C))
    assert found.capacity.estimate == pytest.approx(C, rel=0.01)
    assert np.isnan([found.capacity.low, found.capacity.high]).all()


def test_units_do_not_matter():
    data, bits = models(knee=3.0)
    one, other = fit_capacity(data, bits).capacity, fit_capacity(8 * data[::-1], 8 * bits[::-1]).capacity
    np.testing.assert_allclose(
        [other.estimate, other.low, other.high], [8 * one.estimate, 8 * one.low, 8 * one.high], rtol=1e-4
    )


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: fit_capacity([1.0, 2, 3], [1.0, 2, 2]), "data_bits"),
        (lambda: fit_capacity([1.0, 2, 2, 2], [1.0, 2, 2, 2]), "data_bits"),
        (lambda: fit_capacity([1.0, 2, 3, 4], [1.0, 2, 2]), "bits"),
        (lambda: fit_capacity([1.0, 2, 3, 4], [1.0, 2, 2, 0]), "bits: 0"),
        (lambda: fit_capacity([1.0, 2, 3, 4], [1.0, 2, 3.5, 2]), "bits: 3.5"),
        (lambda: fit_capacity([1.0, 2, 3, float("inf")], [1.0, 2, 2, 2]), "data_bits"),
        (lambda: fit_capacity([1.0, 2, 3, 4], [1.0, 2, 2, 2], 0.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
