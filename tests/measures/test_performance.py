import math

import numpy as np
import pytest
import torch

from probe.measures.performance import Outcomes, accuracy, cross_entropy, outcomes, subset_mean


def slow_cross_entropy(logits, answer):
    return math.log(sum(math.exp(x) for x in logits)) - logits[answer]


def test_cross_entropy_against_plain_python():
    logits = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    answers = torch.tensor([3, 0, 1, 1, 2])
    loss = cross_entropy(logits, answers)
    assert loss.shape == (2, 5)
    assert loss.dtype == torch.float64
    for model in range(2):
        for example in range(5):
            expected = slow_cross_entropy(logits[model, example].tolist(), int(answers[example]))
            assert loss[model, example].item() == pytest.approx(expected, rel=1e-12)


def test_cross_entropy_resolves_losses_that_float32_rounds_away():
    logits = torch.tensor([[20.0, 0.0]], dtype=torch.float32)
    expected = math.log1p(math.exp(-20))  # 2.06e-9; a float32 log-softmax gives 0
    assert cross_entropy(logits, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-6)


def test_uniform_logits_lose_log_n():
    assert cross_entropy(np.full((3, 7), 4.0), np.array([0, 3, 6])).tolist() == pytest.approx([math.log(7)] * 3)


def test_accuracy_is_one_where_the_right_answer_is_largest():
    logits = np.array([[[0.0, 2.0, 1.0], [5.0, 1.0, 1.0]], [[3.0, 2.0, 1.0], [1.0, 1.0, 5.0]]])
    correct = accuracy(logits, np.array([1, 0]))
    assert correct.dtype == torch.float64
    assert correct.tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_subset_mean_is_over_the_selected_examples_only():
    values = np.array([[1.0, 10.0, 3.0], [0.0, 7.0, 1.0]])
    assert subset_mean(values, np.array([True, False, True])).tolist() == [2.0, 0.5]


@pytest.mark.parametrize("answers", [[0, 3], [-1, 0], [0], [[0, 1]]])
def test_answers_that_do_not_fit_are_refused(answers):
    for measure in (cross_entropy, accuracy):
        with pytest.raises(ValueError, match=r"answers: .*given, expected"):
            measure(torch.zeros(2, 3), torch.tensor(answers))


def test_logits_need_an_example_and_an_answer_dimension():
    with pytest.raises(ValueError, match="logits: shape"):
        cross_entropy(torch.zeros(3), torch.tensor([0]))


@pytest.mark.parametrize("mask", [[False, False], [True]])
def test_empty_and_misfitting_masks_are_refused(mask):
    with pytest.raises(ValueError, match="mask: "):
        subset_mean(torch.zeros(2), torch.tensor(mask))


LOGITS = torch.randn(2, 6, 3, 5, generator=torch.Generator().manual_seed(1))
TARGETS = torch.tensor([[0, 4, 2], [3, -1, -1], [1, 1, -1], [-1, 2, 2], [-1, -1, 0], [4, -1, 3]])


def test_outcomes_token_by_token_against_plain_python():
    """Answers of one to three tokens, some of which begin late: each token by itself, then put together by hand."""
    found = outcomes(LOGITS, TARGETS)
    assert (found.exact.shape, found.loss.shape, found.token_accuracy.shape) == ((2, 6), (2, 6), (2, 6))
    for model in range(2):
        for example, targets in enumerate(TARGETS.tolist()):
            losses, right = [], []
            for token, target in enumerate(targets):
                row = LOGITS[model, example, token].tolist()
                assert found.scored[example, token] == (target >= 0)
                if target < 0:
                    assert (found.log_probs[model, example, token], found.predicted[model, example, token]) == (0, -1)
                    continue
                losses.append(slow_cross_entropy(row, target))
                right.append(row.index(max(row)) == target)
                assert found.predicted[model, example, token] == row.index(max(row))
                assert found.log_probs[model, example, token].item() == pytest.approx(-losses[-1], rel=1e-12)
            assert found.loss[model, example].item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)
            assert found.exact[model, example] == float(all(right))
            assert found.token_accuracy[model, example].item() == pytest.approx(sum(right) / len(right))


def test_outcomes_of_one_token_are_cross_entropy_and_accuracy():
    logits, answers = LOGITS[:, :, 0], TARGETS.clamp(min=0)[:, 0]
    found = outcomes(logits[:, :, None], answers[:, None])
    assert torch.equal(found.loss, cross_entropy(logits, answers))
    assert torch.equal(found.exact, accuracy(logits, answers))
    assert torch.equal(found.token_accuracy, accuracy(logits, answers))


def test_outcomes_of_batches_join_to_those_of_all():
    parts = [outcomes(LOGITS[:, part], TARGETS[part]) for part in (slice(0, 4), slice(4, 6))]
    joined, whole = Outcomes.joined(parts), outcomes(LOGITS, TARGETS)
    for field in ("log_probs", "predicted", "right", "scored"):
        assert torch.equal(getattr(joined, field), getattr(whole, field)), field


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (TARGETS[:, :2], r"targets: shape \(6, 2\) given, expected .* of logits of shape \(2, 6, 3, 5\)"),
        (torch.full((6, 3), -1), "targets: example 0 has no scored token"),
        (TARGETS.clone().index_fill_(1, torch.tensor([1]), 5), "targets: 5 given, expected -1 or 0 to 4"),
        (torch.where(TARGETS == -1, -2, TARGETS), "targets: -2 given"),
    ],
)
def test_targets_that_do_not_fit_are_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        outcomes(LOGITS, targets)
