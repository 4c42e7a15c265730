"""Rules that a sequence alone tells: by hand, by an ideal learner that enumerates all rules, and evenly drawn."""

import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from probe.tasks import InContext, InContextLinear, InContextMapping, task_from_dict, task_to_dict


def parted(task, example):
    """The x and z of a sequence, read off its tokens and targets."""
    tokens, targets = task.tokens[example].tolist(), task.targets[example].tolist()
    assert targets[1::2] == [-1] * (len(targets) // 2)
    asked, told = tokens[::2], targets[::2]
    assert tokens[1::2] == told[:-1]
    return asked, told


def ideal(task, rules, shown, n):
    """Accuracy of who knows all rules, after so many examples drawn evenly, by enumerating rules and questions."""
    right = []
    for rule, asked in product(rules, product(range(n), repeat=shown + 1)):
        fits = [one for one in rules if all(one[x] == rule[x] for x in asked[:-1])]
        answers = [one[asked[-1]] for one in fits]
        best = max(set(answers), key=answers.count)
        right.append(best == rule[asked[-1]])
    return np.mean(right)


@given(n_keys=st.integers(2, 5), n_values=st.integers(2, 5), pairs=st.integers(2, 9), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_mapping_is_shown_pair_by_pair(n_keys, n_values, pairs, seed):
    n = min(20, n_values**n_keys // 2)
    task = InContextMapping(n, n_keys, n_values, pairs, train_fraction=1.0, seed=seed)
    assert isinstance(task, InContext)
    assert task.tokens.shape == task.targets.shape == (n, 2 * pairs - 1)
    assert task.d_vocab == n_keys + n_values
    for example in range(n):
        asked, told = parted(task, example)
        known = {}
        for place, (key, value) in enumerate(zip(asked, told, strict=True)):
            assert 0 <= key < n_keys <= value < task.d_vocab
            assert task.shown[example, place] == asked[:place].count(key)
            assert known.setdefault(key, value) == value
        assert all(task.mappings[example, key] == value - n_keys for key, value in known.items())
    assert len({tuple(row) for row in task.mappings.tolist()}) == n
    assert task.answer_tokens.tolist() == list(range(n_keys, n_keys + n_values))


@given(p=st.sampled_from([2, 3, 5, 7]), examples=st.integers(2, 6), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_line_is_shown_point_by_point(p, examples, seed):
    n = min(60, p ** (2 + examples) // 2)
    task = InContextLinear(n, p, examples, held_out=0.25, seed=seed)
    rules = [tuple(rule) for rule in task.coefficients.tolist()]
    for example in range(n):
        asked, told = parted(task, example)
        a, b = rules[example]
        assert told == [(a * x + b) % p for x in asked]
    seen, new = (
        {rule for rule, held in zip(rules, task.rule_held_out, strict=True) if held == which} for which in (0, 1)
    )
    assert not seen & new
    assert len({(*c, *x) for c, x in zip(task.coefficients.tolist(), task.asked.tolist(), strict=True)}) == n
    assert (task.shown == np.arange(examples)).all()
    parts = [mask for name, mask in task.subsets.items() if name != "all"]
    assert (np.sum(parts, axis=0) == 1).all()


def test_the_ceiling_is_what_an_ideal_learner_gets():
    task = InContextLinear(20, 3, 4)
    lines = [[(a * x + b) % 3 for x in range(3)] for a in range(3) for b in range(3)]
    for shown in range(4):
        assert task.ceiling(shown) == pytest.approx(ideal(task, lines, shown, 3))
    mapping = InContextMapping(8, 2, 4, 3)
    every = list(product(range(4), repeat=2))
    assert ideal(mapping, every, 0, 2) == mapping.ceiling(0) == 1 / 4
    # after one pair the key is the same in half of the cases
    assert ideal(mapping, every, 1, 2) == pytest.approx((mapping.ceiling(1) + mapping.ceiling(0)) / 2)


def test_what_is_drawn_is_drawn_evenly():
    mapping, line = InContextMapping(6000, 6, 8, 12), InContextLinear(6000, 5, 8)
    for counted in (mapping.asked, mapping.mappings, line.coefficients, line.asked):
        assert stats.chisquare(np.bincount(counted.ravel())).pvalue > 1e-3
    assert mapping.train_mask.mean() == pytest.approx(0.75, abs=1e-3)
    assert line.rule_held_out.mean() == pytest.approx(6 / 25, abs=0.02)  # .25 of 25 pairs are six
    assert mapping.exposures.tolist() == mapping.train_mask.astype(int).tolist()


def test_uninformed_sequences_ask_the_same_and_tell_nothing():
    task = InContextMapping(3000, 5, 6, 10)
    other = task.uninformed()
    assert (other[:, ::2] == task.tokens[:, ::2]).all()
    said = other[:, 1::2]
    assert stats.chisquare(np.bincount(said.ravel())[5:]).pvalue > 1e-3
    assert (said == task.told[:, :-1]).mean() == pytest.approx(1 / 6, abs=0.01)
    assert (other != task.uninformed(1)).any()
    assert (other == task.uninformed()).all()


@pytest.mark.parametrize("task", [InContextMapping(2000, 5, 6, 10), InContextLinear(2000, 5, 8)])
def test_shuffled_sequences_show_the_same_answers_elsewhere(task):
    other = task.shuffled()
    assert (other[:, ::2] == task.asked).all()
    said, own = other[:, 1::2], task.told[:, :-1]
    assert (np.sort(said, axis=1) == np.sort(own, axis=1)).all()
    # what is said of an x is no likelier to be its own than any other that was shown
    kept = (said[:, :, None] == own[:, None, :]).mean((1, 2))
    assert (said == own).mean() == pytest.approx(kept.mean(), abs=0.012)
    assert (other == task.shuffled()).all()
    assert (other != task.shuffled(1)).any()


@pytest.mark.parametrize("task", [InContextMapping(30, 3, 4, 5, seed=3), InContextLinear(40, 5, 4, seed=3)])
def test_what_is_written_down_is_the_same_task(task):
    again = task_from_dict(task_to_dict(task))
    assert again == task
    assert (again.tokens == task.tokens).all()
    assert (again.train_mask == task.train_mask).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InContextMapping(n_keys=1), "n_keys: got 1; expected 2 or more"),
        (lambda: InContextMapping(pairs=1), "pairs: got 1"),
        (lambda: InContextMapping(9, 2, 4), "n: got 9; expected 1 to 8, half of the mappings of 2 keys to 4 values"),
        (lambda: InContextMapping(train_fraction=0), "train_fraction: got 0"),
        (lambda: InContextMapping(4, train_fraction=0.1), "train_fraction: 0.1 of 4 examples is none"),
        (lambda: InContextMapping(seed=-1), "seed: got -1"),
        (lambda: InContextLinear(p=6), "p: got 6; expected a prime"),
        (lambda: InContextLinear(p=1), "p: got 1; expected a prime"),
        (lambda: InContextLinear(examples=1), "examples: got 1"),
        (lambda: InContextLinear(n=9, p=2, examples=2), "n: got 9; expected 1 to 8"),
        (lambda: InContextLinear(held_out=0.0), "held_out: got 0.0; expected a share of the 49 pairs"),
        (lambda: InContextLinear(held_out=1.0), "held_out: got 1.0"),
        (lambda: InContextLinear(train_fraction=1.5), "train_fraction: got 1.5"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
