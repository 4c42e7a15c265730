"""Pairs: what is checked when they are made, and what those made from tasks, random tokens and texts are."""

import json

import numpy as np
import pytest

import probe
from circuits import Pairs, pairs_from_jsonl, pairs_from_task, repeated_tokens
from tests.suites.hub_format import tokenizer

CLEAN, CORRUPTED, ANSWERS = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[1, 7, 3], [0, 5, 6]]), np.array([2, 4])


def pairs(**changes):
    fields = {"clean": CLEAN, "corrupted": CORRUPTED, "answers": ANSWERS, "d_vocab": 8, **changes}
    return Pairs(**fields)


def test_what_is_not_given_is_the_whole_question_and_its_end():
    made = pairs()
    assert made.lengths.tolist() == [3, 3]
    assert made.answer_positions.tolist() == [2, 2]
    assert made.wrong_answers is None
    assert len(made) == 2
    assert made.inputs(corrupted=True).tokens is made.corrupted
    assert made.inputs(corrupted=False).answer_positions is made.answer_positions


def test_questions_of_several_lengths_are_padded():
    made = Pairs.of([[1, 2, 3], [4]], [[1, 2, 4], [5]], [6, 7], 8, [7, 6])
    assert made.clean.tolist() == [[1, 2, 3], [4, 0, 0]]
    assert made.corrupted.tolist() == [[1, 2, 4], [5, 0, 0]]
    assert made.lengths.tolist() == [3, 1]
    assert made.answer_positions.tolist() == [2, 0]
    back = made.swapped()
    assert back.clean.tolist() == made.corrupted.tolist()
    assert (back.answers.tolist(), back.wrong_answers.tolist()) == ([7, 6], [6, 7])
    assert back.lengths.tolist() == [3, 1]
    # what lies beyond a question is padding, whatever is there
    beyond = Pairs(np.array([[1, 99]]), np.array([[2, -5]]), [0], 8, lengths=[1])
    assert beyond.clean.tolist() == [[1, 0]]


