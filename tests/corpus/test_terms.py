"""Terms: what may be one, and how numbers are spelled."""

import re

import pytest

from probe.corpus.number_words import links, spellings
from probe.corpus.terms import as_terms, read_terms
from tests.corpus import reference


def test_ranges_words_and_numbers_keep_their_order():
    assert as_terms(["3-5", "New York", 7, "0"]).names == ("3", "4", "5", "New York", "7", "0")
    assert as_terms(range(3)).names == ("0", "1", "2")
    assert as_terms(["24-24"]).names == ("24",)
    assert as_terms(["New-York's", "É"]).patterns == ((b"new york s", 0), ("é".encode(), 1))


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ([], "terms: got none; expected words, numbers or ranges such as"),
        (["a", ""], "terms: got ''; expected words of letters and digits"),
        (["C++"], "terms: got 'C++'; expected words"),
        ([-3], "terms: got '-3'; expected words"),
        (["24."], "terms: got '24.'; expected words"),
        (["new  york"], "terms: got 'new  york'; expected words"),
        (["york", "york"], "terms: got 'york' twice; expected each term once"),
        (["0-9", 5], "terms: got '5' twice; expected each term once"),
        (["new york", "New-York"], "terms: got 'new york' and 'New-York', which are counted alike; expected each"),
        (["9-3"], "terms: got '9-3'; expected a range that goes up, such as '3-9'"),
        (["0-1000000"], "terms: got '0-1000000'; expected a range of at most 1,000,000"),
        (["0-999999", "a"], "terms: got more than 1,000,000; expected fewer"),
        ("0-99", "terms: got '0-99'; expected a list of terms, such as ['0-99']"),
    ],
    ids=str,
)
def test_what_is_wrong_with_terms(terms, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        as_terms(terms)


def test_terms_of_a_file(tmp_path):
    (tmp_path / "terms").write_bytes("\ufeff0-3\r\n\r\n new york \n№".encode())
    assert read_terms(str(tmp_path / "terms")) == ["0-3", "new york", "№"]
    (tmp_path / "terms").write_bytes(b"\xff")
    for name in ("terms", "absent"):
        with pytest.raises(
            ValueError, match=rf"terms: .*{name} cannot be read \(.*\); expected a UTF-8 file, a term a"
        ):
            read_terms(str(tmp_path / name))


def test_spellings_that_everybody_knows():
    assert spellings(0) == ("zero",)
    assert spellings(10) == ("ten",)
    assert spellings(20) == ("twenty",)
    assert spellings(24) == ("twenty four",)
    assert spellings(99) == ("ninety nine",)
    assert spellings(100) == ("one hundred",)
    assert set(spellings(432)) == {"four hundred thirty two", "four hundred and thirty two"}
    assert set(spellings(2006)) == {"two thousand six", "two thousand and six"}
    assert spellings(1000) == ("one thousand",)
    assert spellings(1200) == ("one thousand two hundred",)


def test_spellings_are_those_of_the_reference_and_no_two_numbers_share_one():
    seen = {}
    for n in [*range(1300), *range(1300, 10**6, 7919), 10**6 - 1]:
        found = spellings(n)
        assert sorted(found) == sorted(map(" ".join, reference.spelled(n)))
        for spelling in found:
            assert seen.setdefault(spelling, n) == n


def test_links_are_the_neighbours_within_spellings_and_none_that_stand_alone():
    found = set(links())
    for n in [*range(1000), *range(1000, 10**6, 997)]:
        for spelling in spellings(n):
            words = spelling.split(" ")
            for i in range(len(words) - 1):
                after = words[i + 1 : i + 3] if words[i + 1] == "and" else words[i + 1 : i + 2]
                if words[i] != "and":
                    assert " ".join([words[i], *after]) in found
    assert found.isdisjoint({"four five", "ten four", "four twenty", "zero hundred", "twenty ten", "twenty thirty"})


@pytest.mark.parametrize("term", ["007", "24.5", "1000000", "9" * 5000, "x", "\uff12\uff14"], ids=lambda term: term[:9])
def test_what_is_not_spelled(term):
    assert as_terms([term], number_words=True).numbers == ()


def test_spelled_numbers_count_for_the_term():
    terms = as_terms(["x", "24", "0"], number_words=True)
    assert terms.numbers == ((b"twenty four", 1), (b"zero", 2))
    assert as_terms(["24"]).numbers == ()
