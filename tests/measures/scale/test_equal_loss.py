"""Size at equal loss: nothing where performance is a function of loss, something where it is not."""

import numpy as np
import pytest
from scipy import stats

from probe.measures.scale.equal_loss import beyond_loss

RNG = np.random.default_rng(0)
SIZE = np.repeat(np.geomspace(1e8, 1e10, 5), 8)
LOSS = 4 - 0.3 * np.log10(SIZE) + RNG.uniform(0, 1, 40)


def test_a_function_of_loss_leaves_nothing_to_size():
    value = 1 / (1 + np.exp(5 * (LOSS - 1.8))) + 0.01 * RNG.normal(size=40)
    found = beyond_loss(LOSS, SIZE, value)
    assert found.with_loss < -0.9
    assert found.low < 0 < found.high
    assert found.p > 0.05
    assert found.n == 40


def test_what_size_adds_is_seen():
    value = 1 / (1 + np.exp(5 * (LOSS - 1.8))) + 0.3 * np.log10(SIZE)
    found = beyond_loss(LOSS, SIZE, value)
    assert found.low > 0.3
    assert found.p < 1e-3


def test_it_is_the_partial_correlation_of_ranks():
    value = RNG.normal(size=40) + np.log10(SIZE)
    r = {
        pair: stats.spearmanr(a, b)[0] for pair, a, b in (("vs", value, SIZE), ("vl", value, LOSS), ("sl", SIZE, LOSS))
    }
    expected = (r["vs"] - r["vl"] * r["sl"]) / np.sqrt((1 - r["vl"] ** 2) * (1 - r["sl"] ** 2))
    assert beyond_loss(LOSS, SIZE, value).correlation == pytest.approx(expected)


def test_it_errs_as_often_as_it_says():
    rng = np.random.default_rng(4)
    p = [beyond_loss(rng.permutation(20), rng.permutation(20), rng.normal(size=20)).p for _ in range(400)]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.085


def test_sizes_that_order_models_as_loss_does_say_nothing_more():
    assert np.isnan(beyond_loss(np.arange(8), -np.arange(8), RNG.normal(size=8)).correlation)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2, 3], [1, 2, 3], [1, 2, 3]), "loss: 3 models given, expected 6"),
        ((np.ones(6), np.ones(5), np.ones(6)), r"size: shape \(5,\) given, expected 6 finite"),
        ((np.ones(6), np.ones(6), [1, 2, 3, 4, 5, np.nan]), "value: .*expected 6 finite"),
    ],
)
def test_what_are_no_models_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        beyond_loss(*arguments)
