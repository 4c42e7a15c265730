"""What is asked, in which words, with which examples."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from probe.fewshot.examples import draw_examples, mirrors, n_others
from probe.fewshot.questions import Questions
from probe.fewshot.template import Template

numbers = st.lists(st.integers(0, 12), min_size=1, max_size=6, unique=True)


def questions(**given):
    return Questions(
        **{"operation": "multiplication", "operands": "2-4", "partners": "1-3", "shots": (0, 2), "template": None}
        | given
    )


@pytest.mark.parametrize(
    ("operation", "word", "result"),
    [("addition", "plus", 31), ("subtraction", "minus", 17), ("multiplication", "times", 168)],
)
def test_the_words_and_the_results(operation, word, result):
    asked = questions(operation=operation, operands="24", partners="7,30", shots=(0, 1))
    assert asked.prompts(0) == [f"Q: What is 24 {word} 7? A:", f"Q: What is 24 {word} 30? A:"]
    assert asked.results[0] == result
    other = {"addition": 54, "subtraction": -6, "multiplication": 720}[operation]
    assert asked.results.tolist() == [result, other]
    assert asked.prompts(1) == [
        f"Q: What is 24 {word} 30? A: {other}\nQ: What is 24 {word} 7? A:",
        f"Q: What is 24 {word} 7? A: {result}\nQ: What is 24 {word} 30? A:",
    ]


def test_the_way_of_the_published_evaluation_of_pythia():
    asked = questions(operands="24", partners="7,30", shots=1, template="Q: What is {a} times {b}? A:{answer}\n\n")
    assert asked.prompts(1)[0] == "Q: What is 24 times 30? A:720\n\nQ: What is 24 times 7? A:"
    assert asked.prompts(0)[0] == "Q: What is 24 times 7? A:"


@pytest.mark.parametrize(
    ("text", "question", "example", "spans"),
    [
        ("{a} and {b}", "3 and 12", "3 and 12 36\n", {"a": (0, 1), "b": (6, 8)}),
        ("{b}, {a} ", "12, 3 ", "12, 3 36\n", {"a": (4, 5), "b": (0, 2)}),
        ("{a}{b}{a}=", "3123=", "3123= 36\n", {"a": (0, 1), "b": (1, 3)}),
        ("{{{a}}} x {b} = <{answer}>;", "{3} x 12 = <", "{3} x 12 = <36>;", {"a": (1, 2), "b": (6, 8)}),
    ],
)
def test_templates(text, question, example, spans):
    template = Template(text)
    assert template.question(3, 12) == question
    assert template.example(3, 12, 36) == example
    for place, (start, stop) in spans.items():
        assert template.span(3, 12, place) == (start, stop)
        assert question[start:stop] == {"a": "3", "b": "12"}[place]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("What is {a}?", "it lacks {b}"),
        ("What?", "it lacks {a} and {b}"),
        ("", "it lacks {a} and {b}"),
        ("{a} {b} {c}", "it has {c}"),
        ("{a} {b} {}", "it has {}"),
        ("{a:03d} {b}", "it has {a:03d}"),
        ("{a!r} {b}", "it has {a!r}"),
        ("{a.real} {b}", "it has {a.real}"),
        ("{answer} {a} {b}", "{answer} is not the last field"),
        ("{a} {b} {answer} {answer}", "{answer} is not the last field"),
        ("{a} {b", "expected '}'"),
        ("{a} {b} }", "Single '}'"),
    ],
)
def test_templates_that_are_none(text, problem):
    with pytest.raises(ValueError, match=rf"template: got {re.escape(repr(text))}.*{re.escape(problem)}"):
        questions(template=text)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"operation": "division"}, "operation: got 'division'; expected one of addition, subtraction, multiplication"),
        ({"operands": "2-x"}, "operands: got '2-x' in '2-x'; expected a number"),
        ({"operands": "9-2"}, "operands: got '9-2'"),
        ({"operands": "-3"}, "operands: got '-3'"),
        ({"partners": "two"}, "partners: got 'two' in 'two'; expected a number"),
        ({"operands": []}, "operands: got none; expected one or more"),
        ({"partners": [1.5]}, "partners: got 1.5; expected whole numbers from 0"),
        ({"partners": [-1]}, "partners: got -1; expected whole numbers from 0"),
        ({"operands": [True]}, "operands: got True"),
        ({"operands": [1 << 31]}, "operands: got 2147483648"),
        ({"operands": None}, "operands: got None"),
        ({"shots": -1}, "shots: got -1; expected whole numbers from 0 to 7: there are 9 facts"),
        ({"shots": (0, 8)}, "shots: got 8; expected whole numbers from 0 to 7"),
        ({"shots": (0.5,)}, "shots: got 0.5"),
        ({"shots": True}, "shots: got True"),
        ({"shots": "4"}, "shots: got '4'"),
        ({"shots": ()}, "shots: got none"),
        ({"seed": -1}, "seed: got -1; expected a whole number"),
        ({"seed": 1.0}, "seed: got 1.0"),
    ],
)
def test_what_cannot_be_asked(given, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        questions(**given)


def test_numbers_are_taken_in_any_form_and_products_are_exact():
    asked = questions(operands=np.array([7, 3, 3]), partners=[(1 << 31) - 1], shots=[1, 0, 1])
    assert (asked.operands, asked.shots) == ((3, 7), (0, 1))
    assert asked.results.tolist() == [3 * ((1 << 31) - 1), 7 * ((1 << 31) - 1)]


@given(numbers, numbers, st.integers(0, 5), st.data())
def test_neither_the_asked_fact_nor_its_mirror_is_among_the_examples(operands, partners, seed, data):
    most = n_others(Questions("multiplication", operands, partners, 0).facts)
    k = data.draw(st.integers(0, most))
    asked = Questions("subtraction", operands, partners, k, "{a} {b}", seed)
    for (a, b), prompt in zip(asked.facts.tolist(), asked.prompts(k), strict=True):
        *shown, question = prompt.split("\n")
        assert question == f"{a} {b}"
        assert len(shown) == k == len(set(shown))
        for example in shown:
            x, y, result = map(int, example.split())
            assert {(x, y), (y, x)}.isdisjoint({(a, b)})
            assert result == x - y
            assert x in operands
            assert y in partners


@given(numbers, numbers, st.integers(0, 3))
def test_fewer_examples_are_the_first_of_more(operands, partners, seed):
    facts = Questions("addition", operands, partners, 0).facts
    most = n_others(facts)
    drawn = draw_examples(facts, most, seed)
    for k in range(most + 1):
        np.testing.assert_array_equal(draw_examples(facts, k, seed), drawn[:, :k])


def test_the_prompts_of_fewer_examples_begin_as_those_of_more():
    asked = questions(operands="0-9", shots=(0, 1, 4))
    for question, one, four in zip(*(asked.prompts(n) for n in (0, 1, 4)), strict=True):
        assert one.endswith(f"\n{question}")
        assert four.startswith(one.removesuffix(question))
        assert len(four.split("\n")) == 5
    assert questions(operands="0-9", shots=1).prompts(1) == asked.prompts(1)


def test_facts_in_any_order():
    """The mirror of one is the first of all."""
    facts = np.array([[2, 1], [3, 3], [1, 2], [4, 1]])
    for seed in range(30):
        drawn = draw_examples(facts, 2, seed)
        assert [set(row) for row in drawn[[0, 2]].tolist()] == [{1, 3}, {1, 3}]
        assert all(i not in row and len(set(row)) == 2 for i, row in enumerate(drawn.tolist()))


def test_a_seed_draws_the_same_and_another_others():
    first, same, other = (questions(operands="0-9", seed=seed).prompts(2) for seed in (3, 3, 4))
    assert first == same
    assert np.mean([one != two for one, two in zip(first, other, strict=True)]) > 0.9


def test_every_other_fact_is_drawn_equally_often_in_every_place():
    facts = Questions("multiplication", "1-3", "1-3", 0).facts
    drawn = np.stack([draw_examples(facts, 4, seed) for seed in range(2000)])  # [seed, fact, place]
    for fact, mirror in enumerate(mirrors(facts)):
        others = [i for i in range(9) if i not in (fact, mirror)]
        for place in range(4):
            counts = Counter(drawn[:, fact, place].tolist())
            assert sorted(counts) == others
            assert chisquare([counts[i] for i in others]).pvalue > 1e-5
    # what was drawn first says nothing of what comes next, but that it does not come again
    after = Counter(drawn[drawn[:, 0, 0] == 5, 0, 1].tolist())
    assert sorted(after) == [i for i in range(9) if i not in (0, 5)]
    assert chisquare(list(after.values())).pvalue > 1e-5


def test_mirrors():
    facts = Questions("addition", "1-3", "2-4", 0).facts
    pairs = list(map(tuple, facts.tolist()))
    for i, (a, b) in enumerate(pairs):
        assert mirrors(facts)[i] == (pairs.index((b, a)) if (b, a) in pairs else -1)
    assert n_others(facts) == 7
    assert n_others(Questions("addition", "1-3", "4-5", 0).facts) == 5
    assert n_others(Questions("addition", "1", "1", 0).facts) == 0
