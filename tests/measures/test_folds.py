"""Folds, and scores from errors by fold, against arithmetic written out."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from probe.measures.folds import HeldOut, assign_folds, at_setting, difference, select_setting


def held_out(error, reference, sizes=(10, 10, 10)) -> HeldOut:
    as_double = (torch.as_tensor(x, dtype=torch.float64) for x in (error, reference))
    error, reference = torch.broadcast_tensors(*as_double)
    return HeldOut(error, reference, torch.tensor(sizes))


# --- which fold ---


@given(n=st.integers(2, 200), n_folds=st.integers(2, 10), seed=st.integers(0, 10**6))
def test_folds_are_balanced_and_repeatable(n, n_folds, seed):
    n_folds = min(n, n_folds)
    fold = assign_folds(n, n_folds, seed)
    sizes = fold.bincount(minlength=n_folds)
    assert len(sizes) == n_folds
    assert sizes.max() - sizes.min() <= 1
    assert torch.equal(fold, assign_folds(n, n_folds, seed))


def test_folds_are_random():
    folds = torch.stack([assign_folds(1000, 5, seed) for seed in range(2)])
    assert abs((folds[0] == folds[1]).double().mean() - 0.2) < 0.05
    neighbours = (folds[0, 1:] == folds[0, :-1]).double().mean()
    assert abs(neighbours - 0.2) < 0.05


@given(seed=st.integers(0, 10**6), n_folds=st.integers(2, 6))
def test_mirror_pairs_stay_together_and_each_fold_has_its_share_of_them(seed, n_folds):
    a, b = np.divmod(np.arange(13 * 13), 13)
    pair = np.minimum(a, b) * 13 + np.maximum(a, b)
    fold = assign_folds(len(a), n_folds, seed, groups=pair).numpy().reshape(13, 13)
    assert (fold == fold.T).all()
    pairs = np.bincount(fold[np.triu_indices(13, 1)], minlength=n_folds)
    assert pairs.max() - pairs.min() <= 1
    sizes = np.bincount(fold.ravel(), minlength=n_folds)
    assert sizes.max() - sizes.min() <= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 1), "n_folds: got 1; expected 2 to 10, the number of examples"),
        ((3, 5), "n_folds: got 5; expected 2 to 3, the number of examples"),
        ((4, 3, 0, [1, 1, 2, 2]), "n_folds: got 3; expected 2 to 2, the number of groups"),
        ((4, 2, 0, [1, 2]), r"groups: got shape \(2,\); expected \(4,\)"),
    ],
)
def test_folds_that_cannot_be_made(arguments, message):
    with pytest.raises(ValueError, match=message):
        assign_folds(*arguments)


# --- scores ---


def test_score_and_interval_written_out():
    errors, references, sizes = [2.0, 3.0, 7.0], [10.0, 12.0, 14.0], [10, 11, 15]
    score = held_out(np.array(errors)[:, None], np.array(references)[:, None], sizes).score(0.9)
    r2 = 1 - 12 / 36
    deviations = [((1 - r2) * reference - error) / 12 for error, reference in zip(errors, references, strict=True)]
    variance = sum(x * x for x in deviations) / 2
    test_by_train = (10 / 26 + 11 / 25 + 15 / 21) / 3
    half = stats.t.ppf(0.95, 2) * math.sqrt(variance * (1 / 3 + test_by_train))
    assert score.value.item() == pytest.approx(r2)
    assert score.low.item() == pytest.approx(r2 - half)
    assert score.high.item() == pytest.approx(r2 + half)


def test_with_equal_references_the_interval_is_that_of_the_scores_of_the_folds():
    scores = np.array([0.5, 0.6, 0.9])
    score = held_out((1 - scores)[:, None] * 8, np.full((3, 1), 8.0)).score()
    half = stats.t.ppf(0.975, 2) * scores.std(ddof=1) * math.sqrt(1 / 3 + 1 / 2)
    assert score.value.item() == pytest.approx(scores.mean())
    assert (score.high - score.low).item() == pytest.approx(2 * half)


def test_coverage_for_independent_folds_is_conservative_by_the_correction():
    """Folds that are independent do not need the correction: the interval is sqrt(1 + K/(K-1)) times too wide."""
    rng = np.random.default_rng(0)
    errors = 1 + 0.1 * rng.normal(size=(4000, 5, 1))
    score = held_out(errors, np.ones((5, 1)), [10] * 5).score(0.9)
    covered = ((score.low < 0) & (score.high > 0)).double().mean().item()
    expected = 1 - 2 * stats.t.sf(stats.t.ppf(0.95, 4) * math.sqrt(1 + 5 / 4), 4)
    assert covered == pytest.approx(expected, abs=0.01)


def test_a_target_without_reference_error_has_no_score():
    score = held_out(np.full((3, 2), 1e-30), np.array([[0.0, 1.0]] * 3)).score()
    assert score.value.isnan().tolist() == [True, False]
    assert score.low.isnan().tolist() == [True, False]


def test_targets_with_one_label_are_one_target():
    error = torch.rand(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    reference = 1 + error
    grouped = held_out(error, reference).grouped(["b", "a", "b", "a"])
    by_hand = held_out(error[..., [0, 1]] + error[..., [2, 3]], reference[..., [0, 1]] + reference[..., [2, 3]])
    torch.testing.assert_close(grouped.error, by_hand.error)
    torch.testing.assert_close(grouped.score().value, by_hand.score().value)
    torch.testing.assert_close(grouped.score().low, by_hand.score().low)
    with pytest.raises(ValueError, match="labels: got 3 labels; expected 4, one per target"):
        held_out(error, reference).grouped([1, 1, 2])


def test_a_difference_is_paired_by_fold():
    result = np.array([0.9, 0.7, 0.8])[:, None]
    same_shift = difference(held_out(1 - result, np.ones((3, 1))), held_out(1.5 - result, np.ones((3, 1))))
    assert same_shift.value.item() == pytest.approx(0.5)
    assert same_shift.low.item() == pytest.approx(0.5)  # every fold says the same
    other = np.array([0.1, 0.4, 0.1])[:, None]
    gap = difference(held_out(1 - result, np.ones((3, 1))), held_out(1 - other, np.ones((3, 1))), 0.8)
    by_fold = (result - other)[:, 0]
    half = stats.t.ppf(0.9, 2) * by_fold.std(ddof=1) * math.sqrt(1 / 3 + 1 / 2)
    assert gap.value.item() == pytest.approx(by_fold.mean())
    assert (gap.high.item(), gap.low.item()) == pytest.approx((by_fold.mean() + half, by_fold.mean() - half))


def test_several_controls_are_averaged():
    result = held_out(torch.rand(2, 3, 4), torch.ones(2, 3, 4))
    controls = [held_out(torch.rand(2, 3, 4), torch.ones(2, 3, 4)) for _ in range(3)]
    stacked = held_out(torch.stack([c.error for c in controls]), torch.ones(3, 2, 3, 4))
    mean = sum(c.score().value for c in controls) / 3
    gap = difference(result, stacked)
    torch.testing.assert_close(gap.value, result.score().value - mean)
    averaged = held_out(stacked.error.mean(0), torch.ones(2, 3, 4))
    torch.testing.assert_close(gap.low, difference(result, averaged).low)


def test_what_cannot_be_compared():
    result = held_out(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"control: got folds of \[9, 10, 11\] examples; expected .* \[10, 10, 10\]"):
        difference(result, held_out(np.ones((3, 2)), np.ones((3, 2)), [9, 10, 11]))
    with pytest.raises(ValueError, match=r"control: got errors of shape \(3, 1\); expected \(3, 2\)"):
        difference(result, held_out(np.ones((3, 1)), np.ones((3, 1))))
    with pytest.raises(ValueError, match="confidence: got 95; expected a number between 0 and 1"):
        result.score(95)


# --- choosing a setting ---


def test_each_fold_is_judged_at_the_setting_that_is_best_elsewhere():
    # setting 0 is best in fold 0 only, by so much that it is best overall
    error = torch.tensor([[[0.0], [3.0], [3.0]], [[9.0], [2.0], [2.0]]])
    best, elsewhere = select_setting(error, torch.tensor([0]))
    assert best.tolist() == [0]
    assert elsewhere.tolist() == [[1], [0], [0]]
    assert at_setting(error, elsewhere).tolist() == [[9.0], [3.0], [3.0]]


def test_targets_of_a_group_share_the_setting_of_their_sum():
    error = torch.tensor([[[1.0, 5.0, 2.0]] * 2, [[3.0, 2.0, 1.0]] * 2])  # [setting, fold, target]
    assert select_setting(error, torch.tensor([0, 1, 2]))[0].tolist() == [0, 1, 1]
    assert select_setting(error, torch.tensor([0, 0, 1]))[0].tolist() == [1, 1, 1]
    assert select_setting(error, torch.tensor([0, 1, 0]))[0].tolist() == [0, 1, 0]
