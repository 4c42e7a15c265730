"""24 against 23, and multiples of 12 against their neighbours, by model and step."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from probe.tasks.arithmetic import Arithmetic

EVALUATION = ("model", "n_params", "step", "n_shot", "operation")
"""What an evaluation of operands is told from others by."""


def operand_accuracies(
    task: Arithmetic,
    exact: xr.DataArray,
    model: str,
    n_params: int,
    *,
    shown: bool = True,
    operands: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Accuracy by first operand of a model that was trained here, laid out as ``read_operand_accuracies`` does.

    Args:
        task: what it was asked.
        exact: what the probe ``recall`` stored, [step, example].
        model, n_params: whose it is.
        shown: of the facts that were shown in training; else of those that never were, the control.
        operands: of these alone, each with the same second operands: those that all of them were shown with (or never).

    Raises:
        ValueError: no second operand is there for all of ``operands``.
    """
    asked = task.train_mask if shown else ~task.train_mask
    if operands is not None:
        grid = asked.reshape(len(task.numbers), -1)[np.isin(task.numbers, operands)]
        common = task.numbers[grid.all(0)] if len(grid) == len(operands) else task.numbers[:0]
        asked = asked & np.isin(task.facts[:, 0], operands) & np.isin(task.facts[:, 1], common)
        if not asked.any():
            raise ValueError(f"operands: got {list(operands)}; expected some that have a second operand in common")
    operand = task.facts[asked, 0]
    numbers, n_items = np.unique(operand, return_counts=True)
    place = np.searchsorted(numbers, operand)
    tables = []
    for step in exact["step"].values.tolist():
        right = np.bincount(place, exact.sel(step=step).values[asked])
        tables.append(pd.DataFrame({"operand": numbers, "accuracy": right / n_items, "n_items": n_items, "step": step}))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(model=model, n_params=n_params, n_shot=0, operation=task.family)
    return table[[*EVALUATION, "operand", "accuracy", "n_items"]]


def operand_contrasts(table: pd.DataFrame, first: int = 24, second: int = 23) -> pd.DataFrame:
    """Two operands side by side in every evaluation that asked for both.

    Columns: those of ``EVALUATION``; ``first`` and ``second`` (accuracies), ``difference`` with its 95 % interval
    ``low`` and ``high`` (Newcombe's), and ``n_items`` of each.

    Args:
        table: what ``read_operand_accuracies`` or ``operand_accuracies`` returns.
        first, second: the operands.

    Raises:
        ValueError: no evaluation asked for both.
    """
    from probe.measures.memorization import operand_contrast

    both = [table[table["operand"] == operand].set_index(list(EVALUATION)) for operand in (first, second)]
    joined = both[0].merge(both[1], left_index=True, right_index=True, suffixes=("_first", "_second"))
    joined = joined[joined["n_items_first"] == joined["n_items_second"]]
    if joined.empty:
        raise ValueError(
            f"first: no evaluation asked {first} and {second} equally often; expected operands of the table"
        )
    rows = []
    for _, group in joined.groupby("n_items_first"):
        n_items = int(group["n_items_first"].iloc[0])
        pairs = group[["accuracy_first", "accuracy_second"]].to_numpy(dtype=float)
        found = operand_contrast(pairs, [first, second], first, second, n_items)
        values = {"first": pairs[:, 0], "second": pairs[:, 1], "difference": found.difference.value}
        ends = {"low": found.difference.low, "high": found.difference.high, "n_items": n_items}
        rows.append(pd.DataFrame({name: np.asarray(of) for name, of in (values | ends).items()}, index=group.index))
    return _ordered(pd.concat(rows))


def neighbour_contrasts(table: pd.DataFrame, multiples_of: int = 12) -> pd.DataFrame:
    """Multiples of a number against the numbers one below and one above them, in every evaluation.

    Columns: those of ``EVALUATION``; ``members`` and ``neighbours`` (mean accuracies), ``difference`` with its 95 %
    interval ``low`` and ``high`` over the multiples, ``p_value`` (two-sided, by exchanging a multiple with its
    neighbours) and ``n_members``.

    Args:
        table: what ``read_operand_accuracies`` or ``operand_accuracies`` returns.
        multiples_of: 3 or more. Those count that are asked with both neighbours; 0 is none.

    Raises:
        ValueError: fewer than two multiples have their neighbours in the table.
    """
    from probe.measures.memorization import neighbour_contrast

    if multiples_of < 3:
        raise ValueError(f"multiples_of: got {multiples_of}; expected 3 or more, so that no neighbour is a multiple")
    differing = table.groupby(list(EVALUATION))["n_items"].nunique() > 1
    if differing.any():
        raise ValueError(f"table: n_items differs between the operands of {differing.idxmax()}; expected one number")
    rows = []
    for _, asked in table.groupby("n_items"):
        wide = asked.pivot_table(index=list(EVALUATION), columns="operand", values="accuracy").dropna()
        operands = [int(operand) for operand in wide.columns]
        members = [n for n in operands if n > 0 and n % multiples_of == 0 and {n - 1, n + 1} <= set(operands)]
        if len(members) < 2 or wide.empty:
            raise ValueError(
                f"multiples_of: {len(members)} multiples of {multiples_of} have their neighbours; expected two or more"
            )
        found = neighbour_contrast(wide.to_numpy(dtype=float), operands, members, int(asked["n_items"].iloc[0]))
        values = {
            "members": found.members.value,
            "neighbours": found.neighbours.value,
            "difference": found.difference.value,
            "low": found.difference.low,
            "high": found.difference.high,
            "p_value": found.p_value,
        }
        rows.append(pd.DataFrame({name: np.atleast_1d(of) for name, of in values.items()}, index=wide.index))
        rows[-1]["n_members"] = len(members)
    return _ordered(pd.concat(rows))


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.reset_index().sort_values(["operation", "n_shot", "n_params", "model", "step"], ignore_index=True)
