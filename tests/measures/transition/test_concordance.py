import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.measures.transition.concordance import concordance_index, earlier_pairs, pair_score


def slow(steps, reached, predicted):
    right = total = 0.0
    for i in range(len(steps)):
        for j in range(len(steps)):
            if reached[i] and (steps[i] < steps[j] or (steps[i] == steps[j] and not reached[j])):
                total += 1
                right += 1.0 if predicted[i] < predicted[j] else 0.5 if predicted[i] == predicted[j] else 0.0
    return right / total if total else float("nan")


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 4)), min_size=1, max_size=12))
def test_is_as_a_loop_over_pairs(runs):
    steps, reached, predicted = zip(*runs, strict=True)
    np.testing.assert_equal(concordance_index(steps, reached, predicted), slow(steps, reached, predicted))


def test_by_hand():
    assert concordance_index([1, 2, 3], [True, True, True], [10, 20, 30]) == 1
    assert concordance_index([1, 2, 3], [True, True, True], [3, 2, 1]) == 0
    assert concordance_index([1, 2, 3], [True, True, True], [0, 0, 0]) == 0.5
    assert concordance_index([1, 2], [False, True], [1, 2]) != concordance_index([1, 2], [True, False], [1, 2])
    assert np.isnan(concordance_index([1, 2], [False, True], [1, 2]))
    # a run censored at the step of the other's event came later, two events of one step cannot be told apart
    assert concordance_index([2, 2], [True, False], [1, 2]) == 1
    assert np.isnan(concordance_index([2, 2], [True, True], [1, 2]))
    assert concordance_index([1, 2], [True, False], [-np.inf, np.inf]) == 1


def test_weights_are_copies_of_runs():
    rng = np.random.default_rng(0)
    steps, reached, predicted = rng.integers(9, size=8), rng.random(8) < 0.7, rng.normal(size=8)
    copies = rng.integers(4, size=(5, 8))
    scores = pair_score(earlier_pairs(steps, reached), predicted, copies.astype(float))
    for weights, score in zip(copies, scores, strict=True):
        chosen = np.repeat(np.arange(8), weights)
        np.testing.assert_allclose(score, slow(steps[chosen], reached[chosen], predicted[chosen]))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"^predicted: shape \(1,\)"):
        concordance_index([1, 2], [True, True], [1])
    with pytest.raises(ValueError, match=r"^reached: shape \(3,\)"):
        concordance_index([1, 2], [True, True, False], [1, 2])
    with pytest.raises(ValueError, match=r"^predicted: nan"):
        concordance_index([1, 2], [True, True], [1, np.nan])
    with pytest.raises(ValueError, match=r"^steps: nan"):
        concordance_index([np.nan, 2], [True, True], [1, 2])
