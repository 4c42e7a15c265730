"""Counts of one stream of text, whatever the sizes of the pieces in which it comes."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from probe.corpus.matching import Matcher
from probe.corpus.pairs import close_pairs
from probe.corpus.sums import Sums, distinct
from probe.corpus.words import COMMA, NEWLINE, POINT, Layout, folded, lay_out


@dataclass(eq=False)
class Counts:
    """What was counted in some text. A pair's key is ``lesser index * number of terms + greater index``."""

    terms: Int64[np.ndarray, "term"]
    documents_with: Int64[np.ndarray, "term"]
    pairs: Sums = field(default_factory=Sums)
    documents: int = 0
    words: int = 0

    @classmethod
    def of_nothing(cls, n_terms: int) -> "Counts":
        return cls(np.zeros(n_terms, np.int64), np.zeros(n_terms, np.int64))

    def add(self, other: "Counts") -> None:
        """Add the counts of other documents."""
        self.terms += other.terms
        self.documents_with += other.documents_with
        self.pairs.add_counts(*other.pairs.totals())
        self.documents += other.documents
        self.words += other.words


class Tally:
    """Counts terms and pairs of them in a stream of characters in which ``\\n`` ends a document.

    1. Each piece of text is taken with what was left of those before, up to a word before which all is sure: the last
       words may go on, or be the beginning of a term, and wait for the next piece. A long last word waits shortened.
    2. A word's place is its number in the stream plus ``window`` for each document before its own, so that words of
       two documents are never within one window.
    3. Occurrences near the end are kept for pairs with those to come, terms of a document that goes on for its count.
    """

    def __init__(self, matcher: Matcher, n_terms: int, window: int) -> None:
        self._matcher = matcher
        self._n_terms = n_terms
        self._window = window
        self._counts = Counts.of_nothing(n_terms)
        self._rest = b""
        self._document_is_open = False
        none = np.zeros(0, np.int64)
        self._near_place, self._near_term = none, none
        self._of_open_document = none
        self._joined = none

    def add(self, text: str) -> None:
        """Count some more text."""
        if text:
            self._document_is_open = not text.endswith("\n")
            self._take(folded(text))

    def finish(self) -> Counts:
        """Count what waits, and end the last document if it has not ended."""
        if self._document_is_open:
            self._take(b"\n")
        return self._counts

    def _take(self, more: bytes) -> None:
        text = b"".join((b" ", self._rest, more))
        layout = lay_out(text)
        n_words = len(layout.starts)
        if text[-1] == NEWLINE or layout.spaces[-2:].all():  # no word goes on, nor does a term
            self._count(layout, n_words, len(text))
            self._rest = b""
        else:
            n_sure = max(n_words - self._matcher.words_after, 0)
            self._count(layout, n_sure, layout.starts[n_sure])
            self._rest = self._shortened(text, layout.starts[n_sure], layout.starts[-1])

    def _count(self, layout: Layout, n_words: int, cut: int) -> None:
        """Count the first words of a text, which lie before a cut."""
        found = self._matcher.find(layout, self._joined)
        self._joined = found.joined[found.joined >= n_words] - n_words
        n = np.searchsorted(found.word, n_words)
        term, word, document = found.term[:n], found.word[:n], found.document[:n] + self._counts.documents
        place = self._counts.words + word + document * self._window
        self._counts.words += n_words
        self._counts.documents += int(np.searchsorted(layout.ends, cut))
        self._counts.terms += np.bincount(term, minlength=self._n_terms)
        self._count_documents(document * self._n_terms + term)
        self._count_pairs(place, term)

    def _count_documents(self, containing: Int64[np.ndarray, "occurrence"]) -> None:
        containing = distinct(np.concatenate([containing, self._of_open_document]))
        n = np.bincount(containing % self._n_terms, minlength=self._n_terms)
        n -= np.bincount(self._of_open_document % self._n_terms, minlength=self._n_terms)  # they are counted
        self._counts.documents_with += n
        self._of_open_document = containing[containing >= self._counts.documents * self._n_terms]

    def _count_pairs(self, place: Int64[np.ndarray, "occurrence"], term: Int64[np.ndarray, "occurrence"]) -> None:
        n_old = len(self._near_place)
        place, term = np.concatenate([self._near_place, place]), np.concatenate([self._near_term, term])
        for earlier, later in close_pairs(place, self._window, n_old):
            a, b = term[earlier], term[later]
            self._counts.pairs.add(np.minimum(a, b) * self._n_terms + np.maximum(a, b))
        next_place = self._counts.words + self._counts.documents * self._window
        near = place > next_place - self._window
        self._near_place, self._near_term = place[near], term[near]

    def _shortened(self, text: bytes, cut: int, last_word: int) -> bytes:
        """A text from a cut on, its last word made no longer than it takes to be none of a term.

        What it ends with stays, since a mark joins it to what comes if that is a digit.
        """
        enough = self._matcher.longest_word + 1
        end = text[-2:] if text[-1] in (POINT, COMMA) else text[-1:]
        if len(text) - last_word <= enough + len(end):
            return text[cut:]
        return text[cut:last_word] + b"_" * enough + end
