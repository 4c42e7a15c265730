import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ttest_1samp

from probe.measures.memorization import recovered_bits, unintended_bits

LOG_PROBS = arrays(np.float64, (2, 5), elements=st.floats(-20, 0))


def lookup_table(held, n, values):
    """Log-probabilities of a table that holds some facts exactly and guesses the others at random."""
    return np.where(np.arange(n) < held, 0.0, -np.log(values))


@pytest.mark.parametrize("values", [2, 100])
@pytest.mark.parametrize("held", [0, 70, 200])
def test_bits_of_a_table_that_holds_some_facts(held, values):
    found = recovered_bits(lookup_table(held, 200, values), values)
    assert found.bits == pytest.approx(held * math.log2(values))
    assert found.total == pytest.approx(200 * math.log2(values))
    assert found.low <= found.bits + 1e-9
    assert found.bits <= found.high + 1e-9
    assert found.n == 200


def test_the_interval_covers_a_table_drawn_anew():
    rng, p, n, values = np.random.default_rng(0), 0.3, 150, 64
    log_probs = np.where(rng.random((2000, n)) < p, 0.0, -np.log(values))
    found = recovered_bits(log_probs, values)
    covered = ((found.low <= n * p * 6) & (n * p * 6 <= found.high)).double().mean().item()
    assert 0.93 <= covered <= 0.97


@settings(max_examples=50, deadline=None)
@given(LOG_PROBS, arrays(np.int64, 5, elements=st.integers(2, 1000)))
def test_is_the_definition_of_allen_zhu_and_li(log_probs, values):
    """n log2(V / e^loss) for the mean loss; of attributes with different V, the sum over these."""
    found = recovered_bits(log_probs, values, 0.9)
    for model in range(2):
        loss = -log_probs[model].mean()
        bits = np.log2(values) + log_probs[model] / np.log(2)
        assert found.bits[model].item() == pytest.approx(np.log2(values).sum() - 5 * loss / np.log(2), abs=1e-9)
        if bits.std() > 1e-9:
            low, high = ttest_1samp(bits, 0).confidence_interval(0.9)
            assert found.low[model].item() == pytest.approx(5 * low, abs=1e-8)
            assert found.high[model].item() == pytest.approx(min(5 * high, np.log2(values).sum()), abs=1e-8)
    same = recovered_bits(log_probs, 7)
    assert same.bits[0].item() == pytest.approx(5 * np.log2(7 / np.exp(-log_probs[0].mean())), abs=1e-9)


def test_a_person_of_their_biographies_has_47_6_bits():
    """Remark 4.4: birth date, birth city, university, major, employer and pronoun, all known."""
    values = [12 * 28 * 200, 200, 300, 100, 263, 2]
    assert recovered_bits(np.zeros(6), values).bits == pytest.approx(47.6, abs=0.05)


def test_facts_that_are_wrong_count_negative_and_guesses_of_unseen_ones_do_not_count():
    rng = np.random.default_rng(1)
    wrong = recovered_bits([np.log(0.001), np.log(0.5)], 4)
    assert wrong.bits == pytest.approx(np.log2(4 * 0.001) + 1)
    # a confident model asked facts that it never saw: what it says is worse than saying nothing
    logits = torch.from_numpy(3 * rng.normal(size=(4000, 16)))
    log_probs = logits.log_softmax(-1)[torch.arange(4000), torch.from_numpy(rng.integers(16, size=4000))]
    unseen = recovered_bits(log_probs, 16)
    assert unseen.high < 0
    assert unintended_bits(log_probs, torch.full((4000,), -math.log(16.0))).low > 0  # cut at 0 for every fact


@settings(max_examples=50, deadline=None)
@given(LOG_PROBS, LOG_PROBS)
def test_unintended_bits_datum_by_datum(log_probs, reference):
    found = unintended_bits(log_probs, reference)
    one = unintended_bits(log_probs, reference[0])
    for model in range(2):
        expected = [
            -math.log2(math.exp(r)) + math.log2(max(math.exp(p), math.exp(r)))
            for p, r in zip(log_probs[model], reference[model], strict=True)
        ]
        assert found.bits[model].item() == pytest.approx(sum(expected), abs=1e-9)
        assert found.total[model].item() == pytest.approx(-reference[model].sum() / math.log(2), abs=1e-9)
        assert found.bits[model] <= found.total[model] + 1e-9
    assert one.bits[0].item() == pytest.approx(found.bits[0].item(), abs=1e-9)
    assert isinstance(one.total, float)


def test_a_model_no_better_than_its_reference_holds_nothing():
    reference = np.linspace(-9, -1, 20)
    found = unintended_bits(reference - 0.5, reference)
    assert (found.bits, found.low, found.high) == (0.0, 0.0, 0.0)
    assert unintended_bits(np.zeros(20), reference).bits == pytest.approx(-reference.sum() / math.log(2))


def test_per_parameter():
    batch = recovered_bits(np.stack([lookup_table(40, 50, 8), lookup_table(20, 50, 8)]), 8)
    each = batch.per_parameter([60, 30])
    assert each.bits.tolist() == pytest.approx([2.0, 2.0])
    assert each.total.tolist() == pytest.approx([150 / 60, 150 / 30])
    assert each.low.tolist() == pytest.approx([batch.low[0].item() / 60, batch.low[1].item() / 30])
    assert each.high.tolist() == pytest.approx([batch.high[0].item() / 60, batch.high[1].item() / 30])
    one = recovered_bits(lookup_table(40, 50, 8), 8).per_parameter(60)
    assert (one.bits, one.n) == (pytest.approx(2.0), 50)
    assert isinstance(one.bits, float)
    assert isinstance(one.total, float)


def test_probabilities_of_1_in_float32_are_not_above_1():
    found = recovered_bits(torch.tensor([1e-7, 0.0], dtype=torch.float32), 2)
    assert found.bits == 2.0


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: recovered_bits([0.1, -1.0], 2), "log_probs: 0.1"),
        (lambda: recovered_bits([-1.0], 2), "log_probs"),
        (lambda: recovered_bits([-1.0, float("-inf")], 2), "log_probs"),
        (lambda: recovered_bits([-1.0, -1.0], 1), "n_values: 1"),
        (lambda: recovered_bits([-1.0, -1.0], [2, 2, 2]), "n_values"),
        (lambda: recovered_bits([-1.0, -1.0], 2, 1.0), "confidence"),
        (lambda: unintended_bits([-1.0, -1.0], [-1.0]), "reference_log_probs"),
        (lambda: unintended_bits([-1.0, -1.0], [-1.0, 0.5]), "reference_log_probs: 0.5"),
        (lambda: unintended_bits([-1.0, -1.0], [[-1.0, -1.0]]), "reference_log_probs"),
        (lambda: unintended_bits([-1.0, 1.0], [-1.0, -0.5]), "log_probs: 1"),
        (lambda: recovered_bits([-1.0, -1.0], 2).per_parameter(0), "n_params: 0"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