REFUSED = [
    ({"clean": CLEAN[0]}, "clean: got int64 of shape"),
    ({"clean": CLEAN[:, :0], "corrupted": CLEAN[:, :0]}, "clean: got shape .* expected at least one"),
    ({"clean": CLEAN * 1.0}, "clean: got float64"),
    ({"corrupted": CORRUPTED[:, :2]}, r"corrupted: got shape \[2, 2\]; expected that of clean"),
    ({"d_vocab": 7}, "corrupted: pair 0 has token 7 at position 1; expected 0 to 6"),
    ({"clean": -CLEAN}, "clean: pair 0 has token -1 at position 0"),
    ({"answers": [2]}, "answers: got 1; expected 2"),
    ({"answers": [2, 8]}, "answers: pair 1 has 8; expected 0 to 7, the last token of the vocabulary"),
    ({"answers": [-1, 1]}, "answers: pair 0 has -1"),
    ({"wrong_answers": [3, 9]}, "wrong_answers: pair 1 has 9"),
    ({"wrong_answers": [3, 4]}, "wrong_answers: pair 1 has its right answer, 4"),
    ({"lengths": [3, 4]}, "lengths: pair 1 has 4; expected 1 to 3"),
    ({"lengths": [0, 3]}, "lengths: pair 0 has 0"),
    ({"lengths": [2, 3], "answer_positions": [2, 2]}, "answer_positions: pair 0 has 2; expected 0 to 1"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        pairs(**changes)


def test_questions_of_unequal_length_are_refused_by_number():
    with pytest.raises(ValueError, match="pair 1 has 3 tokens where the clean question has 2"):
        Pairs.of([[1], [1, 2]], [[2], [1, 2, 3]], [0, 0], 5)
    with pytest.raises(ValueError, match="got 1 questions; expected 2"):
        Pairs.of([[1], [1, 2]], [[2]], [0, 0], 5)
    with pytest.raises(ValueError, match="expected some, which would be the right ones"):
        pairs().swapped()


OPERATIONS = {"a+b": lambda a, b: (a + b) % 11, "a*b": lambda a, b: a * b % 11}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("operand", [0, 1])
def test_modular_arithmetic_with_another_operand(operation, operand):
    task = probe.ModularArithmetic(p=11, operation=operation)
    made = pairs_from_task(task, operand=operand)
    value = OPERATIONS[operation]
    assert (made.clean[:, 1 - operand] == made.corrupted[:, 1 - operand]).all()
    assert (made.clean[:, operand] != made.corrupted[:, operand]).all()
    assert (made.clean[:, 2] == 11).all()
    assert made.answers.tolist() == value(made.clean[:, 0], made.clean[:, 1]).tolist()
    assert made.wrong_answers.tolist() == value(made.corrupted[:, 0], made.corrupted[:, 1]).tolist()
    # of a question whose answer does not depend on that operand there is no pair: 0 times anything
    expected = [(a, b) for a in range(11) for b in range(11) if operation == "a+b" or (b, a)[operand] != 0]
    assert list(map(tuple, made.clean[:, :2].tolist())) == expected
    assert made.d_vocab == 12


def test_partners_are_drawn_among_all_that_there_are_alike():
    """A question of a + 3 mod 5 has four partners; over many seeds each is drawn as often."""
    task = probe.ModularArithmetic(p=5, train_fraction=0.9)
    counts = np.zeros((5, 5))
    for seed in range(600):
        made = pairs_from_task(task, seed=seed)
        asked = made.clean[:, 1] == 3
        np.add.at(counts, (made.clean[asked, 0], made.corrupted[asked, 0]), 1)
    assert (np.diag(counts) == 0).all()
    others = counts[~np.eye(5, dtype=bool)]
    assert others.min() > 100
    assert others.max() < 205  # 150 each, five standard deviations


def test_n_and_subset_and_seed():
    task = probe.ModularArithmetic(p=11)
    made = pairs_from_task(task, 20, subset="train", seed=3)
    again, other = (pairs_from_task(task, 20, subset="train", seed=seed) for seed in (3, 4))
    assert (made.clean == again.clean).all()
    assert (made.corrupted == again.corrupted).all()
    assert not (made.clean == other.clean).all()
    trained = {tuple(row) for row in task.tokens[task.train_mask].tolist()}
    assert {tuple(row) for row in (*made.clean.tolist(), *made.corrupted.tolist())} <= trained
    assert len({tuple(row) for row in made.clean.tolist()}) == 20
    with pytest.raises(ValueError, match="n: got 122; expected 1 to 121"):
        pairs_from_task(task, 122)
    with pytest.raises(ValueError, match="subset: got 'x'; expected one of train"):
        pairs_from_task(task, subset="x")
    with pytest.raises(ValueError, match="operand: got 2"):
        pairs_from_task(task, operand=2)
    with pytest.raises(ValueError, match="task: got Biographies"):
        pairs_from_task(probe.Biographies(n=10))


def test_groups():
    task = probe.GroupComposition("S3")
    made = pairs_from_task(task, operand=1)
    table = {tuple(q): a for q, a in zip(task.operands.tolist(), task.answers.tolist(), strict=True)}
    assert len(made) == 36
    assert made.answers.tolist() == [table[tuple(row[:2])] for row in made.clean.tolist()]
    assert made.wrong_answers.tolist() == [table[tuple(row[:2])] for row in made.corrupted.tolist()]
    assert (made.clean[:, 0] == made.corrupted[:, 0]).all()


@pytest.mark.parametrize("notation", ["whole", "digits"])
@pytest.mark.parametrize("kind", [probe.Multiplication, probe.Addition, probe.Subtraction])
def test_whole_numbers_are_asked_for_the_first_token_of_their_answer(kind, notation):
    task = kind("0-12", notation=notation, prompt="what is {a} and {b} ?")
    made = pairs_from_task(task, 40, operand=0)
    words = np.array(task.vocabulary)
    rows = {tuple(row[: made.clean.shape[1]]): i for i, row in enumerate(task.tokens.tolist())}
    asked, partner = ([rows[tuple(row)] for row in side.tolist()] for side in (made.clean, made.corrupted))
    assert (words[made.clean[:, -1]] == "?").all()
    assert (task.facts[asked, 1] == task.facts[partner, 1]).all()
    assert (task.facts[asked, 0] != task.facts[partner, 0]).all()
    width = len(str(np.abs(task.right).max()))
    for found, at in ((made.answers, asked), (made.wrong_answers, partner)):
        right = task.right[at].tolist()
        if notation == "whole":
            first = [str(n) for n in right]
        elif kind is probe.Subtraction:
            first = ["-" if n < 0 else "+" for n in right]
        else:
            first = [f"{n:0{width}}"[0] for n in right]
        assert words[found].tolist() == first
    assert (made.answers != made.wrong_answers).all()


def test_facts_of_another_subject_and_of_another_relation():
    task = probe.Facts(n=20, relations=3, values=4, phrasings=2)
    of_row = {tuple(row): i for i, row in enumerate(task.tokens.tolist())}
    for operand in (0, 1):
        made = pairs_from_task(task, operand=operand)
        asked, partner = (
            np.array([of_row[tuple(row)] for row in side.tolist()]) for side in (made.clean, made.corrupted)
        )
        same = task.fact[asked] // 3 == task.fact[partner] // 3, task.fact[asked] % 3 == task.fact[partner] % 3
        assert same[1 - operand].all()
        assert not same[operand].any()
        assert (task.phrasing[asked] == task.phrasing[partner]).all()
        assert made.answers.tolist() == task.targets[asked, -1].tolist()
        assert made.wrong_answers.tolist() == task.targets[partner, -1].tolist()


@pytest.mark.parametrize("bos", [None, 4])
def test_repeated_tokens(bos):
    made = repeated_tokens(50, 6, 20, bos=bos)
    first = 0 if bos is None else 1
    assert made.clean.shape == (50, 11 + first)
    if bos is not None:
        assert (made.clean[:, 0] == bos).all()
        assert (made.corrupted[:, 0] == bos).all()
    sequence, again = made.clean[:, first : first + 6], made.clean[:, first + 6 :]
    assert (sequence[:, :5] == again).all()
    assert (sequence[:, 5] == made.answers).all()
    assert all(len({*row, wrong, bos}) == 8 for row, wrong in zip(sequence.tolist(), made.wrong_answers, strict=True))
    changed = made.clean != made.corrupted
    assert changed.sum(1).tolist() == [1] * 50
    assert changed[:, first + 5].all()
    assert (made.corrupted[:, first + 5] == made.wrong_answers).all()
    assert len(np.unique(made.clean[:, first])) > 10
    assert (repeated_tokens(50, 6, 20, bos=bos).clean == made.clean).all()
    assert not (repeated_tokens(50, 6, 20, bos=bos, seed=1).clean == made.clean).all()


def test_repeated_tokens_that_cannot_be():
    repeated_tokens(1, 2, 3)
    for given, message in [
        ((0, 5, 20), "n: got 0"),
        ((1, 1, 20), "length: got 1; expected at least 2"),
        ((1, 5, 5), "d_vocab: 5 tokens to draw from; expected 6"),
    ]:
        with pytest.raises(ValueError, match=message):
            repeated_tokens(*given)
    with pytest.raises(ValueError, match="d_vocab: 5 tokens"):
        repeated_tokens(1, 5, 6, bos=0)
    with pytest.raises(ValueError, match="bos: got 6"):
        repeated_tokens(1, 2, 6, bos=6)


@pytest.fixture(scope="module")
def reader():
    words = ["The sun is hot", "The sea is wet", "The old sun is very hot", "sun sea hot wet is very The old"]
    return tokenizer(words * 50, vocab_size=400)


def written(tmp_path, *lines):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return str(path)


SUN = {"clean": "The sun is", "corrupted": "The sea is", "answer": " hot", "wrong": " wet"}
LONG = {"clean": "The old sun is very", "corrupted": "The old sea is very", "answer": " hot", "wrong": " wet"}


def test_texts(tmp_path, reader):
    made = pairs_from_jsonl(written(tmp_path, SUN, "", LONG), reader)
    assert [reader.decode(row[:n]) for row, n in zip(made.clean, made.lengths, strict=True)] == [
        SUN["clean"],
        LONG["clean"],
    ]
    assert reader.decode(made.corrupted[1]) == LONG["corrupted"]
    assert reader.decode(made.answers) == " hot hot"
    assert reader.decode(made.wrong_answers) == " wet wet"
    assert made.lengths.tolist() == [3, 5]
    assert made.d_vocab == len(reader)
    without = {name: text for name, text in SUN.items() if name != "wrong"}
    assert pairs_from_jsonl(written(tmp_path, without), reader).wrong_answers is None


WITHOUT = {name: text for name, text in SUN.items() if name != "wrong"}
BAD_LINES = [
    ([SUN, "{"], "line 2: not JSON"),
    ([SUN, "", {**SUN, "x": "y"}], "line 3: got answer, clean, corrupted, wrong, x"),
    ([{"clean": "a", "answer": "b"}], "line 1: got answer, clean; expected"),
    ([[1]], r"line 1: got \[1\]"),
    ([{**SUN, "clean": 3}], "line 1: clean is 3; expected a text"),
    ([{**SUN, "corrupted": "The sea"}], r"line 1: clean is 3 tokens and corrupted 2;.*The\| sun\| is"),
    ([{**SUN, "answer": " hot hot"}], "line 1: answer, ' hot hot', is not one token after the clean text"),
    ([{**SUN, "wrong": " wet sea"}], "line 1: wrong, ' wet sea', is not one token"),
    ([{**SUN, "clean": "The su", "corrupted": "The se", "answer": "n"}], "line 1"),
    ([{**SUN, "wrong": " hot"}], "line 1: wrong is the same token as answer"),
    ([SUN, WITHOUT], "line 2: wrong is given on some lines"),
    ([WITHOUT, SUN], "line 2: wrong is given on some lines"),
    ([""], "no lines"),
]


@pytest.mark.parametrize(("lines", "message"), BAD_LINES, ids=[message for _, message in BAD_LINES])
def test_lines_that_are_no_pairs(tmp_path, reader, lines, message):
    with pytest.raises(ValueError, match=message):
        pairs_from_jsonl(written(tmp_path, *lines), reader)


class Backwards:
    """A tokenizer that reads two letters a token from the end, so that what follows a text changes its tokens."""

    def __call__(self, text):
        starts = [0, *range(2 - len(text) % 2, len(text), 2)] if text else []
        return {"input_ids": [ord(text[start]) for start in starts]}

    def __len__(self):
        return 128

    def decode(self, tokens):
        return "".join(map(chr, tokens))


def test_an_answer_that_changes_how_the_text_before_it_is_read(tmp_path):
    line = {"clean": "abcd", "corrupted": "abce", "answer": "e"}
    assert [len(Backwards()(text)["input_ids"]) for text in ("abcd", "abcde")] == [2, 3]
    with pytest.raises(ValueError, match="answer, 'e', is not one token after the clean text"):
        pairs_from_jsonl(written(tmp_path, line), Backwards())
