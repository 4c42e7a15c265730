"""Composition in a group as a task: examples, splits, forms, and that it is written and read back."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from probe.algebra import group
from probe.tasks import GroupComposition, ModularArithmetic, Task, task_from_dict, task_to_dict

NAMES = ["C2", "C6", "C13", "D3", "D8", "S3", "S4", "A4", "C2xC4", "S3xC2"]


@pytest.mark.parametrize("name", [*NAMES, "A5"])
def test_examples_are_all_pairs_of_elements(name):
    task, g = GroupComposition(name, 0.5), group(name)
    n = g.order
    assert task.tokens.tolist() == [[a, b, n] for a in range(n) for b in range(n)]
    assert task.answers.tolist() == [g.table[a, b] for a in range(n) for b in range(n)]
    assert (task.d_vocab, task.n_answers, task.n_ctx, *task.scored) == (n + 1, n, 3, 2)
    assert task.family == "group"
    assert isinstance(task, Task)


@given(st.sampled_from(NAMES), st.floats(0.2, 1.0), st.integers(0, 5))
def test_an_unordered_split_never_parts_commuting_pairs(name, fraction, seed):
    task, g = GroupComposition(name, fraction, seed=seed), group(name)
    n = g.order
    trained = task.train_mask.reshape(n, n)
    commute = g.table == g.table.T
    assert (trained == trained.T)[commute].all()
    assert abs(trained.sum() - fraction * n * n) <= 1.5
    assert (task.exposures == task.train_mask).all()
    assert task.exposures.dtype == np.int64
    if "test" in task.subsets:
        assert (task.subsets["test"] == task.subsets["test_nonmirror"]).all()


def test_pairs_that_do_not_commute_are_drawn_by_themselves():
    task, g = GroupComposition("S5", 0.5), group("S5")
    trained = task.train_mask.reshape(120, 120)
    commute = g.table == g.table.T
    assert commute.mean() == 7 / 120
    parted = (trained != trained.T)[~commute].mean()
    assert 0.48 < parted < 0.52


@given(st.sampled_from(NAMES), st.floats(0.3, 1.0), st.integers(0, 5))
def test_non_mirror_pairs_are_those_whose_answer_was_not_trained_on_with_operands_exchanged(name, fraction, seed):
    task = GroupComposition(name, fraction, "ordered", seed)
    n = task.n_answers
    answer = {tuple(pair): c for pair, c in zip(task.operands.tolist(), task.answers.tolist(), strict=True)}
    trained = {tuple(pair) for pair, t in zip(task.operands.tolist(), task.train_mask, strict=True) if t}
    assert len(trained) == int(fraction * (n * n))
    expected = [
        pair not in trained and not (pair[::-1] in trained and answer[pair[::-1]] == answer[pair])
        for pair in map(tuple, task.operands.tolist())
    ]
    assert task.subsets.get("test_nonmirror", np.zeros(n * n, dtype=bool)).tolist() == expected
    assert (task.subsets["train"] == task.train_mask).all()
    assert task.subsets["all"].all()
    assert (task.subsets.get("test", np.zeros(n * n, dtype=bool)) == ~task.train_mask).all()
    assert all(mask.any() for mask in task.subsets.values())


@pytest.mark.parametrize("split", ["unordered", "ordered"])
def test_a_cyclic_group_is_addition_with_the_same_split(split):
    ours, theirs = GroupComposition("C23", 0.3, split, 3), ModularArithmetic(23, "a+b", 0.3, split, 3)
    for what in ("tokens", "answers", "train_mask", "exposures"):
        assert (getattr(ours, what) == getattr(theirs, what)).all()
    assert ours.subsets.keys() == theirs.subsets.keys()
    assert all((ours.subsets[name] == theirs.subsets[name]).all() for name in ours.subsets)
    assert GroupComposition("C23") == GroupComposition("C23", ModularArithmetic(23).train_fraction)


@pytest.mark.parametrize("split", ["unordered", "ordered"])
def test_a_split_depends_on_its_seed_and_on_nothing_else(split):
    first = GroupComposition("S4", split=split, seed=3).train_mask
    np.random.seed(99)  # noqa: NPY002
    assert (GroupComposition("S4", split=split, seed=3).train_mask == first).all()
    assert (GroupComposition("S4", split=split, seed=4).train_mask != first).any()


@pytest.mark.parametrize("name", ["C2", "C6", "C13", "A3", "S2", "C2xC3", "C3xC4"])
def test_a_group_that_is_cyclic_has_a_cyclic_form(name):
    task = GroupComposition(name, 0.9)
    form, n = task.cyclic_form, task.n_answers
    grid = task.answers.reshape(n, n)
    assert form.order == n == len(set(form.a.tolist()))
    for i in range(n):
        for j in range(n):
            assert grid[form.a[i], form.b[j]] == form.c[(i + j) % n]
    if name[0] == "C" and "x" not in name:
        assert form.a.tolist() == form.b.tolist() == form.c.tolist() == list(range(n))


@pytest.mark.parametrize("name", ["S3", "D2", "C2xC4", "A4", "S5"])
def test_other_groups_have_none(name):
    assert GroupComposition(name).cyclic_form is None


def holds(task):
    """Whether the group form says the task's answers, on the pairs that it covers."""
    form = task.group_form
    n = form.group.order
    asked = {tuple(pair): c for pair, c in zip(task.tokens[:, :2].tolist(), task.answers.tolist(), strict=True)}
    assert len(form.a) == len(form.b) == len(form.c) == n
    return all(
        asked[int(form.a[i]), int(form.b[j])] == form.c[form.group.table[i, j]] for i in range(n) for j in range(n)
    )


