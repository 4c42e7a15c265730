"""Counts of parts put together: of a shard once all its parts are counted, of the corpus, as tables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from probe import storage
from probe.corpus.readers import Faults
from probe.corpus.shards import Part, Shard
from probe.corpus.tally import Counts
from probe.corpus.terms import Terms

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("terms", "pairs", "faults")


@dataclass(frozen=True, eq=False)
class TermCounts:
    """What was counted in a corpus.

    ``terms``           table: ``term``, ``count``, ``documents`` (how many contain it); in the order they were given
    ``pairs``           table: ``term_a``, ``term_b``, ``count``, for the pairs that occur
    ``faults``          table: ``shard``, ``line`` (or row, from 1; none where it is the shard), ``problem``. Of each
                        part of a shard the first hundred faulty lines are named
    ``window``          consecutive words that hold a pair
    ``shards``          files that were counted
    ``uncounted``       files that were not, since they cannot be read to their end
    ``bytes``           size of those that were counted, as they are stored
    ``documents``, ``words``  in them
    ``faulty_lines``    lines that were passed over or held bytes that are not UTF-8
    """

    terms: "pd.DataFrame"
    pairs: "pd.DataFrame"
    faults: "pd.DataFrame"
    window: int
    shards: int
    uncounted: int
    bytes: int
    documents: int
    words: int
    faulty_lines: int

    def pair_counts(self, first: "Sequence[object]", second: "Sequence[object]") -> "list[int]":
        """How often pairs of terms occur, whichever comes first; 0 where they never do.

        Args:
            first, second: terms, as text or numbers, equally many.

        Raises:
            ValueError: something else than a term was counted, or there are more of one than of the other.
        """
        one, other = ([str(term) for term in terms] for terms in (first, second))
        if len(one) != len(other):
            raise ValueError(f"second: got {len(other)} terms; expected {len(one)}, as many as first")
        counted = set(self.terms["term"])
        for field_, terms in (("first", one), ("second", other)):
            unknown = next((term for term in terms if term not in counted), None)
            if unknown is not None:
                raise ValueError(f"{field_}: got {unknown!r}; expected one of the {len(counted)} terms counted")
        found: dict[tuple[str, str], int] = {}
        for a, b, count in self.pairs.itertuples(index=False):
            found[a, b] = found[b, a] = int(count)
        return [found.get(pair, 0) for pair in zip(one, other, strict=True)]

    def save(self, folder: str) -> None:
        """Write the tables, a Parquet file each, and the totals, ``totals.json``, into a folder."""
        for name in TABLES:
            storage.write_atomically(f"{folder}/{name}.parquet", getattr(self, name).to_parquet(index=False))
        totals = {name: value for name, value in vars(self).items() if name not in TABLES}
        storage.write_atomically(f"{folder}/totals.json", json.dumps(totals, indent=1).encode())


@dataclass(eq=False)
class _OfShard:
    """What is known of a shard some parts of which are counted."""

    counts: Counts
    faults: dict[int, Faults] = field(default_factory=dict)  # by where a part begins
    n_seen: int = 0
    problem: str | None = None


class Totals:
    """Adds up what is counted. A shard counts once all its parts do, and not at all if one cannot be read."""

    def __init__(self, terms: Terms, window: int, parts: Mapping[Shard, Sequence[Part]]) -> None:
        self._terms = terms
        self._window = window
        self._parts = parts
        self._counts = Counts.of_nothing(len(terms.names))
        self._open: dict[Shard, _OfShard] = {}
        self._faults: dict[Shard, list[tuple[int | None, str]]] = {}
        self._n_counted = self._n_bytes = self._n_faulty = 0

    def add(self, part: Part, counts: Counts, faults: Faults) -> None:
        """What was counted in a part."""
        of_shard = self._of_shard(part)
        of_shard.counts.add(counts)
        of_shard.faults[part.start] = faults
        self._seen(part, of_shard)

    def fail(self, part: Part, problem: str) -> None:
        """A part could not be read."""
        of_shard = self._of_shard(part)
        of_shard.problem = of_shard.problem or problem
        self._seen(part, of_shard)

    @property
    def how_far(self) -> str:
        """In words."""
        return f"{len(self._faults):,} of {len(self._parts):,} file(s)"

    def tables(self) -> TermCounts:
        """All of it, once all parts are counted."""
        import pandas as pd

        names = np.array(self._terms.names, dtype=object)
        keys, pair_counts = self._counts.pairs.totals()
        terms = {"term": names, "count": self._counts.terms, "documents": self._counts.documents_with}
        pairs = {"term_a": names[keys // len(names)], "term_b": names[keys % len(names)], "count": pair_counts}
        faults = [
            (shard.address, line, problem) for shard in self._parts for line, problem in self._faults.get(shard, [])
        ]
        table = pd.DataFrame(faults, columns=["shard", "line", "problem"])
        return TermCounts(
            pd.DataFrame(terms),
            pd.DataFrame(pairs),
            table.astype({"shard": "str", "line": "Int64", "problem": "str"}),
            window=self._window,
            shards=self._n_counted,
            uncounted=len(self._parts) - self._n_counted,
            bytes=self._n_bytes,
            documents=self._counts.documents,
            words=self._counts.words,
            faulty_lines=self._n_faulty,
        )

    def _of_shard(self, part: Part) -> _OfShard:
        return self._open.setdefault(part.shard, _OfShard(Counts.of_nothing(len(self._terms.names))))

    def _seen(self, part: Part, of_shard: _OfShard) -> None:
        of_shard.n_seen += 1
        if of_shard.n_seen < len(self._parts[part.shard]):
            return
        del self._open[part.shard]
        if of_shard.problem is not None:
            self._faults[part.shard] = [(None, f"not counted: {of_shard.problem}")]
            return
        self._n_counted += 1
        self._n_bytes += part.shard.size
        self._counts.add(of_shard.counts)
        named: list[tuple[int | None, str]] = []
        if not of_shard.counts.documents:
            named.append((None, "empty: there are no documents in it"))
        lines_before = 0
        for _, faults in sorted(of_shard.faults.items()):
            named += [(lines_before + line, problem) for line, problem in faults.named]
            lines_before += faults.n_lines
            self._n_faulty += faults.n_faulty
        self._faults[part.shard] = named
