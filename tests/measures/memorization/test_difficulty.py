import numpy as np
import pytest
import torch
from scipy.special import expit

from probe.measures.memorization import arithmetic_features, fit_equal_difficulty, fit_exposure_logistic

OPERANDS = np.arange(2, 32)
FACTS = OPERANDS[np.stack(np.meshgrid(np.arange(30), np.arange(30), indexing="ij"), axis=-1).reshape(-1, 2)]
FEATURES = arithmetic_features(FACTS, "multiplication")


def recall(seed, slope=0.5):
    """Small and round operands are frequent, and products of them easy."""
    rng = np.random.default_rng(seed)
    weight = np.exp(2.5 * np.exp(-OPERANDS / 20) + 1.5 * (OPERANDS % 10 == 0) + rng.normal(size=30) / 2)
    exposures = np.floor(weight[FACTS - 2].prod(1))
    level = 2 + slope * np.log2(1 + exposures) - 0.6 * FEATURES["log2_larger"] - 0.4 * FEATURES["carries"]
    return exposures, rng.random(len(FACTS)) < expit(level + 1.2 * FEATURES["multiples_of_10"])


def test_a_planted_slope_is_found_at_equal_difficulty_only():
    adjusted, unadjusted = [], []
    for seed in range(12):
        found = fit_equal_difficulty(*recall(seed), FEATURES, clusters=FACTS)
        adjusted.append((found.adjusted.low <= 0.5 <= found.adjusted.high, found.adjusted.value))
        unadjusted.append((found.unadjusted.low <= 0.5 <= found.unadjusted.high, found.unadjusted.value))
    assert np.mean(adjusted, axis=0)[0] >= 10 / 12
    assert np.mean(adjusted, axis=0)[1] == pytest.approx(0.5, abs=0.05)
    assert np.mean(unadjusted, axis=0)[0] <= 2 / 12
    assert np.mean(unadjusted, axis=0)[1] > 0.6


def test_no_effect_but_difficulty():
    every = [fit_equal_difficulty(*recall(seed, slope=0.0), FEATURES, clusters=FACTS) for seed in range(8)]
    assert np.mean([found.unadjusted.value for found in every]) > 0.2
    assert np.mean([found.adjusted.value for found in every]) == pytest.approx(0, abs=0.05)
    assert sum(found.adjusted.low < 0 < found.adjusted.high for found in every) >= 7
    found = every[0]
    assert found.coefficients["carries"].low <= -0.4 <= found.coefficients["carries"].high
    assert found.coefficients["multiples_of_10"].low > 0
    assert not found.separated


def test_unadjusted_is_the_plain_fit():
    exposures, right = recall(0)
    found = fit_equal_difficulty(exposures, right, FEATURES, clusters=FACTS)
    plain = fit_exposure_logistic(exposures, right, clusters=FACTS)
    assert found.unadjusted == plain.slope
    assert tuple(found.coefficients) == tuple(FEATURES)
    assert found.left_out == ()


def test_features_that_follow_from_others_change_nothing():
    exposures, right = recall(1)
    a = {"carries": FEATURES["carries"], "size": FEATURES["log2_larger"]}
    more = {"constant": np.full(900, 3.0), **a, "sum": 2 * a["carries"] - a["size"] + 7}
    found, again = (fit_equal_difficulty(exposures, right, x) for x in (a, more))
    assert again.left_out == ("constant", "sum")
    assert tuple(again.coefficients) == ("carries", "size")
    assert again.adjusted.value == pytest.approx(found.adjusted.value)
    turned = fit_equal_difficulty(exposures, right, {"x": a["carries"] + 100 * a["size"], "y": 1e-3 * a["size"] - 5})
    assert turned.adjusted.value == pytest.approx(found.adjusted.value, rel=1e-5)
    assert (turned.adjusted.low, turned.adjusted.high) == pytest.approx(
        (found.adjusted.low, found.adjusted.high), rel=1e-4
    )


def test_a_feature_that_tells_all_has_no_end():
    exposures, right = recall(2)
    easy = (FACTS % 10 == 0).any(1)
    found = fit_equal_difficulty(exposures, right | easy, {"round": easy.astype(float)})
    assert found.separated
    assert found.coefficients["round"].high == np.inf
    assert 0 < found.coefficients["round"].low < found.coefficients["round"].value < np.inf
    assert np.isfinite([found.adjusted.low, found.adjusted.high]).all()


def test_a_batch_of_accuracies():
    rng = np.random.default_rng(0)
    exposures, features = np.arange(40.0), {"odd": torch.arange(40) % 2}
    accuracy = rng.integers(0, 11, (2, 3, 40)) / 10
    batch = fit_equal_difficulty(exposures, accuracy, features, n_items=10)
    one = fit_equal_difficulty(exposures, accuracy[1, 2], features, n_items=10)
    assert batch.separated.shape == batch.adjusted.low.shape == (2, 3)
    assert isinstance(one.separated, bool)
    for got, expected in (
        (batch.adjusted, one.adjusted),
        (batch.unadjusted, one.unadjusted),
        (batch.coefficients["odd"], one.coefficients["odd"]),
    ):
        for end in ("value", "low", "high"):
            assert getattr(got, end)[1, 2].item() == pytest.approx(getattr(expected, end))


X = {"x": np.array([1.0, 0.0, 0.0, 2.0])}
RIGHT = [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: fit_equal_difficulty(range(4), RIGHT, {}), "features: none"),
        (lambda: fit_equal_difficulty(range(4), RIGHT, [[1.0] * 4]), "features: list"),
        (lambda: fit_equal_difficulty(range(4), RIGHT, {"x": [1.0, 2.0]}), r"features\['x'\]: 2 numbers"),
        (lambda: fit_equal_difficulty(range(4), RIGHT, {"x": [1.0, 2.0, np.nan, 1.0]}), r"features\['x'\]: nan"),
        (lambda: fit_equal_difficulty(range(4), RIGHT, {"x": np.log2(1 + np.arange(4))}), "exposures: they follow"),
        (lambda: fit_equal_difficulty([1.0] * 4, RIGHT, X), "exposures: 1 given for all"),
        (lambda: fit_equal_difficulty([-1.0, 1.0, 2.0, 3.0], RIGHT, X), "exposures: -1"),
        (lambda: fit_equal_difficulty(range(4), [1.0] * 4, X), "correct: all facts are right"),
        (lambda: fit_equal_difficulty(range(4), RIGHT[:3], X), "correct: shape"),
        (lambda: fit_equal_difficulty(range(4), RIGHT, X, clusters=[0, 1, 0, 1]), "clusters: 2"),
        (lambda: fit_equal_difficulty(range(4), RIGHT, X, confidence=0.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
