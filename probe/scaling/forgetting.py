"""What is left of a special batch after its last exposure, by size: forgetting curves, baselines, and their trend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from probe.scaling.memorization import by_evaluation
from probe.scaling.transitions import size_label
from probe.tasks import Task

if TYPE_CHECKING:
    from probe.measures.intervals import Interval

SPECIAL = "special"
"""The subset that is shown in the first passes only."""
_SOURCES = {
    ("accuracy", SPECIAL): "recalled",
    ("accuracy", "train"): "trained",
    ("accuracy", "test"): "unseen",
    ("exposures", SPECIAL): "shown",
    ("exposures", "train"): "others_shown",
}
_FITTED = ("start", "baseline", "low", "high", "half_life", "half_life_low", "half_life_high")
_TAIL = ("tail", "tail_low", "tail_high")


def forgetting_curves(results: pd.DataFrame) -> pd.DataFrame:
    """A row per model and evaluation since the last exposure of its special batch, smallest models first.

    Counted is from the first evaluation at which the batch had all the exposures that it ever gets. The last exposure
    lies after the evaluation before, so that ``since`` is exact where the step at which the batch ended is among the
    evaluations, and else too small by less than ``gap``. The last pass that shows the batch shows each fact anywhere in
    it; what is counted is from the last fact on.

    Columns: ``model``, ``size``, ``seed``, ``n_params``, ``step``; ``since`` and ``gap`` (steps); ``others`` (mean
    exposures meanwhile of the facts that are shown to the end); the share answered exactly of the special batch
    (``recalled``), of the facts shown to the end (``trained``), and of those never shown (``unseen``: the control, NaN
    where there are none). Empty where there is no special batch.

    Args:
        results: tidy results table with rows of the probes ``performance`` and ``recall``.
    """
    rows = results[results["probe"].isin(["performance", "recall"])]
    table = by_evaluation(rows, _SOURCES).dropna(subset=["recalled", "shown"])
    found = [_since_last(of_model.sort_values("step")) for _, of_model in table.groupby("model", sort=False)]
    columns = ["model", "seed", "n_params", "step", "since", "gap", "others", "recalled", "trained", "unseen"]
    table = pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)
    table.insert(1, "size", table["model"].map(size_label))
    return table.sort_values(["n_params", "model", "step"], ignore_index=True)


def _since_last(rows: pd.DataFrame) -> pd.DataFrame:
    """The evaluations of one model from the first on at which the special batch had all its exposures."""
    first = int(np.argmax(rows["shown"].to_numpy() == rows["shown"].max()))
    steps = rows["step"].to_numpy()
    rest = rows.iloc[first:]
    return rest.assign(
        since=rest["step"] - steps[first],
        gap=steps[first] - steps[first - 1] if first else 0,
        others=rest["others_shown"] - rest["others_shown"].iloc[0],
    )


def forgetting_table(curves: pd.DataFrame, tasks: Mapping[str, Task]) -> pd.DataFrame:
    """How each model forgot its special batch: the fit of ``probe.measures.memorization.fit_forgetting``.

    Columns: ``model``, ``size``, ``seed``, ``n_params``; ``n_facts`` of the batch; ``last`` (step from which is
    counted) and ``gap``; ``outcome`` ("plateau", "falling", "level", "rising"; "" of fewer evaluations than a fit
    takes); ``start`` (share recalled at the last exposure); ``baseline`` (share) with ``low`` and ``high``;
    ``half_life`` (steps) and ``tail`` (share), each with ``_low`` and ``_high``; ``control`` (mean over these
    evaluations of what is right of facts never shown); ``kept`` (share of what was recalled at the start beyond the
    control that is still so at the baseline). NaN where there is none.

    Args:
        curves: what ``forgetting_curves`` returns.
        tasks: what each model was trained on; others are left out.
    """
    from probe.measures.memorization import fit_forgetting
    from probe.measures.transition.noise import MIN_EVALUATIONS

    rows = []
    for model, of_model in curves.groupby("model", sort=False):
        if str(model) not in tasks:
            continue
        first = of_model.iloc[0]
        n_facts, control = _n_facts(tasks[str(model)]), float(of_model["unseen"].mean())
        row = {name: first[name] for name in ("model", "size", "seed", "n_params", "gap")}
        row |= {"n_facts": n_facts, "last": first["step"], "outcome": "", "control": control}
        if len(of_model) >= MIN_EVALUATIONS:
            since, recalled = (of_model[name].to_numpy(dtype=float, copy=True) for name in ("since", "recalled"))
            fit = fit_forgetting(since, recalled, n_facts)
            row |= {"outcome": fit.outcome, "start": fit.start}
            row |= dict(zip(_TAIL, _three(fit.tail), strict=True))
            row |= dict(zip(_FITTED[1:], (*_three(fit.baseline), *_three(fit.half_life)), strict=True))
            if row["baseline"] == row["baseline"] and fit.start > control:
                row["kept"] = (row["baseline"] - control) / (fit.start - control)
        rows.append(row)
    columns = ["model", "size", "seed", "n_params", "n_facts", "last", "gap", "outcome"]
    return pd.DataFrame(rows, columns=[*columns, *_FITTED, *_TAIL, "control", "kept"])


def _n_facts(task: Task) -> int:
    """Facts of the special batch: what is asked in several phrasings is one, and is kept or forgotten as one."""
    special = task.subsets[SPECIAL]
    return len(np.unique(getattr(task, "fact", np.arange(len(special)))[special]))


def _three(interval: Interval | None) -> tuple[float, float, float]:
    return (np.nan,) * 3 if interval is None else (interval.estimate, interval.low, interval.high)


@dataclass(frozen=True)
class ForgettingBySize:
    """Baselines against the number of parameters N.

    Attributes:
        models: what ``forgetting_table`` returns.
        sizes: columns size, n_params, n (models), n_seen (those whose baseline was seen: plateau or level); baseline,
            low, high (median over these and 95 % bootstrap interval, NaN of one); control (mean).
        slopes: change per tenfold N, a straight line by least squares with its 95 % t interval, of "baseline",
            "control" and "kept"; without those that could not be fitted.
        reason: why there is no slope of the baseline, else "".
    """

    models: pd.DataFrame
    sizes: pd.DataFrame
    slopes: dict[str, Interval]
    reason: str

    def trend(self, of: str = "baseline") -> str:
        """ "rises" or "falls" where the interval of the slope says so, else "cannot tell"."""
        slope = self.slopes.get(of)
        if slope is None or slope.low <= 0 <= slope.high:
            return "cannot tell"
        return "rises" if slope.low > 0 else "falls"


def forgetting_by_size(models: pd.DataFrame) -> ForgettingBySize:
    """The forgetting baseline of each size over seeds, and whether it rises with N.

    Models of which no baseline was seen are left out of medians and slopes: of those still falling it is lower than
    ``tail``. Slopes take models as independent of each other; those of one seed may have been taught the same facts,
    which moves all sizes alike.

    Args:
        models: what ``forgetting_table`` returns.

    Raises:
        ValueError: there are none.
    """
    from probe.measures.intervals import bootstrap_interval

    if models.empty:
        raise ValueError("models: none given; expected models that were trained on a special batch")
    rows = []
    for (size, n_params), group in models.groupby(["size", "n_params"], sort=False):
        seen = group["baseline"].dropna()
        over_seeds = _three(bootstrap_interval(seen.to_numpy(copy=True)) if len(seen) else None)
        rows.append((size, n_params, len(group), len(seen), *over_seeds, group["control"].mean()))
    sizes = pd.DataFrame(rows, columns=["size", "n_params", "n", "n_seen", "baseline", "low", "high", "control"])
    slopes = {name: slope for name in ("baseline", "control", "kept") if (slope := _slope(models, name)) is not None}
    reason = "" if "baseline" in slopes else "a slope takes baselines of 3 models or more, of 2 sizes or more"
    return ForgettingBySize(models, sizes, slopes, reason)


def _slope(models: pd.DataFrame, column: str) -> Interval | None:
    """Slope against log10 N with its interval, over the models whose baseline was seen."""
    from scipy.stats import linregress, t

    from probe.measures.intervals import Interval

    seen = models[models["baseline"].notna() & models[column].notna()]
    if len(seen) < 3 or seen["n_params"].nunique() < 2:
        return None
    line = linregress(np.log10(seen["n_params"].to_numpy(dtype=float)), seen[column].to_numpy(dtype=float))
    half = float(t.ppf(0.975, len(seen) - 2) * line.stderr)
    return Interval(float(line.slope), float(line.slope) - half, float(line.slope) + half, len(seen))
