"""Counterfactual memorization from models of one size that were asked the same examples and trained on different ones.

The models of a batch whose seeds also draw the split are such: each example is known to models that were shown it, and
to others that were not (Zhang et al. 2021, arXiv 2112.12938).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

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


def counterfactuals(
    curves: pd.DataFrame, arrays: Callable[[str, str], "xr.DataArray | None"], tasks: Mapping[str, Task]
) -> list[Counterfactual]:
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
    it was shown than on what it was not, the mean over models and Student's 95 % interval: what the mean of
    counterfactual memorization is where splits are drawn at random); ``memorized`` (share of the examples that are
    known better by having been shown: those whose own interval excludes 0) and ``n_examples`` (of how many).

    Args:
        found: what ``counterfactuals`` returns.
    """
    import torch

    from probe.measures.intervals import t_interval

    rows = []
    for of_size in found:
        inside = of_size.shown[None]
        better = _mean(of_size.right, inside) - _mean(of_size.right, ~inside)
        low = of_size.examples.low.numpy()
        compared = np.isfinite(low)
        for i, step in enumerate(of_size.steps):
            mean = t_interval(torch.as_tensor(better[i]), 0.95)
            n = int(compared[i].sum())
            memorized = float((low[i][compared[i]] > 0).mean())
            rows.append((of_size.size, of_size.n_params, int(step), mean.estimate, mean.low, mean.high, memorized, n))
    columns = ["size", "n_params", "step", "mean", "low", "high", "memorized", "n_examples"]
    return pd.DataFrame(rows, columns=columns)


def _mean(right: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean of each model over the examples chosen for it, [step, model]."""
    return (right * chosen).sum(-1) / chosen.sum(-1)
