"""Labelled arrays on disk: zarr 3, a group per model and step, an array per name.

A group is written whole or not at all as far as a reader is concerned: its own ``zarr.json``, with ``complete``, the
list of its files and their digest, is written last, and a group without it is absent. What the places along a
dimension of an array are is an array beside it, ``<array>.<dimension>``: arrays of different probes may mean different
things by one name. Every file is written atomically, so processes that write the same group at once do each other no
harm, nor do those that write others.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
import xarray as xr
import zarr
from zarr.abc.buffer import Buffer
from zarr.buffer import default_buffer_prototype

from probe import storage

STORE = "activations.zarr"
_ROOT = "zarr.json"


def write_arrays(folder: str, model: str, step: int, arrays: Mapping[str, xr.DataArray]) -> None:
    """Write the arrays of one model at one step, replacing what is there."""
    held: dict[str, Buffer] = {}
    group = zarr.open_group(zarr.storage.MemoryStore(held), mode="w")
    for name, array in arrays.items():
        _create(group, name, array.values, array.dims)
        for dim in set(array.dims) & set(array.coords):
            _create(group, f"{name}.{dim}", array[dim].values, (dim,))
    files = {name: held[name].to_bytes() for name in sorted(held) if name != _ROOT}
    group.attrs.update({"complete": True, "files": list(files), "sha256": _digest(files)})
    for name, data in [*files.items(), (_ROOT, held[_ROOT].to_bytes())]:
        storage.write_atomically(f"{_path(folder, model, step)}/{name}", data)


def read_array(folder: str, model: str, steps: tuple[int, ...], name: str) -> xr.DataArray | None:
    """An array of a model at those of the steps that have it, ``step`` as its first dimension; None if none has.

    Raises:
        ValueError: a group is damaged; the message names it and says what to do.
    """
    found = {}
    for step in steps:
        group = _read_group(_path(folder, model, step))
        if group is not None and name in group:
            array = group[name]
            assert isinstance(array, zarr.Array)
            dims = [str(dim) for dim in array.metadata.dimension_names]  # type: ignore[union-attr]
            values = np.asarray(array[:])
            found[step] = xr.DataArray(values, dims=dims, coords=_coordinates(group, name, dims, values), name=name)
    if not found:
        return None
    return xr.concat(list(found.values()), xr.IndexVariable("step", list(found)), join="exact")


def check_group(folder: str, model: str, step: int) -> None:
    """
    Raises:
        ValueError: the arrays of a model at a step are not there, or not what was written.
    """
    if _read_group(_path(folder, model, step)) is None:
        raise ValueError(f"{_path(folder, model, step)} is not there or not complete")


def _read_group(path: str) -> zarr.Group | None:
    """A group with all its files, after checking them against their digest; None if it is not there or not complete."""
    if not storage.exists(f"{path}/{_ROOT}"):
        return None
    held = {_ROOT: _buffer(storage.read_bytes(f"{path}/{_ROOT}"))}
    try:
        group = zarr.open_group(zarr.storage.MemoryStore(held), mode="r")
    except Exception as error:  # zarr has no one exception for a zarr.json that is none
        raise ValueError(f"{path} is damaged; `probe run` of the same batch measures it again") from error
    names: list[str] = group.attrs.get("files", [])  # type: ignore[assignment]
    try:
        files = {name: storage.read_bytes(f"{path}/{name}") for name in names}
    except FileNotFoundError:
        files = {}
    if _digest(files) != group.attrs.get("sha256"):
        raise ValueError(f"{path} is damaged; `probe run` of the same batch measures it again")
    held |= {name: _buffer(data) for name, data in files.items()}
    return group


def _coordinates(
    group: zarr.Group, name: str, dims: list[str], values: np.ndarray
) -> dict[str, tuple[str, np.ndarray]]:
    """What the places along the dimensions of an array are, where that was said.

    Groups from before each array had coordinates of its own have one for each dimension, which all arrays share.
    """
    found = {}
    for dim, size in zip(dims, values.shape, strict=True):
        own = f"{name}.{dim}"
        if own in group:
            found[dim] = (dim, np.asarray(group[own][:]))  # type: ignore[index]
        elif dim in group and group[dim].shape == (size,):  # type: ignore[union-attr]
            found[dim] = (dim, np.asarray(group[dim][:]))  # type: ignore[index]
    return found


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


def _buffer(data: bytes) -> Buffer:
    return default_buffer_prototype().buffer.from_bytes(data)


def _digest(files: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name} {len(files[name])}\n".encode())
        total.update(files[name])
    return total.hexdigest()


def _path(folder: str, model: str, step: int) -> str:
    return f"{folder}/{STORE}/{model}/step_{step:08d}"
