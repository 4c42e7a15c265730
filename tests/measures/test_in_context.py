"""Learning in context: closed forms, sequences as what is independent, and how often intervals hold."""

import numpy as np
import pytest
from scipy import stats

from probe.measures.in_context import icl_score, shot_curve


def test_who_copies_what_was_shown_is_right_from_the_first_example_on():
    shown = np.array([[0, 1, 0, 2], [0, 0, 1, -1]])
    right = shown > 0
    loss = np.where(shown == 0, np.log(8), 0.0)
    curve = shot_curve(right, loss, shown)
    assert curve.shown.tolist() == [0, 1, 2]
    assert [one.estimate for one in curve.accuracy] == [0, 1, 1]
    assert [one.estimate for one in curve.loss] == pytest.approx([np.log(8), 0, 0])
    assert [one.n for one in curve.accuracy] == [2, 2, 1]  # sequences that have such a place
    # of all right or all wrong no more is known than that of so many sequences none failed
    assert curve.accuracy[1].low == pytest.approx(0.025 ** (1 / 2))
    assert curve.accuracy[0].high == pytest.approx(1 - 0.025 ** (1 / 2))
    assert np.isnan([curve.loss[2].low, curve.loss[2].high]).all()


def test_places_of_a_sequence_that_are_alike_count_as_one():
    """Every sequence is all right or all wrong: the interval is that of so many sequences."""
    rng = np.random.default_rng(0)
    whole = rng.random(200) < 0.3
    right = np.repeat(whole[:, None], 20, axis=1)
    curve = shot_curve(right, right.astype(float), np.zeros(right.shape, dtype=int))
    (accuracy,), (loss,) = curve.accuracy, curve.loss
    assert accuracy.estimate == pytest.approx(whole.mean())
    alone = stats.binomtest(int(whole.sum()), 200).proportion_ci(method="exact")
    assert (accuracy.low, accuracy.high) == pytest.approx((alone.low, alone.high), abs=0.005)
    half = stats.t.ppf(0.975, 199) * whole.std(ddof=1) / np.sqrt(200)
    assert (loss.low, loss.high) == pytest.approx((whole.mean() - half, whole.mean() + half))


def test_the_loss_of_unequal_numbers_of_places_is_a_ratio_and_its_interval_holds():
    held = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        shown = np.where(rng.random((60, 9)) < rng.random((60, 1)), 0, -1)
        loss = 2 + rng.normal(size=(60, 1)) + rng.normal(size=(60, 9))
        (found,) = shot_curve(loss > 0, loss, shown).loss
        assert found.estimate == pytest.approx(loss[shown == 0].mean())
        held += found.low <= 2 <= found.high
    assert 0.91 < held / 300 < 0.985


def test_the_icl_score_is_late_less_early():
    loss = np.array([[2.0, 1.0, 0.5], [2.0, 1.5, 1.0], [2.5, 1.0, 0.0]])
    found = icl_score(loss)
    differences = loss[:, -1] - loss[:, 0]
    assert found.estimate == pytest.approx(differences.mean())
    half = stats.t.ppf(0.975, 2) * differences.std(ddof=1) / np.sqrt(3)
    assert (found.low, found.high, found.n) == pytest.approx((found.estimate - half, found.estimate + half, 3))
    assert icl_score(loss, early=1).estimate == pytest.approx((loss[:, 2] - loss[:, 1]).mean())
    assert icl_score(loss, late=1).estimate == pytest.approx((loss[:, 1] - loss[:, 0]).mean())


def test_without_learning_the_interval_of_the_score_holds_0():
    held = [icl_score(np.random.default_rng(seed).exponential(size=(40, 6))) for seed in range(200)]
    assert 0.9 < np.mean([one.low <= 0 <= one.high for one in held]) < 0.99


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda: icl_score(np.zeros((3, 4)), early=4), "early: got 4; expected -4 to 3"),
        (lambda: icl_score(np.zeros((3, 4)), late=0), "late: got 0; expected a place after early, 0"),
        (lambda: icl_score(np.zeros((1, 4))), "loss: 1 sequence given"),
        (lambda: icl_score(np.zeros((3, 4)), confidence=1), "confidence: 1"),
        (lambda: shot_curve(np.zeros((2, 3)), np.zeros((2, 2)), np.zeros((2, 3))), r"shapes \(2, 3\), \(2, 2\)"),
        (lambda: shot_curve(np.zeros((2, 3)), np.zeros((2, 3)), np.full((2, 3), -1)), "shown: no place"),
    ],
)
def test_what_cannot_be_is_refused_by_name(asked, message):
    with pytest.raises(ValueError, match=message):
        asked()
