"""Bytes and documents: every format, compression, block boundary and fault."""

import io
import json
import tracemalloc

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from probe.corpus import readers, streams
from probe.corpus.readers import NOT_UTF8, Faults, read_jsonl, read_parquet, read_text
from tests.corpus.shard_files import COMPRESS, as_parquet

content = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\n", b"24 ", "é".encode(), "日".encode(), "😀".encode(), b"\xff", b"\xe6\x97", b"\xc3", b"\xf0\x9f"]
        ),
        st.binary(max_size=3),
    ),
    max_size=15,
).map(b"".join)


def cut(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


@given(content, st.integers(1, 5), st.booleans())
@example(b"\xff\n\xc3\xa9\n", 3, False)
def test_text_is_decoded_as_a_whole_whatever_its_blocks(data, size, whole_files):
    faults = Faults()
    found = "".join(read_text(cut(data, size), faults, whole_files))
    wanted = data.decode("utf-8", "replace")
    assert found == (wanted.replace("\n", " ") if whole_files else wanted)
    lines = data.split(b"\n")
    assert faults.n_lines == len(lines) - (lines[-1] == b"")
    broken = [i for i, line in enumerate(lines, 1) if is_broken(line)]
    assert faults.named == [(i, NOT_UTF8) for i in broken]
    assert faults.n_faulty == len(broken)


def is_broken(line):
    try:
        line.decode()
    except UnicodeDecodeError:
        return True
    return False


def test_not_more_than_some_faults_are_named():
    faults = Faults()
    list(read_text([b"\xff\n" * 1000], faults, False))
    assert (faults.n_lines, faults.n_faulty, len(faults.named)) == (1000, 1000, readers.MAX_NAMED)


NO_JSON = "no JSON, not counted"
NO_TEXT = "no text in a field 'text', not counted"

LINES = {
    b'{"text": "24"}': "24",
    b'  {"a": [1, {"text": 2}], "text": "two\\nlines\\u00e9"}\r': "two lines\u00e9",
    b'{"text": ""}': "",
    b'{"n": %b, "text": "many digits"}' % (b"9" * 5000): "many digits",
    b'{"text": "\\ud83d\\ude00 and \\ud83d alone"}': "\U0001f600 and \ud83d alone",
    '{"text": "\u65e5"}'.encode(): "\u65e5",
    b"": None,
    b" \r": None,
    b"{": NO_JSON,
    b"24": NO_TEXT,
    b"[" * 10**5: NO_JSON,
    b"24 x": NO_JSON,
    b'{"text": 24}': NO_TEXT,
    b'{"texts": "24"}': NO_TEXT,
    b'["text"]': NO_TEXT,
}


@given(st.lists(st.sampled_from(list(LINES)), max_size=12), st.sampled_from([1, 2, 3, 7, 100, 10**6]), st.booleans())
def test_lines_of_json(lines, size, ends):
    data = b"\n".join(lines) + (b"\n" if ends and lines else b"")
    size = max(size, len(data) // 1000)
    faults = Faults()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BLOCK", 5)
        pieces = list(read_jsonl(cut(data, size), faults, "text"))
    problems = (NO_JSON, NO_TEXT)
    documents = [LINES[line] for line in lines if LINES[line] is not None and LINES[line] not in problems]
    assert "".join(pieces) == "".join(f"{document}\n" for document in documents)
    assert all(0 < len(piece) <= 5 for piece in pieces)
    assert faults.named == [(i, LINES[line]) for i, line in enumerate(lines, 1) if LINES[line] in problems]
    assert faults.n_lines == (data.count(b"\n") + (not data.endswith(b"\n")) if data else 0)


def test_a_byte_order_mark_and_broken_bytes_in_json():
    faults = Faults()
    lines = ["\ufeff".encode() + b'{"text": "a"}', b'{"text": "b \xff"}', b'\xff{"text": "c"}', b'{"text": "d"}']
    assert "".join(read_jsonl([b"\n".join(lines)], faults, "text")) == "a\nb \ufffd\nd\n"
    assert faults.named == [(2, NOT_UTF8), (3, NOT_UTF8)]
    assert faults.n_faulty == 2


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_line_of_json_that_is_too_long_is_passed_over(size, monkeypatch):
    monkeypatch.setattr(readers, "MAX_JSON_LINE", 20)
    lines = [b'{"text": "12345678"}', b'{"text": "123456789"}', b'{"text": "' + b"x" * 99 + b'"}', b'{"text": "b"}']
    faults = Faults()
    assert "".join(read_jsonl(cut(b"\n".join(lines), size), faults, "text")) == "12345678\nb\n"
    assert faults.named == [(i, "longer than 20 bytes, not counted") for i in (2, 3)]
    assert faults.n_lines == 4


def test_a_line_of_json_that_is_too_long_is_not_kept(monkeypatch):
    monkeypatch.setattr(readers, "MAX_JSON_LINE", 1000)
    tracemalloc.start()
    try:
        assert list(read_jsonl((bytes(1000) for _ in range(1000)), Faults(), "text")) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_another_field():
    line = json.dumps({"text": "a", "content": "b"}).encode()
    assert list(read_jsonl([line], Faults(), "content")) == ["b\n"]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
@pytest.mark.parametrize("rows_in_group", [1, 3, 100])
def test_rows_of_parquet(kind, rows_in_group):
    rows = ["24 \u65e5", None, "two\nlines", "", "24"]
    faults = Faults()
    file = io.BytesIO(as_parquet(rows, rows_in_group=rows_in_group, type=kind))
    assert "".join(read_parquet(file, faults, "text")) == "24 \u65e5\ntwo lines\n\n24\n"
    assert faults.named == [(2, "no text, not counted")]
    assert faults.n_lines == 5


def test_broken_utf8_in_parquet():
    broken = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\3\0\0\0\5\0\0\0"), pa.py_buffer(b"24\xff18")]
    )
    faults = Faults()
    assert "".join(read_parquet(io.BytesIO(as_parquet(broken)), faults, "text")) == "24\ufffd\n18\n"
    assert faults.named == [(1, NOT_UTF8)]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ("words", "it has no column 'words'; its columns are id, text"),
        ("id", "its column 'id' holds int64; expected text"),
    ],
)
def test_a_parquet_file_without_the_column(column, says):
    with pytest.raises(ValueError, match=says):
        list(read_parquet(io.BytesIO(as_parquet(["24"])), Faults(), column))


