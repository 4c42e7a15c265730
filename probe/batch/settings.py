"""How each model of a suite was trained, as a table."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from probe.suites import Suite
from probe.suites.trained import TrainedModel
from probe.tasks import GroupComposition, ModularArithmetic, Task


def settings_of(suite: Suite) -> pd.DataFrame:
    """A row per model that has a task: index ``model``, and what is known of how it was trained.

    Columns: the fields of its task (``p``, ``operation``, ``group``, ``train_fraction``, ``split``), and of a model
    that was trained here ``d_model``, ``n_layers``, ``n_heads``, ``d_mlp``, ``learning_rate``, ``weight_decay`` and
    ``seed``. NaN where a model does not have one; a column that no model has is left out.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, model in suite.by_name.items():
        if model.task is None:
            continue
        rows[name] = _of_task(model.task)
        if isinstance(model, TrainedModel):
            rows[name] |= {field: getattr(model.architecture, field) for field in _SHAPE}
            rows[name] |= {field: model.config[field] for field in _TRAINING if field in model.config}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis("model")


_SHAPE = ("d_model", "n_layers", "n_heads", "d_mlp")
_TRAINING = ("learning_rate", "weight_decay", "seed")


def _of_task(task: Task) -> dict[str, Any]:
    match task:
        case ModularArithmetic() | GroupComposition():
            # a task's seed is that of its split, not of the model
            return {field: value for field, value in asdict(task).items() if field not in ("seed", "family")}
        case _:
            return {}
