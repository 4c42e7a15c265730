"""A capture on disk: zarr 3, a group per model and step with an array per site, written in chunks as they come.

The root says what was asked for, and ``inputs`` what was shown; both are written before anything else. A group is
absent until its own attributes say ``complete``, which are written last, so a capture that was stopped anywhere goes on
with the group that it was in. Each chunk carries a checksum. Different processes may write different groups.
"""

import contextlib
import errno
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr import Array, Group
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec
from zarr.storage import FsspecStore, LocalStore

from probe.activations.inputs import Inputs

CAPTURE = "grokscope_capture"
"""Attribute of the root that says what was asked for."""
INPUTS = "inputs"
"""Group that holds what was shown."""


def lost(dtype: str | np.dtype) -> float | int:
    """What zarr reads where a chunk's file is gone, of which it says nothing: a number that no activation is."""
    kind = np.dtype(dtype)
    return float(np.finfo(kind).max) if kind.kind == "f" else int(np.iinfo(kind).min)


@dataclass(frozen=True)
class CaptureStore:
    """Where a capture is: a local folder, an fsspec URL, or a zarr store in memory."""

    address: str
    store: Store

    @classmethod
    def at(cls, address: str | Path) -> "CaptureStore":
        text = str(address)
        if "://" in text:
            return cls(text, FsspecStore.from_url(text.rstrip("/")))
        return cls(text, LocalStore(Path(text).expanduser()))

    @property
    def _folder(self) -> Path | None:
        return self.store.root.absolute() if isinstance(self.store, LocalStore) else None

    def request(self) -> dict[str, Any] | None:
        """What was asked for; None if there is no capture here.

        Raises:
            ValueError: there is something else here.
        """
        try:
            root = zarr.open_group(self.store, mode="r")
        except FileNotFoundError:
            if self._folder is not None and self._folder.exists() and any(self._folder.iterdir()):
                raise ValueError(f"out: {self.address} holds something else than a capture; choose another") from None
            return None
        found = root.attrs.get(CAPTURE)
        if found is None and set(root.keys()) <= {INPUTS}:
            return None  # stopped before it had begun
        if found is None:
            raise ValueError(f"out: {self.address} is a zarr group, but no capture of ours; choose another")
        return dict(found)  # type: ignore[arg-type]  # JSON of our own

    def check(self, request: Mapping[str, Any]) -> None:
        """
        Raises:
            ValueError: the store holds a capture of other inputs, or of something else of them.
        """
        asked, found = json.loads(json.dumps(request)), self.request()
        differing = [field for field in asked if field != "versions" and found and found.get(field) != asked[field]]
        if found and differing:
            said = "; ".join(f"{field} was {found.get(field)}, now {asked[field]}" for field in differing)
            raise ValueError(f"out: {self.address} holds another capture ({said}). Choose another, or delete it")

    def claim(self, request: Mapping[str, Any], inputs: Inputs, kept: np.ndarray) -> None:
        """Say what is asked for, unless it was said before.

        Args:
            request: what decides the numbers, by field.
            inputs: what is shown.
            kept: positions kept of each example, [example, kept].

        Raises:
            ValueError: the store holds a capture of other inputs, or of something else of them.
        """
        if self.request() is not None:
            return self.check(request)
        words = inputs.vocabulary or {}
        group = zarr.create_group(self.store, path=INPUTS, overwrite=True)
        for name, values in (("tokens", inputs.tokens), ("lengths", inputs.lengths), ("kept", kept)):
            group.create_array(name, data=np.ascontiguousarray(values, np.int64))
        group.attrs.update({"vocabulary": {str(token): word for token, word in words.items()}})
        zarr.open_group(self.store, mode="a").attrs[CAPTURE] = json.loads(json.dumps(request))

    def about(self, model: str, step: int) -> dict[str, Any] | None:
        """What a finished group says of itself; None if it is not there, or not finished."""
        try:
            group = zarr.open_group(self.store, path=_path(model, step), mode="r")
        except FileNotFoundError:
            return None
        about = group.attrs.asdict()
        return about if about.get("complete") else None

    def finished(self) -> list[dict[str, Any]]:
        """What each finished group says of itself."""
        root = zarr.open_group(self.store, mode="r")
        found = [
            self.about(model, int(step.removeprefix("step_")))
            for model, group in root.groups()
            if model != INPUTS
            for step in group.group_keys()
        ]
        return [about for about in found if about is not None]

    def inputs(self) -> Group:
        """The group that holds what was shown."""
        return zarr.open_group(self.store, path=INPUTS, mode="r")

    def array(self, model: str, step: int, name: str) -> Array:
        """An array of a finished group."""
        array = zarr.open_group(self.store, path=_path(model, step), mode="r")[name]
        assert isinstance(array, Array)
        return array

    @contextlib.contextmanager
    def writing(self, model: str, step: int) -> Iterator["GroupWriter"]:
        """Within it, a group is written. It is finished only if ``finish`` is called; what is left is taken away.

        Raises:
            OSError: the disk is full; the message says so and what to do.
        """
        writer = GroupWriter(self, model, step)
        try:
            yield writer
        except OSError as error:
            writer.discard()
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise OSError(
                    error.errno,
                    f"no space left to write {self.address}: free some space and run the same command again; the"
                    " checkpoints captured before are whole, and it goes on with the one that it was in",
                ) from error
            raise

    def free_bytes(self) -> int | None:
        """Bytes that are free where it is written; None where that cannot be told."""
        folder = self._folder
        if folder is None:
            return None
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free


