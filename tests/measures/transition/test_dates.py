import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probe.measures.transition import (
    Phases,
    Stretch,
    first_step_below,
    generalized_step,
    memorized_step,
    peak_step,
    phases,
)

STEPS = [0, 10, 20, 50, 100]
NAN, INF = float("nan"), float("inf")
curves = st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.9899, 0.99, 1.0]), min_size=1, max_size=12)


def test_memorized_is_the_first_evaluation_at_the_threshold():
    assert memorized_step(STEPS, [0.1, 0.5, 0.99, 0.4, 1.0]) == 20
    assert type(memorized_step(STEPS, [0.1, 0.5, 0.99, 0.4, 1.0])) is int
    assert memorized_step(np.array(STEPS), torch.tensor([0.0, 0.0, 0.0, 0.0, 0.98])) is None
    assert memorized_step(STEPS, [0.1, 0.5, 0.6, 0.4, 0.2], threshold=0.5) == 10


def test_generalized_is_the_first_of_three_in_a_row():
    assert generalized_step(STEPS, [0.0, 1.0, 0.99, 1.0, 0.2]) == 10
    assert generalized_step(STEPS, [1.0, 0.2, 1.0, 1.0, 1.0]) == 20
    assert generalized_step(STEPS, [1.0, 1.0, 0.2, 1.0, 1.0]) is None  # two, then the budget ends
    assert generalized_step(STEPS, [1.0, 1.0, 0.2, 1.0, 1.0], consecutive=2) == 0
    assert generalized_step(STEPS, [0.0, 0.0, 0.0, 0.0, 1.0], consecutive=1) == 100
    assert generalized_step(STEPS, [0.0, 0.6, 0.6, 0.6, 0.0], threshold=0.6) == 10
    assert generalized_step([3], [1.0]) is None  # fewer evaluations than are asked for


@given(curves, st.integers(1, 4))
def test_generalized_as_a_loop_finds_it(curve, consecutive):
    steps = [5 * i for i in range(len(curve))]
    starts = [i for i in range(len(curve) - consecutive + 1) if all(v >= 0.99 for v in curve[i : i + consecutive])]
    assert generalized_step(steps, curve, consecutive=consecutive) == (steps[starts[0]] if starts else None)


def test_first_step_below_is_strict():
    assert first_step_below(STEPS, [4.0, 1.0, 0.9, 2.0, 0.1], 1.0) == 20
    assert first_step_below(STEPS, [4.0, 1.0, 0.9, 2.0, 0.1], 0.1) is None


def test_peak_is_the_earliest_largest():
    assert peak_step(STEPS, [4.0, 9.0, 9.0, 1.0, 0.0]) == 10
    assert type(peak_step(STEPS, [-4.0, -9.0, -3.0, -5.0, -6.0])) is int
    assert peak_step(STEPS, [-4.0, -9.0, -3.0, -5.0, -6.0]) == 20


def test_a_batch_of_runs_gives_a_tensor_with_inf_where_it_is_censored():
    accuracy = torch.tensor([[[0.0, 1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0, 1.0]], [[0.0, 0.0, 0.0, 1.0, 1.0]] * 2])
    for found, expected in (
        (memorized_step(STEPS, accuracy), [[10, 20], [50, 50]]),
        (generalized_step(STEPS, accuracy), [[10, 20], [INF, INF]]),
        (first_step_below(STEPS, 1 - accuracy, 0.5), [[10, 20], [50, 50]]),
        (peak_step(STEPS, accuracy), [[10, 20], [50, 50]]),
    ):
        assert found.dtype == torch.float64
        assert found.tolist() == expected


