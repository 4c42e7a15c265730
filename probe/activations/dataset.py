"""A capture as a labelled dataset that reads what is asked of it, when it is asked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from probe.activations.capture_store import CaptureStore, lost
from probe.activations.inputs import Inputs
from probe.activations.positions import ABSENT

Key = tuple[int | slice | np.ndarray, ...]


def open_capture(address: str | Path, *, models: Sequence[str] | None = None, inputs: Any = None) -> xr.Dataset:
    """What was captured, as far as it is finished; nothing is read before it is asked for.

    A variable per site with dimensions model, step, example, position, head, unit, as far as it has them (``unit`` of
    the residual stream; ``head_unit``, ``neuron``, ``vocab`` and ``key`` of others); no position if a single one was
    kept of each example. Where models differ in size, the smaller ones are followed by ``nan`` up to the largest: open
    one model (``models=["pythia-70m"]``) to have just its own units. A model without a step or site is ``nan`` there.

    Args:
        address: folder or URL of the capture.
        models: names; all, if not given.
        inputs: what it should be a capture of (a Task or token ids), if that is to be checked.

    Raises:
        ValueError: there is no capture, it has no such model, or it is one of other inputs.
    """
    store = CaptureStore.at(address, "address")
    request = store.request()
    if request is None:
        raise ValueError(f"address: {store.address} holds no capture; `probe capture` makes one")
    if inputs is not None:
        given = Inputs.of(inputs)
        if given.digest != request["inputs"] or request["answers"] not in (None, given.answers_digest):
            raise ValueError(f"inputs: {store.address} is a capture of other inputs than those given")
    finished = store.finished()
    there = {model for model, _ in finished}
    wanted = [models] if isinstance(models, str) else models
    for name in wanted or ():
        if name not in there:
            said = ", ".join(sorted(there)) or "none finished yet"
            raise ValueError(f"models: got {name!r}; {store.address} has {said}")
    kept = {key: about for key, about in finished.items() if wanted is None or key[0] in wanted}
    return as_dataset(store, request, kept)


def as_dataset(
    store: CaptureStore, request: Mapping[str, Any], groups: Mapping[tuple[str, int], Mapping[str, Any]]
) -> xr.Dataset:
    """Finished groups, by model and step, as a dataset.

    Args:
        store: where they are.
        request: what was asked for.
        groups: what they say of themselves.
    """
    chosen = dict(sorted(groups.items(), key=lambda group: (group[1]["n_params"], *group[0])))
    names, steps = list(dict.fromkeys(model for model, _ in chosen)), sorted({step for _, step in chosen})
    arrays = [array for about in chosen.values() for array in about["arrays"].values()]
    sizes: dict[str, int] = {}  # of each dimension, in the largest model
    for array in arrays:
        for dim, size in zip(array["dims"], array["shape"], strict=True):
            sizes[dim] = max(size, sizes.get(dim, 0))
    variables: dict[str, Any] = {}
    for site in dict.fromkeys(site for about in chosen.values() for site in about["arrays"]):
        found = _Site(store, site, names, steps, chosen, sizes)
        variables[site] = (("model", "step", *found.dims), indexing.LazilyIndexedArray(found))
    return xr.Dataset(
        variables, _coordinates(store, request, names, steps, chosen, variables), attrs=_attributes(request)
    )


def _coordinates(
    store: CaptureStore,
    request: Mapping[str, Any],
    models: Sequence[str],
    steps: Sequence[int],
    chosen: Mapping[tuple[str, int], Mapping[str, Any]],
    variables: Mapping[str, Any],
) -> dict[str, Any]:
    of_model = {about["model"]: about for about in chosen.values()}
    seen = np.array([[_number(chosen.get((model, step), {}).get("tokens_seen")) for step in steps] for model in models])
    coordinates: dict[str, Any] = {
        "model": ("model", np.array(models, dtype=object)),
        "step": ("step", np.array(steps, dtype=np.int64)),
        "n_params": ("model", np.array([of_model[model]["n_params"] for model in models])),
        "tokens_seen": (("model", "step"), seen.reshape(len(models), len(steps))),
    }
    dims = {dim for variable_dims, _ in variables.values() for dim in variable_dims}
    if request["heads"] is not None and "head" in dims:
        coordinates["head"] = ("head", np.array(request["heads"]))
    if "example" in dims:
        coordinates |= _of_tokens(store, single=request["single_position"])
    return coordinates


def _of_tokens(store: CaptureStore, *, single: bool) -> dict[str, Any]:
    """Position, token and, where a tokenizer told it, text of what each value was captured at."""
    tokens, kept, words = store.shown()
    ids = np.take_along_axis(tokens, kept.clip(min=0), axis=1)
    ids[kept == ABSENT] = ABSENT
    found = {"token_position": kept, "token_id": ids}
    if words:
        texts = np.array([*words.values(), ""], dtype=object)
        order = np.array([*map(int, words), ABSENT])
        rank = np.argsort(order)
        found["token"] = texts[rank[np.searchsorted(order, ids, sorter=rank)]]
    dims = ("example",) if single else ("example", "position")
    return {name: (dims, values[:, 0] if single else values) for name, values in found.items()}


def _number(value: float | None) -> float:
    """JSON has no nan, so what is not known is null there."""
    return np.nan if value is None else float(value)


def _attributes(request: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, as attributes that a netCDF file may have too: no nulls, nothing nested."""
    return {field: value if isinstance(value, str | int | float) else str(value) for field, value in request.items()}


