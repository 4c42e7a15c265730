"""Labelled arrays on disk: zarr 3, a group per model and step, an array per name.

A group is written whole or not at all as far as a reader is concerned: ``complete`` is set last, and a group without
it is absent. Groups are independent, so processes that write different steps do not disturb each other.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr
import zarr

STORE = "activations.zarr"


def write_arrays(folder: str, model: str, step: int, arrays: Mapping[str, xr.DataArray]) -> None:
    """Write the arrays of one model at one step, replacing what is there."""
    group = zarr.open_group(_store(folder), path=_path(model, step), mode="w")
    for name, array in arrays.items():
        _create(group, name, array.values, array.dims)
        for dim, coordinate in array.coords.items():
            if str(dim) not in group:
                _create(group, str(dim), coordinate.values, coordinate.dims)
    group.attrs["complete"] = True


def read_array(folder: str, model: str, steps: tuple[int, ...], name: str) -> xr.DataArray | None:
    """An array of a model at those of the steps that have it, ``step`` as its first dimension; None if none has."""
    found = {}
    for step in steps:
        try:
            group = zarr.open_group(_store(folder), path=_path(model, step), mode="r")
        except FileNotFoundError:
            continue
        if group.attrs.get("complete") and name in group:
            array = group[name]
            assert isinstance(array, zarr.Array)
            dims = [str(dim) for dim in array.metadata.dimension_names]  # type: ignore[union-attr]
            coords = {dim: (dim, np.asarray(group[dim][:])) for dim in dims if dim in group}  # type: ignore[index]
            found[step] = xr.DataArray(np.asarray(array[:]), dims=dims, coords=coords, name=name)
    if not found:
        return None
    return xr.concat(list(found.values()), xr.IndexVariable("step", list(found)), join="exact")


def _create(group: zarr.Group, name: str, values: np.ndarray, dims: tuple) -> None:
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=values.shape,
        compressors=None,
        dimension_names=[str(dim) for dim in dims],
    )
    array[:] = values


def _store(folder: str) -> object:
    return zarr.storage.FsspecStore.from_url(f"{folder}/{STORE}") if "://" in folder else f"{folder}/{STORE}"


def _path(model: str, step: int) -> str:
    return f"{model}/step_{step:08d}"
