"""How operands are split, and which of them are warned about."""

import re
import warnings

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import ByT5Tokenizer

from probe.fewshot.questions import Questions
from probe.fewshot.splits import splits_of, uneven, warn_of_uneven
from tests.fewshot import rigged
from tests.suites import hub_format


def questions(operands, partners="1-3", template=rigged.TEMPLATE):
    return Questions("multiplication", operands, partners, 0, template)


@pytest.mark.parametrize("template", [rigged.TEMPLATE, "{a} times {b}", "{b}-{a}?", "so {b} many {a}"])
@pytest.mark.parametrize("place", ["a", "b"])
def test_numbers_as_they_stand_in_the_question(template, place):
    read = rigged.tokenizer(without=(12,))
    asked = questions("5,12,13", "5,12,13", template)
    assert splits_of(asked, read, place, "m") == {5: (1,), 12: (1, 1), 13: (2,)}


def test_a_token_that_holds_more_than_the_number():
    """Of a byte-level tokenizer the space before a number is part of its first token."""
    texts = [rigged.TEMPLATE.format(a=a, b=b) for a in (24, 24, 23) for b in (18, 19, 7)] * 9
    read = hub_format.tokenizer(texts, vocab_size=60)
    asked = questions("24,237,28", "18,19")
    assert splits_of(asked, read, "a", "m") == {24: (2,), 28: (1, 1), 237: (2, 1)}
    assert all(sum(split) == 2 for split in splits_of(asked, read, "b", "m").values())


def test_tokens_that_are_put_around_every_text_are_none_of_a_number():
    read = rigged.tokenizer()
    read.backend_tokenizer.post_processor = TemplateProcessing(f"{rigged.END} $A {rigged.END}", None, [(rigged.END, 1)])
    assert splits_of(questions("1-12", template="{a} times {b}"), read, "a", "m")[12] == (2,)
    assert splits_of(questions("1-12", template="{a} times {b}"), read, "b", "m")[3] == (1,)


def test_a_tokenizer_that_does_not_say_which_token_is_where():
    read = ByT5Tokenizer()
    assert not read.is_fast
    found = splits_of(questions("7,24,108"), read, "a", "m")
    assert {n: len(split) for n, split in found.items()} == {7: 1, 24: 2, 108: 3}
    assert uneven(found) == {}


def test_a_space_that_is_a_token_only_where_no_number_follows():
    """As where a space before a word is part of its token: at the end of a text it is one by itself."""

    class Slow:
        is_fast, unk_token_id = False, None

        def __call__(self, texts, add_special_tokens):
            assert not add_special_tokens
            return {
                "input_ids": [[hash(word) for word in re.findall(r" ?[0-9]{1,2}| ?\w+| |[^\w ]", t)] for t in texts]
            }

    found = splits_of(questions("7,24,108"), Slow(), "a", "m")
    assert {n: len(split) for n, split in found.items()} == {7: 1, 24: 1, 108: 2}


def test_a_number_that_cannot_be_written():
    read = rigged.made([*rigged.WORDS, *"012345689", "17"])
    with pytest.raises(ValueError, match=r"^operands: the tokenizer of m has no tokens for 7, 27; expected numbers"):
        splits_of(questions("7,17,27,28"), read, "a", "m")
    with pytest.raises(ValueError, match=r"^partners: the tokenizer of m has no tokens for 7; expected"):
        splits_of(questions("8", "7-8"), read, "b", "m")
    silent = hub_format.tokenizer()  # it drops what it does not know
    with pytest.raises(ValueError, match=r"^operands: the tokenizer of m has no tokens for 8; expected"):
        splits_of(questions("8"), silent, "a", "m")


@pytest.mark.parametrize(
    ("splits", "otherwise"),
    [
        ({7: (1,), 8: (1,), 23: (2,), 24: (2,), 25: (1, 1)}, {25: (2,)}),
        ({7: (1,), 23: (1, 1), 24: (1, 1), 108: (1, 2)}, {}),  # each number of digits by itself
        ({123: (1, 2), 124: (1, 2), 125: (2, 1)}, {125: (1, 2)}),  # as many tokens, but others
        ({23: (1, 1), 24: (2,)}, {23: (2,)}),  # as many of each: the fewest tokens
        ({0: (1,)}, {}),
        ({23: (0, 0), 24: (0, 0), 25: (0,)}, {25: (0, 0)}),
    ],
)
def test_which_are_split_otherwise(splits, otherwise):
    assert uneven(splits) == otherwise


def test_the_warning_names_them_once():
    of_a, of_b = {23: (2,), 24: (1, 1), 25: (2,), 26: (2,)}, {1: (1,), 24: (2,), 29: (2,), 30: (1, 1)}
    says = (
        "operands: the tokenizer of small, large splits 24, 30 otherwise than most numbers of as many digits"
        " (24 into 2 tokens of 1 + 1 digits, most into 1 token): of these accuracy"
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(says)}") as caught:
        warn_of_uneven([of_a, of_b], ["small", "large"])
    assert len(caught) == 1
    many = {n: (1, 1) if n % 2 else (2,) for n in range(11, 99)}
    with pytest.warns(UserWarning, match=r"splits 11, 13, .*, 49 and 24 more otherwise"):
        warn_of_uneven([many], ["m"])
    with pytest.warns(UserWarning, match=r"\(25 into 1 token, most into 2 tokens\)"):
        warn_of_uneven([{23: (0, 0), 24: (0, 0), 25: (0,)}], ["m"])


def test_of_numbers_that_are_alike_nothing_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_uneven([{1: (1,), 23: (1, 1), 24: (1, 1)}, {}], ["m"])
