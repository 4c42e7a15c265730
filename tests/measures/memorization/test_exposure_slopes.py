import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binomtest, norm, t

from probe.measures.memorization import fit_exposure_line, fit_exposure_logistic
from tests.measures.memorization.test_logistic_model import design, penalized, profile


def recall(seed, n=200, slope=0.8, intercept=-2.0, batch=()):
    rng = np.random.default_rng(seed)
    doublings = rng.integers(0, 8, n)
    right = rng.random((*batch, n)) < expit(intercept + slope * doublings)
    return 2.0**doublings - 1, right


def test_two_levels_in_closed_form():
    """2 of 10 right without exposure, 9 of 12 after 3: a slope per doubling of 1 + exposures, half added to cells."""
    exposures = np.repeat([0.0, 3.0], [10, 12])
    right = np.r_[np.arange(10) < 2, np.arange(12) < 9]
    fit = fit_exposure_logistic(exposures, right)
    low, high = np.log(2.5 / 8.5), np.log(9.5 / 3.5)
    assert (fit.intercept, fit.slope.value) == pytest.approx((low, (high - low) / 2), abs=1e-5)
    assert fit.half_known.value == pytest.approx(2 ** (-2 * low / (high - low)) - 1, rel=1e-4)
    assert fit.at([0.0, 3.0]).tolist() == pytest.approx([2.5 / 11, 9.5 / 13], abs=1e-5)
    exact = binomtest(2, 10).proportion_ci(0.95, method="exact")
    assert (fit.unseen.value, fit.unseen.low, fit.unseen.high, fit.unseen.n) == pytest.approx((0.2, *exact, 10))
    assert not fit.separated


def test_one_exposure_is_not_unseen():
    exposures, right = np.repeat([0.0, 1.0, 3.0], 10), np.tile(np.arange(10), 3) < np.repeat([1, 5, 8], 10)
    fit = fit_exposure_logistic(exposures, right)
    assert (fit.unseen.value, fit.unseen.n) == (0.1, 10)
    assert fit_exposure_logistic(exposures[10:], right[10:]).unseen is None


def test_interval_of_the_half_known_exposures():
    exposures, right = recall(0)
    fit = fit_exposure_logistic(exposures, right, confidence=0.9)
    features, y, n = design(np.log2(1 + exposures)), right.astype(float), np.ones(200)
    top = penalized(features, y, n, np.array([fit.intercept, fit.slope.value]))
    for end in (fit.half_known.low, fit.half_known.high):
        through = np.array([1.0, np.log2(1 + end)])
        assert 2 * (top - profile(features, y, n, through, 0.0)) == pytest.approx(norm.ppf(0.95) ** 2, rel=1e-3)
    assert fit.half_known.low < fit.half_known.value < fit.half_known.high
    assert fit.half_known.value == pytest.approx(2 ** (-fit.intercept / fit.slope.value) - 1)


def test_half_known_where_there_is_none():
    exposures = np.repeat(2.0 ** np.arange(6) - 1, 20)
    falling = np.tile(np.arange(20), 6) < np.repeat([12, 10, 8, 6, 4, 2], 20)
    fit = fit_exposure_logistic(exposures, falling)
    assert fit.slope.high < 0
    assert (fit.half_known.value, fit.half_known.low, fit.half_known.high) == (np.inf, 0.0, np.inf)
    known = np.tile(np.arange(20), 6) < np.repeat([14, 15, 16, 17, 18, 19], 20)
    fit = fit_exposure_logistic(exposures, known)
    assert fit.slope.low > 0
    assert (fit.half_known.value, fit.half_known.low) == (0.0, 0.0)
    assert 0 <= fit.half_known.high < 1
    hardly = np.tile(np.arange(20), 6) < np.repeat([2, 3, 2, 3, 3, 3], 20)
    fit = fit_exposure_logistic(exposures, hardly)
    assert fit.slope.low < 0 < fit.slope.value
    assert fit.half_known.value > 1000
    assert fit.half_known.high == np.inf
    assert 0 < fit.half_known.low < fit.half_known.value


