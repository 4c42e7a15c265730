"""The documents of text, JSONL and Parquet, as a stream of characters in which ``\\n`` ends a document.

What is wrong with a line is recorded, and the rest goes on. Bytes that are not UTF-8 are read as U+FFFD, which is a
separator; the line is counted all the same.
"""

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from probe.corpus.streams import BLOCK

MAX_JSON_LINE = 1 << 24
"""Bytes of the longest line of JSON that is read: it has to be in memory as a whole, several times over."""
MAX_NAMED = 100
"""Faulty lines that are named for each part of a shard; all of them are counted."""

NOT_UTF8 = "bytes that are not UTF-8, read as U+FFFD"


@dataclass(eq=False)
class Faults:
    """Lines of a part of a shard, and what is wrong with some.

    ``n_lines``  lines (rows of Parquet) that were read
    ``n_faulty`` of them faulty
    ``named``    the first faulty ones, from 1, and the problem
    """

    n_lines: int = 0
    n_faulty: int = 0
    named: list[tuple[int, str]] = field(default_factory=list)
    _last: int = 0

    def add(self, line: int, problem: str) -> None:
        """Record a faulty line, once."""
        if line == self._last:
            return
        self._last = line
        self.n_faulty += 1
        if len(self.named) < MAX_NAMED:
            self.named.append((line, problem))


def read_text(blocks: Iterable[bytes], faults: Faults, whole_files: bool) -> Iterator[str]:
    """Plain text: a line is a document, blank ones too; or the whole file is one."""
    rest, ended = b"", True
    for block, is_last in _with_last(blocks):
        data = rest + block
        try:
            text, n = codecs.utf_8_decode(data, "strict", is_last)
        except UnicodeDecodeError:
            _record_broken(data, is_last, faults)
            text, n = codecs.utf_8_decode(data, "replace", is_last)
        rest = data[n:]
        faults.n_lines += text.count("\n")
        ended = text.endswith("\n") if text else ended
        yield text.replace("\n", " ") if whole_files else text
    faults.n_lines += not ended


def read_jsonl(blocks: Iterable[bytes], faults: Faults, key: str) -> Iterator[str]:
    """JSON lines: the text in a field of each line is a document; blank lines are passed over."""
    return _packed(_text_of(line, key, faults) for line in _lines(blocks, faults))


def read_parquet(file: Any, faults: Faults, column: str) -> Iterator[str]:
    """Parquet: the text of a column in each row is a document. Row groups are read some rows at a time.

    Raises:
        ValueError: it has no such column, or no text in it.
    """
    return _packed(_rows(file, faults, column))


def _with_last(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The blocks, and nothing at the end, which is known to be the last."""
    for block in blocks:
        yield block, False
    yield b"", True


def _record_broken(data: bytes, is_last: bool, faults: Faults) -> None:
    """Which lines are not UTF-8; a character that data ends within may go on."""
    lines = data.split(b"\n")
    for i, line in enumerate(lines, 1):
        try:
            codecs.utf_8_decode(line, "strict", is_last or i < len(lines))
        except UnicodeDecodeError:
            faults.add(faults.n_lines + i, NOT_UTF8)


def _lines(blocks: Iterable[bytes], faults: Faults) -> Iterator[bytes | None]:
    """Lines without their ends, counted as they come; None for one that is too long."""
    parts: list[bytes] = []
    length = 0
    for block, is_last in _with_last(blocks):
        *ends, rest = block.split(b"\n")
        if is_last and length:
            ends = [b""]
        for end in ends:
            faults.n_lines += 1
            yield b"".join([*parts, end]) if length + len(end) <= MAX_JSON_LINE else None
            parts, length = [], 0
        length += len(rest)
        parts = [*parts, rest] if length <= MAX_JSON_LINE else []


# Python refuses to make a number of very many digits, and of numbers nothing is wanted here.
_decode_json = json.JSONDecoder(parse_int=float).decode


def _text_of(line: bytes | None, key: str, faults: Faults) -> str | None:
    if line is None:
        faults.add(faults.n_lines, f"longer than {MAX_JSON_LINE:,} bytes, not counted")
        return None
    try:
        decoded = line.decode()
    except UnicodeDecodeError:
        faults.add(faults.n_lines, NOT_UTF8)
        decoded = line.decode(errors="replace")
    decoded = decoded.removeprefix("\ufeff").strip()
    if not decoded:
        return None
    try:
        found = _decode_json(decoded)
    except (ValueError, RecursionError):
        faults.add(faults.n_lines, "no JSON, not counted")
        return None
    text = found.get(key) if isinstance(found, dict) else None
    if not isinstance(text, str):
        faults.add(faults.n_lines, f"no text in a field {key!r}, not counted")
        return None
    return text


def _rows(file: Any, faults: Faults, column: str) -> Iterator[str | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file, pre_buffer=False, buffer_size=BLOCK) as parquet:
        schema = parquet.schema_arrow
        if column not in schema.names:
            raise ValueError(f"it has no column {column!r}; its columns are {', '.join(schema.names)}")
        kind = schema.field(column).type
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)):
            raise ValueError(f"its column {column!r} holds {kind}; expected text")
        for i in range(parquet.num_row_groups):
            about = parquet.metadata.row_group(i)
            n_rows = max(1, 4 * BLOCK * about.num_rows // max(about.total_byte_size, 1))
            for batch in parquet.iter_batches(n_rows, row_groups=[i], columns=[column]):
                yield from _texts_of(batch.column(0), faults)


def _texts_of(values: Any, faults: Faults) -> Iterator[str | None]:
    for value in values:
        faults.n_lines += 1
        try:
            text = value.as_py()
        except UnicodeDecodeError:
            faults.add(faults.n_lines, NOT_UTF8)
            text = value.as_buffer().to_pybytes().decode(errors="replace")
        if text is None:
            faults.add(faults.n_lines, "no text, not counted")
        yield text


def _packed(texts: Iterable[str | None]) -> Iterator[str]:
    """Documents, as far as there are, in a stream of pieces of about a block."""
    waiting: list[str] = []
    length = 0
    for text in texts:
        if text is None:
            continue
        waiting.append(text.replace("\n", " "))
        length += len(text) + 1
        if length >= BLOCK:
            yield from _pieces(waiting)
            waiting, length = [], 0
    yield from _pieces(waiting)


def _pieces(texts: list[str]) -> Iterator[str]:
    stream = "\n".join([*texts, ""])
    return (stream[i : i + BLOCK] for i in range(0, len(stream), BLOCK))
