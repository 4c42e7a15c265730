"""Models that differ in their seed alone, as one: their mean, with an error of items and of seeds."""

import numpy as np
import pandas as pd

from probe.scaling.tidy import tidy_table
from probe.scaling.transitions import size_label
from probe.scaling.verdicts import standard_errors

_POOLED = ("model", "value", "stderr", "n_items", "chance")


def pooled_over_seeds(table: pd.DataFrame, seed: str = "seed") -> pd.DataFrame:
    """One row for all seeds of a size, so that each size is there once, as ``shape`` and ``threshold`` want it.

    ``value`` is the mean over seeds. ``stderr`` is the larger of two errors: by the items, which is that of one seed,
    as all are asked the same; and by the scatter between seeds (their standard deviation over the root of their
    number). Two or three seeds tell little of their scatter, so that is not taken alone. ``n_items`` is NaN, as a mean
    over seeds is no share of so many items. ``model`` is the name without the seed.

    Args:
        table: what ``read`` returns, with a column of seeds.
        seed: what that column is called.

    Raises:
        ValueError: there is no such column, a seed is there twice, or seeds of one size have different chance levels.
    """
    if seed not in table:
        raise ValueError(f"seed: {seed!r} given, expected a column; the table has {', '.join(map(str, table.columns))}")
    others = [str(column) for column in table if column not in (*_POOLED, seed)]
    rows = []
    for names, group in table.assign(model=table["model"].map(size_label)).groupby([*others, "model"], dropna=False):
        if group[seed].duplicated().any():
            again = group[seed][group[seed].duplicated()].iloc[0]
            raise ValueError(
                f"{seed}: {again} is there twice for {names[-1]} in {group['task'].iloc[0]}, expected once"
            )
        if group["chance"].nunique() > 1:
            raise ValueError(f"chance: seeds of {names[-1]} in {group['task'].iloc[0]} have several, expected one")
        n = len(group)
        errors = standard_errors(group)
        by_items = np.nan if errors is None else float(np.sqrt((errors**2).mean()))
        by_seeds = float(group["value"].std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
        row = dict(zip([*others, "model"], names, strict=True)) | {"value": group["value"].mean()}
        rows.append(row | {"stderr": np.fmax(by_items, by_seeds), "chance": group["chance"].iloc[0]})
    return tidy_table(pd.DataFrame(rows))
