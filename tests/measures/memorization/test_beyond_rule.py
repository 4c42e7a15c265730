import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from probe.measures.memorization import memorized_share, memory_beyond_rule, poison_memory


def right(k, n):
    return np.arange(n) < k


def textbook_interval(wrong, n, wrong_unseen, n_unseen, confidence):
    """Newcombe's formula for a ratio of proportions as it is printed, for neither of them 0."""
    p, q = wrong / n, wrong_unseen / n_unseen
    l1, u1 = binomtest(wrong, n).proportion_ci(confidence, method="exact")
    l2, u2 = binomtest(wrong_unseen, n_unseen).proportion_ci(confidence, method="exact")
    low = (p * q - np.sqrt((p * q) ** 2 - l1 * u2 * (2 * p - l1) * (2 * q - u2))) / (u2 * (2 * q - u2))
    high = (p * q + np.sqrt((p * q) ** 2 - u1 * l2 * (2 * p - u1) * (2 * q - l2))) / (l2 * (2 * q - l2))
    return 1 - high, 1 - low


@pytest.mark.parametrize("counts", [(3, 50, 20, 40), (45, 50, 20, 40), (1, 200, 1, 30), (30, 30, 17, 20)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_value_and_interval_against_the_printed_formula(counts, confidence):
    wrong, n, wrong_unseen, n_unseen = counts
    found = memory_beyond_rule(right(n - wrong, n), right(n_unseen - wrong_unseen, n_unseen), confidence)
    trained, unseen = 1 - wrong / n, 1 - wrong_unseen / n_unseen
    assert found.value == pytest.approx((trained - unseen) / (1 - unseen))
    assert (found.low, found.high) == pytest.approx(textbook_interval(*counts, confidence), rel=1e-9)
    assert found.trained == memorized_share(right(n - wrong, n), confidence)
    assert found.unseen == memorized_share(right(n_unseen - wrong_unseen, n_unseen), confidence)


def test_all_memorized_and_nothing_by_rule():
    found = memory_beyond_rule(right(300, 300), right(0, 100))
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.985 < found.low < 0.99  # of 300 none was wrong, so fewer than 1.2 % are


def test_a_rule_that_is_always_right_leaves_nothing_to_see():
    found = memory_beyond_rule(right(50, 50), right(20, 20))
    assert np.isnan(found.value)
    assert (found.low, found.high) == (-np.inf, 1.0)
    half = memory_beyond_rule(right(25, 50), right(20, 20))
    assert np.isnan(half.value)
    assert half.low == -np.inf
    assert half.high < -1  # unseen facts are right in 83 % or more, trained ones in half


def test_a_batch_is_as_its_members():
    trained = np.array([[1, 1, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1]], dtype=float)
    unseen = np.array([[0, 1, 0], [1, 1, 0], [1, 1, 1]], dtype=float)
    batch = memory_beyond_rule(torch.from_numpy(trained), unseen)
    for model in range(3):
        one = memory_beyond_rule(trained[model], unseen[model])
        got = [x[model].item() for x in (batch.value, batch.low, batch.high, batch.trained.value, batch.unseen.high)]
        np.testing.assert_allclose(got, [one.value, one.low, one.high, one.trained.value, one.unseen.high])
    assert batch.value[1].item() < 0  # worse on what was trained


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_intervals_hold_their_value_and_are_in_order(n, n_unseen, data):
    k, k_unseen = data.draw(st.integers(0, n)), data.draw(st.integers(0, n_unseen))
    found = memory_beyond_rule(right(k, n), right(k_unseen, n_unseen))
    assert found.low <= found.high <= 1
    if k_unseen < n_unseen:
        assert found.low - 1e-12 <= found.value <= found.high + 1e-12
        wide = memory_beyond_rule(right(k, n), right(k_unseen, n_unseen), 0.99)
        assert wide.low <= found.low + 1e-12
        assert wide.high >= found.high - 1e-12


@pytest.mark.parametrize(("n", "n_unseen"), [(20, 20), (100, 30)])
@pytest.mark.parametrize("m", [0.0, 0.5, 0.97, 1.0])
def test_a_lookup_table_beside_a_rule_is_covered(n, n_unseen, m):
    """A share m of the trained facts is looked up, the rest is right by a rule with probability a: M* is m."""
    counts, unseen_counts = np.arange(n + 1), np.arange(n_unseen + 1)
    trained = np.repeat([right(k, n) for k in counts], n_unseen + 1, axis=0)
    unseen = np.tile([right(k, n_unseen) for k in unseen_counts], (n + 1, 1))
    found = memory_beyond_rule(trained, unseen)
    inside = ((found.low <= m) & (m <= found.high + 1e-12)).numpy().reshape(n + 1, -1)
    for a in (0.0, 0.1, 0.8):
        chance = binom.pmf(counts, n, m + (1 - m) * a)[:, None] * binom.pmf(unseen_counts, n_unseen, a)
        assert (chance * inside).sum() >= 0.95


def test_poison_shares():
    taught = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    rule = np.array([[0, 0, 1, 0, 0], [1, 1, 1, 1, 1]])
    found = poison_memory(taught, rule, 0.9)
    assert found.taught.value.tolist() == [0.4, 0.0]
    assert found.rule.value.tolist() == [0.2, 1.0]
    np.testing.assert_allclose(found.other.value, [0.4, 0.0], atol=1e-12)
    low, high = binomtest(2, 5).proportion_ci(0.9, method="exact")
    for share in (found.taught, found.other):
        assert (share.low[0].item(), share.high[0].item()) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: memory_beyond_rule([0.0, 0.5], [1.0]), "trained: 0.5"),
        (lambda: memory_beyond_rule([0.0, 1.0], [3.0]), "unseen: 3"),
        (lambda: memory_beyond_rule(np.ones((2, 4)), np.ones((3, 4))), "unseen"),
        (lambda: memory_beyond_rule(np.ones((2, 4)), np.ones(4)), "unseen"),
        (lambda: memory_beyond_rule(np.ones(4), np.ones(0)), "unseen"),
        (lambda: memory_beyond_rule([1.0], [1.0], 1.5), "confidence"),
        (lambda: poison_memory([1.0, 0.0], [1.0, 0.0]), r"taught: the answer at \[0\]"),
        (lambda: poison_memory([1.0, 0.0], [1.0]), "rule"),
        (lambda: poison_memory([1.0, 0.0], [0.0, -1.0]), "rule: -1"),
        (lambda: poison_memory([1.0], [0.0], 0.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
