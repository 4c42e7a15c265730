"""Counts of keys of which few of very many occur."""

import numpy as np
from jaxtyping import Int64

MAX_PENDING = 1 << 19
"""Keys that may wait to be added up, or as many as there are sums where these are more."""

Keys = Int64[np.ndarray, "key"]


class Sums:
    """How often each key came, for those that came."""

    def __init__(self) -> None:
        none = np.zeros(0, np.int64)
        self._sums = (none, none)
        self._counts: list[tuple[Keys, Keys]] = []
        self._n_counts = 0
        self._keys: list[Keys] = []
        self._n_keys = 0

    def add(self, keys: Keys) -> None:
        """Count each of some keys once more."""
        self._keys.append(keys)
        self._n_keys += len(keys)
        if self._n_keys > MAX_PENDING:
            self._count_keys()

    def add_counts(self, keys: Keys, counts: Keys) -> None:
        """Count keys as often as is said."""
        self._counts.append((keys, counts))
        self._n_counts += len(keys)
        if self._n_counts > max(MAX_PENDING, len(self._sums[0])):
            self._add_up()

    def totals(self) -> tuple[Keys, Keys]:
        """The keys that came, ascending, and how often each."""
        self._count_keys()
        self._add_up()
        return self._sums

    def _count_keys(self) -> None:
        if self._n_keys:
            # numpy sorts keys alone many times as fast as it sorts them with counts
            self.add_counts(*np.unique(np.concatenate(self._keys), return_counts=True))
            self._keys, self._n_keys = [], 0

    def _add_up(self) -> None:
        if self._n_counts:
            keys, counts = (np.concatenate(part) for part in zip(self._sums, *self._counts, strict=True))
            order = np.argsort(keys)
            keys, counts = keys[order], counts[order]
            first = _firsts(keys)
            self._sums = (keys[first], np.add.reduceat(counts, first))
            self._counts, self._n_counts = [], 0


def distinct(keys: Keys) -> Keys:
    """Each key once, ascending. Sorts, which is faster here than the hash table of ``numpy.unique``."""
    ascending = np.sort(keys)
    return ascending[_firsts(ascending)]


def _firsts(ascending: Keys) -> Int64[np.ndarray, "first"]:
    """Where each key is for the first time."""
    return np.flatnonzero(np.diff(ascending, prepend=-1))
