"""Which positions are kept of each example."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.activations.inputs import Inputs
from probe.activations.positions import Positions
from tests.activations.small_suite import TASK

RAGGED = Inputs.of([[1, 2, 3, 4], [5], [6, 7]])


@pytest.mark.parametrize(
    ("asked", "index", "single"),
    [
        ("all", [[0, 1, 2, 3], [0, -1, -1, -1], [0, 1, -1, -1]], False),
        ("last", [[3], [0], [1]], True),
        (0, [[0], [0], [0]], True),
        (-1, [[3], [0], [1]], True),
        (np.int64(0), [[0], [0], [0]], True),
        (slice(1, 3), [[1, 2], [-1, -1], [1, -1]], False),
        (slice(-2, None), [[2, 3], [0, -1], [0, 1]], False),
        (slice(None, None, 2), [[0, 2], [0, -1], [0, -1]], False),
        (np.array([[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]], bool), [[1, 3], [0, -1], [-1, -1]], False),
    ],
    ids=str,
)
def test_positions_count_content_only(asked, index, single):
    positions = Positions.of(asked, RAGGED)
    assert positions.index.tolist() == index
    assert positions.single is single
    assert positions.n_kept == len(index[0])


def test_the_answer_of_a_task():
    positions = Positions.of("answer", Inputs.of(TASK))
    assert positions.single
    assert (positions.index == 2).all()


@given(st.integers(-5, 5), st.integers(-5, 5), st.integers(1, 3))
def test_a_slice_is_that_of_each_example(start, stop, stride):
    asked = slice(start, stop, stride)
    wanted = [list(range(n))[asked] for n in RAGGED.lengths]
    if not any(wanted):
        with pytest.raises(ValueError, match="keeps none of any example"):
            Positions.of(asked, RAGGED)
    else:
        assert [[p for p in row if p >= 0] for row in Positions.of(asked, RAGGED).index.tolist()] == wanted


def test_different_positions_have_different_names():
    mask = RAGGED.mask
    other = mask.copy()
    other[0, 0] = False
    asked = ["all", "last", 0, -1, slice(0, 1), slice(0, None), mask, other]
    assert len({Positions.of(one, RAGGED).name for one in asked}) == len(asked)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("end", "got 'end'; expected 'all', 'answer', 'last', an index, slice or mask"),
        ("answer", "'answer' asked of inputs without an answer position"),
        (1, "got 1; example 1 has 1 tokens, so expected -1 to 0"),
        (-2, "got -2; example 1 has 1 tokens"),
        (np.ones((3, 3), bool), r"got bool of shape \(3, 3\)"),
        (np.ones((3, 4), int), r"got int64 of shape \(3, 4\)"),
        (True, "got bool of shape"),
        (np.ones((3, 4), bool), "the mask keeps position 1 of example 1, which is padding"),
        (np.zeros((3, 4), bool), "keeps none of any example"),
    ],
)
def test_positions_that_are_not_there(asked, says):
    with pytest.raises(ValueError, match=f"positions: .*{says}"):
        Positions.of(asked, RAGGED)
