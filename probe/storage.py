"""Files that are either absent or whole, at a local path or at any fsspec URL (``s3://``, ``gs://``, ``memory://``).

A local file is written under a temporary name in its own folder, flushed to the disk and renamed, so a
process that is killed at any moment leaves the old content, or the new, and never a part of it. An object
store gives the same promise for one upload. A name of the form ``.<name>.<random>.tmp`` is such a temporary
file: what a killed process left behind, safe to delete, and never listed here.
"""

import contextlib
import errno
import hashlib
import io
import os
import secrets
import shutil
from functools import lru_cache

import fsspec
from fsspec.implementations.local import LocalFileSystem


def write_atomically(path: str, data: bytes) -> None:
    """Write a whole file, replacing the one that is there; missing local folders are made.

    Args:
        path: Local path or fsspec URL.
        data: The content.

    Raises:
        OSError: It could not be written. The old content is untouched and nothing is left behind. Where the
            disk is full, the message says so and what to do.
    """
    fs, target = fsspec.core.url_to_fs(path)
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(target, data)
        return
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.tmp")
    try:
        os.makedirs(folder, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _flush_folder(folder)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                error.errno,
                f"no space left to write {path} ({len(data):,} bytes): free some space and run the same "
                "command again; what was written before is whole",
            ) from error
        raise


def read_bytes(path: str, end: int | None = None) -> bytes:
    """The content of a file, or its first ``end`` bytes.

    Raises:
        FileNotFoundError: there is no such file.
    """
    fs, target = fsspec.core.url_to_fs(path)
    content: bytes = fs.cat_file(target, end=end)
    return content


def local_path(path: str) -> str | None:
    """Where a file is on the disk; None if it is in a store."""
    fs, target = fsspec.core.url_to_fs(path)
    return target if isinstance(fs, LocalFileSystem) else None


def opened(path: str) -> io.BufferedReader | io.BytesIO:
    """A file to read from: of a store, fetched as a whole first.

    Raises:
        FileNotFoundError: there is no such file.
    """
    local = local_path(path)
    return io.BytesIO(read_bytes(path)) if local is None else open(local, "rb")


def sha256(path: str) -> str:
    """SHA-256 of a file. A local one that has not changed since is not read again: a batch asks for it many times.

    Raises:
        FileNotFoundError: there is no such file.
    """
    local = local_path(path)
    if local is None:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    found = os.stat(local)
    return _sha256_of(local, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


def exists(path: str) -> bool:
    """Whether there is a file or folder at ``path``, asked of the store and not of a cached listing."""
    fs, target = fsspec.core.url_to_fs(path)
    fs.invalidate_cache(fs._parent(target))
    return bool(fs.exists(target))


def size(path: str) -> int:
    """Bytes of a file.

    Raises:
        FileNotFoundError: there is no such file.
    """
    fs, target = fsspec.core.url_to_fs(path)
    fs.invalidate_cache(fs._parent(target))
    n_bytes: int = fs.size(target)
    return n_bytes


def free_space(path: str) -> tuple[str, int]:
    """The folder at or above a local path that is there, and the bytes that are free in it."""
    folder = os.path.abspath(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder, shutil.disk_usage(folder).free


def readable_size(n_bytes: float) -> str:
    """Bytes in the largest unit of which there is one: 1.5 MB."""
    units = ["bytes", "kB", "MB", "GB"]
    power = min(len(units) - 1, max(0, (len(str(int(n_bytes))) - 1) // 3))
    return f"{n_bytes / 1000**power:.{min(power, 1)}f} {units[power]}"


def list_files(path: str, suffix: str) -> list[str]:
    """Names, in ascending order, of the finished files directly in folder ``path`` that end in ``suffix``.

    A folder that does not exist has no files.
    """
    return [name for name in _names(path, "file") if name.endswith(suffix) and not _is_temporary(name)]


def list_folders(path: str) -> list[str]:
    """Names, in ascending order, of the folders directly in folder ``path``; none if it does not exist."""
    return _names(path, "directory")


def remove(path: str) -> None:
    """Delete a file; none there is no error."""
    fs, target = fsspec.core.url_to_fs(path)
    with contextlib.suppress(FileNotFoundError):
        fs.rm_file(target)


def append_line(path: str, text: str) -> None:
    """Add one line to a file, making it if need be. Meant for logs: it is not flushed to the disk.

    Locally the line goes out in one write in append mode, so lines of several processes do not mix. Object
    stores cannot append: there the file is read and written again, and two processes that do so at once lose
    a line.

    Args:
        path: Local path or fsspec URL.
        text: The line, without its end.

    Raises:
        ValueError: ``text`` is more than one line.
        OSError: the line could not be written whole.
    """
    if "\n" in text:
        raise ValueError(f"text: got {text!r}; expected one line, without a line end")
    line = f"{text}\n".encode()
    fs, target = fsspec.core.url_to_fs(path)
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(target, (fs.cat_file(target) if exists(path) else b"") + line)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, f"no space left to add a line to {path}: free some space")
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1 << 14)
def _sha256_of(local: str, state: tuple[int, ...]) -> str:
    """Of a file in a state that tells it from what it was before."""
    with open(local, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _names(path: str, kind: str) -> list[str]:
    fs, target = fsspec.core.url_to_fs(path)
    fs.invalidate_cache(target)
    try:
        entries = fs.ls(target, detail=True)
    except FileNotFoundError:
        return []
    return sorted(entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == kind)


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def _flush_folder(folder: str) -> None:
    """Make a rename last through a power cut. Windows cannot open a folder, and does not need to."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
