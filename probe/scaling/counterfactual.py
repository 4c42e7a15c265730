"""Counterfactual memorization from models of one size that were asked the same examples and trained on different ones.

The models of a batch whose seeds also draw the split are such: each example is known to models that were shown it, and
to others that were not (Zhang et al. 2021, arXiv 2112.12938).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from probe.scaling.frequency import Arrays
from probe.tasks import NOT_SCORED, Task

if TYPE_CHECKING:
    from probe.measures.memorization import CounterfactualMemorization

MIN_MODELS = 2


@dataclass(frozen=True)
class Counterfactual:
    """The examples of the models of one size.

    Attributes:
        size, n_params: of the models.
        models: their names.
        task: what the first of them was asked: the examples are those of all.
        steps: at which all of them were measured.
        right: share of the answer's tokens that each model gives, [step, model, example].
        shown: which model was trained on which example, [model, example].
        examples: of every example at every step, [step, example].
    """

    size: str
    n_params: int
    models: tuple[str, ...]
    task: Task
    steps: np.ndarray
    right: np.ndarray
    shown: np.ndarray
    examples: "CounterfactualMemorization"


def counterfactuals(curves: pd.DataFrame, arrays: Arrays, tasks: Mapping[str, Task]) -> list[Counterfactual]:
    """The sizes that have examples which some of their models were trained on and others were not, smallest first.

    How well an example is known is the share of its answer's tokens that are the likeliest, given those before them.

    Args:
        curves: what ``probe.scaling.memorization.memorization_curves`` returns.
        arrays: reads an array that the probe ``recall`` stored, by model and name; None if there is none.
        tasks: what each model was asked.
    """
    from probe.measures.memorization import counterfactual_memorization

    found = []
    for row in curves.drop_duplicates(["size", "n_params"]).to_dict("records"):
        size, n_params = str(row["size"]), int(row["n_params"])
        of_size = curves[(curves["size"] == size) & (curves["n_params"] == n_params)]
        models = [str(model) for model in of_size["model"].unique() if model in tasks]
        if len(models) < MIN_MODELS or not _same_examples([tasks[model] for model in models]):
            continue
        shown = np.stack([tasks[model].train_mask for model in models])
        if not (shown.any(0) & ~shown.all(0)).any():
            continue
        predicted = {model: stored for model in models if (stored := arrays(model, "recall_predicted")) is not None}
        if len(predicted) < len(models):
            continue
        steps = reduce(np.intersect1d, [stored["step"].values for stored in predicted.values()])
        right = np.stack([_right(tasks[model], stored.sel(step=steps)) for model, stored in predicted.items()], axis=1)
        examples = counterfactual_memorization(shown, right)
        found.append(Counterfactual(size, n_params, tuple(models), tasks[models[0]], steps, right, shown, examples))
    return found


def _same_examples(tasks: list[Task]) -> bool:
    first, *others = tasks
    return all(
        np.array_equal(task.tokens, first.tokens) and np.array_equal(task.targets, first.targets) for task in others
    )


def _right(task: Task, predicted: xr.DataArray) -> np.ndarray:
    """Share of the answer's tokens that are right, [step, example]."""
    scored = task.scored_answers != NOT_SCORED
    return ((predicted.values == task.scored_answers) & scored).sum(-1) / scored.sum(-1)


def counterfactual_curves(found: list[Counterfactual]) -> pd.DataFrame:
    """A row per size and step.

    Columns: ``size``, ``n_params``, ``step``; ``mean`` with ``low`` and ``high`` (how much better a model does on what
    it was shown than on what it was not, the mean over models and Student's 95 % interval); ``memorized`` (share of the
    examples that are known better by having been shown: those whose own interval excludes 0; NaN where there are none
    that could) and ``n_examples`` (of how many: those with so many models on either side that their interval would
    exclude 0 if all did as they should).

    The mean is over the examples that some models were shown and others were not, each weighted by one over the share
    of the models on its side, so that the examples of a model that was shown them are of the same kind as the others.

    Args:
        found: what ``counterfactuals`` returns.
    """
    import torch

    from probe.measures.intervals import t_interval
    from probe.measures.memorization import counterfactual_memorization

    rows = []
    for of_size in found:
        share = of_size.shown.mean(0)
        some = (share > 0) & (share < 1)
        shown, right = of_size.shown[:, some], of_size.right[..., some]
        better = _mean(right, shown / share[some]) - _mean(right, ~shown / (1 - share[some]))
        apart = counterfactual_memorization(of_size.shown, of_size.shown.astype(float))
        can_tell = apart.low.numpy() > 0
        memorized = of_size.examples.low.numpy()[:, can_tell] > 0
        for i, step in enumerate(of_size.steps):
            mean = t_interval(torch.as_tensor(better[i]), 0.95)
            of_examples = float(memorized[i].mean()) if can_tell.any() else np.nan
            row = (mean.estimate, mean.low, mean.high, of_examples, int(can_tell.sum()))
            rows.append((of_size.size, of_size.n_params, int(step), *row))
    columns = ["size", "n_params", "step", "mean", "low", "high", "memorized", "n_examples"]
    return pd.DataFrame(rows, columns=columns)


def _mean(right: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of each model over the examples, [step, model]; weights [model, example]."""
    return (right * weights).sum(-1) / weights.sum(-1)
