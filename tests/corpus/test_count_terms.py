"""The count from beginning to end: formats, parts, faults, and going on after an interruption."""

import gzip
import io
import json
import re
import subprocess
import sys

import fsspec
import pandas as pd
import pytest

from probe.corpus import TermCounts, count_terms, counting, shards, streams
from tests.corpus import reference
from tests.corpus.shard_files import COMPRESS, DOCUMENTS, as_jsonl, as_parquet, as_text

TERMS = ["24", "18", "432", "new york", "york", "york new"]


def counted(corpus, terms=TERMS, **options):
    return count_terms(corpus, terms, **{"workers": 1, "progress": False} | options)


def check(found, documents, terms=TERMS, window=5, number_words=False):
    """That what was counted is what the reference counts."""
    n, of_documents, pairs, n_words = reference.count(documents, terms, window, number_words)
    wanted = pd.DataFrame(
        {
            "term": terms,
            "count": [n[k] for k in range(len(terms))],
            "documents": [of_documents[k] for k in range(len(terms))],
        }
    )
    pd.testing.assert_frame_equal(found.terms, wanted, check_dtype=False)
    of_pairs = [(terms[a], terms[b], pairs[a, b]) for a, b in sorted(pairs)]
    assert list(found.pairs.itertuples(index=False, name=None)) == of_pairs
    assert list(found.pairs.columns) == ["term_a", "term_b", "count"]
    assert (found.documents, found.words, found.window) == (len(documents), n_words, window)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks and parts of few bytes."""
    monkeypatch.setattr(streams, "BLOCK", 7)
    monkeypatch.setattr("probe.corpus.readers.BLOCK", 5)
    monkeypatch.setattr(shards, "PART", 40)


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("make", [as_text, as_jsonl])
def test_every_format_gives_the_same(tmp_path, small_blocks, make, suffix):
    name = {as_text: "a.txt", as_jsonl: "a.jsonl"}[make] + suffix
    (tmp_path / name).write_bytes(COMPRESS[suffix](make(DOCUMENTS)))
    found = counted(tmp_path)
    check(found, DOCUMENTS)
    assert (found.shards, found.uncounted, found.faulty_lines) == (1, 0, 0)
    assert found.bytes == (tmp_path / name).stat().st_size
    assert found.faults.empty


def test_parquet_gives_the_same_and_so_do_stores_and_several_shards(tmp_path, small_blocks):
    (tmp_path / "a.parquet").write_bytes(as_parquet(DOCUMENTS))
    check(counted(tmp_path / "a.parquet"), DOCUMENTS)
    (tmp_path / "b.parquet").write_bytes(as_parquet(DOCUMENTS, "content"))
    check(counted(tmp_path / "b.parquet", field="content"), DOCUMENTS)
    fs = fsspec.filesystem("memory")
    fs.pipe({"/corpus/a.txt": as_text(DOCUMENTS), "/corpus/b.jsonl.gz": gzip.compress(as_jsonl(DOCUMENTS))})
    found = counted(["memory://corpus/*", tmp_path / "a.parquet"], window=2)
    check(found, DOCUMENTS * 3, window=2)
    assert found.shards == 3


def test_workers_give_the_same(tmp_path, monkeypatch):
    for i in range(3):
        (tmp_path / f"{i}.txt").write_bytes(as_text(DOCUMENTS))
    with monkeypatch.context() as patch:
        patch.setattr(counting, "local_executor", None)
        one = counted(tmp_path, number_words=True, workers=1)
    with monkeypatch.context() as patch:
        patch.setattr(counting, "SerialExecutor", None)
        two = counted(tmp_path, number_words=True, workers=2)
    check(two, DOCUMENTS * 3, number_words=True)
    for table in ("terms", "pairs", "faults"):
        pd.testing.assert_frame_equal(getattr(one, table), getattr(two, table))


def test_whole_files_are_one_document(tmp_path, small_blocks):
    (tmp_path / "a.txt").write_bytes(b"new\nyork 24\n\n18")
    check(counted(tmp_path, whole_files=True), ["new york 24  18"])
    check(counted(tmp_path), ["new", "york 24", "", "18"])


def test_number_words_and_ranges(tmp_path):
    (tmp_path / "a.txt").write_text("twenty-four times eighteen is 432\nfour 24\n")
    terms = ["4", "18", "20", "24", "432"]
    check(counted(tmp_path, terms, number_words=True), ["twenty-four times eighteen is 432", "four 24"], terms, 5, True)
    assert counted(tmp_path, ["0-99"]).terms["term"].tolist() == [str(n) for n in range(100)]
    assert counted(tmp_path, range(18, 25), number_words=True).terms["count"].tolist() == [1, 0, 0, 0, 0, 0, 2]


def faults_of(found, folder):
    return [
        (shard.removeprefix(f"{folder}/"), None if line is pd.NA else int(line), problem)
        for shard, line, problem in found.faults.itertuples(index=False)
    ]


def test_what_is_faulty_is_named_and_the_rest_counted(tmp_path, tmp_path_factory, small_blocks):
    good = as_text(DOCUMENTS)
    (tmp_path / "a.txt").write_bytes(good)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(good)[:-9])
    (tmp_path / "c.txt").write_bytes(b"")
    (tmp_path / "d.jsonl").write_bytes(b'{"text": "24"}\n\n{"text": \n{"words": "24"}\n{"text": "18 \xff 24"}\n' * 4)
    (tmp_path / "e.parquet").write_bytes(as_parquet(DOCUMENTS, "words"))
    (tmp_path / "f.parquet").write_bytes(b"PAR1 but no more")
    (tmp_path / "g.txt").write_bytes(b"24\xff18\n" * 20)
    (tmp_path / "h.jsonl.gz").write_bytes(gzip.compress(b""))
    for workers in (1, 2):
        found = counted(tmp_path, workers=workers, out=tmp_path_factory.mktemp("out"))
        check(found, [*DOCUMENTS, *(["24", "18 \ufffd 24"] * 4), *["24\ufffd18"] * 20])
        assert (found.shards, found.uncounted, found.faulty_lines) == (5, 3, 3 * 4 + 20)
        faults = faults_of(found, tmp_path)
        assert faults[0][:2] == ("b.txt.gz", None)
        assert faults[0][2].startswith("not counted: EOFError: Compressed file ended before the end-of-stream")
        empty = "empty: there are no documents in it"
        assert faults[1] == ("c.txt", None, empty)
        utf8, jsons = (
            "bytes that are not UTF-8, read as U+FFFD",
            ("no JSON, not counted", "no text in a field 'text', not counted"),
        )
        of_d = [
            (5 * i + line, problem) for i in range(4) for line, problem in zip((3, 4, 5), (*jsons, utf8), strict=True)
        ]
        assert faults[2:14] == [("d.jsonl", line, problem) for line, problem in of_d]
        assert faults[14] == (
            "e.parquet",
            None,
            "not counted: ValueError: it has no column 'text'; its columns are id, words",
        )
        assert faults[15][:2] == ("f.parquet", None)
        assert faults[16:36] == [("g.txt", line, utf8) for line in range(1, 21)]
        assert faults[36:] == [("h.jsonl.gz", None, empty)]


def test_a_file_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_bytes(b"24\n")
    (tmp_path / "b.txt").write_bytes(b"24\n")
    from fsspec.implementations.local import LocalFileSystem

    really = LocalFileSystem._open

    def refuse(self, path, *more, **options):
        if path.endswith("a.txt"):
            raise PermissionError(13, "Permission denied", path)
        return really(self, path, *more, **options)

    monkeypatch.setattr(LocalFileSystem, "_open", refuse)
    found = counted(tmp_path)
    assert found.terms["count"][0] == 1
    assert faults_of(found, tmp_path) == [
        ("a.txt", None, f"not counted: PermissionError: [Errno 13] Permission denied: '{tmp_path}/a.txt'")
    ]


def test_a_shard_counts_as_a_whole_or_not_at_all(tmp_path, small_blocks, monkeypatch):
    """Of a shard in many parts one cannot be read: the others are not counted either, until it can."""
    (tmp_path / "a.txt").write_bytes(as_text(DOCUMENTS))
    really = counting.count_part
    with monkeypatch.context() as patch:
        patch.setattr(
            counting, "count_part", lambda *asked: "OSError: gone" if asked[-1].start == 40 else really(*asked)
        )
        found = counted(tmp_path, out=tmp_path / "out")
    assert found.terms["count"].sum() == found.documents == found.words == found.bytes == found.shards == 0
    assert faults_of(found, tmp_path) == [("a.txt", None, "not counted: OSError: gone")]
    n_counted = spied(monkeypatch)
    check(counted(tmp_path, out=tmp_path / "out"), DOCUMENTS)
    assert [part.start for part in n_counted] == [40]


def spied(monkeypatch):
    """The parts that are counted from now on, as they are."""
    really, seen = counting.count_part, []
    monkeypatch.setattr(counting, "count_part", lambda *asked: seen.append(asked[-1]) or really(*asked))
    return seen


def test_interrupted_it_goes_on(tmp_path, small_blocks, monkeypatch):
    for i in range(3):
        (tmp_path / f"{i}.txt").write_bytes(as_text(DOCUMENTS) + b"\xff\n")
    out = tmp_path / "out"
    really = counting.Finished.put
    done = []

    def interrupted(self, part, *what):
        if len(done) == 5:
            raise KeyboardInterrupt
        really(self, part, *what)
        done.append(part)

    with monkeypatch.context() as patch:
        patch.setattr(counting.Finished, "put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            counted(tmp_path, out=out)
    assert not (out / "terms.parquet").exists()
    seen = spied(monkeypatch)
    found = counted(tmp_path, out=out)
    check(found, [*DOCUMENTS, "\ufffd"] * 3)
    assert set(seen).isdisjoint(done)
    assert len(seen) == 3 * 5 - 5
    seen.clear()
    again = counted(tmp_path, out=out)
    assert not seen
    pd.testing.assert_frame_equal(again.faults, found.faults)
    assert {**vars(again), "terms": 0, "pairs": 0, "faults": 0} == {**vars(found), "terms": 0, "pairs": 0, "faults": 0}

    (tmp_path / "1.txt").write_bytes(as_text(["24"]))
    check(counted(tmp_path, out=out), [*DOCUMENTS, "\ufffd", "24", *DOCUMENTS, "\ufffd"])
    assert [part.shard.address for part in seen] == [str(tmp_path / "1.txt")]
    for options in (
        {"window": 4},
        {"number_words": True},
        {"whole_files": True},
        {"field": "words"},
        {"terms": TERMS[:-1]},
    ):
        seen.clear()
        counted(tmp_path, out=out, **options)
        assert len(seen) >= 3, options


def test_a_damaged_part_is_counted_again(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_bytes(as_text(DOCUMENTS))
    counted(tmp_path, out=tmp_path / "out")
    (saved,) = (tmp_path / "out" / "parts").iterdir()
    for content in (b"", saved.read_bytes()[:-30], b"no such thing"):
        saved.write_bytes(content)
        seen = spied(monkeypatch)
        check(counted(tmp_path, out=tmp_path / "out"), DOCUMENTS)
        assert len(seen) == 1


def test_what_is_written(tmp_path):
    (tmp_path / "a.txt").write_bytes(as_text(DOCUMENTS) + b"\xff\n")
    out = "memory://counts/out"
    found = counted(tmp_path, out=out)
    for table in ("terms", "pairs", "faults"):
        with fsspec.open(f"{out}/{table}.parquet") as file:
            pd.testing.assert_frame_equal(pd.read_parquet(file), getattr(found, table), check_dtype=False)
    with fsspec.open(f"{out}/totals.json") as file:
        assert json.load(file) == {k: v for k, v in vars(found).items() if k not in ("terms", "pairs", "faults")}
    assert isinstance(found, TermCounts)
    assert counted(tmp_path).terms.equals(found.terms)


def test_pairs_are_looked_up_in_any_order(tmp_path):
    (tmp_path / "a.txt").write_text("24 x 18\n23 and 24 and 24\n18 24\n")
    found = count_terms(tmp_path / "a.txt", ["18", "23", "24", "7"], workers=1)
    assert found.pair_counts([24, 18, 23, 23, 7], ["18", 24, 24, 18, 7]) == [2, 2, 2, 0, 0]
    with pytest.raises(ValueError, match="second: got '25'; expected one of the 4 terms counted"):
        found.pair_counts([24], [25])
    with pytest.raises(ValueError, match="second: got 0 terms; expected 1"):
        found.pair_counts([24], [])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"window": 0}, "window: got 0; expected a number of words from 1 to 1,000,000"),
        ({"window": 2.5}, "window: got 2.5; expected"),
        ({"window": 10**7}, "window: got 10000000; expected"),
        ({"workers": 0}, "workers: got 0; expected at least 1"),
        ({"field": ""}, "field: got an empty name"),
        ({"format": "csv"}, "format: got 'csv'"),
        ({"out": ""}, "out: got ''; expected a folder"),
        ({"terms": []}, "terms: got none"),
        ({"terms": ["a", "A"]}, "terms: got 'a' and 'A', which are counted alike"),
        ({"corpus": "absent"}, "corpus: got 'absent', where there is no file"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(tmp_path, options, says):
    (tmp_path / "a.txt").write_bytes(b"24\n")
    with pytest.raises(ValueError, match=re.escape(says)):
        counted(**{"corpus": tmp_path, "out": tmp_path / "out"} | options)
    assert not (tmp_path / "out").exists()


def test_progress_says_what_is_counted_and_what_was(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("probe.progress.PRINT_EVERY_S", -1)
    (tmp_path / "a.txt").write_bytes(b"24\n" * 500)
    counted(tmp_path, ["0-99"], out=tmp_path / "out", progress=True)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "counting 100 term(s) in 1 file(s), 1.5 kB"
    assert second == "100%  1 of 1 file(s) · about 0 s left"
    (tmp_path / "b.txt").write_bytes(b"24\n" * 500)
    counted(tmp_path, ["0-99"], out=tmp_path / "out", progress=True)
    assert (
        capsys.readouterr().err.splitlines()[0]
        == "counting 100 term(s) in 2 file(s), 3.0 kB, of which 1.5 kB are counted"
    )
    counted(tmp_path, progress=False)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal_begins_where_the_count_does(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(b"24\n")
        monkeypatch.setattr("sys.stderr", Terminal())
        counted(tmp_path, out=tmp_path / "out", progress=True)
        assert re.search(r"100 %.*2 of 2" if name == "b.txt" else r"100 %.*1 of 1", sys.stderr.getvalue())


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"torch", "pandas", "pyarrow", "scipy", "transformer_lens", "rich"}
    tell = f"import sys, probe.corpus; print(*sorted({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True).stdout == "\n"


PEAK = """
import re, sys
from pathlib import Path
from probe.corpus import count_terms
count_terms(sys.argv[1], ["0-99"], workers=1, progress=False)
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("piece", [b"about thirty letters and 24. ", b"24letters"])
def test_memory_does_not_grow_with_a_line(tmp_path, piece):
    def peak_kilobytes(n_bytes):
        (tmp_path / "a.txt").write_bytes(piece * (n_bytes // len(piece)))
        ran = subprocess.run(
            [sys.executable, "-c", PEAK, tmp_path / "a.txt"], capture_output=True, text=True, check=True
        )
        return int(ran.stdout)

    few, many = peak_kilobytes(2_000_000), peak_kilobytes(32_000_000)
    assert many < few + 12_000
    assert many < 300_000
