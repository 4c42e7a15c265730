"""Terms: what is counted, by which patterns of words."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from probe import storage
from probe.corpus.number_words import LIMIT, links, spellings
from probe.corpus.words import words_of

_RANGE = re.compile(r"([0-9]+)-([0-9]+)")
MAX_TERMS = 1_000_000


@dataclass(frozen=True)
class Terms:
    """Terms as they were given, and the patterns that count for them.

    ``names``    the terms
    ``patterns`` folded words with a space between two, and the index of the term that an occurrence is one of
    ``numbers``  spelled numbers in the same way: they count only where they are a whole number (four, but not that of
                 twenty-four)
    """

    names: tuple[str, ...]
    patterns: tuple[tuple[bytes, int], ...]
    numbers: tuple[tuple[bytes, int], ...] = ()


def as_terms(given: Iterable[str | int], number_words: bool = False) -> Terms:
    """Terms of a list, each a word, words with one separator between two ("new york"), a number or a range ("0-99").

    Args:
        given: the terms, in the order of the tables.
        number_words: whether a term that is a whole number below a million without leading zeros is counted where it
            is spelled in English as well.

    Raises:
        ValueError: ``terms``: none, an empty one, one that is no words, a range that goes down, or one given twice.
    """
    if isinstance(given, str):
        raise ValueError(f"terms: got {given!r}; expected a list of terms, such as [{given!r}]")
    names: list[str] = []
    for term in given:
        names += _expanded(term)
        if len(names) > MAX_TERMS:
            raise ValueError(f"terms: got more than {MAX_TERMS:,}; expected fewer")
    if not names:
        raise ValueError('terms: got none; expected words, numbers or ranges such as "0-99"')
    index: dict[bytes, int] = {}
    for i, name in enumerate(names):
        pattern = _pattern(name)
        if pattern in index:
            first = names[index[pattern]]
            same = f"{name!r} twice" if first == name else f"{first!r} and {name!r}, which are counted alike"
            raise ValueError(f"terms: got {same}; expected each term once")
        index[pattern] = i
    spelled = enumerate(names) if number_words else ()
    numbers = [(form.encode(), i) for i, name in spelled if _is_number(name) for form in spellings(int(name))]
    return Terms(tuple(names), tuple(index.items()), tuple(numbers))


def read_terms(path: str) -> list[str]:
    """The terms of a UTF-8 file, or fsspec URL, one a line; blank lines are passed over.

    Raises:
        ValueError: ``terms``: the file is not there, or no UTF-8.
    """
    try:
        lines = storage.read_bytes(path).decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"terms: {path} cannot be read ({error}); expected a UTF-8 file, a term a line") from error
    return [line.strip() for line in lines if line.strip()]


def link_patterns() -> list[bytes]:
    """Patterns that tell where words are within one spelled number."""
    return [link.encode() for link in links()]


def _expanded(term: str | int) -> list[str]:
    found = _RANGE.fullmatch(term) if isinstance(term, str) else None
    if found is None:
        return [str(term)]
    low, high = map(int, found.groups())
    if high < low:
        raise ValueError(f"terms: got {term!r}; expected a range that goes up, such as '{high}-{low}'")
    if high - low >= MAX_TERMS:
        raise ValueError(f"terms: got {term!r}; expected a range of at most {MAX_TERMS:,}")
    return [str(number) for number in range(low, high + 1)]


def _pattern(name: str) -> bytes:
    words = words_of(name)
    if words is None:
        raise ValueError(
            f"terms: got {name!r}; expected words of letters and digits, with one separator such as a space between"
            " two of them and none around"
        )
    return b" ".join(words)


def _is_number(name: str) -> bool:
    return re.fullmatch("0|[1-9][0-9]*", name) is not None and len(name) <= len(str(LIMIT)) and int(name) < LIMIT
