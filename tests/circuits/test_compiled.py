"""Programs that tracr compiled, in our model: tracr's outputs, by the heads and MLPs that the RASP code says."""

import numpy as np
import pytest
import torch

from tests.circuits.programs.compiled import COMPILED, DETECT_ABC, FRACTION_OF_X, SORT


def run(compiled, program):
    logits, cache = program.model().run_with_cache(torch.tensor(compiled.inputs))
    return logits[:, 1:].detach().numpy(), cache


def as_tokens(compiled):
    """Questions without BOS, as tokens."""
    tokens = compiled.config["tokens"]
    return [[tokens[i] for i in question[1:]] for question in compiled.inputs.tolist()]


@pytest.mark.parametrize(("compiled", "program"), COMPILED, ids=[program.name for _, program in COMPILED])
def test_our_model_answers_as_tracrs_did(compiled, program):
    logits, _ = run(compiled, program)
    outputs = compiled.outputs
    if compiled.config["output_values"] is None:
        np.testing.assert_allclose(logits[..., 0], outputs, atol=1e-5)
    else:
        defined = ~np.isnan(outputs)
        assert defined[:, -1].all()
        assert (logits.argmax(-1)[defined] == outputs[defined]).all()
        # a categorical output is one-hot
        np.testing.assert_allclose(
            np.sort(logits[defined]), np.eye(logits.shape[-1])[-1:].repeat(defined.sum(), 0), atol=1e-5
        )


def test_what_tracr_answered_is_the_fraction_of_x():
    compiled, _ = FRACTION_OF_X
    is_x = np.array([[token == "x" for token in question] for question in as_tokens(compiled)])
    assert len(np.unique(is_x, axis=0)) == 2**5
    np.testing.assert_allclose(compiled.outputs, is_x.cumsum(1) / np.arange(1, 6), atol=1e-6)


def test_what_tracr_answered_is_whether_abc_was_last():
    compiled, _ = DETECT_ABC
    values = compiled.config["output_values"]
    questions = as_tokens(compiled)
    assert len({tuple(question) for question in questions}) == 3**5
    for question, answers in zip(questions, compiled.outputs, strict=True):
        assert np.isnan(answers[:2]).all()
        for i in (2, 3, 4):
            assert values[int(answers[i])] == (question[i - 2 : i + 1] == ["a", "b", "c"])


def test_what_tracr_answered_is_in_order():
    compiled, _ = SORT
    values = compiled.config["output_values"]
    questions = as_tokens(compiled)
    assert len({tuple(question) for question in questions}) == 5 * 4 * 3 * 2
    for question, answers in zip(questions, compiled.outputs, strict=True):
        assert [values[int(i)] for i in answers] == sorted(question)


def test_heads_attend_as_the_programs_say():
    """Beginning with BOS, which is position 0."""
    mean = torch.ones(5, 5).tril() / torch.arange(1, 6)[:, None]
    fraction = run(*FRACTION_OF_X)[1]["blocks.1.attn.hook_pattern"][:, 0, 1:, 1:]
    assert torch.allclose(fraction, mean.expand_as(fraction), atol=1e-6)

    detect = run(*DETECT_ABC)[1]["blocks.1.attn.hook_pattern"]
    for head, offset in ((0, 2), (1, 1)):
        shifted = detect[:, head].diagonal(-offset, dim1=1, dim2=2)[:, 1:]
        assert torch.allclose(shifted, torch.ones_like(shifted), atol=1e-6)

    questions = torch.tensor(as_tokens(SORT[0]))
    cache = run(*SORT)[1]
    smaller = questions[:, None, :] < questions[:, :, None]
    count = smaller.sum(-1, keepdim=True)
    assert torch.allclose(cache["blocks.0.attn.hook_pattern"][:, 0, 1:, 1:], smaller / (1 + count), atol=1e-6)
    place = torch.nn.functional.one_hot(count[..., 0], 4).mT.float()
    assert torch.allclose(cache["blocks.1.attn.hook_pattern"][:, 0, 1:, 1:], place, atol=1e-6)