def test_exposures_that_tell_right_from_wrong():
    exposures = np.arange(20.0)
    fit = fit_exposure_logistic(exposures, exposures > 7)
    assert fit.separated
    assert fit.slope.high == np.inf
    assert 0 < fit.slope.low < fit.slope.value < np.inf
    assert fit.half_known.low < 7.5 < fit.half_known.high < 20


def test_a_batch_is_as_its_members():
    exposures, right = recall(1, n=60, batch=(2, 3))
    batch = fit_exposure_logistic(torch.from_numpy(exposures), torch.from_numpy(right))
    assert batch.slope.value.shape == batch.half_known.high.shape == batch.unseen.low.shape == (2, 3)
    assert batch.separated.dtype == torch.bool
    one = fit_exposure_logistic(exposures, right[1, 2])
    assert isinstance(one.slope.value, float)
    assert isinstance(one.separated, bool)
    for name in ("slope", "half_known", "unseen"):
        for end in ("value", "low", "high"):
            assert getattr(getattr(batch, name), end)[1, 2].item() == pytest.approx(getattr(getattr(one, name), end))
    np.testing.assert_allclose(batch.at([1.0, 7.0])[1, 2], one.at([1.0, 7.0]))


def test_planted_slopes_are_covered():
    exposures, right = recall(2, n=60, batch=(200,))
    fit = fit_exposure_logistic(exposures, right)
    for found, true in ((fit.slope, 0.8), (fit.half_known, 2**2.5 - 1)):
        covered = ((found.low <= true) & (true <= found.high)).double().mean().item()
        assert 0.91 <= covered <= 0.99
    assert fit.slope.value.mean().item() == pytest.approx(0.8, abs=0.05)


def test_operands_need_clusters():
    rng = np.random.default_rng(3)
    a, b = np.meshgrid(np.arange(15), np.arange(15), indexing="ij")
    facts = np.stack([a.ravel(), b.ravel()], axis=1)
    covered = []
    for _ in range(60):
        doublings, effect = rng.uniform(0, 4, 15)[facts].sum(1), rng.normal(size=15)[facts].sum(1)
        right = rng.random(225) < expit(effect)  # no slope at all
        fits = [fit_exposure_logistic(2**doublings - 1, right, clusters=x).slope for x in (facts, None)]
        covered.append([fit.low <= 0 <= fit.high for fit in fits])
    clustered, alone = np.mean(covered, axis=0)
    assert clustered >= 0.85
    assert alone <= 0.7


def test_items_of_one_fact_depend_on_each_other():
    exposures = np.repeat(2.0 ** np.arange(5) - 1, 4)
    accuracy = np.tile([0.1, 0.3, 0.7, 0.9], 5)
    as_items = fit_exposure_logistic(exposures, accuracy, n_items=10)
    apart = np.concatenate([np.arange(10) < 10 * x for x in accuracy])
    as_facts = fit_exposure_logistic(np.repeat(exposures, 10), apart)
    assert as_items.slope.value == pytest.approx(as_facts.slope.value, abs=1e-5)
    assert as_items.slope.high > 1.5 * as_facts.slope.high
    same = fit_exposure_logistic(exposures, accuracy, n_items=10, clusters=np.arange(20))
    assert same.slope == as_items.slope


def textbook_line(x, y, confidence):
    """Least squares with HC3 by the leverage of every fact."""
    features = design(x)
    bread = np.linalg.inv(features.T @ features)
    coefficients = bread @ features.T @ y
    residual = (y - features @ coefficients) / (1 - np.einsum("fi,ij,fj->f", features, bread, features))
    error = np.sqrt(np.diag(bread @ (features.T * residual**2) @ features @ bread))
    half = t.ppf((1 + confidence) / 2, len(x) - 2) * error
    return np.stack([coefficients, coefficients - half, coefficients + half])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.8, 0.95]))
