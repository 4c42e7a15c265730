"""Metrics against closed forms, and against scipy and torch."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from circuits import (
    Metric,
    accuracy,
    answer_log_prob,
    answer_loss,
    kl_from_clean,
    logit_difference,
    set_probability,
)
from circuits.metrics import Asked

ALL = [logit_difference, answer_log_prob, answer_loss, kl_from_clean, accuracy, set_probability([2, 5])]
each = pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)


def asked(logits, answers=(2, 5, 2), wrong=(0, 1, 4)):
    wrong = None if wrong is None else torch.tensor(wrong)
    return Asked(range(len(logits)), torch.tensor(answers), wrong, logits)


def drawn():
    return torch.randn(3, 7, generator=torch.Generator().manual_seed(0))


def test_values():
    logits, clean = drawn(), drawn().flip(1)
    given = asked(clean)
    p, q = softmax(clean.double().numpy(), 1), softmax(logits.double().numpy(), 1)
    rows = np.arange(3)
    expected = {
        "logit_difference": logits[rows, [2, 5, 2]] - logits[rows, [0, 1, 4]],
        "answer_log_prob": np.log(q[rows, [2, 5, 2]]),
        "answer_loss": torch.nn.functional.cross_entropy(logits, given.answers, reduction="none"),
        "kl_from_clean": entropy(p, q, axis=1),
        "accuracy": logits.argmax(1) == given.answers,
        "set_probability": q[:, 2] + q[:, 5],
    }
    for metric in ALL:
        found = metric(logits, given)
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found, np.asarray(expected[metric.name], float), rtol=1e-5)


def test_values_on_paper():
    """Two tokens, odds 3 : 1."""
    logits = torch.tensor([[np.log(3), 0.0], [0.0, 0.0]])
    given = asked(logits[:1].repeat(2, 1), (0, 0), (1, 1))
    assert logit_difference(logits, given).tolist() == pytest.approx([np.log(3), 0])
    assert answer_log_prob(logits, given).tolist() == pytest.approx([np.log(3 / 4), np.log(1 / 2)])
    assert answer_loss(logits, given).tolist() == pytest.approx([np.log(4 / 3), np.log(2)])
    kl = 3 / 4 * np.log(3 / 2) + 1 / 4 * np.log(1 / 2)
    assert kl_from_clean(logits, given).tolist() == pytest.approx([0, kl])
    assert accuracy(logits, given).tolist() == [1, 1]  # of equal logits the first
    assert set_probability([0])(logits, given).tolist() == pytest.approx([3 / 4, 1 / 2])
    assert set_probability([0, 1])(logits, given).tolist() == pytest.approx([1, 1])


@each
def test_the_direction_is_where_the_behaviour_is(metric):
    """Logits that say the right answer, as the clean ones do, against logits that say the wrong one."""
    right, wrong = torch.zeros(3, 7), torch.zeros(3, 7)
    right[range(3), [2, 5, 2]] = 5
    wrong[range(3), [0, 1, 4]] = 5
    given = asked(right)
    assert ((metric(right, given) - metric(wrong, given)) * metric.direction > 0).all()


@each
def test_only_what_says_so_is_flat_on_clean_questions(metric):
    logits = drawn().requires_grad_()
    values = metric(logits, asked(logits.detach()))
    if metric is accuracy:
        assert not values.requires_grad
        return
    slope = torch.autograd.grad(values.sum(), logits)[0].abs().max()
    assert (slope < 1e-6) == metric.flat_at_clean


def test_what_is_refused():
    with pytest.raises(ValueError, match="wrong_answers"):
        logit_difference(drawn(), asked(drawn(), wrong=None))
    with pytest.raises(ValueError, match="direction: got 2"):
        Metric("x", 2, lambda logits, asked: logits[:, 0])
    with pytest.raises(ValueError, match=r"x gave shape \[3, 7\]; expected \[3\]"):
        Metric("x", 1, lambda logits, asked: logits)(drawn(), asked(drawn()))
    with pytest.raises(ValueError, match=r"x gave 3; expected \[3\]"):
        Metric("x", 1, lambda logits, asked: 3)(drawn(), asked(drawn()))
    for tokens in ([], [1, 1], [-1]):
        with pytest.raises(ValueError, match="tokens: got"):
            set_probability(tokens)
    with pytest.raises(ValueError, match="tokens: got 7; the model has logits 0 to 6"):
        set_probability([7])(drawn(), asked(drawn()))
