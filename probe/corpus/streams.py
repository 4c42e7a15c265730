"""The bytes of a shard, or of those lines of it that begin in a range of bytes, a block at a time."""

import bz2
import gzip
import lzma
from collections.abc import Iterator
from typing import Any

BLOCK = 1 << 18
"""Bytes that are read, and characters that are counted, at a time."""

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".zstd": "zstd"}


def blocks(file: Any, compression: str | None) -> Iterator[bytes]:
    """A file from its beginning to its end, decompressed. A truncated one raises, by whatever read it."""
    stream = _decompressed(file, compression)
    while block := stream.read(BLOCK):
        yield block


def blocks_of_range(file: Any, start: int, stop: int) -> Iterator[bytes]:
    """The lines of a file whose first byte is in ``[start, stop)``, up to the end of the last of them."""
    position = max(start - 1, 0)  # a line begins at start if a line ends right before it
    file.seek(position)
    in_line = start > 0
    while block := file.read(BLOCK):
        begin, position = position, position + len(block)
        if in_line:
            line_end = block.find(b"\n")
            if line_end < 0 and position < stop:
                continue
            begin += line_end + 1
            if line_end < 0 or begin >= stop:
                return
            block, in_line = block[line_end + 1 :], False
        if position >= stop:
            line_end = block.find(b"\n", max(stop - 1 - begin, 0))
            if line_end >= 0:
                yield block[: line_end + 1]
                return
        yield block


def _decompressed(file: Any, compression: str | None) -> Any:
    match compression:
        case "gzip":
            return gzip.open(file)
        case "bz2":
            return bz2.open(file)
        case "xz":
            return lzma.open(file)
        case "zstd":
            import pyarrow as pa

            # unlike the zstandard package's, it notices that a stream is truncated
            return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    return file
