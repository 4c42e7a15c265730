"""What a word is, and where the words and documents of a text are.

The rule, which terms and texts alike are read by:

1. A word is an unbroken run of letters, marks and numbers of any script (the Unicode categories L, M and N, without
   the variation selectors U+FE00-FE0F and U+E0100-E01EF) and ``_``. Every other character is a separator.
2. One ``.`` or ``,`` between two of the digits 0 to 9 belongs to the word: 24.5, 2,400 and 24.12.2020 are one word
   each, while "24." at the end of a sentence is the word 24.
3. Letters are compared without their case: by Unicode's case folding, where that gives one character.

So 24 is found in ``24``, ``24.``, ``24%``, ``$24``, ``-24``, ``18-24``, ``24/7``, ``24:00``, ``(24)``, ``24's`` and
``24*18``, and not in ``124``, ``24.5``, ``2,400``, ``18,24``, ``24th``, ``x24``, ``24x18``, ``24_`` or ``24²``. A run
of a script that puts nothing between its words, such as Chinese, is one word, with the digits in it.

A text is a stream of characters in which ``\\n`` ends a document. In what follows it is folded: UTF-8 in which letters
are folded, separators are spaces, ``\\n``, ``.`` and ``,`` are themselves.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt32

RULE = f"1 (Unicode {unicodedata.unidata_version})"
"""Which rule counts were made by; another version of Unicode may know more letters."""

SPACE, NEWLINE, POINT, COMMA, ZERO, NINE = b" \n.,09"


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where things are in a folded text.

    ``letters``  the text, in which whatever is no part of a word is a space
    ``spaces``   which bytes of it are
    ``starts``   the first byte of each word
    ``ends``     the ends of documents
    """

    letters: UInt8[np.ndarray, "byte"]
    spaces: Bool[np.ndarray, "byte"]
    starts: Int64[np.ndarray, "word"]
    ends: Int64[np.ndarray, "document"]


def folded(text: str) -> bytes:
    """A text as the matcher sees it, still with ``\\n``, ``.`` and ``,`` in it."""
    if text.isascii():
        return text.encode().translate(_ascii_table())
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return _unicode_table()[points].tobytes().decode("utf-32-le").encode()


def lay_out(text: bytes | bytearray) -> Layout:
    """Words and documents of a folded text that begins with a space. A mark at its very end is no part of a word."""
    letters = np.frombuffer(text, np.uint8).copy()
    ends = np.flatnonzero(letters == NEWLINE)
    marks = np.flatnonzero((letters == POINT) | (letters == COMMA))
    if len(marks):
        after = letters[np.minimum(marks + 1, len(letters) - 1)]
        letters[marks[~(_is_digit(letters[marks - 1]) & _is_digit(after))]] = SPACE
    letters[ends] = SPACE
    spaces = letters == SPACE
    starts = np.flatnonzero(spaces[:-1] & ~spaces[1:]) + 1
    return Layout(letters, spaces, starts, ends)


def words_of(term: str) -> list[bytes] | None:
    """The words of a term, folded; None if it is not words with one separator between two of them."""
    layout = lay_out(b" " + folded(term))
    words = layout.letters[1:].tobytes().split(b" ")
    return words if all(words) and not len(layout.ends) else None


def _is_digit(letters: UInt8[np.ndarray, "byte"]) -> Bool[np.ndarray, "byte"]:
    return (letters >= ZERO) & (letters <= NINE)


def _folded(point: int) -> int:
    """What a character is folded to, by their numbers."""
    character = chr(point)
    if point in (NEWLINE, POINT, COMMA):
        return point
    is_selector = 0xFE00 <= point < 0xFE10  # as after a symbol, in an emoji
    if character != "_" and (unicodedata.category(character)[0] not in "LMN" or is_selector):
        return SPACE
    return next(ord(form) for form in (character.casefold(), character.lower(), character) if len(form) == 1)


@lru_cache(maxsize=1)
def _ascii_table() -> bytes:
    return bytes(map(_folded, range(128))) + bytes(128)


@lru_cache(maxsize=1)
def _unicode_table() -> UInt32[np.ndarray, "point"]:
    table = np.full(0x110000, SPACE, np.uint32)
    known = 0x40000  # beyond there are no letters, marks or numbers but variation selectors
    table[:known] = [_folded(point) for point in range(known)]
    return table
