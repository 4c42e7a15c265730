"""Arithmetic with controlled exposure: what is shown, how often, what is held out, and how it is written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.tasks import Addition, Multiplication, Subtraction, Table, Task, Uniform, Zipf, task_from_dict, task_to_dict
from probe.tasks.arithmetic import number_list

KINDS = {"*": Multiplication, "+": Addition, "-": Subtraction}


def read_back(task, example):
    """The question and the taught answer as text, from tokens and targets alone."""
    words = [task.vocabulary[token] for token in task.tokens[example]]
    scored = [position for position in range(task.n_ctx) if task.targets[example, position] != -1]
    question = words[: scored[0] + 1]
    answer = [task.vocabulary[task.targets[example, position]] for position in scored]
    assert words[scored[0] + 1 :] == answer[:-1]  # all of the answer but its last token is read
    return question, answer


@pytest.mark.parametrize("sign", KINDS)
@pytest.mark.parametrize("notation", ["whole", "digits"])
def test_every_fact_reads_as_its_equation(sign, notation):
    task = KINDS[sign]("0-11,24", notation=notation)
    assert isinstance(task, Task)
    assert len(task.tokens) == 13 * 13
    for example, (a, b) in enumerate(task.facts.tolist()):
        question, answer = read_back(task, example)
        assert int("".join(answer)) == {"*": a * b, "+": a + b, "-": a - b}[sign]
        text = "".join(question)
        assert text.endswith("=")
        left, right = text[:-1].split(sign) if sign != "-" or notation == "whole" else (text[:3], text[4:-1])
        assert (int(left), int(right)) == (a, b)
    assert set(task.targets[task.targets != -1]) <= set(task.answer_tokens.tolist())
    assert task.tokens.max() < task.d_vocab == len(set(task.vocabulary))


def test_digits_have_leading_zeros_so_that_all_have_equally_many():
    task = Multiplication("0-99", notation="digits", prompt="Q: What is {a} times {b}? A:")
    example = 24 * 100 + 18
    question, answer = read_back(task, example)
    assert question == ["Q", ":", "What", "is", "2", "4", "times", "1", "8", "?", "A", ":"]
    assert answer == ["0", "4", "3", "2"]
    assert task.texts[example] == "Q: What is 24 times 18? A:"
    assert (task.scored, task.n_answers) == ((11, 12, 13, 14), 10)


def test_what_a_model_said_reads_as_a_number_where_it_is_one():
    task = Subtraction("0-11", notation="digits")
    assert task.said(np.array([[11, 0, 5], [10, 1, 0], [10, 0, 0], [3, 11, 4]])) == ["-5", "10", "0", "3-4"]
    whole = Multiplication("3-5")
    assert whole.said(whole.scored_answers) == [str(n) for n in whole.right]


def test_whole_numbers_are_answered_by_one_token():
    task = Multiplication("3-5")
    assert task.vocabulary == ("3", "4", "5", "9", "12", "15", "16", "20", "25", "*", "=")
    assert task.scored == (3,)
    assert [task.vocabulary[token] for token in task.answer_tokens] == ["9", "12", "15", "16", "20", "25"]
    assert [task.vocabulary[task.answer_tokens[i]] for i in task.answers] == [str(n) for n in task.right]


@given(
    sign=st.sampled_from(list(KINDS)),
    split=st.sampled_from(["unordered", "ordered"]),
    held_out=st.floats(0.1, 0.6),
    poisoned=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 50),
)
def test_what_is_shown(sign, split, held_out, poisoned, seed):
    task = KINDS[sign]("2-9", frequency=Zipf(total=3000), held_out=held_out, poisoned=poisoned, split=split, seed=seed)
    grid = task.declared.reshape(8, 8)
    shown = task.exposures.reshape(8, 8)
    assert grid.sum() in (2999, 3000)  # one is left where all that fits is a pair of mirrors
    assert ((shown == 0) | (shown == grid)).all()
    if split == "unordered" and sign != "-":
        assert ((shown > 0) == (shown > 0).T).all()
        taught = task.taught.reshape(8, 8)
        assert (taught == taught.T).all()
    subsets = task.subsets
    assert (sum(subsets[name].astype(int) for name in subsets if name != "all") == 1).all()
    assert not task.exposures[subsets["test"]].any()
    assert task.exposures[~subsets["test"]].all()
    wrong = task.taught != task.right
    assert (wrong == task.poisoned_mask).all()
    assert wrong.any() == (poisoned > 0)
    assert np.isin(task.taught, task.right).all()


def test_the_seed_draws_ranks_held_out_and_poisoned_facts():
    one, other = (Multiplication("2-9", frequency=Zipf(total=3000), poisoned=0.2, seed=seed) for seed in (0, 1))
    for drawn in ("declared", "train_mask", "poisoned_mask"):
        assert (getattr(one, drawn) != getattr(other, drawn)).any(), drawn
    assert (one.exposures == Multiplication("2-9", frequency=Zipf(total=3000), poisoned=0.2).exposures).all()


def test_a_task_is_what_it_is_written_down_as():
    for task in (
        Multiplication(range(3, 9), frequency=Table(((3, 4, 2), (5, 5, 1))), held_out=0.1),
        Addition("0-9", notation="digits", seed=3, frequency=Uniform(2)),
        Subtraction("0-9", poisoned=0.1, prompt="{a} less {b} is", split="ordered"),
    ):
        again = task_from_dict(task_to_dict(task))
        assert again == task
        assert hash(again) == hash(task)
        assert (again.tokens == task.tokens).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"operands": "0-"}, "operands: got '0-'"),
        ({"operands": "9-3"}, "operands: got '9-3'"),
        ({"operands": "5"}, "operands: got '5'; expected two or more"),
        ({"notation": "roman"}, "notation: got 'roman'"),
        ({"split": "mirror"}, "split: got 'mirror'"),
        ({"seed": -1}, "seed: got -1"),
        ({"poisoned": 1.0}, "poisoned: got 1.0"),
        ({"poisoned": 1e-9}, "poisoned: 1e-09 of"),
        ({"prompt": "{a} times {a} ="}, "prompt: got"),
        ({"prompt": "{a} times {b}"}, "prompt: got"),
        ({"held_out": 0.0}, "held_out: got 0.0"),
        ({"held_out": float("nan")}, "held_out: got nan"),
        ({"frequency": Table(((77, 1, 2),))}, "frequency.rows"),
    ],
)
def test_bad_fields_are_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        Multiplication(**{"operands": "0-9"} | fields)


def test_number_lists():
    assert number_list("0-3, 24 ,10-11,2") == [0, 1, 2, 3, 10, 11, 24]
