import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from probe.measures.memorization import (
    accuracy_by_exposure,
    extractable_texts,
    fit_exposure_line,
    memorization_score,
)
from probe.measures.memorization.clustered import share_interval


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_text_by_text(seed, n_tokens):
    rng = np.random.default_rng(seed)
    generated, true = rng.integers(0, 2, (2, 5, 7)), rng.integers(0, 2, (5, 7))
    found = extractable_texts(generated, true, n_tokens=n_tokens)
    score = memorization_score(generated, true, n_tokens=n_tokens)
    for model in range(2):
        for text in range(5):
            right = [generated[model, text, i] == true[text, i] for i in range(n_tokens)]
            assert found.extractable[model, text].item() == all(right)
            assert found.tokens_right[model, text].item() == [*right, False].index(False)
            assert score.score[model, text].item() == pytest.approx(np.mean(right))
        exact = binomtest(int(found.extractable[model].sum()), 5).proportion_ci(0.95, method="exact")
        assert (found.share.low[model].item(), found.share.high[model].item()) == pytest.approx(tuple(exact), abs=1e-12)
        parts = share_interval(score.score[model].numpy(), np.full(5, n_tokens), np.arange(5), 0.95)
        got = score.mean.value[model].item(), score.mean.low[model].item(), score.mean.high[model].item()
        assert got == pytest.approx(tuple(float(x) for x in parts))
    assert found.share.n == score.mean.n == 5


def test_lengths_that_the_papers_have():
    true = np.arange(1, 61)[None].repeat(3, axis=0)
    generated = true.copy()
    generated[0, 50] = generated[1, 49] = generated[2, 31] = 0
    found = extractable_texts(generated, true)
    assert found.extractable.tolist() == [True, False, False]
    assert found.tokens_right.tolist() == [50, 49, 31]
    assert memorization_score(generated, true).score.tolist() == [1.0, 1.0, 31 / 32]


def test_longer_prompts_are_a_dimension():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 50, (200, 50))
    kept = rng.random(200) < np.array([0.1, 0.3, 0.6])[:, None]  # prompts of three lengths
    generated = np.where(kept[..., None], true, rng.integers(0, 50, (3, 200, 50)))
    found = extractable_texts(torch.from_numpy(generated), true)
    assert found.share.value.tolist() == pytest.approx(kept.mean(1).tolist())
    assert found.share.high[0] < found.share.low[2]


def test_by_duplicates_with_the_unseen_as_control():
    rng = np.random.default_rng(0)
    duplicates = np.repeat([0, 1, 4, 16, 64], 60)
    true = rng.integers(0, 9, (300, 32))
    chance = np.where(duplicates, 0.35 + 0.1 * np.log2(np.maximum(duplicates, 1)), 0.3)
    known = rng.random((300, 32)) < chance[:, None]
    generated = np.where(known, true, true + 1)
    score = memorization_score(generated, true, duplicates)
    assert score.by_duplicates.least.tolist() == [0, 1, 4, 16, 64]
    assert score.by_duplicates.value[0] == pytest.approx(0.3, abs=0.03)
    np.testing.assert_allclose(score.by_duplicates.high, accuracy_by_exposure(duplicates, score.score, 32).high)
    line = fit_exposure_line(duplicates, score.score)
    assert line.slope.low < 0.1 < line.slope.high
    assert line.unseen.value == pytest.approx(score.by_duplicates.value[0].item())
    found = extractable_texts(generated, true, duplicates, n_tokens=2, confidence=0.8)
    expected = accuracy_by_exposure(duplicates, found.extractable, confidence=0.8)
    for end in ("n_facts", "value", "low", "high"):
        assert torch.equal(getattr(found.by_duplicates, end), getattr(expected, end))
    assert found.share.low > extractable_texts(generated, true, n_tokens=2).share.low
    assert extractable_texts(generated, true, n_tokens=2).by_duplicates is None
    assert memorization_score(generated, true).by_duplicates is None


def test_continuations_may_differ_between_models():
    true = np.stack([np.zeros((2, 3), int), np.ones((2, 3), int)])
    assert extractable_texts(np.zeros((2, 2, 3), int), true, n_tokens=3).share.value.tolist() == [1.0, 0.0]


IDS = np.zeros((2, 4), int)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda f: f(IDS, IDS), "generated: 4 tokens"),
        (lambda f: f(IDS, IDS[:, :2], n_tokens=3), "continuations: 2 tokens"),
        (lambda f: f(IDS, IDS, n_tokens=0), "n_tokens: 0"),
        (lambda f: f(IDS, IDS - 1, n_tokens=2), "continuations: -1"),
        (lambda f: f(IDS * 0.5, IDS, n_tokens=2), "predicted|generated"),
        (lambda f: f(IDS, IDS * 0.5, n_tokens=2), "answers|continuations"),
        (lambda f: f(IDS, np.zeros((3, 4), int), n_tokens=2), "answers|continuations"),
        (lambda f: f(IDS, IDS, [1.0, -1.0], n_tokens=2), "duplicates|exposures"),
        (lambda f: f(IDS, IDS, n_tokens=2, confidence=1.0), "confidence"),
    ],
)
@pytest.mark.parametrize("function", [extractable_texts, memorization_score])
def test_bad_input_is_named(function, call, field):
    with pytest.raises(ValueError, match=f"^({field})"):
        call(function)
