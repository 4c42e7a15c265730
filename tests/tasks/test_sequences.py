"""Repeated random sequences: unlike each other, of many lengths, and predictable from themselves alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from probe.tasks import RepeatedTokens, Task, task_from_dict, task_to_dict

TASK = RepeatedTokens(500, n_tokens=12, shortest=3, longest=7, bos=True, seed=2)


def read(task, example):
    """What is before the sequence, the first copy, the second as far as it is there, and what is to be predicted."""
    row, target = task.tokens[example].tolist(), task.targets[example].tolist()
    length = int(task.sequence_lengths[example])
    end = int(task.lengths[example])
    assert set(row[end:]) <= {0}
    assert set(target[end:]) <= {-1}
    row, target = row[:end], target[:end]
    if task.bos:
        assert (row.pop(0), target.pop(0)) == (task.n_tokens, -1)
    start = len(row) - (2 * length - 1)
    return row[:start], row[start : start + length], row[start + length :], target


@given(
    shortest=st.integers(2, 5),
    more=st.integers(0, 4),
    n=st.integers(1, 10),
    bos=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_an_example_is_random_tokens_then_a_sequence_twice(shortest, more, n, bos, seed):
    longest = shortest + more
    task = RepeatedTokens(n, longest + 3, shortest, longest, bos, train_fraction=1.0, seed=seed)
    assert isinstance(task, Task)
    assert task.tokens.shape == task.targets.shape == (n, 2 * longest - 1 + bos)
    assert task.d_vocab == longest + 3 + bos
    for example in range(n):
        before, first, second, target = read(task, example)
        assert shortest <= len(first) <= longest
        assert len(set(first)) == len(first)
        assert not set(before) & set(first)
        assert second == first[:-1]
        assert max(before + first) < task.n_tokens
        assert target[: -len(second)] == [-1] * (len(before) + len(first))
        assert target[-len(second) :] == first[1:]
        assert task.sequences[example].tolist() == first + [-1] * (longest - len(first))
    assert task.answer_tokens.tolist() == list(range(task.n_tokens))


def test_sequences_lengths_and_what_is_before_are_drawn_evenly():
    task = RepeatedTokens(6000, 24, 3, 7)
    assert stats.chisquare(np.bincount(task.sequence_lengths)[3:]).pvalue > 1e-3
    assert stats.chisquare(np.bincount(task.sequences[:, 0])).pvalue > 1e-3
    places = task.sequences[task.sequence_lengths == 7]
    assert stats.chi2_contingency([np.bincount(places[:, 2]), np.bincount(places[:, 6])]).pvalue > 1e-3
    short = task.sequence_lengths == 3
    starts = task.lengths[short] - 5
    assert stats.chisquare(np.bincount(starts, minlength=9)).pvalue > 1e-3
    before = task.tokens[short][starts == 8][:, :8]
    assert stats.chisquare(np.bincount(before.ravel())).pvalue > 1e-3
    same = (before[:, 1:] == before[:, :-1]).mean()
    assert abs(same - 1 / 21) < 0.025  # drawn each by itself, among the 21 that are not of the sequence


def test_no_sequence_is_there_twice_so_those_held_out_are_new():
    task = RepeatedTokens(60, n_tokens=6, shortest=3, longest=3)  # half of the 120 that there are
    assert len({tuple(row) for row in task.sequences.tolist()}) == 60
    assert (task.tokens == RepeatedTokens(60, 6, 3, 3).tokens).all()
    other = RepeatedTokens(60, 6, 3, 3, seed=1)
    assert (task.tokens != other.tokens).any()
    assert (task.train_mask != other.train_mask).any()


def test_a_share_is_shown_once_a_pass():
    subsets = TASK.subsets
    assert list(subsets) == ["train", "test", "all"]
    assert subsets["train"].sum() == 375
    assert (subsets["test"] == ~subsets["train"]).all()
    assert subsets["all"].all()
    assert TASK.exposures.tolist() == subsets["train"].astype(int).tolist()
    assert "test" not in RepeatedTokens(10, train_fraction=1).subsets
    lengths = [TASK.sequence_lengths[subsets[name]] for name in ("train", "test")]
    assert stats.ks_2samp(*lengths).pvalue > 1e-3


def right_at_offset(task, offset):
    """Share of what is to be predicted that a head is right about which looks back by a fixed number of positions."""
    row, query = (task.targets >= 0).nonzero()
    inside = query >= offset
    found = task.tokens[row[inside], query[inside] - offset] == task.targets[row[inside], query[inside]]
    return found.sum() / len(row)


def test_looking_back_by_a_fixed_number_of_positions_does_not_solve_it():
    """Of sequences of length L that is right at L - 1, and at no other offset; of many lengths each is a share."""
    fixed = RepeatedTokens(500, n_tokens=12, shortest=6, longest=6)
    assert right_at_offset(fixed, 5) == 1
    found = [right_at_offset(TASK, offset) for offset in range(TASK.n_ctx)]
    scored = TASK.sequence_lengths - 1
    shares = [scored[TASK.sequence_lengths == offset + 1].sum() / scored.sum() for offset in range(TASK.n_ctx)]
    assert found == pytest.approx(shares)
    assert max(found) < 0.35
    # nor does looking back from one position, whichever, by what is best there
    row, query = (TASK.targets >= 0).nonzero()
    best = 0
    for position in np.unique(query):
        rows = row[query == position]
        equal = TASK.tokens[rows, : position + 1] == TASK.targets[rows, position][:, None]
        best += equal.sum(0).max()
    assert best / len(row) < 0.45


def test_a_task_is_what_it_is_written_down_as():
    again = task_from_dict(task_to_dict(TASK))
    assert again == TASK
    assert (again.targets == TASK.targets).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shortest": 1}, "shortest: got 1; expected 2 or more"),
        ({"shortest": 11}, "longest: got 10; expected at least shortest, 11"),
        ({"n_tokens": 10}, "n_tokens: got 10; expected more than longest, 10"),
        ({"n": 0}, "n: got 0; expected 1 to 127512, half of the sequences of 4 of 24 tokens"),
        ({"n": 127513}, "n: got 127513; expected 1 to 127512"),
        ({"train_fraction": 0.0}, "train_fraction: got 0.0"),
        ({"train_fraction": 1.1}, "train_fraction: got 1.1"),
        ({"n": 2, "train_fraction": 0.1}, "train_fraction: 0.1 of 2 examples is none"),
        ({"seed": -1}, "seed: got -1"),
    ],
)
def test_bad_fields_are_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        RepeatedTokens(**fields)
