"""Counts of terms and of pairs of terms in a corpus of any size: part by part, on all cores, resumable."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path

from probe import storage
from probe.batch.workers import SerialExecutor, default_workers, local_executor
from probe.corpus.finished import Finished
from probe.corpus.matching import Matcher
from probe.corpus.readers import Faults
from probe.corpus.shards import Part, Reading, UnreadableError, find_shards, parts_of
from probe.corpus.tally import Counts, Tally
from probe.corpus.terms import Terms, as_terms
from probe.corpus.totals import TermCounts, Totals
from probe.progress import progress_shown

MAX_WINDOW = 1_000_000


def count_terms(
    corpus: str | Path | Iterable[str | Path],
    terms: Iterable[str | int],
    *,
    window: int = 5,
    number_words: bool = False,
    field: str = "text",
    format: str | None = None,
    whole_files: bool = False,
    out: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> TermCounts:
    """How often each term, and each pair of terms within a window, is in a corpus. Exact.

    What a word is, and so where a term is found, is said in ``probe.corpus.words``; letters are compared without their
    case. A term of several words ("new york") is found where its words follow each other with one separator, of
    whatever kind, between two of them. Overlapping terms ("new york", "york") are all counted, with one exception: a
    spelled number is counted only where it is the whole number (four, but not that of twenty-four). Nothing matches
    across documents: lines of plain text, lines of JSONL, rows of Parquet.

    The count of a pair is the number of pairs of occurrences, one of each term, in one document, whose first words lie
    within ``window`` consecutive words, so are at most ``window - 1`` apart. Order does not matter; "24 x 18 18" has
    two pairs (18, 24). A pair of a term with itself takes two occurrences. The window of 5 words is that of Razeghi et
    al. 2022 (arXiv 2202.07206).

    A shard (a file) that cannot be read to its end, such as a truncated gzip, is not counted at all; a line that is
    no document is passed over; bytes that are not UTF-8 are read as U+FFFD, a separator. Each is told in ``faults``.

    Memory is bounded whatever the sizes of files, lines and words, but for a row of Parquet, which has to fit; a line
    of JSON above 16 MiB is faulty. It grows with the number of terms and with that of the different pairs that occur.

    Args:
        corpus: files, folders, globs, local or as fsspec URLs: text, JSONL or Parquet, by the names of the files;
            the former two plain or compressed by gzip, bzip2, xz or zstd.
        terms: words, words with one separator between two, or whole numbers; two of these with a hyphen are a range
            ("0-99").
        window: consecutive words that hold a pair; 1 to 1,000,000.
        number_words: whether "twenty-four" and "twenty four" count for 24, for numbers below a million.
        field: field of JSONL or column of Parquet that holds the text.
        format: ``"text"``, ``"jsonl"`` or ``"parquet"`` for all files, whatever their names say.
        whole_files: whether a file of plain text is one document, rather than each of its lines.
        out: folder or URL for the tables, and for the counts of finished parts of the corpus: interrupted in any way,
            the same call goes on, and a shard that has changed is counted again. Without it nothing is written.
        workers: processes; one per core if not given. With 1 all runs in this process.
        progress: whether progress and time left are shown on the error stream.

    Raises:
        ValueError: an argument is wrong; it is named, and nothing was counted.
        OSError: ``out`` cannot be written to.
    """
    reading = Reading(field, whole_files)
    of_terms = as_terms(terms, number_words)
    n_workers = _checked(window, field, workers)
    folder = None if out is None else _folder(str(out))
    addresses = [corpus] if isinstance(corpus, str | Path) else corpus
    shards = find_shards(map(str, addresses), format, folder)
    parts = {shard: parts_of(shard, reading) for shard in shards}
    finished = None if folder is None else Finished(folder, of_terms, window, reading)
    totals = Totals(of_terms, window, parts)
    todo = []
    for part in (part for of_shard in parts.values() for part in of_shard):
        found = None if finished is None else finished.get(part)
        if found is None:
            todo.append(part)
        else:
            totals.add(part, *found)
    todo.sort(key=lambda part: -part.size)
    n_left, n_bytes = sum(part.size for part in todo), sum(shard.size for shard in shards)
    what = f"counting {len(of_terms.names):,} term(s) in {len(shards):,} file(s), {storage.readable_size(n_bytes)}"
    what += f", of which {storage.readable_size(n_bytes - n_left)} are counted" if n_left < n_bytes else ""
    with (
        progress_shown(what, n_bytes - n_left, n_bytes, progress) as advance,
        _executor(min(n_workers, len(todo))) as executor,
    ):
        for part, result in _results(executor, (of_terms, window, reading), todo, n_workers):
            if isinstance(result, str):
                totals.fail(part, result)
            else:
                totals.add(part, *result)
                if finished is not None:
                    finished.put(part, *result)
            advance(part.size, totals.how_far)
    counted = totals.tables()
    if folder is not None:
        counted.save(folder)
    return counted


def count_part(terms: Terms, window: int, reading: Reading, part: Part) -> tuple[Counts, Faults] | str:
    """What is in a part of a shard; if it cannot be read to its end, why."""
    tally, faults = Tally(_matcher(terms), len(terms.names), window), Faults()
    try:
        for text in part.texts(reading, faults):
            tally.add(text)
    except UnreadableError as error:
        return str(error)
    return tally.finish(), faults


@lru_cache(maxsize=1)
def _matcher(terms: Terms) -> Matcher:
    return Matcher(terms)


def _results(
    executor: Executor, asked: tuple[Terms, int, Reading], parts: Sequence[Part], workers: int
) -> Iterator[tuple[Part, tuple[Counts, Faults] | str]]:
    """Results as they come; few parts are ahead, so that results do not pile up."""
    ahead = 1 if workers == 1 else 2 * workers
    waiting = iter(parts)
    running: dict[Future, Part] = {}
    while True:
        running |= {executor.submit(count_part, *asked, part): part for part in islice(waiting, ahead - len(running))}
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()


@contextmanager
def _executor(workers: int) -> Iterator[Executor]:
    """As many processes; this one for one worker, without the torch that a batch needs."""
    if workers <= 1:
        yield SerialExecutor()
    else:
        with local_executor(workers) as executor:
            yield executor


def _checked(window: int, field: str, workers: int | None) -> int:
    """The number of workers, after all three have been looked at."""
    if isinstance(window, bool) or not isinstance(window, int) or not 1 <= window <= MAX_WINDOW:
        raise ValueError(f"window: got {window!r}; expected a number of words from 1 to {MAX_WINDOW:,}")
    if not field:
        raise ValueError("field: got an empty name; expected that of a field or column with text")
    if workers is not None and workers < 1:
        raise ValueError(f"workers: got {workers}; expected at least 1")
    return workers or default_workers()


def _folder(out: str) -> str:
    folder = (out if "://" in out else os.path.expanduser(out)).rstrip("/")
    if not folder:
        raise ValueError(f"out: got {out!r}; expected a folder for the counts")
    return folder
