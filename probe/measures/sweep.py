"""The same linear probe at every model, step, site, position and head of a capture: one tidy table of scores.

A capture is what ``probe.capture`` returns: a variable per site with dimensions model, step, example and then position,
head and unit, read where it is needed. Ridge probes read each value once, some examples at a time, and hold moments.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.classifiers import logistic
from probe.measures.controls import Controls, with_controls
from probe.measures.folds import HeldOut, assign_folds, difference
from probe.measures.linear import ridge
from probe.measures.moments import accumulate

EXAMPLES_AT_ONCE = 2048
COLUMNS = (
    *("model", "n_params", "step", "site", "position", "head", "target", "score", "value", "low", "high"),
    *("shuffled", "selectivity", "selectivity_low", "selectivity_high"),
    *("over_untrained", "over_untrained_low", "over_untrained_high"),
)
"""Of the tables: ``score`` says what ``value`` is. ``shuffled`` is the mean of the same probe on shuffled targets, and
``selectivity`` what ``value`` is above it; ``over_untrained``, what it is above the same model's step 0. The ends of
their 95 % intervals are ``_low`` and ``_high``. What does not apply is nan."""


def ridge_sweep(
    captured: xr.Dataset,
    Y: Float[Tensor | np.ndarray, "example target"],
    *,
    targets: Sequence[Hashable] | None = None,
    groups: Sequence[int] | Int[np.ndarray, " example"] | None = None,
    types: Sequence[int] | Int[np.ndarray, " example"] | None = None,
    n_shuffles: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Held-out R2 of ridge probes for Y, beside shuffled targets and the untrained model.

    Args:
        captured: a capture of examples, not of reductions.
        Y: what is probed for, the same for all models and steps.
        targets: a label per column of Y. Columns with one label, such as a cosine and sine, get one score: that of the
            point they make. None: each column has its own, 0 to n - 1.
        groups: examples that are held out together, as (a, b) and (b, a): see `probe.measures.folds.assign_folds`.
        types: examples that keep one target when targets are shuffled: see `probe.measures.controls.with_controls`.
        n_shuffles: shuffled copies of Y.
        seed: of folds and shuffles.

    Returns:
        A row per model, step, site, position, head and target; columns are ``COLUMNS``.

    Raises:
        ValueError: Y or the labels do not fit the examples; or some examples have no activation at a position, because
            they are shorter: capture positions that all have, such as ``"last"`` or ``"answer"``.
    """
    controls = with_controls(Y, n_shuffles, seed, types)
    labels = list(range(controls.Y.shape[1] // (1 + n_shuffles))) if targets is None else list(targets)
    fold = assign_folds(len(controls.Y), seed=seed, groups=groups)

    def held_out(activations: xr.DataArray) -> HeldOut:
        starts = range(0, len(fold), EXAMPLES_AT_ONCE)
        spans = [slice(start, start + EXAMPLES_AT_ONCE) for start in starts]
        pieces = ((_entries(activations.isel(example=s)), controls.Y[s], fold[s]) for s in spans)
        return ridge(accumulate(pieces), alpha_groups=controls.labels()).held_out

    return _swept(captured, held_out, controls, labels, "r2", len(fold))


def logistic_sweep(
    captured: xr.Dataset,
    y: Int[Tensor | np.ndarray, " example"],
    *,
    target: Hashable = "class",
    groups: Sequence[int] | Int[np.ndarray, " example"] | None = None,
    types: Sequence[int] | Int[np.ndarray, " example"] | None = None,
    n_shuffles: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Held-out accuracy of logistic probes for the class y, beside shuffled classes and the untrained model.

    A site of one model and step is in memory at a time. Arguments, columns and errors are those of ``ridge_sweep``;
    ``target`` is what the table calls y.
    """
    controls = with_controls(torch.as_tensor(y).reshape(-1, 1), n_shuffles, seed, types)
    fold = assign_folds(len(controls.Y), seed=seed, groups=groups)

    def held_out(activations: xr.DataArray) -> HeldOut:
        return logistic(_entries(activations), controls.Y, fold).held_out

    return _swept(captured, held_out, controls, [target], "accuracy", len(fold))


def _swept(
    captured: xr.Dataset,
    held_out: Callable[[xr.DataArray], HeldOut],
    controls: Controls,
    labels: Sequence[Hashable],
    score: str,
    n_examples: int,
) -> pd.DataFrame:
    if not isinstance(captured, xr.Dataset):
        raise ValueError(f"captured: got {type(captured).__name__}; expected what probe.capture returns")
    if captured.sizes.get("example") != n_examples:
        raise ValueError(
            f"Y: got {n_examples} examples; the capture has {captured.sizes.get('example', 'only reductions of them')}"
        )
    rows: list[pd.DataFrame] = []
    names = list(dict.fromkeys(labels))
    for dim in ("model", "step"):  # a capture at one of them, as sel leaves it
        if dim not in captured.dims:
            captured = captured.expand_dims(dim)
    for model, site in ((model, site) for model in captured["model"].values for site in captured.data_vars):
        untrained = None
        for step in captured["step"].values:
            activations = _own(captured[site].sel(model=model, step=step))
            if activations is None:
                continue
            mine, shuffled = (part.grouped(labels) for part in controls.split(held_out(activations)))
            if step == 0:
                untrained = mine
            estimates = {"": mine.score(), "selectivity": difference(mine, shuffled)}
            if untrained is not None and step != 0:
                estimates["over_untrained"] = difference(mine, untrained)
            table = _places(activations, names)
            for name, estimate in estimates.items():
                ends = {name or "value": estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
                for column, values in ends.items():
                    table[column.lstrip("_")] = values.flatten().cpu().numpy()
            table["shuffled"] = table["value"] - table["selectivity"]
            n_params = int(
                captured["n_params"] if captured["n_params"].ndim == 0 else captured["n_params"].sel(model=model)
            )
            rows.append(table.assign(model=model, n_params=n_params, step=int(step), site=str(site), score=score))
    found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    return found.reindex(columns=list(COLUMNS))


def _own(activations: xr.DataArray) -> xr.DataArray | None:
    """A model's own units and heads, without what is nan because a larger model has more; None if it has no such site.

    Raises:
        ValueError: some examples have no activation at a position.
    """
    first = activations.isel(example=0).load()
    for dim in first.dims:
        if dim not in ("position", "key"):  # of these there are as many in every model
            others = [other for other in first.dims if other != dim]
            present = first.notnull().any(others)
            first, activations = first.isel({dim: present}), activations.isel({dim: present})
    if first.size == 0:
        return None
    if "position" in activations.dims and (activations["token_position"] < 0).any():
        raise ValueError(
            f"captured: some examples have no activation at all positions of {activations.name}, because they are"
            " shorter; capture positions that all have, such as 'last' or 'answer'"
        )
    return activations


def _entries(activations: xr.DataArray) -> Float[Tensor, "*entry example unit"]:
    """Some examples of a site, an entry per position and head, as far as it has them."""
    leading = [dim for dim in activations.dims if dim in ("position", "head", "kv_head")]
    (unit,) = (dim for dim in activations.dims if dim not in ("example", *leading))
    return torch.as_tensor(activations.transpose(*leading, "example", unit).values)


def _places(activations: xr.DataArray, targets: Sequence[Hashable]) -> pd.DataFrame:
    """Position, head and target of each score, in the order in which scores are flattened."""
    dims = {dim: activations[dim].values for dim in activations.dims if dim in ("position", "head", "kv_head")}
    index = pd.MultiIndex.from_product([*dims.values(), targets], names=[*dims, "target"])
    return index.to_frame(index=False).rename(columns={"kv_head": "head"})
