"""How each model was trained, as a table."""

from types import SimpleNamespace

import pandas as pd
import pytest

from probe.batch.plan import Run
from probe.batch.run import run
from probe.batch.settings import settings_of
from probe.tasks import GroupComposition
from tests.batch.batches import short_batch


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    vary = {
        "task": [{"operation": "a+b", "split": "ordered"}, {"operation": "a-b", "split": "ordered"}],
        "train_fraction": [0.5, 0.75],
        "weight_decay": [0.0, 1.0],
        "learning_rate": [1e-2],
    }
    batch = short_batch(suite__task={"p": 5, "train_fraction": 0.5}, suite__vary=vary, probes=["performance"])
    return Run.open(str(run(batch, tmp_path_factory.mktemp("run") / "run", workers=1, progress=False))).suite


def test_settings_are_those_of_the_batch(suite):
    table = settings_of(suite)
    assert len(table) == 8
    assert table.index.name == "model"
    row = table.loc["d8-a+b-f0.75-wd1-s0"]
    assert row[["p", "operation", "split", "train_fraction"]].tolist() == [5, "a+b", "ordered", 0.75]
    assert row[["learning_rate", "weight_decay", "seed", "d_model"]].tolist() == [1e-2, 1.0, 0, 8]
    assert table.loc["d8-aminusb-f0.5-wd0-s0", ["operation", "train_fraction", "weight_decay"]].tolist() == [
        "a-b",
        0.5,
        0.0,
    ]
    assert "family" not in table


def test_of_other_models_the_task_is_known_and_without_one_nothing(suite):
    others = {
        "group": SimpleNamespace(task=GroupComposition("S3", train_fraction=0.4, seed=7)),
        "text": SimpleNamespace(task=None),
    }
    table = settings_of(SimpleNamespace(by_name={**suite.by_name, **others}))
    assert len(table) == 9
    row = table.loc["group"]
    assert row[["group", "train_fraction"]].tolist() == ["S3", 0.4]
    assert row[["p", "seed", "learning_rate"]].isna().all()
    assert pd.isna(table.loc["d8-a+b-f0.75-wd1-s0", "group"])