@pytest.mark.parametrize("name", [*NAMES, "A5"])
def test_the_group_form_is_the_product(name):
    task = GroupComposition(name, 0.5)
    assert task.group_form.group is group(name)
    assert holds(task)


@pytest.mark.parametrize("operation", ["a+b", "a-b", "a*b", "a/b"])
@pytest.mark.parametrize("p", [3, 5, 13])
def test_modular_arithmetic_has_the_group_form_of_its_cyclic_form(operation, p):
    task = ModularArithmetic(p, operation, 0.9)
    assert task.group_form.group is group(f"C{p if operation in ('a+b', 'a-b') else p - 1}")
    assert holds(task)


def test_modular_arithmetic_that_has_no_group_form():
    assert ModularArithmetic(7, "a^2+b^2").group_form is None
    assert ModularArithmetic(2, "a*b", 0.9).group_form is None
    assert ModularArithmetic(1025, train_fraction=0.001).group_form is None
    assert ModularArithmetic(1024, train_fraction=0.001).group_form.group.order == 1024
    assert isinstance(ModularArithmetic(1025, train_fraction=0.001), Task)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"group": "E8"}, "^group: got 'E8'; expected a name such as C113"),
        ({"group": "s5"}, r"^group: got 's5'; .*did you mean 'S5'\?"),
        ({"group": "S7"}, "^group: got 'S7', whose order is above 1024"),
        ({"group": 5}, "^group: got 5; expected a name"),
        ({"group": "S3", "split": "ordered-torch"}, "^split: got 'ordered-torch'; expected one of unordered, ordered"),
        ({"group": "S3", "train_fraction": 0.0}, "^train_fraction: got 0.0; expected a share above 0 and at most 1"),
        ({"group": "S3", "train_fraction": 1.01}, "^train_fraction: got 1.01"),
        ({"group": "S3", "train_fraction": float("nan")}, "^train_fraction: got nan"),
        ({"group": "C2", "train_fraction": 0.1}, "^train_fraction: 0.1 of 4 examples is none; expected at least 0.25"),
        ({"group": "S3", "seed": -1}, "^seed: got -1; expected 0 or more"),
    ],
)
def test_bad_fields_are_named(fields, says):
    with pytest.raises(ValueError, match=says):
        GroupComposition(**fields)


def test_a_task_is_frozen_and_is_read_back_from_its_fields():
    task = GroupComposition("S4", 0.4, "ordered", 7)
    fields = json.loads(json.dumps(task_to_dict(task)))
    assert fields == {"group": "S4", "train_fraction": 0.4, "split": "ordered", "seed": 7, "family": "group"}
    assert task_from_dict(fields) == task
    assert type(task_from_dict(fields)) is GroupComposition
    assert type(task_from_dict(task_to_dict(ModularArithmetic(7)))) is ModularArithmetic
    assert hash(task) == hash(GroupComposition("S4", 0.4, "ordered", 7))
    assert len({task, task_from_dict(fields), GroupComposition("S4", 0.4, "ordered", 8)}) == 2
    with pytest.raises(AttributeError):
        task.group = "S5"
    with pytest.raises(ValueError, match="family: got 'groups'; expected one of modular, group"):
        task_from_dict({"family": "groups", "group": "S4"})


def test_a_task_is_read_by_pydantic_and_refuses_fields_that_it_has_not():
    read = TypeAdapter(GroupComposition)
    assert read.validate_python({"group": "A5", "split": "ordered"}) == GroupComposition("A5", split="ordered")
    for wrong in ({"group": "A5", "p": 7}, {"group": "E8"}, {"group": "A5", "family": "modular"}):
        with pytest.raises(ValidationError):
            read.validate_python(wrong)


def test_a_task_that_was_used_is_sent_small():
    task = GroupComposition("C6")
    assert isinstance(task, Task)
    assert task.group_form.group.irreps
    again = pickle.loads(pickle.dumps(task))
    assert again == task
    assert again.group_form.group is group("C6")
    assert not [value for value in vars(task).values() if hasattr(value, "table") or hasattr(value, "group")]


def test_training_on_everything_leaves_no_test_subsets():
    assert set(GroupComposition("S3", 1.0).subsets) == {"train", "all"}