def test_a_grokking_run():
    steps = [0, 100, 200, 300, 400, 500, 600, 700]
    train = [0.01, 0.99, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    test = [0.01, 0.10, 0.2, 0.4, 0.5, 0.99, 1.0, 1.0]
    loss = [4.7, 20.0, 30.0, 9.0, 0.9, 0.5, 0.1, 0.05]
    dates = {"memorized": 100, "generalized": 500, "plateau": 400, "onset": 400, "first_step": 0, "last_step": 700}
    stretches = (
        Stretch("memorization", 0, 100),
        Stretch("circuit formation", 100, 400),
        Stretch("cleanup", 400, 500),
        Stretch("generalized", 500, None),
    )
    losses = {"test_loss_below_1": 400, "test_loss_below_0_1": 700, "test_loss_peak": 200}
    assert phases(steps, train, test) == Phases(**dates, stretches=stretches)
    assert phases(steps, train, test, loss) == Phases(**dates, stretches=stretches, **losses)
    assert phases(torch.tensor(steps), np.array(train), torch.tensor(test), torch.tensor(loss)).generalized == 500


def test_what_was_not_reached_is_censored():
    only_memorized = phases([0, 1, 2], [0.0, 1.0, 1.0], [0.0, 0.1, 0.2], [4.0, 9.0, 8.0])
    assert only_memorized.generalized is None
    assert only_memorized.onset is None
    assert only_memorized.plateau is None
    assert only_memorized.test_loss_below_1 is None
    assert only_memorized.test_loss_peak == 1
    assert only_memorized.stretches == (Stretch("memorization", 0, 1), Stretch("circuit formation", 1, None))
    under_way = phases([0, 1, 2], [0.0, 1.0, 1.0], [0.0, 0.1, 0.6])
    assert under_way.stretches[-1] == Stretch("cleanup", 2, None)
    nothing = phases([0, 1], [0.0, 0.5], [0.0, 0.9])
    assert (nothing.memorized, nothing.onset, nothing.plateau) == (None, None, None)
    assert nothing.stretches == (Stretch("memorization", 0, None),)


def test_generalization_without_memorization_has_no_plateau():
    # train accuracy below .99 for ever, as with wrong labels among the training data
    run = phases([0, 1, 2, 3], [0.0, 0.9, 0.9, 0.9], [0.0, 1.0, 1.0, 1.0])
    assert (run.memorized, run.generalized, run.plateau, run.onset) == (None, 1, None, None)


def test_a_run_that_generalizes_as_it_memorizes_has_no_plateau():
    run = phases([0, 1, 2, 3], [0.0, 1.0, 1.0, 1.0], [0.6, 1.0, 1.0, 1.0])
    assert run.onset == 1  # not before memorization
    assert run.plateau == 0
    assert run.stretches == (Stretch("memorization", 0, 1), Stretch("generalized", 1, None))


def test_generalization_before_memorization_is_a_negative_plateau():
    run = phases([0, 10, 20, 30], [0.0, 0.5, 0.9, 1.0], [0.0, 1.0, 1.0, 1.0])
    assert (run.memorized, run.generalized, run.plateau, run.onset) == (30, 10, -20, 30)


def test_thresholds_are_those_asked_for():
    train, test = [0.0, 0.8, 0.9, 0.9], [0.0, 0.0, 0.8, 0.7]
    run = phases([0, 1, 2, 3], train, test, threshold=0.8, consecutive=1)
    assert (run.memorized, run.generalized) == (1, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", [0.9, 0.95, 0.99])
def test_accuracies_at_the_threshold_in_any_type(dtype, threshold):
    curve = torch.tensor([0.1, *[threshold] * 4], dtype=dtype)
    run = phases(STEPS, curve, curve, threshold=threshold)
    assert (run.memorized, run.generalized) == (10, 10)
    assert memorized_step(STEPS, curve, threshold) == generalized_step(STEPS, curve, threshold) == 10


@pytest.mark.parametrize("threshold", [99, NAN, -1, 0])
def test_a_threshold_that_is_no_accuracy_is_refused(threshold):
    for call in (
        lambda: phases(STEPS, [1.0] * 5, [1.0] * 5, threshold=threshold),
        lambda: memorized_step(STEPS, [1.0] * 5, threshold),
        lambda: generalized_step(STEPS, [1.0] * 5, threshold),
    ):
        with pytest.raises(ValueError, match=f"threshold: {threshold} given"):
            call()


def test_after_generalization_there_is_no_circuit_formation():
    # generalized at 10, memorized at 50, and by then test accuracy has fallen again, for good
    run = phases([0, 10, 20, 30, 50, 60], [0.0, 0.5, 0.9, 0.9, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0, 0.2, 0.2])
    assert (run.memorized, run.generalized, run.onset) == (50, 10, None)
    assert run.stretches == (Stretch("memorization", 0, 50), Stretch("generalized", 50, None))
    # or comes back to one half later
    run = phases([0, 10, 20, 30, 50, 60], [0.0, 0.5, 0.9, 0.9, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0, 0.2, 0.7])
    assert run.stretches == (Stretch("memorization", 0, 50), Stretch("generalized", 50, None))
    # a threshold below one half
    run = phases([0, 10, 20, 30], [1.0] * 4, [0.0, 0.4, 0.4, 0.4], threshold=0.3)
    assert run.stretches == (Stretch("circuit formation", 0, 10), Stretch("generalized", 10, None))


@given(st.data())
def test_stretches_have_no_gaps(data):
    train, test = data.draw(curves), data.draw(curves)
    n = min(len(train), len(test))
    run = phases(range(3, 3 + n), train[:n], test[:n])
    found = run.stretches
    if run.memorized is not None and run.generalized is not None:
        assert found[-1] == Stretch("generalized", max(run.memorized, run.generalized), None)
    assert found[0].start == 3
    assert found[-1].end is None
    for before, after in itertools.pairwise(found):
        assert before.start < before.end == after.start


@pytest.mark.parametrize(
    ("steps", "train", "test", "loss", "message"),
    [
        ([0, 1], [0.0], [0.0, 0.0], None, "train_accuracy: shape"),
        ([0, 1], [0.0, 0.0], [0.0], None, "test_accuracy: shape"),
        ([0, 1], [0.0, 0.0], [0.0, 0.0], [1.0], "test_loss: shape"),
        ([0, 1], [0.0, NAN], [0.0, 0.0], None, "train_accuracy: nan given at"),
        ([0, 1], [0.0, 0.0], [0.0, NAN], None, "test_accuracy: nan given at"),
        ([0, 1], [0.0, 0.0], [0.0, 0.0], [1.0, INF], "test_loss: inf given at"),
        ([0, 1], [0.0, 99.5], [0.0, 0.0], None, "train_accuracy: 99.5 given, expected accuracies"),
        ([0, 1], [0.0, 0.0], [0.0, 50.0], None, "test_accuracy: 50 given, expected accuracies"),
        ([1, 1], [0.0, 0.0], [0.0, 0.0], None, "steps: "),
        ([2, 1], [0.0, 0.0], [0.0, 0.0], None, "steps: "),
        ([], [], [], None, "steps: "),
        ([0, 1], [[0.0, 0.0]], [0.0, 0.0], None, "train_accuracy: shape .* the curve of one run"),
    ],
)
def test_curves_that_cannot_be_dated_are_refused(steps, train, test, loss, message):
    with pytest.raises(ValueError, match=message):
        phases(steps, train, test, loss)


def test_other_dates_name_their_argument_too():
    for date, field in ((memorized_step, "train_accuracy"), (generalized_step, "test_accuracy"), (peak_step, "loss")):
        with pytest.raises(ValueError, match=f"{field}: nan given"):
            date([0, 1], [0.0, NAN])
    with pytest.raises(ValueError, match="loss: shape"):
        first_step_below([0, 1], [0.0], 1.0)
    with pytest.raises(ValueError, match="consecutive: 0 given"):
        generalized_step([0], [1.0], consecutive=0)
