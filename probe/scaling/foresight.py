"""Whether it was to be foreseen which runs generalize: scores of an early warning, from a results table."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from probe.scaling.fractions import same_but
from probe.scaling.measures import MEASURES, measure_curves
from probe.scaling.transitions import transitions

if TYPE_CHECKING:
    from probe.measures.transition.forecasting import EarlyWarning

MIN_RUNS = 20
_MIN_GROUPS = 5
_SMALLEST = 1e-12  # a loss below it is as good as 0


def foresight(results: pd.DataFrame, settings: pd.DataFrame) -> "EarlyWarning":
    """Scores by step of predicting whether and when runs generalize, against train and test accuracy alone.

    The measures are those that every run holds and that need no knowledge of the last step; losses and squared weights
    enter by their logarithm. Runs that differ in their seed only are held out together, if that leaves 5 groups or
    more.

    Args:
        results: tidy results table.
        settings: how each model was trained: index model, columns seed and others.
            Where it lacks a model, every run is by itself.

    Raises:
        ValueError: fewer than 20 runs with train and test accuracy, or no step can be scored.
    """
    from probe.measures.transition.forecasting import early_warning

    curves = {str(model): measure_curves(rows) for model, rows in results.groupby("model", sort=False)}
    curves = {model: found for model, found in curves.items() if {"train accuracy", "test accuracy"} <= set(found)}
    if len(curves) < MIN_RUNS:
        raise ValueError(f"results: {len(curves)} runs with train and test accuracy, expected at least {MIN_RUNS}")
    grid = np.unique(np.concatenate([found["test accuracy"].index for found in curves.values()]))
    values = {}
    for measure in MEASURES:
        if measure.hindsight or not all(measure.name in found for found in curves.values()):
            continue
        table = np.stack([found[measure.name].reindex(grid).to_numpy(dtype=float) for found in curves.values()])
        values[measure.name.replace(" ", "_")] = np.log10(np.maximum(table, _SMALLEST)) if measure.log else table
    dates = transitions(results).set_index("model").loc[list(curves), "generalized_step"].to_numpy(dtype=float)
    return early_warning(grid, values, dates, groups=_groups(list(curves), settings))


def _groups(models: list[str], settings: pd.DataFrame) -> list[str] | None:
    if not set(models) <= set(settings.index):
        return None
    named = {model: name for name, members in same_but(settings.loc[models], "seed").items() for model in members}
    return [named[model] for model in models] if len(set(named.values())) >= _MIN_GROUPS else None
