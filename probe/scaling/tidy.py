"""One table of performance: a row per model, step, task and metric, checked."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

COLUMNS = (
    *("model", "n_params", "flops", "tokens", "step", "n_shot"),
    *("task", "metric", "value", "stderr", "n_items", "chance"),
)
"""Columns that every table has; NaN where a number is unknown."""
SCALES = ("n_params", "flops", "tokens")
SHARES = frozenset(
    [
        *("acc", "acc_norm", "acc_mutual_info", "accuracy", "em", "exact", "exact_match", "f1", "macro_f1", "recall"),
        *("exact_str_match", "case_insensitive_str_match", "multiple_choice_grade", "mc1", "mc2"),
        *("numeric_match_with_0_1_relative_error", "pass@1"),
    ]
)
"""Metrics that are shares, 0 to 1; in what follows a comma is the way that answers were filtered."""
BELOW_CHANCE = 4.0
"""Standard errors below chance beyond which a share has not the chance level that is given."""
_MEASURED = ("value", "stderr", "n_items", "chance")
_LARGEST_ERROR = 0.51  # of a share of two items or more


def tidy_table(
    table: pd.DataFrame, chance: Mapping[str, float] | None = None, percent: Sequence[str] = ()
) -> pd.DataFrame:
    """A table with the columns of ``COLUMNS``, then its others; smallest models first.

    Args:
        table: with ``model``, ``task``, ``metric``, ``value`` and one of ``SCALES`` at least.
        chance: level of guessing by task.
        percent: metrics that are given in percent; they and their standard errors are divided by 100.

    FLOPs and tokens of a model before its training are 0, and on no logarithmic scale with the others.

    Raises:
        ValueError: a column is missing, a size is missing, two rows are of the same, a share is above 1 or below
            chance, or something named is not in the table; the message names it.
    """
    for column in ("model", "task", "metric", "value"):
        if column not in table:
            raise ValueError(f"column {column!r} is missing; the table has {', '.join(map(str, table.columns))}")
    numbers = [column for column in COLUMNS if column not in ("model", "task", "metric")]
    found = table.copy()
    for column in numbers:
        found[column] = _number(found, column)
    for column in ("model", "task", "metric"):
        found[column] = found[column].astype("str")
    _known("percent", percent, found["metric"])
    _known("chance", chance or {}, found["task"])
    in_percent = found["metric"].isin(percent)
    found.loc[in_percent, ["value", "stderr"]] /= 100
    if chance:
        found["chance"] = found["task"].map(chance).fillna(found["chance"])
    _check_sizes(found)
    _check_values(found)
    _check_once(found)
    others = [column for column in found if column not in COLUMNS]
    found = found[[*COLUMNS, *others]]
    return found.sort_values(["n_params", "flops", "tokens", "model", "step", "task", "metric"], ignore_index=True)


def _number(table: pd.DataFrame, column: str) -> pd.Series:
    if column not in table:
        return pd.Series(np.nan, index=table.index)
    given = table[column]
    numbers = pd.to_numeric(given, errors="coerce").astype("float64")
    wrong = numbers.isna() & given.notna()
    if wrong.any():
        raise ValueError(f"{column}: {given[wrong].iloc[0]!r} given in row {_row(wrong)}, expected numbers")
    return numbers


def _known(field: str, named: Sequence[str] | Mapping[str, float], column: pd.Series) -> None:
    unknown = [name for name in named if name not in set(column)]
    if unknown:
        there = ", ".join(sorted(set(column))[:10])
        raise ValueError(f"{field}: {unknown[0]!r} given, which no row has; there are {there}")


def _check_sizes(table: pd.DataFrame) -> None:
    for column in SCALES:
        untrained = (table[column] == 0) & (column != "n_params")
        wrong = ~(table[column].isna() | (np.isfinite(table[column]) & (table[column] > 0)) | untrained)
        if wrong.any():
            raise ValueError(
                f"{column}: {table[column][wrong].iloc[0]:g} given for {_of(table, wrong)}, expected numbers above 0"
            )
    missing = table[list(SCALES)].isna().all(axis=1)
    if missing.any():
        models = ", ".join(map(repr, sorted(set(table["model"][missing]))[:5]))
        raise ValueError(
            f"n_params: no size is given for {models}; expected n_params, flops or tokens of every model, as with "
            "sizes={model: n_params}"
        )


def _check_values(table: pd.DataFrame) -> None:
    missing = ~np.isfinite(table["value"])
    if missing.any():
        raise ValueError(f"value: missing for {_of(table, missing)}, expected numbers: leave out what was not measured")
    wrong = table["stderr"] < 0
    if wrong.any():
        raise ValueError(
            f"stderr: {table['stderr'][wrong].iloc[0]:g} given for {_of(table, wrong)}, expected 0 or more"
        )
    share = table["metric"].str.split(",").str[0].isin(SHARES)
    for metric, of_metric in table[share].groupby("metric"):
        _check_shares(str(metric), of_metric)


def _check_shares(metric: str, table: pd.DataFrame) -> None:
    value = table["value"]
    above = value > 1
    if above.any():
        other = (value > 0) & ~above
        mixed = f", and {value[other].iloc[0]:g} for {_of(table, other)}" if other.any() else ""
        raise ValueError(
            f"value: {metric} is {value[above].iloc[0]:g} for {_of(table, above)}{mixed}; expected shares, 0 to 1. "
            f"If all are percentages, percent=[{metric!r}] divides them by 100; the two are not told apart here"
        )
    if (value < 0).any():
        raise ValueError(f"value: {metric} is {value.min():g} for {_of(table, value < 0)}; expected shares, 0 to 1")
    wrong = table["stderr"] > _LARGEST_ERROR
    if wrong.any():
        raise ValueError(
            f"stderr: {table['stderr'][wrong].iloc[0]:g} given for {_of(table, wrong)}, more than a share can have; "
            "expected it in the units of value"
        )
    chance = table["chance"]
    wrong = ~(chance.isna() | chance.between(0, 1, inclusive="left"))
    if wrong.any():
        raise ValueError(f"chance: {chance[wrong].iloc[0]:g} given for {_of(table, wrong)}, expected a share below 1")
    error = (chance * (1 - chance) / table["n_items"]).pow(0.5).fillna(table["stderr"])
    below = value < chance - BELOW_CHANCE * error
    if below.any():
        raise ValueError(
            f"chance: {chance[below].iloc[0]:g} given, but {metric} is {value[below].iloc[0]:g} for "
            f"{_of(table, below)}, below it by more than {BELOW_CHANCE:g} standard errors; expected the level of "
            "guessing: leave chance out if models do worse than guessing"
        )


def _check_once(table: pd.DataFrame) -> None:
    keys = [column for column in table if column not in _MEASURED]
    again = table.duplicated(keys)
    if again.any():
        raise ValueError(f"two rows of {_of(table, again)}, with nothing else to tell them apart; expected one each")


def _of(table: pd.DataFrame, rows: pd.Series) -> str:
    row = table[rows].iloc[0]
    step = "" if np.isnan(row["step"]) else f" at step {row['step']:g}"
    return f"{row['model']}{step} in {row['task']}"


def _row(rows: pd.Series) -> int:
    return int(np.flatnonzero(rows)[0]) + 1
