"""Which files a corpus is."""

import os
import re

import fsspec
import pytest

from probe.corpus.shards import Reading, Shard, find_shards, parts_of


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")


def names_of(folder, *addresses, **options):
    shards = find_shards([f"{folder}/{address}".rstrip("/") for address in addresses], **options)
    return [os.path.relpath(shard.address, folder) for shard in shards]


def test_files_folders_and_globs(tmp_path):
    make(
        tmp_path,
        "b.txt",
        "a.jsonl.gz",
        "sub/c.parquet",
        "sub/deep/d.TXT",
        "e.md",
        ".hidden.txt",
        ".git/f.txt",
        "g[1].txt",
    )
    everything = ["a.jsonl.gz", "b.txt", "g[1].txt", "sub/c.parquet", "sub/deep/d.TXT"]
    assert names_of(tmp_path, "") == everything
    assert names_of(tmp_path, "sub", "b.txt", "sub/c.parquet", "") == [
        "sub/c.parquet",
        "sub/deep/d.TXT",
        "b.txt",
        *everything[:1],
        "g[1].txt",
    ]
    assert names_of(tmp_path, "e.md") == ["e.md"]
    assert names_of(tmp_path, "g[1].txt") == ["g[1].txt"]
    assert names_of(tmp_path, "*.txt") == ["b.txt", "g[1].txt"]
    assert names_of(tmp_path, "*/*") == ["sub/c.parquet"]
    assert names_of(tmp_path, ".hidden.txt") == [".hidden.txt"]
    assert names_of(tmp_path, "sub/**") == ["sub/c.parquet", "sub/deep/d.TXT"]
    assert names_of(tmp_path, "", format="text") == [*everything[:2], "e.md", *everything[2:]]
    assert names_of(tmp_path, "", apart_from=str(tmp_path / "sub")) == everything[:3]
    assert names_of(tmp_path, "", apart_from=str(tmp_path / "su")) == everything


@pytest.mark.parametrize(
    ("name", "format", "compression"),
    [
        ("a.txt", "text", None),
        ("a", "text", None),
        ("a.gz", "text", "gzip"),
        ("a.txt.bz2", "text", "bz2"),
        ("c4.00000.json.gz", "jsonl", "gzip"),
        ("00.jsonl.zst", "jsonl", "zstd"),
        ("a.NDJSON.XZ", "jsonl", "xz"),
        ("a.parquet", "parquet", None),
    ],
)
def test_formats_by_name(tmp_path, name, format, compression):
    make(tmp_path, name)
    (shard,) = find_shards([str(tmp_path / name)])
    assert (shard.format, shard.compression, shard.size) == (format, compression, len(name) + 1)
    (shard,) = find_shards([str(tmp_path / name)], "jsonl")
    assert (shard.format, shard.compression) == ("jsonl", compression)


def test_a_version_changes_with_the_file(tmp_path):
    make(tmp_path, "a.txt")
    before = find_shards([str(tmp_path)])
    assert find_shards([str(tmp_path)]) == before
    os.utime(tmp_path / "a.txt", ns=(0, 10**9))
    assert find_shards([str(tmp_path)]) != before


def test_addresses_in_a_store():
    fs = fsspec.filesystem("memory")
    fs.pipe({"/shards/a.txt": b"24\n", "/shards/sub/b.jsonl": b"{}\n"})
    found = find_shards(["memory://shards"])
    assert [shard.address for shard in found] == ["memory:///shards/a.txt", "memory:///shards/sub/b.jsonl"]
    assert [shard.address for shard in find_shards(["memory://shards/*.txt"])] == ["memory:///shards/a.txt"]
    assert find_shards([found[0].address])[0].address == found[0].address
    fs.pipe("/shards/a.txt", b"18\n")
    assert find_shards(["memory://shards"])[0].version != found[0].version


def test_relative_addresses(tmp_path, monkeypatch):
    make(tmp_path, "a.txt", "out/b.txt")
    monkeypatch.chdir(tmp_path)
    assert [shard.address for shard in find_shards(["."], apart_from="out")] == [str(tmp_path / "a.txt")]


@pytest.mark.parametrize(
    ("addresses", "format", "says"),
    [
        (
            ["absent.txt"],
            None,
            "corpus: got 'absent.txt', where there is no file; expected a file, a glob, or a folder",
        ),
        (["*.absent"], None, "corpus: got '*.absent', where there is no file"),
        ([], None, "corpus: got no address"),
        (["tests"], "csv", "format: got 'csv'; expected text, jsonl or parquet"),
        (
            ["probe"],
            None,
            "corpus: got 'probe', where there is no file; expected a file, a glob, or a folder with files in .txt",
        ),
    ],
    ids=str,
)
def test_what_is_no_corpus(addresses, format, says, tmp_path, monkeypatch):
    make(tmp_path, "probe/cli.py")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(says)):
        find_shards(addresses, format)


@pytest.mark.parametrize(
    ("format", "compression", "whole_files", "n"),
    [
        ("text", None, False, 3),
        ("jsonl", None, False, 3),
        ("jsonl", None, True, 3),
        ("text", None, True, 1),
        ("text", "gzip", False, 1),
        ("parquet", None, False, 1),
    ],
)
def test_parts(monkeypatch, format, compression, whole_files, n):
    monkeypatch.setattr("probe.corpus.shards.PART", 10)
    shard = Shard("a", 21, "", format, compression)
    parts = parts_of(shard, Reading(whole_files=whole_files))
    assert [(part.start, part.stop) for part in parts] == ([(0, 10), (10, 20), (20, 21)] if n == 3 else [(0, 21)])
    assert [part.is_whole for part in parts] == [n == 1] * n
    assert sum(part.size for part in parts) == 21
    empty = parts_of(Shard("a", 0, "", format, compression), Reading())
    assert [(part.start, part.stop, part.is_whole) for part in empty] == [(0, 0, True)]
