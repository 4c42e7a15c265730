"""When each model memorized and when it generalized, read off a results table.

A transition that was not seen by the last evaluated step is *censored*: it is NaN in the table of models, and
counts as later than everything observed (+inf) in medians and intervals. It never means that the model cannot.
"""

import re
from functools import partial

import numpy as np
import pandas as pd

TRANSITIONS = ("memorized_step", "generalized_step", "plateau")
CONSECUTIVE = 3  # evaluations in a row that must be right for a model to have generalized
_REQUIRED = ("model", "seed", "n_params", "step", "probe", "metric", "key", "value")


def transitions(results: pd.DataFrame) -> pd.DataFrame:
    """One row per model, smallest models first.

    Columns: ``model``; ``size`` (the model's name without its ``-s<seed>``); ``seed``; ``n_params``;
    ``final_step`` (the last evaluated step: the budget); ``memorized_step`` (first evaluation with train accuracy
    >= .99) and ``generalized_step`` (first of 3 consecutive evaluations with test accuracy >= .99), both in
    training steps, NaN when not within the budget or not measured; ``plateau`` (their difference, in steps);
    ``train_measured`` and ``test_measured`` (whether accuracy was evaluated often enough to tell, once and 3 times; a
    model that diverged was measured); ``diverged_step`` (first evaluation whose train or test loss is not finite, else
    NaN); ``final_train_accuracy``, ``final_test_accuracy`` and ``final_test_nonmirror_accuracy`` (NaN where the subset
    is empty); ``key_frequencies`` (ascending tuple, empty where none were found or looked for) and ``key_irreps``.

    Args:
        results: tidy results table, a row per number.

    Raises:
        ValueError: a needed column is missing.
    """
    missing = [column for column in _REQUIRED if column not in results.columns]
    if missing:
        raise ValueError(f"results: column {missing[0]!r} is missing; expected {', '.join(_REQUIRED)}")
    rows = [_of_one_model(str(name), group) for name, group in results.groupby("model", sort=False)]
    columns = list(_of_one_model("", results.iloc[:0])) if not rows else None
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["n_params", "size", "seed"], ignore_index=True)


def by_size(table: pd.DataFrame) -> pd.DataFrame:
    """One row per size: how many seeds made each transition, with the median over seeds and its interval.

    Columns: ``size``, ``n_params``, ``n`` (seeds), ``n_memorized``, ``n_generalized``, and for each of
    ``memorized_step``, ``generalized_step`` and ``plateau`` the ``_median``, ``_low`` and ``_high`` in steps (a 95 %
    bootstrap interval over seeds, NaN with one seed). Censored values count as +inf, so a median is inf when half of
    the seeds or more did not get there. Models whose accuracy was not measured, and the plateau of a model that did
    not memorize, are left out of the medians; NaN when nothing is left.

    Args:
        table: what ``transitions`` returns.
    """
    rows = []
    for (n_params, size), group in table.groupby(["n_params", "size"], sort=True):
        row: dict[str, object] = {
            "size": size,
            "n_params": n_params,
            "n": len(group),
            "n_memorized": int(group["memorized_step"].notna().sum()),
            "n_generalized": int(group["generalized_step"].notna().sum()),
        }
        measured = {
            "memorized_step": group["train_measured"],
            "generalized_step": group["test_measured"],
            "plateau": group["test_measured"] & group["memorized_step"].notna(),
        }
        for name in TRANSITIONS:
            row |= _median_over_seeds(name, group.loc[measured[name], name].fillna(np.inf).tolist())
        rows.append(row)
    names = [f"{name}_{part}" for name in TRANSITIONS for part in ("median", "low", "high")]
    return pd.DataFrame(rows, columns=["size", "n_params", "n", "n_memorized", "n_generalized", *names])


def size_label(model: str) -> str:
    """The model's name without its seed: ``"d128-s0"`` -> ``"d128"``."""
    return re.sub(r"[-_]s(eed)?\d+$", "", model)


def _median_over_seeds(name: str, values: list[float]) -> dict[str, object]:
    if len(values) == 0:
        return {f"{name}_median": np.nan, f"{name}_low": np.nan, f"{name}_high": np.nan}
    from probe.measures.intervals import bootstrap_interval  # loads torch, which reading a table does not need

    interval = bootstrap_interval(values, "median")
    return {f"{name}_median": interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _of_one_model(model: str, rows: pd.DataFrame) -> dict[str, object]:
    performance = rows[rows["probe"] == "performance"]
    memorized, generalized = _first_steps(performance)
    return {
        "model": model,
        "size": size_label(model),
        "seed": rows["seed"].iloc[0] if len(rows) else np.nan,
        "n_params": rows["n_params"].iloc[0] if len(rows) else np.nan,
        "final_step": performance["step"].max() if len(performance) else rows["step"].max(),
        "memorized_step": memorized,
        "generalized_step": generalized,
        "plateau": generalized - memorized,
        "train_measured": len(_curve(performance, "accuracy", "train")) > 0,
        "test_measured": len(_curve(performance, "accuracy", "test")) >= CONSECUTIVE,
        "diverged_step": _diverged_step(performance),
        "final_train_accuracy": _final_accuracy(performance, "train"),
        "final_test_accuracy": _final_accuracy(performance, "test"),
        "final_test_nonmirror_accuracy": _final_accuracy(performance, "test_nonmirror"),
        "key_frequencies": tuple(sorted(map(int, keys_found(rows, "key_frequencies")))),
        "key_irreps": tuple(keys_found(rows, "key_irreps")),
    }


def _curve(performance: pd.DataFrame, metric: str, key: str) -> pd.DataFrame:
    chosen = performance[(performance["metric"] == metric) & (performance["key"] == key)]
    return chosen.sort_values("step")


def _first_steps(performance: pd.DataFrame) -> tuple[float, float]:
    from probe.measures.transition import generalized_step, memorized_step

    found = []
    for step_of, key in ((memorized_step, "train"), (partial(generalized_step, consecutive=CONSECUTIVE), "test")):
        curve = _curve(performance, "accuracy", key)
        # an evaluation without a number (a model that diverged) did not reach any accuracy
        accuracy = curve["value"].fillna(0.0).to_numpy(dtype=float, copy=True)
        step = step_of(curve["step"].to_numpy(copy=True), accuracy) if len(curve) else None
        found.append(np.nan if step is None else float(step))
    return found[0], found[1]


def _diverged_step(performance: pd.DataFrame) -> float:
    losses = performance[(performance["metric"] == "loss") & performance["key"].isin(["train", "test"])]
    broken = losses.loc[~np.isfinite(losses["value"].to_numpy(dtype=float)), "step"]
    return float(broken.min()) if len(broken) else np.nan


def _final_accuracy(performance: pd.DataFrame, key: str) -> float:
    curve = _curve(performance, "accuracy", key)
    return float(curve["value"].iloc[-1]) if len(curve) else np.nan


def keys_found(rows: pd.DataFrame, probe: str) -> list[str]:
    """What ``key_frequencies`` or ``key_irreps`` called key, each once, in the order of the rows of one model."""
    chosen = rows[(rows["probe"] == probe) & (rows["metric"] == "is_key") & (rows["value"] == 1)]
    return list(dict.fromkeys(chosen["key"].astype(str)))
