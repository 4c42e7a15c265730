"""What is read as an answer, and when it can no longer change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.fewshot.answers import LONGEST, first_line, is_decided, number_in

TABLE = [
    (" 432", 432),
    ("432", 432),
    (" 432.", 432),
    (" 432.\n", 432),
    (" 432\nQ: What is 3 times 5? A: 15", 432),
    (" The answer is 432, and 24 times 19 is 456", 432),
    (" 24 times 18 is 432", 24),
    ("432Q", 432),
    (" 0432", 432),
    (" 0", 0),
    ("", None),
    (" many", None),
    ("\n432", None),
    ("\r\n432", None),
    (" the answer\n432", None),
    (" -5", -5),
    (" \N{MINUS SIGN}5", -5),
    ("-5\n", -5),
    (" =-5", -5),
    (" - 5", 5),
    (" x-5", 5),
    (" 12-5", 12),
    (" -0", 0),
    (" 4,950", 4950),
    (" 1,234,567", 1234567),
    (" -4,950.", -4950),
    (" 4, 950", 4),
    (" 4,95", 4),
    (" 4,9500", 4),
    (" 1,024,5", 1024),
    (" 4950,123", 4950),
    (" 43.2", None),
    (" 432.0", None),
    (" 4,950.5", None),
    (" .5", None),
    (" ...5", 5),
    (" A.5", 5),
    (" 43.2 or 432", None),
    (" 50%", 50),
    (" $432", 432),
    (" \N{ARABIC-INDIC DIGIT FOUR} 7", 7),
    ("9" * LONGEST, int("9" * LONGEST)),
    ("9" * (LONGEST + 1), None),
    ("9" * 10_000, None),
]


@pytest.mark.parametrize(("text", "number"), TABLE, ids=[repr(text[:30]) for text, _ in TABLE])
def test_what_is_read(text, number):
    assert number_in(text) == number


@pytest.mark.parametrize(
    ("text", "decided"),
    [
        ("", False),
        (" many", False),
        (" 4", False),
        (" 4 ", True),
        (" 4x", True),
        (" 4.", False),
        (" 4. ", True),
        (" 4..", True),
        (" 4,", False),
        (" 4,9", False),
        (" 4, ", True),
        (" 4.9", True),
        (" .4", True),
        (" -4\n", True),
        ("\n", True),
        ("so\n", True),
        ("\r", True),
        (" 4,950", False),
        (" 4,950 ", True),
    ],
)
def test_when_it_is_decided(text, decided):
    assert is_decided(text) is decided


pieces = st.lists(st.sampled_from([*"0123456789", *" .,-\nxQ", "\N{MINUS SIGN}", "12", ",000", "\r"]), max_size=12)


@given(pieces.map("".join), pieces.map("".join))
def test_nothing_that_comes_later_changes_what_is_decided(before, after):
    if is_decided(before):
        assert is_decided(before + after)
        assert number_in(before) == number_in(before + after)


@given(pieces.map("".join))
def test_a_line_that_has_ended_is_decided_and_only_its_own_text_counts(text):
    assert is_decided(text + "\n")
    assert number_in(text + "\n7") == number_in(text)
    assert not set("\r\n") & set(first_line(text))
