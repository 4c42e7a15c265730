"""Performance that was measured elsewhere, or here, as one table: harness results, BIG-bench scores, CSV, Parquet."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from probe.scaling.bigbench_scores import bigbench_rows, is_bigbench
from probe.scaling.harness_results import harness_rows, is_harness
from probe.scaling.tidy import tidy_table

_TABLES = (".csv", ".csv.gz", ".parquet", ".pq")


def read(
    path: str | Path,
    sizes: Mapping[str, float] | None = None,
    chance: Mapping[str, float] | None = None,
    percent: Sequence[str] = (),
) -> pd.DataFrame:
    """Performance by model, step, task and metric, a row each, smallest models first.

    Columns: ``model``, ``n_params``, ``flops``, ``tokens``, ``step``, ``n_shot``, ``task``, ``metric``, ``value``,
    ``stderr``, ``n_items`` and ``chance`` (NaN where unknown), then what else the files have. Two rows must differ in
    something other than what was measured.

    Args:
        path: a CSV (also compressed) or Parquet file with such columns; a JSON file of lm-evaluation-harness (0.3 or
            0.4) or of BIG-bench; or a folder, of which all JSON files are read, also those in folders within.
        sizes: parameters by model, where the files do not say them; those of Pythia are known.
        chance: level of guessing by task, where the files do not say it.
        percent: metrics that are given in percent, such as ``["accuracy"]``.

    Raises:
        ValueError: a file of another layout or version; a size that is missing; two rows of the same; a share above 1,
            as where percentages are mixed with fractions, or below chance. The message names the file or the row.
        FileNotFoundError: there is nothing at ``path``.
    """
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"path: {path} does not exist")
    if place.is_dir():
        files = sorted(place.rglob("*.json"))
        if not files:
            raise ValueError(f"path: no JSON file in {path}; expected results of lm-evaluation-harness or BIG-bench")
        table = pd.DataFrame([row for file in files for row in _rows(file, sizes or {})])
    elif place.name.endswith(".json"):
        table = pd.DataFrame(_rows(place, sizes or {}))
    elif place.name.endswith(_TABLES):
        table = pd.read_parquet(place) if place.suffix in (".parquet", ".pq") else pd.read_csv(place)
        if sizes and "model" in table:
            said = table["n_params"] if "n_params" in table else pd.Series(float("nan"), index=table.index)
            table["n_params"] = table["model"].map(sizes).fillna(said)
    else:
        raise ValueError(f"path: {path} given, expected a folder, or a file ending with .json, {', '.join(_TABLES)}")
    if table.empty:
        raise ValueError(f"path: nothing was measured in {path}")
    return tidy_table(table, chance, percent)


def _rows(file: Path, sizes: Mapping[str, float]) -> list[dict[str, Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: no JSON ({error})") from error
    if is_bigbench(content):
        return list(bigbench_rows(content, str(file), sizes))
    if is_harness(content):
        return list(harness_rows(content, str(file), sizes))
    raise ValueError(f"{file}: expected results of lm-evaluation-harness ('results') or scores of BIG-bench ('scores')")
