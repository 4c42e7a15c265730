"""Pairs made from templates, with a byte-level BPE and with a tokenizer of whole words."""

import re
from collections import Counter

import numpy as np
import pytest

from circuits.pairs import words
from circuits.pairs.templates import (
    greater_than_pairs,
    indirect_object_pairs,
    number_pairs,
    pronoun_pairs,
    year_tokens,
)
from tests.circuits.template_tokenizers import byte_level, word_level
from tests.suites.hub_format import tokenizer as with_few_words

NAMES = words.FEMALE_NAMES + words.MALE_NAMES
MAKERS = {
    "indirect": indirect_object_pairs,
    "swapped": lambda tokenizer, n, seed=0: indirect_object_pairs(tokenizer, n, corruption="swapped", seed=seed),
    "greater": greater_than_pairs,
    "number": number_pairs,
    "pronoun": pronoun_pairs,
}
FORMS = {"indirect": 16, "swapped": 16, "greater": 3, "number": 16, "pronoun": 8}
each = pytest.mark.parametrize("kind", MAKERS)


@pytest.fixture(scope="module", params=[byte_level, word_level], ids=lambda make: make.__name__)
def tokenizer(request):
    return request.param()


def texts_of(tokenizer, made):
    """Clean and corrupted texts, answers and wrong ones, without what the tokenizer puts before and between them."""
    for i in range(len(made)):
        rows = [made.clean[i][: made.lengths[i]], made.corrupted[i][: made.lengths[i]]]
        rows += [[made.answers[i]], [made.wrong_answers[i]]]
        texts = [tokenizer.decode(row, skip_special_tokens=True) for row in rows]
        yield [re.sub(r"(\d\d) (\d\d)\b", r"\1\2", re.sub(r" ([.,])", r"\1", text)).strip() for text in texts]


def template_of(text, templates, slots):
    """The template that a text is of, and what is in its slots."""
    found = []
    for template in templates:
        pattern = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
        for slot in slots:
            pattern = pattern.replace(f"{{{slot}}}", f"(?P<{slot}>{slots[slot]})", 1).replace(
                f"{{{slot}}}", f"(?P={slot})"
            )
        if match := re.fullmatch(pattern, text):
            found.append((template, match.groupdict()))
    assert len(found) == 1, text
    return found[0]


@each
def test_questions_differ_and_templates_are_used_equally_often(tokenizer, kind):
    made = MAKERS[kind](tokenizer, 50)
    assert len(made) == 50
    assert len({tuple(row) for row in made.clean.tolist()}) == 50
    again, other = MAKERS[kind](tokenizer, 50, seed=0), MAKERS[kind](tokenizer, 50, seed=1)
    assert (made.clean == again.clean).all()
    assert (made.corrupted == again.corrupted).all()
    assert made.clean.shape != other.clean.shape or (made.clean != other.clean).any()
    templates = (*words.INDIRECT_OBJECT, *words.LASTED, *words.BESIDE, *words.TOLD_OF)
    fixed = [re.sub(r"\{\w+\}", r"\\w+", re.escape(t).replace(r"\{", "{").replace(r"\}", "}")) for t in templates]
    counts = Counter(
        next(i for i, pattern in enumerate(fixed) if re.fullmatch(pattern, clean))
        for clean, *_ in texts_of(tokenizer, made)
    )
    per = FORMS[kind] // len(counts)
    assert len(counts) * per == FORMS[kind]
    assert max(counts.values()) - min(counts.values()) <= per
    order = [
        next(i for i, pattern in enumerate(fixed) if re.fullmatch(pattern, clean))
        for clean, *_ in texts_of(tokenizer, made)
    ]
    assert order != sorted(order)
    assert order != (order[: len(counts)] * 50)[:50]


