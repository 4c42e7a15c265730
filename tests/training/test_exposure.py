"""How often each example has been shown: against the batches that training draws."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.batch.schema import load_batch
from probe.suites import open_suite
from probe.suites.architecture import Architecture, Shape
from probe.tasks import Duplicated, Facts
from probe.training.ensemble import Ensemble, Member
from probe.training.exposure import examples_by, exposures_by, phases_of, shown_in_pass
from probe.training.run import train
from probe.training.settings import Schedule, TrainingSettings

TASK = Facts(12, relations=2, values=3, frequency=Duplicated((1, 3)), held_out=0.25)
SPECIAL = Facts(
    12, relations=2, values=3, frequency=Duplicated((1, 3)), held_out=0.25, special=0.4, special_passes=3, seed=1
)
ARCH = Architecture.of(Shape(d_model=8, n_heads=2), TASK)


def test_a_pass_shows_every_exposure_once_but_for_what_is_less_than_a_batch():
    passes = [shown_in_pass(23, 5, 7, number) for number in (0, 1)]
    for shown in passes:
        assert len(shown) == len(set(shown.tolist())) == 20
    assert not np.array_equal(*passes)
    assert not np.array_equal(passes[0], shown_in_pass(23, 5, 8, 0))
    assert sorted(shown_in_pass(20, 5, 7, 0).tolist()) == list(range(20))


def counted(task, batch_size, seed, steps):
    """Every example of every batch as it goes to the model, recognized by its tokens."""
    example_of = {tuple(row): i for i, row in enumerate(task.tokens.tolist())}
    ensemble = Ensemble(ARCH, [Member("m", task, seed)], TrainingSettings(steps=steps, batch_size=batch_size), "cpu")
    total, by_step = np.zeros(len(task.tokens), dtype=int), []
    for step in range(steps):
        by_step.append(total.copy())
        inputs, _, weight = ensemble._batch()
        tokens = inputs.table_token[inputs.row[0]]
        in_pass = task.exposures.sum() + (task.special_exposures.sum() if step < task.special_passes else 0)
        each = (weight[0] * in_pass).round().int() if batch_size is None else np.ones(batch_size, int)
        for row, times in zip(tokens.tolist(), each.tolist(), strict=True):
            total[example_of[tuple(row)]] += times
        ensemble.step += 1
    return np.array([*by_step, total])


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("batch_size", [None, 5, 6, int(TASK.exposures.sum())])
def test_exposures_are_those_of_the_batches(batch_size, seed):
    """Full batch, passes that end with a whole batch and passes that skip some, one batch a pass."""
    expected = counted(TASK, batch_size, seed, 30)
    steps = [30, 0, 7, 8, 21, 1, 21]
    assert (exposures_by(TASK, batch_size, seed, steps) == expected[steps]).all()
    assert expected[30].sum() == 30 * (batch_size or TASK.exposures.sum())


@pytest.mark.parametrize("batch_size", [None, 5, 6, int(SPECIAL.exposures.sum())])
def test_a_special_batch_is_in_the_first_passes_and_in_none_after(batch_size):
    expected = counted(SPECIAL, batch_size, 5, 60)
    steps = [60, 0, 2, 3, 4, 17, 18, 19, 31, 22, 31]
    assert (exposures_by(SPECIAL, batch_size, 5, steps) == expected[steps]).all()
    assert [examples_by(SPECIAL, batch_size, step) for step in steps] == expected[steps].sum(1).tolist()
    special = SPECIAL.subsets["special"]
    in_pass = int((SPECIAL.exposures + SPECIAL.special_exposures).sum())
    end = 3 * (in_pass // batch_size if batch_size else 1)  # three passes
    assert (expected[end:, special] == expected[end, special]).all()
    assert (expected[end, special] <= 3 * SPECIAL.special_exposures[special]).all()
    assert expected[end, special].sum() > expected[end - (in_pass // batch_size if batch_size else 1), special].sum()
    if batch_size is None or in_pass % batch_size == 0:
        assert (expected[end] == 3 * (SPECIAL.exposures + SPECIAL.special_exposures)).all()
    assert [phase.first_step for phase in phases_of(SPECIAL, batch_size)] == [0, end]


@given(
    special=st.sampled_from([0.0, 0.2, 0.5, 0.8]),
    passes=st.integers(1, 6),
    batch_size=st.none() | st.integers(1, 12),
    seed=st.integers(0, 9),
    steps=st.lists(st.integers(0, 90), min_size=1, max_size=6),
)
def test_exposures_grow_by_what_each_pass_shows(special, passes, batch_size, seed, steps):
    """Never by more than the task says of a pass, of the special batch in its passes only; in any order of steps."""
    chosen = {"special": special, "special_passes": passes} if special else {}
    task = Facts(25, relations=2, values=3, frequency=Duplicated((1, 2)), **chosen)
    found = exposures_by(task, batch_size, seed, steps)
    alone = np.concatenate([exposures_by(task, batch_size, seed, [step]) for step in steps])
    assert (found == alone).all()
    assert found.sum(1).tolist() == [examples_by(task, batch_size, step) for step in steps]
    assert (found[:, task.special_exposures > 0] <= passes * task.special_exposures[task.special_exposures > 0]).all()
    assert (found[:, (task.exposures + task.special_exposures) == 0] == 0).all()
    phases = phases_of(task, batch_size)
    bounds = [phase.first_step for phase in phases]
    for phase, end in zip(phases, [*bounds[1:], bounds[-1] + 3 * phases[-1].steps_per_pass], strict=True):
        of_passes = list(range(phase.first_step, end + 1, phase.steps_per_pass))
        for one, next_one in pairwise(exposures_by(task, batch_size, seed, of_passes)):
            shown = next_one - one
            assert (shown <= phase.exposures).all()
            assert shown.sum() == (batch_size or phase.exposures.sum()) * phase.steps_per_pass


def test_a_checkpoint_knows_how_often_it_was_shown_what(tmp_path):
    settings = TrainingSettings(steps=9, batch_size=5, checkpoints=Schedule(per_decade=1, log_until=1, every=9))
    train(ARCH, [Member("m", TASK, 3)], settings, str(tmp_path))
    suite = open_suite(str(tmp_path))
    for step in (0, 1, 9):
        assert (suite["m", step].exposures == exposures_by(TASK, 5, 3, [step])[0]).all()
    assert suite["m", 9].exposures.sum() == 45


def test_the_bundled_batch_is_evaluated_at_the_last_exposure_and_often_after_it():
    suite = load_batch("memorization-forgetting").suite
    task, training = suite.tasks[0], suite.training
    later = phases_of(task, training.batch_size)[-1]
    steps = training.checkpoints.up_to(training.steps)
    assert {later.first_step - 1, later.first_step} <= set(steps)
    assert sum(step >= later.first_step for step in steps) > 30
    shown = exposures_by(task, training.batch_size, 0, [later.first_step - 1, later.first_step, training.steps])
    of_special = shown[:, task.subsets["special"]]
    assert (of_special[1:] == task.special_passes).all()  # no pass skips any
    assert of_special[0].min() < task.special_passes
    assert (shown[2, task.train_mask] >= 100).all()


def test_a_stream_of_a_million_exposures_is_counted():
    task = Facts(1000, relations=1, frequency=Duplicated((100, 2000)))
    found = exposures_by(task, 1024, 0, [3 * (int(task.exposures.sum()) // 1024) + 5])[0]
    assert found.sum() == (3 * (int(task.exposures.sum()) // 1024) + 5) * 1024
    assert (abs(found - 3 * task.exposures) <= 0.01 * task.exposures + 12).all()