class _Site(BackendArray):
    """The arrays of one site over models and steps, as one: what a model or step lacks is nan, or -1 of integers."""

    def __init__(
        self,
        store: CaptureStore,
        site: str,
        models: Sequence[str],
        steps: Sequence[int],
        groups: Mapping[tuple[str, int], Mapping[str, Any]],
        sizes: Mapping[str, int],
    ) -> None:
        self.store, self.site, self.models, self.steps = store, site, models, steps
        self.there = {key: about["arrays"][site] for key, about in groups.items() if site in about["arrays"]}
        described = next(iter(self.there.values()))
        self.dims: tuple[str, ...] = tuple(described["dims"])
        self.shape = (len(models), len(steps), *(sizes[dim] for dim in self.dims))
        self.dtype = np.dtype(described["dtype"])

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: Key) -> np.ndarray:
        # Every axis as positions; those indexed by a number are dropped at the end.
        wanted = [np.atleast_1d(np.arange(size)[part]) for part, size in zip(key, self.shape, strict=True)]
        fill = np.nan if self.dtype.kind == "f" else ABSENT
        values = np.full([len(positions) for positions in wanted], fill, self.dtype)
        for i, model in enumerate(wanted[0]):
            for j, step in enumerate(wanted[1]):
                self._read_group(values[i, j, ...], self.models[model], self.steps[step], wanted[2:])
        axes = zip(wanted, key, strict=True)
        return values.reshape([len(positions) for positions, part in axes if not isinstance(part, int | np.integer)])

    def _read_group(self, into: np.ndarray, model: str, step: int, wanted: Sequence[np.ndarray]) -> None:
        if (model, step) not in self.there:
            return
        shape = self.there[model, step]["shape"]
        own = [positions < size for positions, size in zip(wanted, shape, strict=True)]
        if not all(mask.any() for mask in own):
            return
        chosen = tuple(_span(positions[mask]) for positions, mask in zip(wanted, own, strict=True))
        try:
            array = self.store.array(model, step, self.site)
            values = np.asarray(array.oindex[chosen] if chosen else array[()])
            if (values == lost(self.dtype)).any():
                raise ValueError("a chunk is gone")
        except (ValueError, KeyError, FileNotFoundError) as error:
            raise ValueError(
                f"{self.store.address}: {self.site} of {model} at step {step} is damaged ({error}); delete its folder,"
                " and the same capture makes it again"
            ) from error
        into[np.ix_(*own)] = values


def _span(positions: np.ndarray) -> slice | np.ndarray:
    """A slice where positions are consecutive, which zarr reads without a detour."""
    first, last = int(positions[0]), int(positions[-1])
    return (
        slice(first, last + 1) if last - first + 1 == len(positions) and (np.diff(positions) == 1).all() else positions
    )
