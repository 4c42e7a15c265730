import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probe.tasks import ModularArithmetic, Task, task_from_dict, task_to_dict
from probe.tasks.modular import OPERATIONS, SPLITS

BY_HAND = {
    "a+b": lambda a, b, p: (a + b) % p,
    "a-b": lambda a, b, p: (a - b) % p,
    "a*b": lambda a, b, p: a * b % p,
    "a/b": lambda a, b, p: next(c for c in range(p) if c * b % p == a),
    "a^2+b^2": lambda a, b, p: (a * a + b * b) % p,
    "a^2+ab+b^2": lambda a, b, p: (a * a + a * b + b * b) % p,
    "a^3+ab": lambda a, b, p: (a * a * a + a * b) % p,
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("p", [2, 7, 13])
def test_answers_are_those_worked_out_by_hand(operation, p):
    task = ModularArithmetic(p, operation, train_fraction=0.6)
    b_from = 1 if operation == "a/b" else 0
    pairs = [(a, b) for a in range(p) for b in range(b_from, p)]
    assert task.tokens.tolist() == [[a, b, p] for a, b in pairs]
    assert task.answers.tolist() == [BY_HAND[operation](a, b, p) for a, b in pairs]
    assert (task.d_vocab, task.n_answers, task.n_ctx, *task.scored) == (p + 1, p, 3, 2)
    assert isinstance(task, Task)


@pytest.mark.parametrize("operation", ["a+b", "a-b", "a*b", "a^2+b^2", "a^2+ab+b^2", "a^3+ab"])
def test_a_composite_modulus_is_fine_where_nothing_is_divided(operation):
    task = ModularArithmetic(12, operation)
    assert task.answers.tolist() == [BY_HAND[operation](a, b, 12) for a in range(12) for b in range(12)]


@given(
    p=st.integers(3, 40),
    fraction=st.floats(0.15, 1.0),
    seed=st.integers(0, 5),
    operation=st.sampled_from([o for o in OPERATIONS if o != "a/b"]),
)
def test_an_unordered_split_never_parts_a_pair_from_its_mirror(p, fraction, seed, operation):
    task = ModularArithmetic(p, operation, fraction, seed=seed)
    trained = task.train_mask.reshape(p, p)
    assert (trained == trained.T).all()
    assert abs(trained.sum() - fraction * p * p) <= 1.5
    assert (task.exposures == task.train_mask).all()
    if "test" in task.subsets:
        assert (task.subsets["test"] == task.subsets["test_nonmirror"]).all()


@given(p=st.integers(3, 30), fraction=st.floats(0.15, 1.0), seed=st.integers(0, 5))
def test_non_mirror_pairs_of_an_ordered_split_are_those_whose_mirror_was_not_trained_on(p, fraction, seed):
    task = ModularArithmetic(p, "a+b", fraction, "ordered", seed)
    trained = {(a, b) for (a, b), t in zip(task.operands.tolist(), task.train_mask, strict=True) if t}
    assert len(trained) == int(fraction * (p * p))
    expected = [(a, b) not in trained and (b, a) not in trained for a, b in task.operands.tolist()]
    assert task.subsets.get("test_nonmirror", np.zeros(p * p, dtype=bool)).tolist() == expected
    assert all(mask.any() for mask in task.subsets.values())


def test_an_ordered_split_has_mirrors_of_trained_pairs_among_its_test_pairs():
    task = ModularArithmetic(53, train_fraction=0.5, split="ordered")
    assert 0.4 < 1 - task.subsets["test_nonmirror"].sum() / task.subsets["test"].sum() < 0.6


def test_published_splits_are_reproduced_pair_by_pair():
    pairs = [(i, j) for i in range(113) for j in range(113)]
    nanda = ModularArithmetic(113, split="ordered-python", seed=1)
    random.seed(1)
    shuffled = list(pairs)
    random.shuffle(shuffled)
    trained = {pair for pair, t in zip(map(tuple, nanda.operands.tolist()), nanda.train_mask, strict=True) if t}
    assert trained == set(shuffled[:3830])
    assert len(trained) == 3830

    torch.manual_seed(1)
    chosen = torch.randperm(113 * 113)[: int(0.3 * 113 * 113)]
    assert set(np.flatnonzero(ModularArithmetic(113, split="ordered-torch", seed=1).train_mask)) == set(chosen.tolist())


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_depends_on_its_seed_and_on_nothing_else(split):
    first = ModularArithmetic(23, split=split, seed=3).train_mask
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    assert (ModularArithmetic(23, split=split, seed=3).train_mask == first).all()
    assert (ModularArithmetic(23, split=split, seed=4).train_mask != first).any()


@pytest.mark.parametrize("operation", ["a+b", "a-b", "a*b", "a/b"])
@pytest.mark.parametrize("p", [3, 7, 23])
def test_the_cyclic_form_turns_the_operation_into_addition(operation, p):
    form = ModularArithmetic(p, operation, 0.9).cyclic_form
    n = form.order
    assert n == (p if operation in ("a+b", "a-b") else p - 1)
    for i in range(n):
        for j in range(n):
            assert BY_HAND[operation](int(form.a[i]), int(form.b[j]), p) == form.c[(i + j) % n]
    assert len(set(form.a.tolist())) == len(set(form.b.tolist())) == len(set(form.c.tolist())) == n


@pytest.mark.parametrize(("p", "operation"), [(7, "a^2+b^2"), (7, "a^3+ab"), (12, "a*b")])
def test_there_is_no_cyclic_form_where_there_is_no_cyclic_group(p, operation):
    assert ModularArithmetic(p, operation).cyclic_form is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"p": 1}, "p: got 1; expected a modulus of at least 2"),
        ({"p": 7, "operation": "a^b"}, "operation: got 'a.b'; expected one of a.b"),
        ({"p": 7, "split": "random"}, "split: got 'random'; expected one of unordered"),
        ({"p": 7, "train_fraction": 0.0}, "train_fraction: got 0.0; expected a share above 0 and at most 1"),
        ({"p": 7, "train_fraction": 1.01}, "train_fraction: got 1.01"),
        ({"p": 3, "train_fraction": 0.01, "split": "ordered"}, "train_fraction: 0.01 of 9 examples is none"),
        ({"p": 12, "operation": "a/b"}, "operation: a/b is not defined modulo p = 12.* the nearest prime is 11"),
        ({"p": 7, "operation": "a/b", "split": "ordered-torch"}, "split: 'ordered-torch' shuffles all"),
    ],
)
def test_bad_fields_are_named(fields, says):
    with pytest.raises(ValueError, match=says):
        ModularArithmetic(**fields)


def test_a_task_is_frozen_and_is_read_back_from_its_fields():
    task = ModularArithmetic(23, "a*b", 0.4, "ordered", 7)
    assert task_from_dict(task_to_dict(task)) == task
    assert hash(task) == hash(ModularArithmetic(23, "a*b", 0.4, "ordered", 7))
    with pytest.raises(AttributeError):
        task.p = 5
    with pytest.raises(ValueError, match="family: got 'groups'; expected one of modular"):
        task_from_dict({"family": "groups"})


def test_training_on_everything_leaves_no_test_subsets():
    assert set(ModularArithmetic(7, train_fraction=1.0).subsets) == {"train", "all"}