@pytest.mark.parametrize("corruption", ["others", "swapped"])
def test_indirect_objects(tokenizer, corruption):
    slots = dict.fromkeys(("first", "second", "again", "place", "thing"), r"\w+")
    made = indirect_object_pairs(tokenizer, 64, corruption=corruption)
    forms = Counter()
    for clean, corrupted, answer, wrong in texts_of(tokenizer, made):
        template, read = template_of(clean, words.INDIRECT_OBJECT, slots)
        same, other = template_of(corrupted, words.INDIRECT_OBJECT, slots)
        assert template == same
        assert {read["first"], read["second"]} == {answer, wrong}
        assert read["again"] == wrong != answer
        names = [other[slot] for slot in ("first", "second", "again")]
        if corruption == "others":
            assert len({*names, answer, wrong}) == 5
        else:
            assert names == [read["first"], read["second"], answer]
        assert {answer, *names} <= set(NAMES)
        assert (read["place"], read["thing"]) == (other["place"], other["thing"])
        assert read["place"] in words.PLACES
        assert read["thing"] in words.THINGS
        forms[template, read["first"] == answer] += 1
    assert set(forms.values()) == {4}
    assert len(forms) == 16
    assert ((made.clean != made.corrupted).sum(1) == (3 if corruption == "others" else 1)).all()


def test_later_years(tokenizer):
    slots = {"event": r"\w+", "century": r"\d\d", "year": r"\d\d"}
    made = greater_than_pairs(tokenizer, 60)
    years = year_tokens(tokenizer)
    assert [int(tokenizer.decode([token])) for token in years] == list(range(100))
    for clean, corrupted, answer, wrong in texts_of(tokenizer, made):
        template, read = template_of(clean, words.LASTED, slots)
        assert template_of(corrupted, words.LASTED, slots) == (template, {**read, "year": "01"})
        assert int(answer) - 1 == int(wrong) == int(read["year"])
        assert 2 <= int(wrong) <= 98
        assert read["century"] in words.CENTURIES
        assert read["event"] in words.EVENTS
    assert len({clean[:20] for clean, *_ in texts_of(tokenizer, made)}) > 10
    assert (np.isin(made.answers, years) & np.isin(made.wrong_answers, years)).all()


def test_number(tokenizer):
    number = {noun: which for pair in words.NOUNS for which, noun in enumerate(pair)}
    forms = Counter()
    for clean, corrupted, answer, wrong in texts_of(tokenizer, number_pairs(tokenizer, 64)):
        template, read = template_of(clean, words.BESIDE, {"noun": r"\w+", "other": r"\w+"})
        same, changed = template_of(corrupted, words.BESIDE, {"noun": r"\w+", "other": r"\w+"})
        which = number[read["noun"]]
        assert (answer, wrong) == (("is", "are")[which], ("are", "is")[which])
        assert (template, read["other"]) == (same, changed["other"])
        assert {read["noun"], changed["noun"]} in [set(pair) for pair in words.NOUNS]
        assert not any({read["noun"], read["other"]} <= set(pair) for pair in words.NOUNS)
        forms[template, which, number[read["other"]]] += 1
    assert set(forms.values()) == {4}
    assert len(forms) == 16


def test_pronouns(tokenizer):
    forms = Counter()
    for clean, corrupted, answer, wrong in texts_of(tokenizer, pronoun_pairs(tokenizer, 48)):
        template, read = template_of(clean, words.TOLD_OF, {"name": r"\w+"})
        same, other = template_of(corrupted, words.TOLD_OF, {"name": r"\w+"})
        female = read["name"] in words.FEMALE_NAMES
        assert (answer, wrong) == (("she", "he") if female else ("he", "she"))
        assert other["name"] in (words.MALE_NAMES if female else words.FEMALE_NAMES)
        assert template == same
        forms[template, female] += 1
    assert set(forms.values()) == {6}
    assert len(forms) == 8


