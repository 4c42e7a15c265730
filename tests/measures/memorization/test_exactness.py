import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom, binomtest, t

from probe.measures.memorization import answers_correct, memorized_share, share_over_seeds


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.int64, (2, 3, 4), elements=st.integers(0, 2)),
    arrays(np.int64, (3, 4), elements=st.integers(-1, 2)).filter(lambda a: (a != -1).any(1).all()),
)
def test_answers_token_by_token(predicted, answers):
    found = answers_correct(predicted, answers)
    assert (found.exact.shape, found.token_share.shape) == ((2, 3), (2, 3))
    assert (found.exact.dtype, found.token_share.dtype) == (torch.bool, torch.float64)
    for model in range(2):
        for fact in range(3):
            pairs = [(p, a) for p, a in zip(predicted[model, fact], answers[fact], strict=True) if a != -1]
            right = [p == a for p, a in pairs]
            assert found.exact[model, fact].item() == all(right)
            assert found.token_share[model, fact].item() == pytest.approx(sum(right) / len(right))


def test_what_is_not_scored_does_not_count():
    answers = np.array([[4, 3, -1], [5, -1, -1]])
    found = answers_correct(np.array([[4, 3, 9], [6, -1, -1]]), answers)
    assert found.exact.tolist() == [True, False]
    assert found.token_share.tolist() == [1.0, 0.0]
    half = answers_correct(torch.tensor([[4, 0, -1], [5, 1, 1]], dtype=torch.int32), answers)
    assert half.exact.tolist() == [False, True]
    assert half.token_share.tolist() == [0.5, 1.0]


def test_answers_may_differ_between_models():
    predicted = np.array([[[1, 2]], [[1, 2]]])
    assert answers_correct(predicted, np.array([[[1, 2]], [[1, 3]]])).exact.tolist() == [[True], [False]]


@pytest.mark.parametrize(
    ("predicted", "answers", "field"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), "answers"),
        (np.zeros((2, 3), int), np.zeros((1, 2, 3), int), "answers"),
        (np.zeros((5, 2, 3), int), np.zeros((4, 2, 3), int), "answers"),
        (np.zeros((2, 3), int), np.full((2, 3), -1), "answers"),
        (np.zeros((2, 3), int), np.array([[1, 2, 3], [-1, -1, -1]]), "answers: only -1 given for fact 1"),
        (np.zeros((2, 3)), np.zeros((2, 3), int), "predicted"),
        (np.zeros((2, 3), bool), np.zeros((2, 3), int), "predicted"),
        (np.zeros((2, 3), int), np.zeros((2, 3)), "answers"),
        (np.zeros(3, int), np.zeros((1, 3), int), "predicted"),
    ],
)
def test_token_ids_that_do_not_fit(predicted, answers, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        answers_correct(predicted, answers)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_share_and_its_exact_interval(confidence):
    correct = np.array([[1, 1, 0, 1, 0, 0, 0], [0] * 7, [1] * 7], dtype=bool)
    share = memorized_share(correct, confidence)
    assert share.n == 7
    for model in range(3):
        k = int(correct[model].sum())
        low, high = binomtest(k, 7).proportion_ci(confidence, method="exact")
        assert share.value[model].item() == pytest.approx(k / 7)
        assert (share.low[model].item(), share.high[model].item()) == pytest.approx((low, high), abs=1e-12)
    assert (share.low[1].item(), share.high[2].item()) == (0.0, 1.0)


def test_one_model_gives_floats_and_batches_tensors():
    one = memorized_share([1.0, 0.0, 1.0, 1.0])
    assert [type(x) for x in (one.value, one.low, one.high)] == [float] * 3
    assert one.value == 0.75
    batch = memorized_share(torch.ones(2, 5, 3, dtype=torch.float32))
    assert batch.value.shape == batch.low.shape == batch.high.shape == (2, 5)
    assert batch.low.dtype == torch.float64


@pytest.mark.parametrize("n", [5, 40, 300])
def test_the_interval_covers_near_one_too(n):
    shares = memorized_share(np.arange(n) < np.arange(n + 1)[:, None])
    for p in (0.5, 0.9, 0.99, 0.999):
        inside = (shares.low.numpy() <= p) & (p <= shares.high.numpy())
        assert binom.pmf(np.arange(n + 1), n, p) @ inside >= 0.95


def test_over_seeds_is_student_of_the_mean_at_every_step():
    shares = np.array([[0.1, 0.99], [0.2, 1.0], [0.6, 1.0]])
    found = share_over_seeds(shares, 0.9)
    for step in range(2):
        x = shares[:, step]
        half = t.ppf(0.95, 2) * x.std(ddof=1) / np.sqrt(3)
        expected = x.mean(), max(x.mean() - half, 0), min(x.mean() + half, 1)
        got = found.value[step].item(), found.low[step].item(), found.high[step].item()
        assert got == pytest.approx(expected, abs=1e-12)
    assert found.high[1].item() == 1.0
    assert found.low[0].item() == 0.0
    assert found.n == 3
    assert share_over_seeds([0.25, 0.75]).value == 0.5


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: memorized_share([0.0, 0.5]), "correct: 0.5"),
        (lambda: memorized_share([0.0, float("nan")]), "correct"),
        (lambda: memorized_share([0.0, 2.0]), "correct: 2"),
        (lambda: memorized_share(np.zeros((3, 0))), "correct"),
        (lambda: memorized_share([1.0, 0.0], confidence=1.0), "confidence"),
        (lambda: share_over_seeds([0.5]), "shares"),
        (lambda: share_over_seeds([[0.5, 0.2]]), "shares"),
        (lambda: share_over_seeds(0.5), "shares"),
        (lambda: share_over_seeds([0.5, 1.2]), "shares: 1.2"),
        (lambda: share_over_seeds([0.5, -0.1]), "shares: -0.1"),
        (lambda: share_over_seeds([0.5, 0.1], confidence=0.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
