"""A capture on disk: zarr 3, a group per model and step with an array per site, written in chunks as they come.

``capture.json`` says what was asked for, ``inputs.npz`` holds what was shown; both are written before anything else,
each as a whole. A group is absent until its own attributes say ``complete``, which are written last, so a capture that
was stopped anywhere goes on with the group that it was in. Each chunk carries a checksum. Different processes may write
different groups.
"""

import contextlib
import errno
import hashlib
import io
import json
import secrets
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import zarr
from zarr import Array
from zarr.abc.store import Store
from zarr.codecs import Crc32cCodec
from zarr.storage import FsspecStore, LocalStore

from probe import storage
from probe.activations.inputs import Inputs

CAPTURE = "capture.json"
"""File that says what was asked for: a folder without it holds no capture."""
INPUTS = "inputs.npz"
"""File that holds what was shown."""


def lost(dtype: str | np.dtype) -> float | int:
    """What zarr reads where a chunk's file is gone, of which it says nothing: a number that no activation is."""
    kind = np.dtype(dtype)
    return float(np.finfo(kind).max) if kind.kind == "f" else int(np.iinfo(kind).min)


@dataclass(frozen=True)
class CaptureStore:
    """Where a capture is: a local folder or an fsspec URL.

    Attributes:
        address: the folder or URL.
        store: what zarr calls it.
        field: what messages call the argument that it was given as.
    """

    address: str
    store: Store
    field: str

    @classmethod
    def at(cls, address: str | Path, field: str = "out") -> "CaptureStore":
        """
        Raises:
            ValueError: it is no address.
        """
        text = str(address).rstrip("/")
        if not text:
            raise ValueError(f"{field}: got {str(address)!r}; expected a folder or URL")
        try:
            local = storage.local_path(text)
        except (ValueError, ImportError) as error:
            raise ValueError(f"{field}: {text} is no address: {error}") from error
        if local is not None:
            return cls(local, LocalStore(local), field)
        return cls(text, FsspecStore.from_url(text), field)

    @classmethod
    def in_memory(cls) -> "CaptureStore":
        """One that is gone when nothing refers to it any more."""
        store = cls.at(f"memory://capture-{secrets.token_hex(8)}")
        weakref.finalize(store.store, _forget, store.address)
        return store

    def request(self) -> dict[str, Any] | None:
        """What was asked for; None if there is no capture here.

        Raises:
            ValueError: there is something else here, or what says it is damaged.
            OSError: the store cannot be reached.
        """
        try:
            if not storage.exists(f"{self.address}/{CAPTURE}") and self._is_free():
                return None
            return json.loads(storage.read_bytes(f"{self.address}/{CAPTURE}"))["request"]
        except FileNotFoundError:
            raise ValueError(
                f"{self.field}: {self.address} holds something else than a capture; choose another"
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.field}: {self.address}/{CAPTURE} is damaged; delete the folder, and capture again"
            ) from error
        except (ValueError, OSError):
            raise
        except Exception as error:  # each kind of store has exceptions of its own
            raise OSError(f"{self.address} cannot be reached: {error}") from error

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
            OSError: the disk is full; the message says so.
        """
        if self.request() is not None:
            return self.check(request)
        words = json.dumps({str(token): word for token, word in (inputs.vocabulary or {}).items()})
        shown = io.BytesIO()
        np.savez(shown, tokens=inputs.tokens, kept=kept, vocabulary=np.frombuffer(words.encode(), np.uint8))
        storage.write_atomically(f"{self.address}/{INPUTS}", shown.getvalue())
        about = {"request": dict(request), "inputs": hashlib.sha256(shown.getvalue()).hexdigest()}
        storage.write_atomically(f"{self.address}/{CAPTURE}", (json.dumps(about, indent=1) + "\n").encode())

    def shown(self) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        """Tokens [example, position], positions kept [example, kept], and the text of each token that occurs.

        Raises:
            ValueError: the file with them is damaged or gone.
        """
        path = f"{self.address}/{INPUTS}"
        try:
            data = storage.read_bytes(path)
            expected = json.loads(storage.read_bytes(f"{self.address}/{CAPTURE}"))["inputs"]
        except FileNotFoundError:
            data, expected = b"", "there"
        if hashlib.sha256(data).hexdigest() != expected:
            raise ValueError(f"{path} is damaged or gone; delete the folder, and capture again")
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            words = json.loads(held["vocabulary"].tobytes())
            return held["tokens"], held["kept"], {int(token): word for token, word in words.items()}

    def finished(self) -> dict[tuple[str, int], dict[str, Any]]:
        """What each finished group says of itself, by model and step; one whose words are damaged is not finished."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for model in storage.list_folders(self.address):
            for step in storage.list_folders(f"{self.address}/{model}"):
                try:
                    about: dict[str, Any] = zarr.open_group(self.store, path=f"{model}/{step}", mode="r").attrs.asdict()
                except (FileNotFoundError, ValueError, KeyError, TypeError):
                    continue
                if about.get("complete"):
                    found[about["model"], about["step"]] = about
        return found

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
        writer = None
        try:
            writer = GroupWriter(self, model, step)
            yield writer
        except OSError as error:
            if writer is not None:
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
        return storage.free_space(self.address)[1] if isinstance(self.store, LocalStore) else None

    def _is_free(self) -> bool:
        """Whether there is nothing here but what a capture that was stopped at once leaves."""
        files = [name for name in storage.list_files(self.address, "") if name != INPUTS]
        return not files and not storage.list_folders(self.address)


