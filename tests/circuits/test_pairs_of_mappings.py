"""Pairs of mappings told in context: another value told of the key that is asked, or another key asked."""

import pytest

from circuits import pairs_from_task
from probe.tasks import InContextLinear, InContextMapping

TASK = InContextMapping(60, n_keys=5, n_values=6, pairs=6, seed=2)


def last_told(row):
    """What stood after the key that a sequence ends with, everywhere it was shown."""
    told = {value for key, value in zip(row[:-1:2], row[1::2], strict=True) if key == row[-1]}
    assert len(told) == 1
    return told.pop()


@pytest.mark.parametrize("operand", [0, 1])
def test_both_questions_are_answered_by_what_stands_after_their_key(operand):
    made = pairs_from_task(TASK, operand=operand)
    rows = [row for row in TASK.tokens.tolist() if row[-1] in row[:-1:2]]
    if operand:
        rows = [row for row in rows if len(set(row[1::2])) > 1]
    assert made.clean.tolist() == rows
    assert 0 < len(rows) < 60
    places = set()
    for clean, corrupted, right, wrong in zip(
        made.clean.tolist(), made.corrupted.tolist(), made.answers, made.wrong_answers, strict=True
    ):
        assert last_told(clean) == right
        assert last_told(corrupted) == wrong != right
        differ = [i for i, (one, other) in enumerate(zip(clean, corrupted, strict=True)) if one != other]
        if operand == 0:
            assert differ == [i + 1 for i in range(0, 10, 2) if clean[i] == clean[-1]]
        else:
            assert differ == [10]
            places.add(corrupted.index(corrupted[-1]))
    assert set(made.wrong_answers.tolist()) == set(range(5, 11))
    assert operand == 0 or len(places) > 3


def test_n_subset_and_seed():
    made = pairs_from_task(TASK, 4, subset="test", seed=1)
    held_out = {tuple(row) for row in TASK.tokens[TASK.subsets["test"]].tolist()}
    assert len(made) == 4
    assert {tuple(row) for row in made.clean.tolist()} <= held_out
    again, other = (pairs_from_task(TASK, 4, subset="test", seed=seed) for seed in (1, 2))
    assert (made.corrupted == again.corrupted).all()
    assert made.corrupted.tolist() != other.corrupted.tolist()
    n = len(pairs_from_task(TASK))
    with pytest.raises(ValueError, match=f"n: got {n + 1}; expected 1 to {n}"):
        pairs_from_task(TASK, n + 1)
    with pytest.raises(ValueError, match=r"got InContextLinear, which has no operands; .*InContextMapping"):
        pairs_from_task(InContextLinear(40, 5, 4))