@pytest.mark.parametrize("suffix", [suffix for suffix in COMPRESS if suffix])
def test_what_is_compressed(suffix):
    data = bytes(range(256)) * 1500
    packed = COMPRESS[suffix](data)
    kind = streams.COMPRESSIONS[suffix]
    assert b"".join(streams.blocks(io.BytesIO(packed), kind)) == data
    assert b"".join(streams.blocks(io.BytesIO(packed + packed), kind)) == data + data
    assert list(streams.blocks(io.BytesIO(COMPRESS[suffix](b"")), kind)) == []
    for broken in (packed[:-5], packed[: len(packed) // 2], b"no such thing" * 9):
        with pytest.raises(Exception, match=r"end-of-stream|Truncated|Not a gzip|Invalid|format|descriptor"):
            list(streams.blocks(io.BytesIO(broken), kind))


@pytest.mark.parametrize("data", [b"ab\n\ncde\nf", b"\n\na\n", b"abc", b"abcdefg\n", b"\n"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
def test_ranges_of_bytes_share_out_the_lines(data, size, monkeypatch):
    """Each range has exactly the lines whose first byte is in it."""
    monkeypatch.setattr(streams, "BLOCK", size)
    lines = data.splitlines(keepends=True)
    begins = [sum(map(len, lines[:i])) for i in range(len(lines))]
    for start in range(len(data)):
        for stop in range(start + 1, len(data) + 1):
            found = b"".join(streams.blocks_of_range(io.BytesIO(data), start, stop))
            ours = [line for begin, line in zip(begins, lines, strict=True) if start <= begin < stop]
            assert found == b"".join(ours), (start, stop)