def _forget(address: str) -> None:
    fs, target = fsspec.core.url_to_fs(address)
    with contextlib.suppress(FileNotFoundError):
        fs.rm(target, recursive=True)


class GroupWriter:
    """Writes the arrays of one model at one step."""

    def __init__(self, store: CaptureStore, model: str, step: int) -> None:
        self.path, self.store = _path(model, step), store.store
        # Should another process begin the same group, it takes it over: only who began last may call it finished.
        self.token = secrets.token_hex(8)
        self.arrays: dict[str, Array] = {}  # in order of their making
        self.group = zarr.create_group(self.store, path=self.path, overwrite=True, attributes={"writer": self.token})

    def create(self, name: str, shape: tuple[int, ...], dtype: str, dims: tuple[str, ...], chunk: int) -> None:
        """An array, in chunks of ``chunk`` along its first axis."""
        self.arrays[name] = self.group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=(max(1, min(chunk, shape[0])), *shape[1:]) if shape else (),
            compressors=[Crc32cCodec()],  # activations do not compress; what is read is what was written
            fill_value=lost(dtype),
            dimension_names=dims,
            config={"write_empty_chunks": True},
        )

    def write(self, name: str, start: int, values: np.ndarray) -> None:
        """Values from ``start`` along the first axis, a whole chunk or the last one."""
        self.arrays[name][start : start + len(values)] = values

    def write_whole(self, name: str, values: np.ndarray, dims: tuple[str, ...]) -> None:
        """An array that is written at once."""
        self.create(name, values.shape, str(values.dtype), dims, chunk=len(values) if values.ndim else 1)
        self.arrays[name][...] = values

    def finish(self, about: Mapping[str, Any]) -> None:
        """Say that all is there, unless another process has begun the same group since; then that one does."""
        if zarr.open_group(self.store, path=self.path, mode="r").attrs.get("writer") == self.token:
            arrays = {name: _described(array) for name, array in self.arrays.items()}
            self.group.attrs.update({**about, "arrays": arrays, "complete": True})

    def discard(self) -> None:
        """Take away what was written, so that a disk that is full has room again."""
        with contextlib.suppress(Exception):  # what cannot be taken away is no capture either
            zarr.create_group(self.store, path=self.path, overwrite=True)


def _described(array: Array) -> dict[str, Any]:
    dims = array.metadata.dimension_names  # type: ignore[union-attr]  # of zarr 3
    return {"shape": list(array.shape), "dims": list(dims or ()), "dtype": str(array.dtype)}


def _path(model: str, step: int) -> str:
    return f"{model}/step_{step:08d}"
