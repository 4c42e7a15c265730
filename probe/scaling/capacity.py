"""How many bits models hold of how many they were shown, and where that saturates."""

import pandas as pd

from probe.scaling.transitions import size_label

_COLUMNS = {"bits": "bits", "bits_low": "low", "bits_high": "high", "bits_total": "data_bits"}


def capacity_table(results: pd.DataFrame) -> pd.DataFrame:
    """A row per model that the probe ``capacity`` measured, at its last step, smallest models and least data first.

    Columns: ``model``, ``shape`` (the first part of its name: models that differ in their task, or in how they were
    trained, share it), ``size``, ``seed``, ``n_params``, ``step``; ``data_bits`` (information in the facts shown),
    ``bits`` (held of them) with its interval ``low``, ``high``, and ``unseen`` (bits held of facts never shown, the
    control: none on average; NaN where there are none). All are in bits.

    Args:
        results: tidy results table.
    """
    rows = results[(results["probe"] == "capacity") & (results["step"] == _last_steps(results))]
    keys = ["model", "seed", "n_params", "step"]
    shown = rows[(rows["key"] == "train") & rows["metric"].isin(_COLUMNS)]
    table = shown.pivot_table(index=keys, columns="metric", values="value", dropna=False).reset_index()
    table = table.rename(columns=_COLUMNS).reindex(columns=[*keys, "data_bits", "bits", "low", "high"])
    table = table.dropna(subset=["bits", "data_bits"])
    unseen = rows[(rows["key"] == "test") & (rows["metric"] == "bits")].set_index("model")["value"]
    table["unseen"] = table["model"].map(unseen)
    table.insert(1, "shape", table["model"].str.split("-").str[0])
    table.insert(2, "size", table["model"].map(size_label))
    return table.sort_values(["n_params", "data_bits", "model"], ignore_index=True)


def saturation_table(table: pd.DataFrame) -> pd.DataFrame:
    """Capacity per parameter of every shape that was shown several amounts of data and holds any bits.

    Columns: ``shape``, ``n_params`` (the least and the most of its models: names of more facts take more embeddings),
    ``n`` (models that hold any bits), ``capacity`` with ``low`` and ``high`` (bits per parameter at which what is held
    stops growing with the data; NaN where it does not, or is not seen to), ``at_least`` (most bits per parameter that
    any model holds) and ``reason`` (why there is no fit; "" where there is one).

    Args:
        table: what ``capacity_table`` returns.
    """
    from probe.measures.memorization import fit_capacity

    rows = []
    for shape, models in table.groupby("shape", sort=False):
        if models["data_bits"].round().nunique() < 2:
            continue
        n_params, some = models["n_params"], models[models["bits"] > 0]
        if some.empty:
            continue
        row = {"shape": shape, "n_params_least": n_params.min(), "n_params_most": n_params.max(), "n": len(some)}
        data, held = (some[column].to_numpy(dtype=float) / some["n_params"] for column in ("data_bits", "bits"))
        try:
            found = fit_capacity(data.to_numpy(), held.to_numpy())
        except ValueError as error:
            rows.append(row | {"at_least": held.max(), "reason": str(error)})
            continue
        row |= {"at_least": found.at_least, "reason": "" if found.capacity else "bits grow with the data all along"}
        if found.capacity:
            row |= {"capacity": found.capacity.estimate, "low": found.capacity.low, "high": found.capacity.high}
        rows.append(row)
    columns = ["shape", "n_params_least", "n_params_most", "n", "capacity", "low", "high", "at_least", "reason"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _last_steps(results: pd.DataFrame) -> pd.Series:
    """Of each row, the last step of its model."""
    return results.groupby("model")["step"].transform("max")
