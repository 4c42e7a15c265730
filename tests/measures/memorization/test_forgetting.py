import numpy as np
import pytest
from scipy.optimize import curve_fit

from probe.measures.memorization import fit_forgetting

STEPS = np.arange(0, 1001, 20)


def batch(baseline=0.3, half_life=80.0, n_facts=200, noise=0.01, start=1.0, seed=0, at=STEPS):
    """Facts kept for good with probability ``baseline``, the rest forgotten independently; M as it is evaluated."""
    rng = np.random.default_rng(seed)
    kept, known = rng.random(n_facts) < baseline, rng.random(n_facts) < start
    life = rng.exponential(half_life / np.log(2), n_facts)
    m = (known[:, None] & (kept[:, None] | (life[:, None] > at))).mean(0)
    return np.clip(m + noise * rng.normal(size=len(at)), 0, 1)


def decay(at, baseline, height, half_life):
    return baseline + height * 0.5 ** (at / half_life)


def test_is_the_least_squares_decay():
    curve = batch(noise=0.02)
    found = fit_forgetting(STEPS, curve, 200)
    best, _ = curve_fit(decay, STEPS, curve, [0.3, 0.7, 80])
    assert found.outcome == "plateau"
    assert found.baseline.estimate == pytest.approx(best[0], abs=1e-5)
    assert found.half_life.estimate == pytest.approx(best[2], rel=1e-4)
    assert found.start == pytest.approx(best[0] + best[1], abs=1e-5)
    assert found.tail.estimate == pytest.approx(curve[STEPS >= 800].mean())
    assert found.n == len(STEPS)
    assert min(found.bic, key=lambda name: found.bic[name]) == "decay"


def test_the_first_evaluation_need_not_be_at_step_0():
    found = fit_forgetting(STEPS + 100_000, decay(STEPS, 0.2, 0.6, 50), 1000)
    assert found.baseline.estimate == pytest.approx(0.2, abs=1e-6)
    assert found.half_life.estimate == pytest.approx(50, rel=1e-5)
    assert found.start == pytest.approx(0.8, abs=1e-6)


def test_without_noise_what_is_left_open_is_binomial():
    """The least-squares weights of a plateau sum to 1, and at a plateau the covariance of facts is p (1 - p) / n."""
    found = fit_forgetting(STEPS, decay(STEPS, 0.4, 0.5, 10), 96)
    near = (0.4 * 96 + 2) / 100
    half = 1.96 * np.sqrt(near * (1 - near) / 100)
    for interval in (found.baseline, found.tail):
        assert interval.high - interval.estimate == pytest.approx(half, rel=0.02)
        assert interval.estimate - interval.low == pytest.approx(half, rel=0.02)
    assert fit_forgetting(STEPS, decay(STEPS, 0.4, 0.5, 10), 10_000).baseline.high < 0.411


@pytest.mark.parametrize(("baseline", "half_life", "n_facts"), [(0.1, 60.0, 100), (0.45, 150.0, 400)])
def test_planted_baseline_and_half_life_are_covered(baseline, half_life, n_facts):
    held = []
    for seed in range(60):
        found = fit_forgetting(STEPS, batch(baseline, half_life, n_facts, 0.015, seed=seed), n_facts)
        assert found.outcome == "plateau"
        held.append(
            [
                found.baseline.low <= baseline <= found.baseline.high,
                found.half_life.low <= half_life <= found.half_life.high,
                found.tail.low <= decay(900, baseline, 1 - baseline, half_life) <= found.tail.high,
            ]
        )
    assert (np.mean(held, axis=0) >= 0.88).all()
    assert found.half_life.high < 2 * found.half_life.low  # and they say something


def test_never_fell():
    found = fit_forgetting(STEPS, 0.8 + 0.02 * np.random.default_rng(0).normal(size=len(STEPS)), 100)
    assert found.outcome == "level"
    assert found.half_life is None
    assert found.baseline.low < 0.8 < found.baseline.high
    assert found.baseline.estimate == pytest.approx(found.tail.estimate, abs=0.02)


@pytest.mark.parametrize("m", [0.0, 1.0])
def test_all_or_nothing_all_along_is_not_certain(m):
    found = fit_forgetting(STEPS, np.full(len(STEPS), m), 50)
    assert (found.outcome, found.baseline.estimate) == ("level", m)
    assert 0.05 < found.baseline.high - found.baseline.low < 0.12
    assert 0 <= found.baseline.low <= found.baseline.high <= 1


@pytest.mark.parametrize("curve", [0.9 - 0.0004 * STEPS, decay(STEPS, 0.1, 0.8, 700), decay(STEPS, 0.1, 0.8, 350)])
def test_still_falling(curve):
    found = fit_forgetting(STEPS, curve + 0.005 * np.random.default_rng(0).normal(size=len(STEPS)), 500)
    assert found.outcome == "falling"
    assert found.baseline is None
    assert found.half_life is None
    assert found.tail.estimate == pytest.approx(curve[STEPS >= 800].mean(), abs=0.01)
    assert found.tail.low < found.tail.estimate < found.tail.high


def test_nine_tenths_of_the_way_are_a_plateau_seen():
    assert fit_forgetting(STEPS, decay(STEPS, 0.1, 0.8, 300), 500).outcome == "plateau"  # .9008 of it
    assert fit_forgetting(STEPS, decay(STEPS, 0.1, 0.8, 302), 500).outcome == "falling"  # .8993


@pytest.mark.parametrize("curve", [0.2 + 0.0004 * STEPS, decay(STEPS, 0.8, -0.5, 80)])
def test_rising_is_not_keeping(curve):
    found = fit_forgetting(STEPS, curve, 500)
    assert (found.outcome, found.baseline, found.half_life) == ("rising", None, None)


def test_half_as_many_evaluations_of_a_wobble_that_lasts_say_as_much():
    """Deviations that hang together are not counted as independent."""
    rng = np.random.default_rng(2)
    wobble = np.convolve(rng.normal(size=len(STEPS) + 20), np.ones(20) / 20, mode="valid")[: len(STEPS)]
    found = fit_forgetting(STEPS, np.clip(decay(STEPS, 0.3, 0.6, 30) + 0.1 * wobble, 0, 1), 10**6)
    independent = (0.1 * wobble).std() / np.sqrt(len(STEPS) - 3)
    assert found.baseline.high - found.baseline.estimate > 4 * independent


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: fit_forgetting(STEPS[:9], np.ones(9), 10), "steps"),
        (lambda: fit_forgetting(STEPS[::-1], np.ones(51), 10), "steps"),
        (lambda: fit_forgetting(STEPS, np.ones(50), 10), "memorized"),
        (lambda: fit_forgetting(STEPS, np.ones((2, 51)), 10), "memorized"),
        (lambda: fit_forgetting(STEPS, np.full(51, 90.0), 10), "memorized: 90"),
        (lambda: fit_forgetting(STEPS, np.full(51, np.nan), 10), "memorized"),
        (lambda: fit_forgetting(STEPS, np.ones(51), 0), "n_facts: 0"),
        (lambda: fit_forgetting(STEPS, np.ones(51), 10, 1.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
