"""What a word is: the rule as it is stated, and against the reference on any text."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.corpus.words import folded, lay_out, words_of
from tests.corpus import reference


def found_in(text):
    """The words of a text, as the fast path has them."""
    layout = lay_out(b" " + folded(text))
    letters = layout.letters.tobytes()
    return [letters[start:].split(b" ")[0].decode("utf-8", "surrogatepass") for start in layout.starts]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "24",
            "24.",
            "24,",
            "24%",
            "$24",
            "-24",
            "18-24",
            "24/7",
            "24:00",
            "(24)",
            "24's",
            "24\u2019s",
            "“24”",
            "24*18",
        ),
        *(
            "24\u00d718",
            "24…",
            "x = 24",
            "24\u00a0kg",
            "№ 24",
            "24—25",
            "24.x",
            "x.24",
            "1 . 24",
            "24. 5",
            ",24",
            ".24",
        ),
        *("☎️24", "24️", "24\t", "#24", "@24", "24=", "24+18", "24 °C", "24€", "24\u200b5", "24\x00", "24\ufffd"),
    ],
)
def test_24_is_a_word_of(text):
    assert "24" in found_in(text)
    assert "24" in [word for word, _, _ in reference.words(text)]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "124",
            "240",
            "24.5",
            "2.24",
            "2,400",
            "1,24",
            "24,000",
            "18,24",
            "24th",
            "x24",
            "24x18",
            "24_",
            "_24",
            "24²",
        ),
        *(
            "24.12.2020",
            "192.168.24.1",
            "é24",
            "24é",
            "24歳",
            "٢24",
            "\uff12\uff14",
            "½24",
            "24\u0301",
            "Ⅷ24",
            "0x24",
            "24kg",
        ),
    ],
)
def test_24_is_no_word_of(text):
    assert "24" not in found_in(text)
    assert "24" not in [word for word, _, _ in reference.words(text)]


def test_letters_are_compared_without_their_case():
    assert found_in("New NEW École ÉCOLE ΟΔΟΣ οδος ẞ ß Москва İ") == [
        *("new", "new", "école", "école", "οδοσ", "οδοσ", "ß", "ß", "москва", "İ"),
    ]


def test_every_character_is_folded_as_the_reference_does_and_folding_twice_changes_nothing():
    every = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    kept = {"\n", ".", ","}
    wanted = "".join(c if c in kept else reference.fold(c) if reference.belongs(c, 0) else " " for c in every)
    once = folded("".join(every)).decode()
    assert once == wanted
    assert folded(once).decode() == once


def test_ascii_and_other_text_are_folded_alike():
    ascii_text = "".join(map(chr, range(128)))
    assert folded(ascii_text + "é")[:128] == folded(ascii_text)


texts = st.text(st.one_of(st.sampled_from(list("aZ059.,-' \t_é²日\u0301\ufe0f٣")), st.characters()), max_size=30)


@given(texts.map(lambda text: text.replace("\n", " ")))
def test_words_are_those_of_the_reference(text):
    found = reference.words(text)
    assert found_in(text) == [
        word.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass") for word, _, _ in found
    ]


@given(texts)
def test_documents_end_where_lines_do(text):
    layout = lay_out(b" " + folded(text))
    assert len(layout.ends) == text.count("\n")
    n_before = np.searchsorted(layout.starts, layout.ends)
    lines = text.split("\n")
    assert n_before.tolist() == np.cumsum([len(reference.words(line)) for line in lines])[:-1].tolist()


@pytest.mark.parametrize(
    ("term", "words"),
    [("24", [b"24"]), ("New York", [b"new", b"york"]), ("don't", [b"don", b"t"]), ("2,400.5", [b"2,400.5"])],
)
def test_words_of_a_term(term, words):
    assert words_of(term) == words


@pytest.mark.parametrize("term", ["", " ", "24.", "$24", "C++", "new  york", " york", "a, b", "a\nb", "\n", "☎", "a\n"])
def test_what_is_no_term(term):
    assert words_of(term) is None
