"""Counts of a stream against the slow reference, in pieces of every size."""

from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from probe.corpus.matching import Matcher
from probe.corpus.pairs import close_pairs
from probe.corpus.sums import Sums, distinct
from probe.corpus.tally import Tally
from probe.corpus.terms import as_terms
from tests.corpus import reference

TERMS = [
    *("24", "18", "2,400", "3.14", "4", "20", "100", "124", "6", "106", "1000", "York", "new york", "new york city"),
    *("and", "four", "é", "Новый", "don't", "a_b", "日本", "x"),
]
PIECES = [
    *("24", "18", "2", "4", "2,400", "3.14", "York", "new", "city", "New York", "twenty", "four", "hundred", "and"),
    *(
        "six",
        "one",
        "thousand",
        "million",
        "é",
        "e\u0301",
        "НОВЫЙ",
        "don",
        "t",
        "a_b",
        "日本",
        "x24",
        "24th",
        "xx",
        "_",
    ),
]
SEPARATORS = [" ", " ", " ", "-", "'", ".", ",", "\n", "  ", ", ", ". ", "\u00a0", "—", "☎️", "\ufe0f", "", "\x00"]


@cache
def matcher(terms, number_words):
    return Matcher(as_terms(terms, number_words))


streams = st.lists(st.one_of(st.sampled_from(PIECES), st.sampled_from(SEPARATORS), st.characters()), max_size=40).map(
    "".join
)
separated = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(SEPARATORS)), max_size=25).map(
    lambda parts: "".join(map("".join, parts))
)


def tallied(pieces, number_words=False, window=5, terms=TERMS):
    tally = Tally(matcher(tuple(terms), number_words), len(terms), window)
    for piece in pieces:
        tally.add(piece)
    return tally.finish()


def check(stream, pieces, number_words, window, terms=TERMS):
    """That the pieces' counts are the reference's."""
    documents = stream.split("\n")
    if documents[-1] == "":
        documents.pop()
    n, of_documents, pairs, n_words = reference.count(documents, terms, window, number_words)
    found = tallied(pieces, number_words, window, terms)
    assert found.words == n_words
    assert found.documents == len(documents)
    assert {terms[k]: c for k, c in enumerate(found.terms) if c} == {terms[k]: c for k, c in n.items()}
    assert {k: c for k, c in enumerate(found.documents_with) if c} == dict(of_documents)
    keys, counts = found.pairs.totals()
    assert {divmod(key, len(terms)): c for key, c in zip(keys.tolist(), counts, strict=True)} == dict(pairs)


@settings(max_examples=300)
@given(st.one_of(streams, separated), st.booleans(), st.integers(1, 7), st.lists(st.integers(1, 9), min_size=1))
@example("twenty-four and one hundred and six, one hundred", True, 5, [1])
@example("24.5 24.x 2,400.", False, 5, [3])
@example("24. 24.\n5", False, 5, [3])
@example("new york city new\nyork", False, 2, [4])
def test_any_stream_in_any_pieces(stream, number_words, window, sizes):
    pieces, i = [], 0
    while i < len(stream):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[i : i + size])
        i += size
    check(stream, pieces, number_words, window)


@settings(max_examples=150)
@given(separated, st.booleans(), st.integers(1, 4))
def test_any_stream_character_by_character_and_as_a_whole(stream, number_words, window):
    check(stream, list(stream), number_words, window)
    check(stream, [stream], number_words, window)


SPOKEN = ["one", "four", "six", "twenty", "ninety", "eleven", "hundred", "hundred", "thousand", "million", "and", "and"]
SPOKEN_TERMS = ["1", "4", "6", "20", "24", "100", "104", "124", "1000", "4000", "4004", "200000", "ninety"]
spoken = st.lists(st.tuples(st.sampled_from(SPOKEN), st.sampled_from("     -\n,")), max_size=30).map(
    lambda parts: "".join(map("".join, parts))
)


@settings(max_examples=200)
@given(spoken, st.integers(1, 12), st.sampled_from([["4"], ["200000", "4"], SPOKEN_TERMS]))
@example("two hundred thousand and four", 1, ["200000", "4"])
@example("one hundred and four", 1, ["100", "4"])
@example("twenty\nfour one hundred\nand four", 5, ["4", "20", "100", "104"])
@example("twenty four one one one one one one one one", 1, ["4"])
def test_spelled_numbers_in_any_pieces(stream, size, terms):
    pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
    check(stream, pieces, True, 5, terms)


def counts_of(text, **options):
    found = tallied([text], **options)
    return {term: int(n) for term, n in zip(TERMS, found.terms, strict=True) if n}


