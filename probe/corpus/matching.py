"""Where terms are in a folded text: a library's Aho-Corasick automaton finds all patterns in one pass."""

from dataclasses import dataclass
from itertools import chain

import numpy as np
from ahocorasick_rs import BytesAhoCorasick
from jaxtyping import Int64

from probe.corpus.terms import Terms, link_patterns
from probe.corpus.words import Layout

_LINK = -1


@dataclass(frozen=True, slots=True, eq=False)
class Occurrences:
    """Occurrences of terms in a text, by ascending word.

    ``term``      which term
    ``word``      its first word, in the text
    ``document``  how many documents of the text end before it
    ``joined``    words that belong to a spelled number with those before them
    """

    term: Int64[np.ndarray, "occurrence"]
    word: Int64[np.ndarray, "occurrence"]
    document: Int64[np.ndarray, "occurrence"]
    joined: Int64[np.ndarray, "word"]


class Matcher:
    """Finds terms in texts.

    A pattern has a space on either side, so that only whole words match. All overlapping matches are found: terms
    within terms, and those that share the space between them.
    """

    def __init__(self, terms: Terms) -> None:
        links = [(link, _LINK) for link in link_patterns()] if terms.numbers else []
        patterns = [*terms.patterns, *terms.numbers, *links]
        self._automaton = BytesAhoCorasick([b" %b " % pattern for pattern, _ in patterns])
        self._term = np.array([term for _, term in patterns])
        self._n_words = np.array([len(pattern.split(b" ")) for pattern, _ in patterns])
        self._is_number = np.arange(len(patterns)) >= len(terms.patterns)
        self.longest_word = max(len(word) for pattern, _ in patterns for word in pattern.split(b" "))
        """Bytes of the longest word of a pattern."""
        self.words_after = int(self._n_words.max()) + (2 if links else 0)
        """An occurrence is sure where the text goes on for so many words, its own among them, before the last."""

    def find(self, layout: Layout, joined: Int64[np.ndarray, "word"]) -> Occurrences:
        """All occurrences, given which of the first words are joined to words before the text."""
        matches = self._automaton.find_matches_as_indexes(layout.letters.data, overlapping=True)
        found = np.fromiter(chain.from_iterable(matches), np.int64, 3 * len(matches)).reshape(-1, 3)
        pattern, space = found[:, 0], found[:, 1]
        word = np.searchsorted(layout.starts, space + 1)
        document = np.searchsorted(layout.ends, space, side="right")
        last = word + self._n_words[pattern] - 1
        # An end of a document is a separator too, but not one within a term.
        keep = np.searchsorted(layout.ends, layout.starts[last]) == document
        is_link = self._term[pattern] == _LINK
        joined = np.concatenate([joined, last[is_link & keep]])
        if len(joined):
            goes_on = np.isin(last, word[is_link & keep])
            part = self._is_number[pattern] & (goes_on | np.isin(word, joined))
            keep &= ~is_link & ~part
        order = np.flatnonzero(keep)[np.argsort(word[keep], kind="stable")]
        return Occurrences(self._term[pattern[order]], word[order], document[order], joined)
