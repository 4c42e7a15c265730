"""How often each example has been shown: against the batches that training draws."""

import numpy as np
import pytest

from probe.suites import open_suite
from probe.suites.architecture import Architecture, Shape
from probe.tasks import Duplicated, Facts
from probe.training.ensemble import Ensemble, Member
from probe.training.exposure import exposures_by, shown_in_pass
from probe.training.run import train
from probe.training.settings import Schedule, TrainingSettings

TASK = Facts(12, relations=2, values=3, frequency=Duplicated((1, 3)), held_out=0.25)
ARCH = Architecture.of(Shape(d_model=8, n_heads=2), TASK)


def test_a_pass_shows_every_exposure_once_but_for_what_is_less_than_a_batch():
    passes = [shown_in_pass(23, 5, 7, number) for number in (0, 1)]
    for shown in passes:
        assert len(shown) == len(set(shown.tolist())) == 20
    assert not np.array_equal(*passes)
    assert not np.array_equal(passes[0], shown_in_pass(23, 5, 8, 0))
    assert sorted(shown_in_pass(20, 5, 7, 0).tolist()) == list(range(20))


def counted(batch_size, seed, steps):
    """Every example of every batch as it goes to the model, recognized by its tokens."""
    example_of = {tuple(row): i for i, row in enumerate(TASK.tokens.tolist())}
    ensemble = Ensemble(ARCH, [Member("m", TASK, seed)], TrainingSettings(steps=steps, batch_size=batch_size), "cpu")
    total, by_step = np.zeros(len(TASK.tokens), dtype=int), []
    for _ in range(steps):
        by_step.append(total.copy())
        inputs, _, weight = ensemble._batch()
        tokens = inputs.table_token[inputs.row[0]]
        each = (weight[0] * TASK.exposures.sum()).round().int() if batch_size is None else np.ones(batch_size, int)
        for row, times in zip(tokens.tolist(), each.tolist(), strict=True):
            total[example_of[tuple(row)]] += times
        ensemble.step += 1
    return np.array([*by_step, total])


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("batch_size", [None, 5, 6, int(TASK.exposures.sum())])
def test_exposures_are_those_of_the_batches(batch_size, seed):
    """Full batch, passes that end with a whole batch and passes that skip some, one batch a pass."""
    expected = counted(batch_size, seed, 30)
    steps = [30, 0, 7, 8, 21, 1, 21]
    assert (exposures_by(TASK, batch_size, seed, steps) == expected[steps]).all()
    assert expected[30].sum() == 30 * (batch_size or TASK.exposures.sum())


def test_a_checkpoint_knows_how_often_it_was_shown_what(tmp_path):
    settings = TrainingSettings(steps=9, batch_size=5, checkpoints=Schedule(per_decade=1, log_until=1, every=9))
    train(ARCH, [Member("m", TASK, 3)], settings, str(tmp_path))
    suite = open_suite(str(tmp_path))
    for step in (0, 1, 9):
        assert (suite["m", step].exposures == exposures_by(TASK, 5, 3, [step])[0]).all()
    assert suite["m", 9].exposures.sum() == 45


def test_a_stream_of_a_million_exposures_is_counted():
    task = Facts(1000, relations=1, frequency=Duplicated((100, 2000)))
    found = exposures_by(task, 1024, 0, [3 * (int(task.exposures.sum()) // 1024) + 5])[0]
    assert found.sum() == (3 * (int(task.exposures.sum()) // 1024) + 5) * 1024
    assert (abs(found - 3 * task.exposures) <= 0.01 * task.exposures + 12).all()
