"""What was in the training data: how often terms, and pairs of terms, occur in a corpus of any size.

What counts is imported on first use: the tasks read corpora and count nothing.

``counting``      the count: part by part, on all cores, resumable
``terms``         what is counted, by which patterns of words
``number_words``  how numbers are spelled
``words``         what a word is: the rule by which terms and texts are read
``matching``      where terms are in a text
``pairs``         pairs of occurrences within a window
``sums``          counts of keys of which few of very many occur
``tally``         counts of one stream of text
``shards``        the files of a corpus, and their parts
``streams``       their bytes, decompressed
``readers``       the documents in them
``finished``      counts of finished parts on disk
``totals``        counts of parts put together, as tables
"""

from typing import TYPE_CHECKING

from probe.lazily import imported_on_use

if TYPE_CHECKING:
    from probe.corpus.counting import count_terms
    from probe.corpus.terms import read_terms
    from probe.corpus.totals import TermCounts

_HOME = {
    "TermCounts": "probe.corpus.totals",
    "count_terms": "probe.corpus.counting",
    "read_terms": "probe.corpus.terms",
}

__all__ = ["TermCounts", "count_terms", "read_terms"]

__getattr__, __dir__ = imported_on_use(__name__, _HOME)
