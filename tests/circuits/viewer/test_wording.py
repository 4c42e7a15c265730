"""Tokens by name: every family's questions read as what they ask. And where their answers are looked at."""

import numpy as np
import pytest

from circuits.viewer.questions import operands_of, questions_of
from circuits.viewer.wording import title_of, token_names
from probe.algebra import group
from probe.tasks import (
    NOT_SCORED,
    Addition,
    Biographies,
    Facts,
    GroupComposition,
    Mixture,
    ModularArithmetic,
    Multiplication,
    Part,
    RepeatedTokens,
    Subtraction,
    Text,
)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    corpus = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    corpus.write_text("\n".join(f"the cat {number} sat on a mät" for number in range(40)))
    return Text(str(corpus), length=8, n_tokens=280)


MODULAR, GROUP = ModularArithmetic(7, "a-b"), GroupComposition("S3", 0.8)
FACTS = Facts(20, relations=2, values=3, phrasings=2, trained_phrasings=1)
PEOPLE = Biographies(20, attributes=2, values=3, phrasings=2)
REPEATED = RepeatedTokens(20, 12, 3, 5, bos=True)
MIXTURE = Mixture((Part("sums", Addition("0-4"), 1.0), Part("facts", FACTS, 2.0)), total=400)
TASKS = {
    "a-b mod 7": MODULAR,
    "composition in S3": GROUP,
    "a * b of 5 numbers, 0 to 4": Multiplication("0-4"),
    "a - b of 12 numbers, 0 to 11": Subtraction("0-11", notation="digits"),
    "40 facts about 20 subjects": FACTS,
    "biographies of 20 people": PEOPLE,
    "repeated sequences of 3 to 5 of 12 tokens": REPEATED,
    "mixture of sums, facts": MIXTURE,
}


def read(task, example):
    """A question and its first answer, as they are shown."""
    names, questions = token_names(task), questions_of(task)
    asked = [names[token] for token in questions.tokens[example, : questions.lengths[example]]]
    return asked, names[questions.answers[example]]


@pytest.mark.parametrize("title", TASKS)
def test_every_token_has_a_name_of_its_own(title):
    names = token_names(TASKS[title])
    assert len(names) == len(set(names)) == TASKS[title].d_vocab
    assert title_of(TASKS[title]) == title


def test_sums_products_and_compositions_read_as_such():
    assert read(MODULAR, 7 * 3 + 5) == (["3", "5", "="], "5")
    assert read(Multiplication("0-4"), 5 * 3 + 4) == (["3", "*", "4", "="], "12")
    assert read(Subtraction("0-11", notation="digits"), 12 * 3 + 11) == (["+", "0", "3", "-", "+", "1", "1", "="], "-")
    elements, table = group("S3").elements, group("S3").table
    assert read(GROUP, 6 * 2 + 4) == ([elements[2], elements[4], "="], elements[table[2, 4]])


def test_facts_and_biographies_read_as_such():
    for example, fact in enumerate(FACTS.fact):
        asked, answer = read(FACTS, example)
        word = f"r{fact % 2}?{FACTS.phrasing[example]}"
        assert asked.index(word) == (2 if FACTS.phrasing[example] == 0 else 0)
        assert sorted(name.rstrip("0123456789") for name in asked if name != word) == ["first", "last"]
        assert answer == f"r{fact % 2}={FACTS.value[fact]}"
    one = Facts(20, relations=2, values=3)
    assert token_names(one)[-2:] == ["r0?", "r1?"]
    for example in (0, 1, 45, 60, 61, 79):
        asked, answer = read(PEOPLE, example)
        person = PEOPLE.person[example]
        attribute = example % 2 if PEOPLE.is_question[example] else 0
        told = f"a{attribute}?" if PEOPLE.is_question[example] else asked[2]
        assert sorted(name.rstrip("0123456789") for name in asked if name != told) == ["first", "last"]
        assert told in (f"a{attribute}?", f"a{attribute}~0", f"a{attribute}~1")
        assert answer == f"a{attribute}={PEOPLE.value[person, attribute]}"


def test_repeated_sequences_are_asked_for_their_last_token():
    for example in range(20):
        asked, answer = read(REPEATED, example)
        length = REPEATED.sequence_lengths[example]
        sequence = [str(token) for token in REPEATED.sequences[example, :length]]
        assert asked[0] == "BOS"
        assert asked[1 - 2 * length :] == [*sequence, *sequence[:-1]]
        assert answer == sequence[-1]


def test_parts_of_a_mixture_are_named():
    assert read(MIXTURE, 5 * 3 + 4) == (["sums:3", "sums:+", "sums:4", "sums:="], "sums:7")
    assert all(name.startswith("facts:") for name in read(MIXTURE, 26)[0])


def test_texts_read_as_they_are(text):
    names = token_names(text)
    assert title_of(text) == "next token of a text, in sequences of 8"
    questions = questions_of(text)
    shown = "".join(names[token] for row in text.tokens for token in row)
    assert "the cat 3 sat on a mät<|endoftext|>" in shown
    assert questions.lengths.tolist() == [8] * len(questions)
    assert questions.answers.tolist() == text.targets[:, -1].tolist()
    assert not [name for name in names if "\N{REPLACEMENT CHARACTER}" in name]


@pytest.mark.parametrize("title", TASKS)
def test_questions_end_where_something_is_answered(title):
    task = TASKS[title]
    questions = questions_of(task)
    for example in range(0, len(questions), 7):
        last = questions.lengths[example] - 1
        assert questions.answer_positions[example] == last
        assert task.targets[example, last] == questions.answers[example] != NOT_SCORED
        scored = np.flatnonzero(task.targets[example] != NOT_SCORED)
        assert last == (scored[-1] if task is REPEATED else scored[0])


def test_operands_are_those_that_are_read():
    for task in (MODULAR, GROUP, Multiplication("0-4"), Subtraction("2,5,9")):
        operands = operands_of(task)
        for example, (first, second) in enumerate(operands.places.tolist()):
            asked = read(task, example)[0]
            assert [asked[0], asked[1 if task in (MODULAR, GROUP) else 2]] == [
                operands.names[first],
                operands.names[second],
            ]
    assert operands_of(FACTS) is operands_of(REPEATED) is None
