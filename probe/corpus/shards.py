"""Which files a corpus is, and the parts of them that are counted one by one."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from probe.corpus.readers import Faults, read_jsonl, read_parquet, read_text
from probe.corpus.streams import COMPRESSIONS, blocks, blocks_of_range

PART = 1 << 26
"""Bytes of a part of a shard that can be read from its middle."""

FORMATS = {".txt": "text", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
_VERSION = ("mtime", "ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "created")
"""What filesystems say of a file that changes with its content; the first that is there is looked at."""


@dataclass(frozen=True)
class Reading:
    """How shards are read: the field or column with the text, and whether a file of plain text is one document."""

    field: str = "text"
    whole_files: bool = False


@dataclass(frozen=True)
class Shard:
    """A file: its address, its size as stored, what tells its version, and how it is read."""

    address: str
    size: int
    version: str
    format: str
    compression: str | None


@dataclass(frozen=True)
class Part:
    """A shard, or the lines of it that begin in a range of bytes."""

    shard: Shard
    start: int
    stop: int
    is_whole: bool

    @property
    def size(self) -> int:
        return self.stop - self.start

    def texts(self, reading: Reading, faults: Faults) -> Iterator[str]:
        """Its documents as a stream of characters in which ``\\n`` ends a document.

        Raises:
            UnreadableError: for whatever reason, it cannot be read to its end.
        """
        try:
            fs, path = fsspec.core.url_to_fs(self.shard.address)
            with fs.open(path, "rb") as file:
                yield from self._texts(file, reading, faults)
        except Exception as error:  # each filesystem, compression and format has exceptions of its own
            raise UnreadableError(f"{type(error).__name__}: {error}") from error

    def _texts(self, file: Any, reading: Reading, faults: Faults) -> Iterator[str]:
        if self.shard.format == "parquet":
            return read_parquet(file, faults, reading.field)
        whole = blocks(file, self.shard.compression)
        found = whole if self.is_whole else blocks_of_range(file, self.start, self.stop)
        if self.shard.format == "jsonl":
            return read_jsonl(found, faults, reading.field)
        return read_text(found, faults, reading.whole_files)


class UnreadableError(Exception):
    """A shard cannot be read to its end; the message says why."""


def find_shards(addresses: Iterable[str], format: str | None = None, apart_from: str | None = None) -> list[Shard]:
    """The files of addresses in their order, those of a folder or a glob by name, each once.

    Args:
        addresses: files, folders, globs, local or as fsspec URLs. In folders files are looked for at any depth, and
            passed over where no format is given and their name does not say one; hidden ones are, there and by globs.
        format: ``"text"``, ``"jsonl"`` or ``"parquet"``; by the names of the files if not given, and text if they do
            not say.
        apart_from: a folder in which nothing is looked for.

    Raises:
        ValueError: ``corpus``: there is no file at an address; ``format``: it is none of these.
    """
    if format not in (None, *FORMATS.values()):
        raise ValueError(f"format: got {format!r}; expected text, jsonl or parquet")
    away = None if apart_from is None else f"{_address(*fsspec.core.url_to_fs(apart_from)).rstrip('/')}/"
    found: dict[str, Shard] = {}
    for address in addresses:
        shards = [shard for shard in _shards_at(address, format) if away is None or not shard.address.startswith(away)]
        if not shards:
            raise ValueError(
                f"corpus: got {address!r}, where there is no file; expected a file, a glob, or a folder with files in"
                f" {', '.join(FORMATS)}, compressed or not ({', '.join(COMPRESSIONS)})"
            )
        found |= {shard.address: shard for shard in shards}
    if not found:
        raise ValueError("corpus: got no address; expected files, folders or globs")
    return list(found.values())


def parts_of(shard: Shard, reading: Reading) -> list[Part]:
    """The parts of a shard: ranges of bytes where lines of it can be read from its middle, else the whole."""
    has_lines = shard.format == "jsonl" or (shard.format == "text" and not reading.whole_files)
    if not has_lines or shard.compression is not None or shard.size <= PART:
        return [Part(shard, 0, shard.size, True)]
    return [Part(shard, start, min(start + PART, shard.size), False) for start in range(0, shard.size, PART)]


def _shards_at(address: str, format: str | None) -> list[Shard]:
    fs, path = fsspec.core.url_to_fs(address)
    fs.invalidate_cache()
    try:
        about = fs.info(path)
    except FileNotFoundError:
        root = re.split(r"[*?[]", path)[0].rpartition("/")[0]
        files = fs.glob(path, detail=True).items()
        found = {name: about for name, about in files if about["type"] == "file" and not _is_hidden(name[len(root) :])}
    else:
        if about["type"] == "file":
            found = {path: about}
        else:
            files = fs.find(path, detail=True).items()
            found = {name: about for name, about in files if _is_meant(name[len(path) :], format)}
    return [_shard(_address(fs, name), about, format) for name, about in sorted(found.items())]


def _is_meant(name: str, format: str | None) -> bool:
    """Whether a file of a folder is one of a corpus, by its path below the folder."""
    return not _is_hidden(name) and (format is not None or _named_format(name)[0] is not None)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _shard(address: str, about: Mapping[str, Any], format: str | None) -> Shard:
    named, compression = _named_format(address)
    version = next((f"{key} {about[key]}" for key in _VERSION if about.get(key) is not None), "")
    return Shard(address, about.get("size") or 0, version, format or named or "text", compression)


def _named_format(name: str) -> tuple[str | None, str | None]:
    """The format and the compression that the name of a file says."""
    path = PurePosixPath(name.lower())
    compression = COMPRESSIONS.get(path.suffix)
    return FORMATS.get(path.with_suffix("").suffix if compression else path.suffix), compression


def _address(fs: fsspec.AbstractFileSystem, path: str) -> str:
    return path if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(path)
