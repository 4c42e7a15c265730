"""Counts of parts of shards that are finished, a file each, so that a count that was stopped goes on."""

import hashlib
import io
import json
import zipfile
from dataclasses import asdict

import numpy as np

from probe import storage
from probe.corpus.readers import Faults
from probe.corpus.shards import Part, Reading
from probe.corpus.sums import Sums
from probe.corpus.tally import Counts
from probe.corpus.terms import Terms
from probe.corpus.words import RULE


class Finished:
    """The finished parts in a folder; a file of this name is there only if it is whole.

    A name is the fingerprint of all that counts depend on: the rule of words, the terms, the window, how shards are
    read, the shard's address, size and version, and which bytes of it the part is.
    """

    def __init__(self, folder: str, terms: Terms, window: int, reading: Reading) -> None:
        self._folder = f"{folder}/parts"
        asked = {"rule": RULE, "patterns": str((terms.patterns, terms.numbers)), "window": window, **asdict(reading)}
        self._asked = _digest(json.dumps(asked))
        self._there = set(storage.list_files(self._folder, ".npz"))

    def get(self, part: Part) -> tuple[Counts, Faults] | None:
        """What was counted in a part, if it was."""
        name = self._name(part)
        if name not in self._there:
            return None
        try:
            with np.load(io.BytesIO(storage.read_bytes(f"{self._folder}/{name}")), allow_pickle=False) as saved:
                pairs = Sums()
                pairs.add_counts(saved["pair"], saved["pair_count"])
                about = json.loads(saved["about"].tobytes())
                counts = Counts(saved["term"], saved["documents_with"], pairs, about["documents"], about["words"])
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            # it is damaged, and so to be counted again
            return None
        named = [(line, problem) for line, problem in about["named"]]
        return counts, Faults(about["lines"], about["faulty"], named)

    def put(self, part: Part, counts: Counts, faults: Faults) -> None:
        """Keep what was counted in a part."""
        pairs, pair_counts = counts.pairs.totals()
        about = {
            "documents": counts.documents,
            "words": counts.words,
            "lines": faults.n_lines,
            "faulty": faults.n_faulty,
            "named": faults.named,
            "part": asdict(part),
        }
        content = io.BytesIO()
        np.savez(
            content,
            term=counts.terms,
            documents_with=counts.documents_with,
            pair=pairs,
            pair_count=pair_counts,
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
        )
        storage.write_atomically(f"{self._folder}/{self._name(part)}", content.getvalue())

    def _name(self, part: Part) -> str:
        return f"{_digest(json.dumps(asdict(part)) + self._asked)}.npz"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
