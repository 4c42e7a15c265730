"""Results that others measured: accuracy operand by operand, and whatever was recorded item by item."""

from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import pandas as pd

OPERAND_TYPES = {
    "model": "str",
    "n_params": "int64",
    "step": "int64",
    "n_shot": "int64",
    "operation": "str",
    "operand": "int64",
    "accuracy": "float64",
    "n_items": "int64",
}
"""Of the table by operand: columns and their types."""
OPERAND_COLUMNS = tuple(OPERAND_TYPES)
ITEM_COLUMNS = ("model", "n_params", "step", "item", "correct", "exposures")
PYTHIA_ITEMS = 50


def read_operand_accuracies(source: str | IO[bytes], n_items: int = PYTHIA_ITEMS) -> pd.DataFrame:
    """Accuracy of arithmetic by operand, as published for Pythia and as ``probe few-shot`` writes it.

    A row per model, step, number of shots, operation and operand. Columns: ``model``, ``n_params``, ``step``,
    ``n_shot``, ``operation``, ``operand``, ``accuracy`` (share right) and ``n_items`` (questions that is a share of).

    Args:
        source: CSV (also compressed) or Parquet, as a path, URL or file. What is called ``acc`` is the accuracy.
        n_items: questions per row where the file does not say: Pythia's evaluation asks each operand with 1 to 50.

    Raises:
        ValueError: a column is missing, or an accuracy is no share; the message names it.
    """
    table = _read(source).rename(columns={"acc": "accuracy"})
    if "n_items" not in table:
        table["n_items"] = n_items
    _check_columns(table, OPERAND_COLUMNS, "source")
    _check_shares(table, "accuracy")
    found = table[list(OPERAND_COLUMNS)].astype(OPERAND_TYPES)
    keys = list(OPERAND_COLUMNS[:6])
    _check_once(found, keys)
    return found.sort_values(["n_params", *keys[:1], *keys[2:]], ignore_index=True)


def read_items(source: str | IO[bytes], columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """A table with a row per model and item, such as a fact or a question.

    Columns: ``model``, ``item`` and ``correct`` (0 or 1, or a share); ``n_params``, ``step`` and ``exposures`` (NaN
    where the file has none); and all others of the file.

    Args:
        source: CSV (also compressed) or Parquet, as a path, URL or file.
        columns: what the file calls them, by the name here, as ``{"correct": "exact_match"}``.

    Raises:
        ValueError: a column is missing, or something correct is no share; the message names it.
    """
    table = _read(source)
    named = dict(columns or {})
    for here, there in named.items():
        if here not in ITEM_COLUMNS:
            raise ValueError(f"columns: got {here!r}; expected names among {', '.join(ITEM_COLUMNS)}")
        if there not in table:
            raise ValueError(f"columns: {here} is called {there!r}, which the file has not: {', '.join(table.columns)}")
    table = table.rename(columns={there: here for here, there in named.items()})
    _check_columns(table, ("model", "item", "correct"), "source")
    for optional in ("n_params", "step", "exposures"):
        if optional not in table:
            table[optional] = np.nan
    _check_shares(table, "correct")
    table["correct"] = table["correct"].astype("float64")
    if (table["exposures"] < 0).any():
        raise ValueError(f"source: exposures is {table['exposures'].min():g} in a row; expected 0 or more")
    _check_once(table, ["model", "step", "item"])
    others = [column for column in table if column not in ITEM_COLUMNS]
    return table[[*ITEM_COLUMNS, *others]]


def _read(source: str | IO[bytes]) -> pd.DataFrame:
    name = str(source if isinstance(source, str) else getattr(source, "name", ""))
    return pd.read_parquet(source) if name.endswith((".parquet", ".pq")) else pd.read_csv(source)


def _check_columns(table: pd.DataFrame, columns: tuple[str, ...], field: str) -> None:
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(f"{field}: column {missing[0]!r} is missing; it has {', '.join(map(str, table.columns))}")


def _check_once(table: pd.DataFrame, keys: list[str]) -> None:
    again = table[table.duplicated(keys)]
    if len(again):
        raise ValueError(f"source: two rows of {again.iloc[0][keys].to_dict()}; expected one each")


def _check_shares(table: pd.DataFrame, column: str) -> None:
    values: Any = pd.to_numeric(table[column], errors="coerce")
    wrong = ~values.between(0, 1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"source: {column} is {table[column].iloc[row]} in row {row + 1}; expected a share, 0 to 1")
