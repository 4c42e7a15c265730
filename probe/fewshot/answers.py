"""What a model has answered, from the text that it went on with."""

import re

RULE = "first whole number of the first line, 1"
"""How answers are read; it is part of what a stored answer depends on, and changes with the rule."""

LONGEST = 100
"""Digits of the longest number that is read: a model that goes on writing digits has not answered."""

_LINE_END = re.compile(r"[\r\n]")
_NUMBER = re.compile(
    r"(?:(?<!\w)(?P<sign>[-\N{MINUS SIGN}]))?"  # not the one of x-5
    r"(?P<point>(?<![.\w])\.)?"  # .5, but not ...5
    r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"  # 1,024 or 1024
    r"(?P<places>\.[0-9])?"
)


def first_line(text: str) -> str:
    """What comes before the first line end."""
    return _LINE_END.split(text, maxsplit=1)[0]


def number_in(text: str) -> int | None:
    """The first number of the first line, if it is a whole one; None if it is not, or there is none.

    A sign belongs to the number if it stands right before it and not right behind a word or a number. Commas between
    groups of three digits are part of it. A number with decimal places, or with more than ``LONGEST`` digits, is no
    answer, nor is what follows it asked for.
    """
    found = _NUMBER.search(first_line(text))
    if found is None or found["point"] or found["places"]:
        return None
    digits = found["whole"].replace(",", "")
    if len(digits) > LONGEST:
        return None
    return -int(digits) if found["sign"] else int(digits)


def is_decided(text: str) -> bool:
    """Whether nothing that comes after this text can change the answer."""
    if _LINE_END.search(text):
        return True
    found = _NUMBER.search(text)
    if found is None:
        return False
    if found["point"] or found["places"]:
        return True
    after = text[found.end() :]
    if after[:1] in (",", "."):  # a digit may come, and another group or decimal places with it
        return len(after) > 1 and not after[1].isdecimal()
    return after != ""
