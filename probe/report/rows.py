"""Which rows of a results table a figure of one model draws."""

import numpy as np
import pandas as pd

from probe.scaling.transitions import keys_found


def rows_of(results: pd.DataFrame, model: str, probe: str, *metrics: str) -> pd.DataFrame:
    """The rows of a model, a probe and any of these metrics whose value is finite; all metrics if none is given.

    Raises:
        ValueError: there are none; the message names the models that have some.
    """
    chosen = results[(results["probe"] == probe) & np.isfinite(results["value"])]
    if metrics:
        chosen = chosen[chosen["metric"].isin(metrics)]
    rows = chosen[chosen["model"] == model]
    if rows.empty:
        known = ", ".join(sorted(chosen["model"].unique())) or "none"
        what = f"{probe} ({', '.join(metrics)})" if metrics else probe
        raise ValueError(f"model: no rows of {what} for {model!r} in the table; it holds those of: {known}")
    return rows


def key_frequencies_of(results: pd.DataFrame, model: str) -> list[int]:
    """The key frequencies of a model, ascending; empty if none were found or looked for."""
    return sorted(map(int, keys_found(results[results["model"] == model], "key_frequencies")))


def key_irreps_of(results: pd.DataFrame, model: str) -> list[str]:
    """The key irreps of a model, in the order of the table; empty if none were found or looked for."""
    return keys_found(results[results["model"] == model], "key_irreps")