class GroupWriter:
    """Writes the arrays of one model at one step."""

    def __init__(self, store: CaptureStore, model: str, step: int) -> None:
        self.path, self.store = _path(model, step), store.store
        # Should another process begin the same group, it takes it over: only who began last may call it finished.
        self.token = secrets.token_hex(8)
        self.arrays: dict[str, dict[str, Any]] = {}  # in order of their making
        self.group = zarr.create_group(self.store, path=self.path, overwrite=True, attributes={"writer": self.token})

    def create(self, name: str, shape: tuple[int, ...], dtype: str, dims: tuple[str, ...], chunk: int) -> None:
        """An array, in chunks of ``chunk`` along its first axis."""
        self.group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=(max(1, min(chunk, shape[0])), *shape[1:]) if shape else (),
            compressors=[Crc32cCodec()],  # activations do not compress; what is read is what was written
            fill_value=lost(dtype),
            dimension_names=dims,
            config={"write_empty_chunks": True},
        )
        self.arrays[name] = {"shape": list(shape), "dims": list(dims), "dtype": dtype}

    def write(self, name: str, start: int, values: np.ndarray) -> None:
        """Values from ``start`` along the first axis, a whole chunk or the last one."""
        array = self.group[name]
        assert isinstance(array, Array)
        array[start : start + len(values)] = values

    def write_whole(self, name: str, values: np.ndarray, dims: tuple[str, ...]) -> None:
        """An array that is written at once."""
        self.create(name, values.shape, str(values.dtype), dims, chunk=len(values) if values.ndim else 1)
        array = self.group[name]
        assert isinstance(array, Array)
        array[...] = values

    def finish(self, about: Mapping[str, Any]) -> None:
        """Say that all is there, unless another process has begun the same group since; then that one does."""
        if zarr.open_group(self.store, path=self.path, mode="r").attrs.get("writer") == self.token:
            self.group.attrs.update({**about, "arrays": self.arrays, "complete": True})

    def discard(self) -> None:
        """Take away what was written, so that a disk that is full has room again."""
        with contextlib.suppress(Exception):  # what cannot be taken away is no capture either
            zarr.create_group(self.store, path=self.path, overwrite=True)


def _path(model: str, step: int) -> str:
    return f"{model}/step_{step:08d}"