def test_line_against_the_textbook(seed, confidence):
    rng = np.random.default_rng(seed)
    exposures = np.r_[0, 0, 0, rng.integers(1, 100, 12)].astype(float)
    if np.ptp(exposures[3:]) == 0:
        return
    score = rng.normal(size=(2, 15))
    fit = fit_exposure_line(exposures, score, confidence=confidence)
    for model in range(2):
        expected = textbook_line(np.log2(exposures[3:]), score[model, 3:], confidence)
        for i, found in enumerate((fit.at_one, fit.slope)):
            got = [getattr(found, end)[model].item() for end in ("value", "low", "high")]
            np.testing.assert_allclose(got, expected[:, i], rtol=1e-7, atol=1e-9)
        unseen = score[model, :3]
        half = t.ppf((1 + confidence) / 2, 2) * unseen.std(ddof=1) / np.sqrt(3)
        assert fit.unseen.high[model].item() == pytest.approx(unseen.mean() + half)
    assert (fit.slope.n, fit.unseen.n) == (12, 3)


def test_line_of_clusters_is_wider_where_they_differ():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 10)
    exposures = 2.0 ** np.arange(12)[labels]
    score = 0.1 * np.arange(12)[labels] + rng.normal(size=12)[labels] + rng.normal(size=120) / 10
    fits = [fit_exposure_line(exposures, score, clusters=x).slope for x in (labels, None)]
    assert fits[0].value == fits[1].value == pytest.approx(np.polyfit(np.log2(exposures), score, 1)[0])
    assert fits[0].high - fits[0].low > 2 * (fits[1].high - fits[1].low)
    assert fit_exposure_line(exposures, score).unseen is None


RIGHT = [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: fit_exposure_logistic([1.0, 2.0, -1.0, 3.0], RIGHT), "exposures: -1"),
        (lambda: fit_exposure_logistic([1.0, 2.0, np.nan, 3.0], RIGHT), "exposures: nan"),
        (lambda: fit_exposure_logistic([2.0] * 4, RIGHT), "exposures: 2 given for all"),
        (lambda: fit_exposure_logistic([[1.0, 2.0]], RIGHT), "exposures"),
        (lambda: fit_exposure_logistic([1.0, 2.0, 3.0], RIGHT), "correct: shape"),
        (lambda: fit_exposure_logistic(range(4), [1.0] * 4), "correct: all facts are right,"),
        (lambda: fit_exposure_logistic(range(4), [RIGHT, [0.0] * 4]), r"correct: all facts are wrong at \[1\]"),
        (lambda: fit_exposure_logistic(range(4), [0.0, 0.5, 1.0, 0.0]), "correct: 0.5"),
        (lambda: fit_exposure_logistic(range(4), [0.0, 0.5, 1.0, np.nan], 10), "correct: nan"),
        (lambda: fit_exposure_logistic(range(4), RIGHT, clusters=[0, 0, 1, 1]), "clusters: 2"),
        (lambda: fit_exposure_logistic(range(2), [0.2, 0.4], n_items=10), "exposures: 2"),
        (lambda: fit_exposure_logistic(range(4), RIGHT, confidence=1.0), "confidence"),
        (lambda: fit_exposure_logistic(range(4), RIGHT).at([-1.0]), "at: -1"),
        (lambda: fit_exposure_line([0.0, 0.0, 2.0, 2.0], RIGHT), r"exposures: \[0.0, 2.0\]"),
        (lambda: fit_exposure_line([0.0, 0.0, 1.0, 2.0], RIGHT), "exposures: 2 facts"),
        (lambda: fit_exposure_line([1.0, 2.0, 3.0], RIGHT), "score: shape"),
        (lambda: fit_exposure_line(range(4), [0.0, 1.0, 1.0, 1.0]), "score: all facts that were shown have one score,"),
        (lambda: fit_exposure_line(range(4), [RIGHT, [2.0] * 4]), r"score: .* at \[1\]"),
        (lambda: fit_exposure_line(range(1, 5), RIGHT, clusters=[0, 0, 1, 1]), "clusters: 2"),
        (lambda: fit_exposure_line(range(4), RIGHT, confidence=0.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
