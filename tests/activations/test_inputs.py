"""What is shown to a model, however it is given."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probe.activations.inputs import Inputs
from tests.activations.small_suite import TASK

RAGGED = [[1, 2, 3], [4], [5, 6]]
PADDED = np.array([[1, 2, 3], [4, 0, 0], [5, 6, 0]])


@pytest.fixture(scope="module")
def model(suite):
    return suite.by_name["small"]


def test_a_task_brings_its_answers(model):
    inputs = Inputs.of(TASK, model)
    assert (inputs.tokens == TASK.tokens).all()
    assert (inputs.answers == TASK.answers).all()
    assert (inputs.answer_positions == 2).all()
    assert (inputs.lengths == 3).all()
    assert inputs.mask.all()
    assert len(inputs) == 49


def padded_left(rows, width):
    ids = np.full((len(rows), width), 7)
    mask = np.zeros((len(rows), width), int)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :], mask[i, width - len(row) :] = row, 1
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize(
    "given_as",
    [
        RAGGED,
        [np.array(row) for row in RAGGED],
        [torch.tensor(row) for row in RAGGED],
        padded_left(RAGGED, 3),
        padded_left(RAGGED, 5),
        {
            "input_ids": PADDED + np.array([[0, 0, 0], [0, 9, 9], [0, 0, 9]]),
            "attention_mask": [[1, 1, 1], [1, 0, 0], [1, 1, 0]],
        },
        {"input_ids": RAGGED},
    ],
    ids=["lists", "arrays", "tensors", "padded left", "padded left more", "padded right", "no mask"],
)
def test_content_comes_first_however_it_was_padded(model, given_as):
    inputs = Inputs.of(given_as, model)
    assert (inputs.tokens == PADDED).all()
    assert inputs.lengths.tolist() == [3, 1, 2]
    assert inputs.mask.tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    assert inputs.answers is None


def test_a_rectangle_of_ids_and_inputs_themselves(model):
    tokens = np.arange(6).reshape(2, 3)
    for rectangle in (tokens, torch.as_tensor(tokens), tokens.tolist()):
        inputs = Inputs.of(rectangle, model)
        assert (inputs.tokens == tokens).all()
        assert inputs.mask.all()
    assert Inputs.of(inputs, model) is inputs


@given(st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=3), min_size=1, max_size=5))
def test_the_digest_tells_apart_just_what_differs_in_content(rows):
    inputs = Inputs.of(rows)
    assert inputs.digest == Inputs.of(padded_left(rows, 6)).digest
    assert inputs.digest != Inputs.of([*rows, [0]]).digest
    longer = [[*row, 0] if i == len(rows) - 1 else row for i, row in enumerate(rows)]
    assert inputs.digest != Inputs.of(longer).digest  # padding with 0 and the token 0 are different things
    changed = [[*rows[0][:-1], (rows[0][-1] + 1) % 8], *rows[1:]]
    assert inputs.digest != Inputs.of(changed).digest


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([], "got no examples; expected at least one"),
        ([[1], []], "example 1 is empty"),
        ([[1, 2, 3], [1, 2, 3, 4]], r"example 1 has 4 tokens; small reads at most 3"),
        ([[1], [2, 8]], r"example 1 has token 8 at position 1; small knows tokens 0 to 7"),
        ([[1], [-1]], r"example 1 has token -1 at position 0"),
        ([[0.5, 1.0]], "example 0 is float64 of shape"),
        ([[[1]]], r"of shape \(1, 1\); expected a row of token ids"),
        ({"ids": [[1]]}, "got a mapping of ids; expected input_ids"),
        ({"input_ids": [[1, 2]], "attention_mask": [[1]]}, "attention_mask has another shape"),
        ({"input_ids": [[1, 2, 3]], "attention_mask": [[1, 0, 1]]}, "attention_mask of example 0 has a hole"),
        ("text", "small has no tokenizer, so texts cannot be read; give token ids"),
        (["a", "b"], "small has no tokenizer"),
        (np.array(["a", "b"]), "small has no tokenizer"),
    ],
)
def test_what_cannot_be_read_is_named(model, wrong, says):
    with pytest.raises(ValueError, match=rf"inputs: .*{says}"):
        Inputs.of(wrong, model)


def test_texts_without_a_model_are_not_guessed_at():
    with pytest.raises(ValueError, match="inputs: got texts where no model says how to read them"):
        Inputs.of("text")
