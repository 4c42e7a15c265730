"""What a probe may look at: the logits in the order in which the operation adds."""

import pytest
import torch

from probe.tasks import ModularArithmetic
from tests.probes.stub import APPLY, observation

CYCLIC = [("a+b", 7), ("a+b", 8), ("a-b", 7), ("a-b", 6), ("a*b", 7), ("a*b", 11), ("a/b", 7), ("a/b", 13)]


@pytest.mark.parametrize(("operation", "p"), CYCLIC)
def test_the_right_answer_is_at_the_sum(operation, p):
    task = ModularArithmetic(p, operation)
    right = torch.zeros(len(task.answers), p)
    for example, (a, b) in enumerate(task.operands.tolist()):
        right[example, APPLY[operation](a, b, p)] = 1.0
    cube = observation(task, right).cube
    n = p - 1 if operation in ("a*b", "a/b") else p
    assert cube.shape == (n, n, n)
    for i in range(n):
        for j in range(n):
            for k in range(n):
                assert cube[i, j, k] == float(k == (i + j) % n)


@pytest.mark.parametrize(("operation", "p"), CYCLIC)
def test_every_cell_of_the_cube_is_the_logit_of_its_example_and_answer(operation, p):
    task = ModularArithmetic(p, operation)
    logits = torch.arange(len(task.answers) * p, dtype=torch.float64).reshape(-1, p)
    found = observation(task, logits)
    of_example = {pair: example for example, pair in enumerate(map(tuple, task.operands.tolist()))}
    form = task.cyclic_form
    for i in range(form.order):
        for j in range(form.order):
            example = of_example[int(form.a[i]), int(form.b[j])]
            assert found.cube[i, j].tolist() == logits[example, torch.as_tensor(form.c)].tolist()
    assert found.cube.unique().numel() == form.order**3


@pytest.mark.parametrize(("operation", "p"), CYCLIC)
def test_a_set_of_examples_as_a_set_of_pairs(operation, p):
    task = ModularArithmetic(p, operation)
    found, form = observation(task), task.cyclic_form
    mask = torch.as_tensor(task.train_mask)
    trained = {tuple(pair) for pair in task.operands[task.train_mask].tolist()}
    pairs = found.on_pairs(mask)
    for i in range(form.order):
        for j in range(form.order):
            assert pairs[i, j].item() == ((int(form.a[i]), int(form.b[j])) in trained)


def test_logits_are_those_of_the_answers_in_double_precision():
    task = ModularArithmetic(5)
    logits = torch.randn(25, 5)
    found = observation(task, logits)
    assert found.logits.dtype == torch.float64
    assert torch.equal(found.logits, logits.double())
    assert found.answers.tolist() == [(a + b) % 5 for a in range(5) for b in range(5)]
    assert found.task is task
