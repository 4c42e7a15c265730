"""Pairs of repeated sequences: another token to copy, or the same tokens elsewhere."""

import pytest

from circuits import pairs_from_task
from probe.tasks import RepeatedTokens


def task(**fields):
    given = {"n": 30, "n_tokens": 9, "shortest": 3, "longest": 6, **fields}
    return RepeatedTokens(**given)


def read(made, i, bos, lengths):
    """The first copy in both questions, and the second, which they have in common."""
    clean, corrupted = (side[i][: made.lengths[i]].tolist() for side in (made.clean, made.corrupted))
    start = len(clean) - (2 * lengths[i] - 1)
    assert start >= bos
    middle = start + lengths[i]
    assert clean[:start] == corrupted[:start]
    assert clean[middle:] == corrupted[middle:] == clean[start : middle - 1]
    return clean[start:middle], corrupted[start:middle]


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("operand", [0, 1])
def test_what_differs_is_what_is_copied_or_where_it_is(bos, operand):
    asked = task(bos=bos)
    made = pairs_from_task(asked, operand=operand)
    lengths = asked.sequence_lengths[asked.sequence_lengths > 1 + operand]
    assert len(made) == len(lengths)
    elsewhere = set()
    for i in range(len(made)):
        clean, corrupted = read(made, i, bos, lengths)
        assert made.answers[i] == clean[-1]
        assert made.answer_positions[i] == made.lengths[i] - 1
        before = clean[-2]
        assert made.clean[i][made.answer_positions[i]] == before
        assert corrupted[corrupted.index(before) + 1] == made.wrong_answers[i] != clean[-1]
        if operand == 0:
            assert corrupted[:-1] == clean[:-1]
            assert corrupted[-1] not in clean
        else:
            assert sorted(corrupted) == sorted(clean)
            assert corrupted[-1] == clean[-1]
            assert sum(a != b for a, b in zip(clean, corrupted, strict=True)) == 2
            elsewhere.add(corrupted.index(before) / (len(clean) - 2))
    if operand:
        assert len(elsewhere) > 5
        assert min(elsewhere) == 0
    else:
        assert len(set(made.wrong_answers.tolist())) == 9


def test_n_subset_and_seed():
    asked = task()
    made = pairs_from_task(asked, 5, subset="test", seed=1)
    held_out = {tuple(row) for row in asked.tokens[asked.subsets["test"]].tolist()}
    assert {tuple(row) for row in made.clean.tolist()} <= held_out
    assert len({tuple(row) for row in made.clean.tolist()}) == 5
    again, other = (pairs_from_task(asked, 5, subset="test", seed=seed) for seed in (1, 2))
    assert (made.corrupted == again.corrupted).all()
    assert (made.clean != other.clean).any()
    with pytest.raises(ValueError, match="n: got 31; expected 1 to 30, the questions of 'all' that have a partner"):
        pairs_from_task(asked, 31)
    pairs = RepeatedTokens(20, n_tokens=9, shortest=2, longest=2)
    assert len(pairs_from_task(pairs)) == 20
    with pytest.raises(ValueError, match="subset: no question of 'all' has a partner"):
        pairs_from_task(pairs, operand=1)
