"""Counts of terms and of their pairs against a loop with a compiled regex, and against splitting the same bytes once.

The text is synthetic: words of Zipfian frequency, 1.5 % of them numbers, with commas and full stops.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from probe.corpus import TermCounts, count_terms
from tests.benchmarks.timing import seconds

Row = tuple[str, str, str]

MEGABYTES, FEWER_MEGABYTES = 64, 4
"""How much is counted; and how much by the regex, where a byte costs many times as much."""
N_WORDS = 50_000
WINDOW = 5


def rows() -> Iterator[Row]:
    """What was compared, the ratio, and what it has to be. All contenders run on one core."""
    with tempfile.TemporaryDirectory() as folder:
        plain, fewer, other = (Path(folder) / name for name in ("plain.txt", "fewer.txt", "other.txt"))
        words = vocabulary()
        text = synthetic(words, FEWER_MEGABYTES)
        fewer.write_text(text, encoding="utf-8")
        for path, of in ((plain, text), (other, text.replace(", ", " \u2013 ").replace("e", "é"))):
            with path.open("w", encoding="utf-8") as file:
                for _ in range(MEGABYTES // FEWER_MEGABYTES):
                    file.write(of)
        check(counted(fewer), *by_regex(fewer))
        took = seconds(
            {
                "ours": lambda: counted(plain),
                "split": lambda: split(plain),
                "regex": lambda: by_regex(fewer),
                "ours, other letters": lambda: counted(other),
                "split, other letters": lambda: split(other),
                "ours, words": lambda: counted(fewer, words[:5000]),
                "split, words": lambda: split(fewer),
            },
            rounds=3,
        )
        regex = took["regex"] * MEGABYTES / FEWER_MEGABYTES
        what = "100 terms and their pairs, one core"
        yield f"{what}, regex loop / ours", f"{regex / took['ours']:.1f}", "at least 5"
        yield f"{what}, ours / reading and splitting", f"{took['ours'] / took['split']:.2f}", "at most 4"
        for case, said in (("other letters", "a sixth of the letters not ASCII"), ("words", "5,000 frequent words")):
            ratio = took[f"ours, {case}"] / took[f"split, {case}"]
            yield f"the same, {said}", f"{ratio:.2f}", ""
        yield "the same, speed of the first", f"{MEGABYTES / took['ours']:.0f} MB/s", ""
        yield "the same, peak memory of the process", f"{peak_megabytes(plain):.0f} MB", "under 300 MB"
        one_line = Path(folder) / "one_line.txt"
        one_line.write_bytes(plain.read_bytes().replace(b"\n", b" ") * 4)
        yield f"the same, one line of {4 * MEGABYTES} MB", f"{peak_megabytes(one_line):.0f} MB", "under 300 MB"


def vocabulary() -> list[str]:
    """Words, the most frequent first; short ones are so more often."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlcumwfgypbvkjxqz"))
    share = np.arange(1, 27) ** -0.8
    lengths = np.sort(1 + rng.poisson(5, 2 * N_WORDS))
    made = ("".join(rng.choice(letters, n, p=share / share.sum())) for n in lengths)
    return list(dict.fromkeys(made))[:N_WORDS]


def synthetic(words: list[str], megabytes: int) -> str:
    """Lines of about 100 words."""
    rng = np.random.default_rng(1)
    pool = np.array(words, dtype=object)
    share = np.arange(1, len(words) + 1) ** -1.05
    n = megabytes * 1_000_000 // 5
    chosen = pool[rng.choice(len(words), n, p=share / share.sum())]
    is_number = rng.random(n) < 0.015
    chosen[is_number] = [str(int(10**x)) for x in rng.uniform(0, 3.5, is_number.sum())]
    ends = np.array([" ", ", ", ". ", ".\n"], dtype=object)[rng.choice(4, n, p=[0.88, 0.06, 0.05, 0.01])]
    return "".join(chosen + ends)[: megabytes * 1_000_000]


def counted(path: Path, terms: list[str] | None = None) -> TermCounts:
    return count_terms(path, terms or ["0-99"], window=WINDOW, workers=1, progress=False)


def split(path: Path) -> int:
    with path.open("rb") as file:
        return sum(len(line.split()) for line in file)


def by_regex(path: Path) -> tuple[Counter[bytes], Counter[tuple[bytes, bytes]]]:
    """What one writes without a library: a line at a time, all numbers by one expression, pairs of the latest."""
    pattern = re.compile(rb"\b(?:" + b"|".join(b"%d" % n for n in range(100)) + rb")\b")
    terms: Counter[bytes] = Counter()
    pairs: Counter[tuple[bytes, bytes]] = Counter()
    with path.open("rb") as file:
        for line in file:
            word, seen = 0, 0
            latest: deque[tuple[int, bytes]] = deque()
            for match in pattern.finditer(line):
                word += len(line[seen : match.start()].split())
                seen, term = match.start(), match[0]
                terms[term] += 1
                while latest and word - latest[0][0] >= WINDOW:
                    latest.popleft()
                for _, other in latest:
                    pairs[min(term, other, key=int), max(term, other, key=int)] += 1
                latest.append((word, term))
    return terms, pairs


def check(ours: TermCounts, terms: Counter[bytes], pairs: Counter[tuple[bytes, bytes]]) -> None:
    """Both count the same."""
    found = dict(ours.terms[["term", "count"]].itertuples(index=False))
    assert {term: n for term, n in found.items() if n} == {term.decode(): n for term, n in terms.items()}
    of_pairs = {(a.encode(), b.encode()): n for a, b, n in ours.pairs.itertuples(index=False)}
    assert of_pairs == pairs


def peak_megabytes(path: Path) -> float:
    """Peak memory of a process of its own that counts a file (Linux)."""
    code = f"""
import re
from pathlib import Path
from probe.corpus import count_terms
count_terms({str(path)!r}, ["0-99"], workers=1, progress=False)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1000)
"""
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
