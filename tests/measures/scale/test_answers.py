"""Scores of answers against values by hand and against the definition."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.measures.scale import answers


def test_by_hand():
    np.testing.assert_array_equal(answers.exact_match(["432", " 462 ", "43"], ["432", "462", "432"]), [1, 1, 0])
    np.testing.assert_array_equal(answers.exact_match([[1, 2], [1, 2]], [(1, 2), (2, 1)]), [1, 0])
    assert answers.edit_distance("kitten", "sitting") == 3
    np.testing.assert_allclose(answers.edit_similarity(["kitten", "", "ab"], ["sitting", "", "xy"]), [4 / 7, 1, 0])
    np.testing.assert_allclose(answers.token_log_likelihood([[-1, -3], [-0.5]]), [-2, -0.5])
    choices = np.log([[0.7, 0.2, 0.1], [0.4, 0.4, 0.2], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(answers.multiple_choice(choices, [0, 1, 0]), [1, 0.5, 0])
    np.testing.assert_allclose(answers.brier_score(choices, [0, 1, 0]), [0.14, 0.16 + 0.36 + 0.04, 0.81 + 0.01 + 0.64])
    np.testing.assert_allclose(answers.brier_score(choices + 5, [0, 1, 0]), answers.brier_score(choices, [0, 1, 0]))


@settings(max_examples=40, deadline=None)
@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_the_distance_is_that_of_the_definition(a, b):
    @cache
    def least(i, j):
        if not i or not j:
            return i + j
        return min(least(i - 1, j) + 1, least(i, j - 1) + 1, least(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    assert answers.edit_distance(a, b) == least(len(a), len(b))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: answers.exact_match(["a"], []), "answers: 1 given, expected one for each of 0"),
        (lambda: answers.token_log_likelihood([[-1], []]), "log_probs: .* given for item 1"),
        (lambda: answers.token_log_likelihood([[0.5]]), "log_probs: .* given for item 0"),
        (lambda: answers.brier_score([[0.0]], [0]), r"log_probs: shape \(1, 1\)"),
        (lambda: answers.multiple_choice([[0.0, 1.0]], [2]), "right: .* given"),
        (lambda: answers.multiple_choice([[0.0, np.nan]], [1]), "log_probs: shape"),
    ],
)
def test_what_are_no_answers_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