def pairs_of(text, **options):
    keys, counts = tallied([text], **options).pairs.totals()
    names = [tuple(TERMS[i] for i in divmod(key, len(TERMS))) for key in keys.tolist()]
    return dict(zip(names, counts.tolist(), strict=True))


def test_overlapping_terms_are_all_counted():
    assert counts_of("New York City") == {"York": 1, "new york": 1, "new york city": 1}
    assert counts_of("new-york's new/york new  york") == {"York": 3, "new york": 2}


def test_a_spelled_number_is_counted_where_it_is_the_whole_number():
    spelled = {"number_words": True}
    assert counts_of("twenty-four, twenty four; Twenty\u2014Four", **spelled) == {"24": 3, "four": 3}
    assert counts_of("twenty, four", **spelled) == {"20": 1, "4": 1, "four": 1}
    assert counts_of("one hundred and six", **spelled) == {"106": 1, "and": 1}
    assert counts_of("one hundred twenty four thousand", **spelled) == {"four": 1}
    assert counts_of("four five", **spelled) == {"4": 1, "four": 1}
    assert counts_of("twenty four") == {"four": 1}


def test_a_pair_is_two_occurrences_within_the_window():
    assert pairs_of("24 x 18 18") == {("24", "18"): 2, ("24", "x"): 1, ("18", "x"): 2, ("18", "18"): 1}
    assert pairs_of("24 b c d 18") == {("24", "18"): 1}
    assert pairs_of("24 b c d e 18") == {}
    assert pairs_of("24\n18") == {}
    assert pairs_of("18 24", window=1) == {}
    assert pairs_of("18 24", window=2) == {("24", "18"): 1}
    assert pairs_of("new york", window=1) == {}
    assert pairs_of("new york city", window=1) == {("new york", "new york city"): 1}
    assert pairs_of("24 24 24") == {("24", "24"): 3}


def test_a_document_that_goes_on_counts_once():
    found = tallied(["24 ", "18 24", " b  ", "24", "\n24"])
    assert found.documents_with[:2].tolist() == [2, 1]
    assert found.documents == 2


@pytest.mark.parametrize("filler", ["a", "1", "é", "_", "1.", "1,1", " ", ".", "\n", "24 ", "a. "])
def test_what_waits_is_bounded(filler):
    """However long a word, a gap or a document is."""
    tally = Tally(matcher(tuple(TERMS), True), len(TERMS), 5)
    size = 2000 // len(filler) * len(filler)
    for _ in range(50):
        tally.add((filler * 2000)[:size])
        assert len(tally._rest) <= size + 100
        assert len(tally._near_place) < 10
        assert len(tally._of_open_document) < 10
    tally.add(" 24 ")
    assert tally.finish().words == len(reference.words((filler * 2000)[:size] * 50 + " 24"))


@pytest.mark.parametrize("end", ["9", "x", "9.", "9,", "x.", "é", "24", ".9", "9.9"])
@pytest.mark.parametrize("more", ["5 24", ".5", "24", " 24", ".24", ",24", "..24", "x.24", "\n24", ". 24"])
def test_a_long_word_goes_on_as_if_it_had_not_been_shortened(end, more):
    stream = "24 " + "ab" * 300 + "1.1" * 20 + end + more
    check(stream, ["24 ", stream[3 : -len(more)], more], False, 5)
    check(stream, ["24 ", *stream[3:]], False, 5)


@given(st.lists(st.integers(0, 12), max_size=14).map(sorted), st.integers(1, 6), st.integers(0, 14))
def test_close_pairs_are_all_that_are_close(places, window, n_old):
    n_old = min(n_old, len(places))
    found = [
        (i, j)
        for earlier, later in close_pairs(np.array(places, dtype=np.int64), window, n_old)
        for i, j in zip(earlier.tolist(), later.tolist(), strict=True)
    ]
    wanted = [(i, j) for j in range(n_old, len(places)) for i in range(j) if places[j] - places[i] < window]
    assert sorted(found) == sorted(wanted)


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5))), max_size=8), st.integers(1, 6))
def test_sums_are_those_of_a_dictionary(batches, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probe.corpus.sums.MAX_PENDING", limit)
        sums, wanted = Sums(), {}
        for batch in batches:
            keys, counts = (np.array([entry[i] for entry in batch], dtype=np.int64) for i in (0, 1))
            sums.add_counts(keys, counts)
            sums.add(keys)
            for key, n in batch:
                wanted[key] = wanted.get(key, 0) + n + 1
        keys, counts = sums.totals()
    assert dict(zip(keys.tolist(), counts.tolist(), strict=True)) == wanted
    assert keys.tolist() == sorted(wanted)
    assert distinct(np.array([9, 3, 9, 0, 3])).tolist() == [0, 3, 9]
