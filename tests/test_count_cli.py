"""The command ``probe count``: what it takes, what it writes, and what it says of what it cannot take."""

import gzip
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from probe.cli import app

TEXT = "24 times 18 is 432.\nNew York: twenty-four\n"


def run(*arguments):
    return CliRunner().invoke(app, ["count", *map(str, arguments)])


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text(TEXT)
    return tmp_path / "corpus"


def counts(out):
    return dict(pd.read_parquet(out / "terms.parquet")[["term", "count"]].itertuples(index=False))


def test_terms_and_pairs_are_counted_written_and_shown(corpus, tmp_path):
    out = tmp_path / "out"
    said = run(corpus, "--terms", "0-99", "--terms", "new york", "--out", out)
    assert said.exit_code == 0, said.output
    assert "counting 101 term(s) in 1 file(s), 42 bytes" in said.stderr
    assert re.search(r"24 +1 +1", said.output)
    assert re.search(r"18 +24 +1", said.output)
    assert "the most frequent of 101" in said.output
    assert "9 words, 2 documents, 1 file(s); pairs within 5 words" in said.output
    assert f"pandas.read_parquet('{out}/terms.parquet')" in said.output
    assert {term: n for term, n in counts(out).items() if n} == {"18": 1, "24": 1, "new york": 1}
    pairs = pd.read_parquet(out / "pairs.parquet")
    assert pairs.to_numpy().tolist() == [["18", "24", 1]]
    assert not (out / "terms.csv").exists()


def test_all_that_may_be_asked_for(corpus, tmp_path):
    (corpus / "b.data").write_bytes(b'{"body": "24 x y 18"}\n{"body": "24 18 twenty four"}\n')
    (tmp_path / "terms").write_text("18\n24\n")
    out = tmp_path / "out"
    asked = ["--terms", "x", "--terms-file", tmp_path / "terms", "--window", "2", "--number-words", "--csv"]
    said = run(corpus / "b.data", *asked, "--field", "body", "--format", "jsonl", "--out", f"{out}/", "--workers", "1")
    assert said.exit_code == 0, said.output
    assert (out / "terms.csv").read_text() == "term,count,documents\nx,1,1\n18,2,2\n24,3,2\n"
    assert (out / "pairs.csv").read_text() == "term_a,term_b,count\nx,24,1\n18,24,2\n"
    said = run(corpus / "a.txt", "--terms", "432", "--terms", "york", "--whole-files", "--out", out)
    assert "1 documents" in said.output
    assert pd.read_parquet(out / "pairs.parquet").to_numpy().tolist() == [["432", "york", 1]]
    assert not list(out.glob("*.csv"))  # which are of other terms


def test_faults_are_named_and_the_rest_counted(corpus, tmp_path):
    (corpus / "b.txt.gz").write_bytes(gzip.compress(TEXT.encode())[:-3])
    (corpus / "c.txt").write_bytes(b"24\n" + b"24 \xff\n" * 20)
    out = tmp_path / "out"
    said = run(corpus, "--terms", "24", "--out", out)
    assert said.exit_code == 1
    assert "1 file(s) not counted, 20 faulty line(s)" in said.stderr
    assert f"{corpus}/b.txt.gz: not counted: EOFError" in said.stderr
    assert f"{corpus}/c.txt, line 2: bytes that are not UTF-8, read as U+FFFD" in said.stderr
    assert "and 11 more in faults.parquet" in said.stderr
    assert counts(out) == {"24": 22}
    assert len(pd.read_parquet(out / "faults.parquet")) == 21
    (corpus / "b.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    said = run(corpus, "--terms", "24", "--out", out)
    assert said.exit_code == 0
    assert counts(out) == {"24": 23}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ([], "error: terms: got none; expected words"),
        (["--terms", "C++"], "error: terms: got 'C++'; expected words"),
        (["--terms", "a", "--terms", "A"], "error: terms: got 'a' and 'A', which are counted alike"),
        (["--terms-file", "absent"], "error: terms: absent cannot be read"),
        (["--terms", "a", "--window", "0"], "error: window: got 0; expected a number of words from 1"),
        (["--terms", "a", "--format", "csv"], "error: format: got 'csv'; expected text, jsonl or parquet"),
        (["--terms", "a", "--workers", "0"], "error: workers: got 0; expected at least 1"),
        (["absent.txt", "--terms", "a"], "error: corpus: got 'absent.txt', where there is no file"),
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_said_in_a_line(corpus, tmp_path, asked, says):
    said = run(corpus, "--out", tmp_path / "out", *asked)
    assert said.exit_code == 1
    assert said.stderr.startswith(says), said.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("how", "workers"), [(signal.SIGINT, 2), (signal.SIGKILL, 1)])
def test_stopped_it_goes_on(corpus, tmp_path, how, workers):
    """The command itself, in a process of its own, stopped once something is there."""
    n_files = 24
    (corpus / "a.txt").write_text(TEXT * 40_000)
    for i in range(1, n_files):
        (corpus / f"{i}.txt").hardlink_to(corpus / "a.txt")
    out = tmp_path / "out"
    command = [str(Path(sys.executable).with_name("probe")), "count", str(corpus), "--terms", "0-99", "--out", str(out)]
    command += ["--workers", str(workers)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not list((out / "parts").glob("*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode == 130, said
        assert "interrupted; the same command goes on from here" in said
    assert not (out / "terms.parquet").exists()
    finished = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.npz")}
    assert 0 < len(finished) < n_files
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"in {n_files} file(s), 40.3 MB, of which {len(finished) * 1.68:.1f} MB are counted" in done.stderr
    assert counts(out)["24"] == n_files * 40_000
    assert len(list((out / "parts").glob("*.npz"))) == n_files
    assert finished.items() <= {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.npz")}.items()
