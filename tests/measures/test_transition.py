import itertools

import numpy as np
import pytest
import torch

from probe.measures.transition import (
    Phase,
    find_transition,
    first_step_below,
    generalized_step,
    memorized_step,
    peak_step,
    phases,
)

STEPS = [0, 10, 20, 50, 100]


def test_memorized_is_the_first_evaluation_at_the_threshold():
    assert memorized_step(STEPS, [0.1, 0.5, 0.99, 0.4, 1.0]) == 20
    assert memorized_step(np.array(STEPS), torch.tensor([0.0, 0.0, 0.0, 0.0, 0.98])) is None


def test_generalized_is_the_first_of_three_in_a_row():
    assert generalized_step(STEPS, [0.0, 1.0, 0.99, 1.0, 0.2]) == 10
    assert generalized_step(STEPS, [1.0, 0.2, 1.0, 1.0, 1.0]) == 20
    assert generalized_step(STEPS, [1.0, 1.0, 0.2, 1.0, 1.0]) is None  # two, then the budget ends
    assert generalized_step(STEPS, [1.0, 1.0, 0.2, 1.0, 1.0], consecutive=2) == 0
    assert generalized_step(STEPS, [0.0, 0.0, 0.0, 0.0, 1.0], consecutive=1) == 100


def test_first_step_below_is_strict():
    assert first_step_below(STEPS, [4.0, 1.0, 0.9, 2.0, 0.1], 1.0) == 20
    assert first_step_below(STEPS, [4.0, 1.0, 0.9, 2.0, 0.1], 0.1) is None


def test_peak_is_the_earliest_largest():
    assert peak_step(STEPS, [4.0, 9.0, 9.0, 1.0, 0.0]) == 10


def test_a_grokking_run():
    steps = [0, 100, 200, 300, 400, 500, 600, 700]
    train = [0.01, 0.99, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    test = [0.01, 0.10, 0.2, 0.4, 0.5, 0.99, 1.0, 1.0]
    loss = [4.7, 20.0, 30.0, 9.0, 0.9, 0.5, 0.1, 0.05]
    t = find_transition(steps, train, test, loss)
    assert (t.first_step, t.last_step) == (0, 700)
    assert (t.memorized, t.onset, t.generalized, t.plateau) == (100, 400, 500, 400)
    assert (t.test_loss_below_1, t.test_loss_below_0_1, t.test_loss_peak) == (400, 700, 200)
    assert phases(t) == (
        Phase("memorization", 0, 100),
        Phase("circuit formation", 100, 400),
        Phase("cleanup", 400, 500),
        Phase("generalized", 500, None),
    )


def test_what_was_not_reached_is_censored():
    only_memorized = find_transition([0, 1, 2], [0.0, 1.0, 1.0], [0.0, 0.1, 0.2], [4.0, 9.0, 8.0])
    assert only_memorized.generalized is None
    assert only_memorized.onset is None
    assert only_memorized.plateau is None
    assert only_memorized.test_loss_below_1 is None
    assert phases(only_memorized) == (Phase("memorization", 0, 1), Phase("circuit formation", 1, None))
    nothing = find_transition([0, 1], [0.0, 0.5], [0.0, 0.9], [4.0, 4.0])
    assert (nothing.memorized, nothing.onset) == (None, None)
    assert phases(nothing) == (Phase("memorization", 0, None),)


def test_a_run_that_generalizes_as_it_memorizes_has_no_plateau():
    t = find_transition([0, 1, 2, 3], [0.0, 1.0, 1.0, 1.0], [0.6, 1.0, 1.0, 1.0], [2.0, 0.1, 0.1, 0.1])
    assert t.onset == 1  # not before memorization
    assert t.plateau == 0
    assert phases(t) == (Phase("memorization", 0, 1), Phase("generalized", 1, None))


def test_phases_have_no_gaps():
    rng = np.random.default_rng(0)
    for _ in range(200):
        train, test = np.sort(rng.beta(0.3, 0.1, size=(2, 12)))
        found = phases(find_transition(range(3, 15), train, test, rng.random(12)))
        assert found[0].start == 3
        assert found[-1].end is None
        for before, after in itertools.pairwise(found):
            assert before.start < before.end == after.start


@pytest.mark.parametrize(
    ("steps", "curve", "field"),
    [
        ([0, 1], [0.0], "train_accuracy: shape"),
        ([0, 1], [0.0, float("nan")], "train_accuracy: nan given at step 1"),
        ([1, 1], [0.0, 0.0], "steps: "),
        ([2, 1], [0.0, 0.0], "steps: "),
        ([], [], "steps: "),
    ],
)
def test_curves_that_cannot_be_dated_are_refused(steps, curve, field):
    with pytest.raises(ValueError, match=field):
        memorized_step(steps, curve)


def test_zero_consecutive_evaluations_are_refused():
    with pytest.raises(ValueError, match="consecutive: 0 given"):
        generalized_step([0], [1.0], consecutive=0)
