"""How many exposures it took to memorize, by size: M over exposures, T(N, tau), and its law."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from probe.scaling.transitions import size_label

if TYPE_CHECKING:
    from probe.measures.memorization import PowerLaw

TAU = 0.9
MIN_SIZES = 3
"""Of which a power law can be fitted."""


def memorization_curves(results: pd.DataFrame, of_tokens: Collection[str] = ()) -> pd.DataFrame:
    """A row per model and step at which the probes ``performance`` and ``recall`` measured it, smallest models first.

    Columns: ``model``, ``size``, ``seed``, ``n_params``, ``step``; ``exposures`` (mean per trained example);
    ``memorized`` (M, the share of trained examples that is answered exactly), ``unseen`` (the same of those never
    shown: the control; NaN where there are none) and ``beyond_rule`` (M* = (M - unseen) / (1 - unseen); NaN where all
    unseen ones are right).

    Args:
        results: tidy results table.
        of_tokens: models whose M is the share of tokens, each after those before it, and not that of whole answers:
            those of texts, of which every token is a fact (Tirumala et al. 2022, arXiv 2205.10770, section 2).
    """
    rows = results[results["probe"].isin(["performance", "recall"])]
    token = rows["metric"] == "token_accuracy"
    # a text of one token has no other accuracy
    has_tokens = rows["model"].isin(of_tokens) & rows["model"].isin(rows.loc[token, "model"])
    rows = rows[~(has_tokens & (rows["metric"] == "accuracy")) & ~(token & ~has_tokens)]
    rows = rows.assign(metric=rows["metric"].replace({"token_accuracy": "accuracy"}))
    columns = {("exposures", "train"): "exposures", ("accuracy", "train"): "memorized", ("accuracy", "test"): "unseen"}
    table = by_evaluation(rows, columns).dropna(subset=["exposures", "memorized"])
    table.insert(1, "size", table["model"].map(size_label))
    beyond = (table["memorized"] - table["unseen"]) / (1 - table["unseen"])
    table["beyond_rule"] = beyond.where(table["unseen"] < 1)
    return table.sort_values(["n_params", "model", "step"], ignore_index=True)


def by_evaluation(rows: pd.DataFrame, columns: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    """A row per model and evaluation: ``model``, ``seed``, ``n_params``, ``step``, and chosen numbers, or NaN.

    Args:
        rows: of a tidy results table, of probes whose metrics have names of their own.
        columns: what the numbers of a metric and key are called, in order.
    """
    keys = ["model", "seed", "n_params", "step"]
    named = [columns.get(pair) for pair in zip(rows["metric"], rows["key"], strict=True)]
    chosen = rows.assign(measure=pd.Series(named, index=rows.index, dtype=object)).dropna(subset=["measure"])
    table = chosen.pivot_table(index=keys, columns="measure", values="value", dropna=False).reset_index()
    return table.reindex(columns=[*keys, *columns.values()])


def exposures_to_memorize_table(curves: pd.DataFrame, tau: float = TAU) -> pd.DataFrame:
    """T(N, tau) of every model: mean exposures at the first evaluation with M >= tau.

    Columns: ``model``, ``size``, ``seed``, ``n_params``; ``above`` (exposures at the last evaluation before, where M
    was below), ``reached`` (T; inf: not within the budget) and ``budget`` (exposures at the last evaluation).

    Args:
        curves: what ``memorization_curves`` returns.
        tau: share of the trained examples.
    """
    from probe.measures.memorization import exposures_to_memorize

    rows = []
    for (model, size, n_params), of_model in curves.groupby(["model", "size", "n_params"], sort=False):
        at, memorized = (of_model[column].to_numpy(dtype=float, copy=True) for column in ("exposures", "memorized"))
        found = exposures_to_memorize(at, memorized, tau)
        rows.append((model, size, of_model["seed"].iloc[0], n_params, found.above, found.reached, at[-1]))
    return pd.DataFrame(rows, columns=["model", "size", "seed", "n_params", "above", "reached", "budget"])


@dataclass(frozen=True)
class MemorizationLaw:
    """T against N.

    Attributes:
        tau: the share that is to be memorized.
        models: what ``exposures_to_memorize_table`` returns.
        sizes: columns size, n_params, n, n_censored; median, low, high of T over seeds by Kaplan-Meier (inf: beyond the
            budget).
        law: T = c N^-a; None where it cannot be fitted.
        reason: why not, else "".
    """

    tau: float
    models: pd.DataFrame
    sizes: pd.DataFrame
    law: "PowerLaw | None"
    reason: str


def memorization_law(curves: pd.DataFrame, tau: float = TAU) -> MemorizationLaw:
    """T(N, tau) by size and its power law, models that did not get there counted as censored.

    Args:
        curves: what ``memorization_curves`` returns.
        tau: share of the trained examples.

    Raises:
        ValueError: there are no curves, or tau is no share.
    """
    from probe.measures.memorization import fit_power_law, kaplan_meier

    if curves.empty:
        raise ValueError("curves: none given; expected rows of the probes performance and recall in the results")
    models = exposures_to_memorize_table(curves, tau)
    rows = []
    for (size, n_params), group in models.groupby(["size", "n_params"], sort=False):
        reached = group["reached"].to_numpy(copy=True)
        median = kaplan_meier(group["above"].to_numpy(copy=True), reached).median
        n_censored = int(np.isinf(reached).sum())
        rows.append((size, n_params, len(group), n_censored, median.estimate, median.low, median.high))
    sizes = pd.DataFrame(rows, columns=["size", "n_params", "n", "n_censored", "median", "low", "high"])
    law, reason = None, ""
    n_sizes = models["n_params"].nunique()
    if n_sizes < MIN_SIZES:
        return MemorizationLaw(tau, models, sizes, None, f"it takes {MIN_SIZES} sizes or more, here are {n_sizes}")
    try:
        law = fit_power_law(
            models["n_params"].to_numpy(dtype=float, copy=True),
            models["above"].to_numpy(dtype=float, copy=True),
            models["reached"].to_numpy(dtype=float, copy=True),
        )
    except ValueError as error:
        reason = str(error)
    if law is not None and law.exponent is None:
        reason = f"T lies between two evaluations for too few of {law.n} models"
        law = None
    return MemorizationLaw(tau, models, sizes, law, reason)
