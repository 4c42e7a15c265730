"""What a run folder holds: the results table, the arrays, and how far the run is."""

from pathlib import Path

import duckdb
import fsspec
import pandas as pd
import xarray as xr

from probe.activations.store import read_array
from probe.batch.measure import COLUMNS
from probe.batch.plan import Run


def results(folder: str | Path) -> pd.DataFrame:
    """The results table of a run, a row per number, for every model that is trained, as far as it is measured.

    Columns: suite, model, seed, n_params, step, examples_seen, flops, probe, metric, site, key, value; sorted by size,
    seed, model, step and probe. ``seed`` and ``examples_seen`` are missing where nothing says them.

    Raises:
        ValueError: the folder holds no run, or a results file is damaged.
    """
    run = Run.open(str(folder))
    units = [unit for model in run.trained_models() for kind in run.units(model) for unit in kind]
    paths = [run.results_path(unit.fingerprint) for unit in units if run.is_done(unit)]
    if not paths:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
    order = "n_params, seed, model, step, probe, filename, file_row_number"
    query = f"SELECT {', '.join(COLUMNS)} FROM read_parquet(?, filename=true, file_row_number=true) ORDER BY {order}"
    with duckdb.connect() as connection:
        if "://" in run.folder:
            connection.register_filesystem(fsspec.core.url_to_fs(run.folder)[0])
        try:
            return connection.execute(query, [paths]).df().astype(COLUMNS)
        except duckdb.Error as error:
            raise ValueError(f"{error}. Delete the damaged results file, and `probe run` measures again") from error


def arrays(folder: str | Path, model: str, name: str) -> xr.DataArray | None:
    """An array that a probe stored for a model, with ``step`` as its first dimension; None if there is none.

    Raises:
        ValueError: the folder holds no run, or the run no such model.
    """
    run = Run.open(str(folder))
    return read_array(run.folder, model, run.suite.steps(model), name)


def status(folder: str | Path) -> pd.DataFrame:
    """How far a run is: per model, checkpoints and units of work, done and in all, and why training was stopped.

    Raises:
        ValueError: the folder holds no run.
    """
    run = Run.open(str(folder))
    stopped = run.stopped()
    rows = []
    for model, (n_present, n_expected) in run.models().items():
        units = [unit for kind in run.units(model) for unit in kind] if n_present == n_expected else []
        rows.append(
            {
                "model": model,
                "checkpoints": n_present,
                "checkpoints_expected": n_expected,
                "measured": sum(map(run.is_done, units)),
                "to_measure": len(units) or None,
                "stopped": stopped.get(model, ""),
            }
        )
    return pd.DataFrame(rows)
