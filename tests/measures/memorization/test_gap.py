import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from probe.measures.memorization import frequency_gap
from probe.measures.memorization.clustered import difference_interval, share_interval


def operands(seed=0, n=30, each=20):
    """Terms of 20 facts each, known the better the more frequent they are."""
    rng = np.random.default_rng(seed)
    frequency = rng.permutation(np.arange(n)) ** 2.0
    terms = np.repeat(np.arange(n), each)
    known = rng.beta(1 + frequency / n**2 * 6, 3)
    return frequency[terms], terms, (rng.random(n * each) < known[terms]).astype(float)


def test_tenths_of_the_terms_with_facts_pooled():
    frequency, terms, right = operands()
    found = frequency_gap(frequency, right, terms)
    top, bottom = frequency >= 27**2, frequency <= 2**2
    assert (top.sum(), bottom.sum()) == (60, 60)
    assert found.top.value == pytest.approx(right[top].mean())
    assert found.bottom.value == pytest.approx(right[bottom].mean())
    assert found.gap.value == pytest.approx(right[top].mean() - right[bottom].mean())
    assert (found.least_of_top, found.most_of_bottom) == (27.0**2, 4.0)
    assert (found.gap.n, found.top.n, found.bottom.n) == (30, 3, 3)


def test_intervals_are_over_terms():
    frequency, terms, right = operands(1)
    found = frequency_gap(frequency, right, terms, confidence=0.9)
    ends = []
    for of_end in (frequency >= 27**2, frequency <= 2**2):
        labels = np.unique(terms[of_end], return_inverse=True)[1]
        ends.append(share_interval(right[of_end], np.ones(60), labels, 0.9))
    for estimate, parts in ((found.top, ends[0]), (found.bottom, ends[1]), (found.gap, difference_interval(*ends))):
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx(tuple(float(x) for x in parts))
    as_if_independent = frequency_gap(frequency, right, terms, clusters=np.arange(600), confidence=0.9)
    assert as_if_independent.gap.high - as_if_independent.gap.low < 0.8 * (found.gap.high - found.gap.low)


def test_facts_as_terms_are_exact():
    right = np.r_[np.zeros(3), np.ones(1), np.zeros(36)[::2], np.ones(18)]
    found = frequency_gap(np.arange(40), right)
    assert (found.bottom.value, found.top.value, found.gap.value) == (0.25, 1.0, 0.75)
    low, high = binomtest(1, 4).proportion_ci(0.95, method="exact")
    assert (found.bottom.low, found.bottom.high) == pytest.approx((low, high))


def test_accuracies_of_operands_are_as_their_items():
    frequency, terms, right = operands(2)
    facts = frequency_gap(frequency, right, terms)
    accuracy, of_term = np.zeros(30), np.zeros(30)
    accuracy[terms[::20]], of_term[terms[::20]] = right.reshape(30, 20).mean(1), frequency[::20]
    items = frequency_gap(of_term, accuracy, n_items=20)
    for name in ("gap", "top", "bottom"):
        for end in ("value", "low", "high", "n"):
            assert getattr(getattr(items, name), end) == pytest.approx(getattr(getattr(facts, name), end))


def test_all_terms_tied_at_the_cut_are_in():
    frequency = np.r_[np.zeros(5), np.arange(1, 14), [20.0, 20.0]]
    right = np.r_[np.ones(2), np.zeros(16), [1.0, 0.0]]
    found = frequency_gap(frequency, right, share=0.05)
    assert (found.bottom.n, found.top.n) == (5, 2)
    assert (found.bottom.value, found.top.value) == (0.4, 0.5)
    assert (found.most_of_bottom, found.least_of_top) == (0.0, 20.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 40), st.sampled_from([0.1, 0.25, 0.5]), st.integers(0, 10**6))
def test_the_order_of_facts_does_not_matter_and_turning_frequencies_turns_the_gap(n, share, seed):
    rng = np.random.default_rng(seed)
    frequency, right = rng.permutation(n).astype(float), rng.integers(0, 2, n).astype(float)
    found = frequency_gap(frequency, right, share=share)
    assert found.top.n == found.bottom.n == max(min(round(share * n), n // 2), 1)
    order = rng.permutation(n)
    again = frequency_gap(frequency[order], right[order], share=share)
    assert again.gap.value == pytest.approx(found.gap.value)
    turned = frequency_gap(n - 1 - frequency, right, share=share).gap
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.gap.value, -found.gap.high, -found.gap.low))
    assert -1 <= found.gap.low <= found.gap.value <= found.gap.high <= 1


def test_pairs_may_depend_on_their_operands():
    rng = np.random.default_rng(0)
    a, b = np.meshgrid(np.arange(30), np.arange(30), indexing="ij")
    pairs = np.stack([a.ravel(), b.ravel()], axis=1)
    weight, skill = rng.permutation(1 / np.arange(1, 31)), rng.normal(size=30)
    right = rng.random((2, 900)) < 1 / (1 + np.exp(-2 * skill[pairs].sum(1)))
    frequency = weight[pairs].prod(1)
    plain = frequency_gap(frequency, torch.from_numpy(right))
    shared = frequency_gap(frequency, right, clusters=pairs)
    assert plain.gap.value.shape == (2,)
    assert torch.equal(plain.gap.value, shared.gap.value)
    assert (shared.gap.high - shared.gap.low > 1.5 * (plain.gap.high - plain.gap.low)).all()


def test_gaps_between_terms_drawn_anew_are_covered():
    rng = np.random.default_rng(5)
    known = np.concatenate([rng.beta(2, 4, (200, 10)), rng.random((200, 80)), rng.beta(4, 2, (200, 10))], axis=1)
    found = frequency_gap(np.arange(100), rng.binomial(50, known) / 50, n_items=50).gap
    covered = ((found.low <= 1 / 3) & (found.high >= 1 / 3)).double().mean().item()
    assert covered >= 0.92
    assert (found.high - found.low).mean() < 0.45


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: frequency_gap([1.0, -1.0], [1.0, 0.0]), "frequency: -1"),
        (lambda: frequency_gap([1.0, np.nan], [1.0, 0.0]), "frequency: nan"),
        (lambda: frequency_gap([2.0, 2.0, 2.0], [1.0, 0.0, 1.0]), "frequency: 2 given for so many"),
        (lambda: frequency_gap([1.0, 2.0, 3.0], [1.0, 0.0, 1.0], [0, 0, 1]), "frequency: 1 given for a term"),
        (lambda: frequency_gap([1.0, 2.0, 2.0], [1.0, 0.0, 1.0], share=0.0), "share: 0"),
        (lambda: frequency_gap([1.0, 2.0, 2.0], [1.0, 0.0, 1.0], share=0.6), "share: 0.6"),
        (lambda: frequency_gap([1.0, 2.0], [1.0, 0.0, 1.0]), "correct: shape"),
        (lambda: frequency_gap([1.0, 2.0], [1.0, 0.3]), "correct: 0.3"),
        (lambda: frequency_gap([1.0, 2.0], [1.0, 0.0], [0, 1, 2]), "terms"),
        (lambda: frequency_gap([1.0, 2.0], [1.0, 0.0], [[0, 1], [1, 2]]), "terms"),
        (lambda: frequency_gap([1.0, 2.0], [1.0, 0.0], clusters=[0]), "clusters"),
        (lambda: frequency_gap([1.0, 2.0], [1.0, 0.0], confidence=1.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
