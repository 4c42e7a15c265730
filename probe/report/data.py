"""What a report is made from: the results of a run and its stored arrays, never a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd
import xarray as xr

from probe.tasks import Task


def _no_arrays(model: str, name: str) -> None:
    return None


@dataclass(frozen=True)
class ReportData:
    """Everything the report needs.

    Args:
        results: tidy results table, a row per number.
        suite: name of the suite, shown as the title.
        batch_yaml: the request, with every default written out.
        command: what to type to make this run again.
        arrays: reads an array that a probe stored, by model and name, with step as its first dimension; None if there
            is none. It is called as a model's page is made, so that no more than one page's arrays are in memory, and
            it may leave out steps that a slider would not show (``slider_steps``).
        tasks: what each model was trained on, in words.
        questions: the same, as tasks.
        settings: how each model was trained, as far as it is known: index model, columns such as train_fraction,
            learning_rate, weight_decay.
        versions: package or commit -> version.
        device: what the run was computed on, in words.
        description: what was asked of whom, in a sentence, shown under the title.
        stopped: models whose training ended early -> why.
    """

    results: pd.DataFrame
    suite: str
    batch_yaml: str
    command: str
    arrays: Callable[[str, str], xr.DataArray | None] = _no_arrays
    tasks: Mapping[str, str] = field(default_factory=dict)
    questions: Mapping[str, Task] = field(default_factory=dict)
    settings: pd.DataFrame = field(default_factory=pd.DataFrame)
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    description: str = ""
    stopped: Mapping[str, str] = field(default_factory=dict)
