import math

import numpy as np
import pytest
import torch

from probe.measures.performance import accuracy, cross_entropy, subset_mean


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