def test_a_pair_is_as_it_is_read_in_the_text():
    """Of whole texts: the answer is the one token that more text is longer by."""
    tokenizer = byte_level()
    made = indirect_object_pairs(tokenizer, 5)
    for i in range(5):
        clean = tokenizer.decode(made.clean[i][: made.lengths[i]])
        for token in (made.answers[i], made.wrong_answers[i]):
            longer = clean + tokenizer.decode([token])
            assert tokenizer(longer)["input_ids"] == [*tokenizer(clean)["input_ids"], token]
    assert made.d_vocab == len(tokenizer)


@pytest.mark.parametrize("make", [byte_level, word_level])
def test_words_that_are_no_single_token_are_left_out(make):
    left_out = {*NAMES[6:], *words.PLACES[1:], "keys", "32", "01" if make is word_level else "03"}
    tokenizer = make(left_out)
    found = {word for row in texts_of(tokenizer, indirect_object_pairs(tokenizer, 100)) for word in row[0].split()}
    assert not {word.strip(".,") for word in found} & left_out
    assert set(NAMES[:6]) <= {word.strip(".,") for word in found}
    read = " ".join(row[0] for row in texts_of(tokenizer, number_pairs(tokenizer, 100)))
    assert not re.search(r"\bkeys?\b", read)
    if make is byte_level:
        assert len(year_tokens(tokenizer)) == 98
        rows = list(texts_of(tokenizer, greater_than_pairs(tokenizer, 100)))
        assert not any(re.search(r"\d\d(03|32) ", row[0]) for row in rows)
        assert {int(row[2]) - int(row[3]) for row in rows if row[3] == "31"} <= {2}
    else:
        with pytest.raises(ValueError, match="none of the years 1102 to 1798 is two tokens"):
            greater_than_pairs(tokenizer, 10)
    with pytest.raises(ValueError, match=r"0 of the male names .* are single tokens of it .none.; expected at least 1"):
        pronoun_pairs(make(words.MALE_NAMES), 10)


def test_templates_with_words_that_are_not_known_are_left_out():
    tokenizer = word_level(("front", "When"))
    read = [row[0] for row in texts_of(tokenizer, number_pairs(tokenizer, 40))]
    assert not any("in" in text.split() for text in read)
    assert len({text.split()[2] for text in read}) == 3
    with pytest.raises(ValueError, match=r"it knows all words of none of the templates, such as 'The {noun} near"):
        number_pairs(word_level(("the",)), 10)


def test_what_is_refused(tokenizer):
    with pytest.raises(ValueError, match="corruption: got 'x'; expected one of others, swapped"):
        indirect_object_pairs(tokenizer, 5, corruption="x")
    for maker, most in ((number_pairs, 16 * 16 * 15), (pronoun_pairs, 8 * 23)):
        assert len(maker(tokenizer, most)) == most
        for n in (0, most + 1):
            with pytest.raises(ValueError, match=f"n: got {n}; expected 1 to {most}, the different questions"):
                maker(tokenizer, n)
    few = with_few_words()
    for maker, says in (
        (indirect_object_pairs, "0 of the names Mary, Anna, .* are single tokens of it .none.; expected at least 5"),
        (greater_than_pairs, r"none of the years 1102 to 1798 is two tokens, as 17\|32, in"),
        (number_pairs, "of the verbs is, are are single tokens of it .is.; expected at least 2"),
        (pronoun_pairs, "of the pronouns she, he are single tokens"),
    ):
        with pytest.raises(ValueError, match=says):
            maker(few, 5)
    with pytest.raises(ValueError, match="of a century 0 years are two tokens"):
        year_tokens(few)


def test_two_names_are_enough_to_swap():
    tokenizer = byte_level(set(NAMES) - {"Mary", "John"})
    made = indirect_object_pairs(tokenizer, 20, corruption="swapped")
    assert {row[2] for row in texts_of(tokenizer, made)} == {"Mary", "John"}
    with pytest.raises(ValueError, match=r"2 of the names .* \(Mary, John\); expected at least 5"):
        indirect_object_pairs(tokenizer, 20)
