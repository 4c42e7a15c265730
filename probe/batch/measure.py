"""One unit of work: a checkpoint, its probes, one forward pass."""

import io
from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow
import pyarrow.parquet
import torch
import xarray as xr
from torch import Tensor

from probe import storage
from probe.activations.forward import activations_at
from probe.activations.sites import LOGITS
from probe.activations.store import check_group, write_arrays
from probe.batch.plan import Run, Unit
from probe.measures.performance import Outcomes, outcomes
from probe.probes.base import Array, Observation, Row
from probe.suites import Checkpoint
from probe.suites.hooked import weights_by_name

COLUMNS = {
    "suite": "str",
    "model": "str",
    "seed": "Int64",
    "n_params": "int64",
    "step": "int64",
    "examples_seen": "float64",
    "flops": "float64",
    "probe": "str",
    "metric": "str",
    "site": "str",
    "key": "str",
    "value": "float64",
}
"""Columns of the results table and their types; a row per number."""


_HAS_ARRAYS = b"grokscope_has_arrays"
"""Entry of a results file that says whether its unit has arrays as well."""


class MeasuringError(RuntimeError):
    """Checkpoints could not be measured; the message says which step, which probe and why."""


def measure_units(run: Run, units: Sequence[Unit]) -> None:
    """Measure those of the units that are not done. One that fails does not keep the others from being measured.

    Raises:
        MeasuringError: weights cannot be read, are refused or do not fit, or a probe failed; what else there was to do
            is done.
        OSError: a file could not be written, so what follows was not tried.
    """
    suite, failures = run.suite, []
    for unit in units:
        try:
            if not run.is_done(unit):
                _measure_unit(run, suite[unit.model, unit.step], unit)
        except (MeasuringError, ValueError) as error:
            failures.append(f"step {unit.step}: {error}")
    if failures:
        raise MeasuringError("; ".join(failures))


def _measure_unit(run: Run, checkpoint: Checkpoint, unit: Unit) -> None:
    """Run a checkpoint over its task once, all probes on what that one pass yields; write arrays, then rows."""
    probes = [spec.build() for spec in unit.probes]
    model = checkpoint.load()
    task = checkpoint.task
    outcomes_of: list[Outcomes] = []
    targets, answer_tokens = torch.as_tensor(task.scored_answers), torch.as_tensor(task.answer_tokens)

    def score(examples: slice, found: Mapping[str, Tensor]) -> None:
        if LOGITS in found:
            logits = found[LOGITS][:, list(task.scored)][..., answer_tokens]
            outcomes_of.append(outcomes(logits, targets[examples]))

    activations = activations_at(
        model,
        torch.as_tensor(task.tokens),
        sorted({site for probe in probes for site in probe.sites}),
        torch.as_tensor(task.answer_positions),
        look=score,
    )
    observation = Observation(
        checkpoint=checkpoint,
        weights=weights_by_name(model),
        activations=activations,
        of_model=_rows_by_probe(run, unit.reads) if unit.reads else {},
        model=model,
        token_outcomes=Outcomes.joined(outcomes_of) if outcomes_of else None,
    )
    rows: list[tuple[str, Row]] = []
    arrays: dict[str, xr.DataArray] = {}
    for probe in probes:
        try:
            measured = [_checked(found) for found in probe.measure(observation)]
        except Exception as error:  # whatever a probe of someone else's raises
            raise MeasuringError(f"the probe {probe.name} failed: {type(error).__name__}: {error}") from error
        rows += [(probe.name, found) for found in measured if isinstance(found, Row)]
        arrays |= {found.name: found.array for found in measured if not isinstance(found, Row)}
    if arrays:
        write_arrays(run.folder, unit.model, unit.step, arrays)
    data = _parquet(run.batch.name, checkpoint, rows, has_arrays=bool(arrays))
    storage.write_atomically(run.results_path(unit.fingerprint), data)


def _checked(found: object) -> Row | Array:
    """What a probe yielded, if it is what a probe may yield."""
    if isinstance(found, Row):
        return found._replace(value=float(found.value))
    if isinstance(found, Array) and isinstance(found.array, xr.DataArray):
        return found
    raise TypeError(f"it yielded a {type(found).__name__}; expected a Row, or an Array that holds an xarray.DataArray")


def discard_damaged(run: Run) -> None:
    """Delete results that are truncated, or whose arrays are gone or damaged, so that they are measured again."""
    for unit in run.units_so_far():
        path = run.results_path(unit.fingerprint)
        if not storage.exists(path):
            continue
        try:
            about = pyarrow.parquet.read_schema(io.BytesIO(storage.read_bytes(path))).metadata
            if about[_HAS_ARRAYS] == b"True":
                check_group(run.folder, unit.model, unit.step)
        except (pyarrow.ArrowInvalid, ValueError, KeyError, TypeError):
            storage.remove(path)


def _parquet(suite_name: str, checkpoint: Checkpoint, rows: Sequence[tuple[str, Row]], *, has_arrays: bool) -> bytes:
    table = pd.DataFrame(
        {
            "suite": suite_name,
            "model": checkpoint.model.name,
            "seed": checkpoint.model.seed,
            "n_params": checkpoint.n_params,
            "step": checkpoint.step,
            "examples_seen": checkpoint.examples_seen,
            "flops": checkpoint.flops,
            "probe": [probe for probe, _ in rows],
            "metric": [row.metric for _, row in rows],
            "site": [row.site for _, row in rows],
            "key": [row.key for _, row in rows],
            "value": [row.value for _, row in rows],
        }
    ).astype(COLUMNS)
    arrow = pyarrow.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({**arrow.schema.metadata, _HAS_ARRAYS: str(has_arrays)})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(arrow, buffer)
    return buffer.getvalue()


def _rows_by_probe(run: Run, fingerprint: str) -> dict[str, list[Row]]:
    table = pd.read_parquet(io.BytesIO(storage.read_bytes(run.results_path(fingerprint))))
    return {
        str(probe): [Row(*row) for row in rows[list(Row._fields)].itertuples(index=False, name=None)]
        for probe, rows in table.groupby("probe")
    }
