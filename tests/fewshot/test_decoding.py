"""Batched greedy answers against a model of transformers that is asked one prompt at a time, without a cache."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from probe.fewshot.answers import first_line, is_decided
from probe.fewshot.decoding import greedy_answers
from probe.suites import open_suite
from tests.fewshot import rigged

KINDS = ("neox", "gpt2", "llama")
NEW = 9


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three architectures whose vocabulary is mostly words, so that answers are long."""
    root = tmp_path_factory.mktemp("random")
    read = rigged.made([*rigged.WORDS, *(f"w{i}" for i in range(30)), *"0123456789"])
    for kind in KINDS:
        rigged.save_random(root / kind, kind, read, seed=len(kind))
    return root


def alone(model, tokenizer, prompt):
    """The answer to one prompt: a forward pass over all of it for each token."""
    ids, said = prompt.tolist(), ""
    for _ in range(NEW):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            break
        said = tokenizer.decode(ids[len(prompt) :])
        if is_decided(said):
            break
    return first_line(said)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_answers_as_one_by_one_whatever_the_lengths(root, kind):
    checkpoint = open_suite(root)[kind, 0]
    model, tokenizer = checkpoint.load(), checkpoint.model.tokenizer()
    generator = np.random.default_rng(1)
    prompts = [generator.integers(2, len(tokenizer), size=n) for n in (3, 40, 1, 17, 17, 5, 29, 2, 11, 60)]
    reference = AutoModelForCausalLM.from_pretrained(root / kind, attn_implementation="eager").eval()
    expected = [alone(reference, tokenizer, prompt) for prompt in prompts]
    assert len(set(expected)) > 7  # so that being the same means something
    assert max(map(len, expected)) > 9
    for size in (1, 3, 10):
        batches = [prompts[start : start + size] for start in range(0, 10, size)]
        found = [answer for batch in batches for answer in greedy_answers(model, tokenizer, batch, NEW, "m")]
        assert found == expected


def chain(*words):
    return dict(pairwise(words))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Loads a model that goes on after each token with a given one, and the tokens that it reads in each pass."""

    def load(after):
        folder = rigged.save(tmp_path_factory.mktemp("m"), after, read=rigged.made([*rigged.WORDS, *"0123456789"]))
        checkpoint = open_suite(folder).checkpoints().__next__()
        model, passes = checkpoint.load(), []
        model.original_model.register_forward_pre_hook(
            lambda module, given, named: passes.append(named["input_ids"].shape[1]), with_kwargs=True
        )
        return model, checkpoint.model.tokenizer(), passes

    return load


def answered(model, tokenizer, *texts, max_new_tokens=16):
    ids = [np.array(tokenizer(text)["input_ids"]) for text in texts]
    return greedy_answers(model, tokenizer, ids, max_new_tokens, "m")


def test_it_ends_when_every_row_has_ended(loaded):
    after = chain("times", "1", "4", "many", "many") | chain("plus", "7", rigged.END) | chain("minus", "so", "\n")
    model, tokenizer, passes = loaded(after)
    # the number is complete when a word follows; the text ends; the line ends
    assert answered(model, tokenizer, "times", "is plus", "so is minus") == ["14many", "7", "so"]
    assert passes == [3, 1, 1]  # what has been read is not read again
    passes.clear()
    assert answered(model, tokenizer, "is plus") == ["7"]
    assert passes == [2, 1]


def test_it_ends_with_the_most_tokens_that_an_answer_may_have(loaded):
    model, tokenizer, passes = loaded(chain("times", "1", "4", "so", "so") | {"plus": "plus"})
    assert answered(model, tokenizer, "times", "plus", max_new_tokens=1) == ["1", "plus"]
    assert passes == [1]
    assert answered(model, tokenizer, "times", "plus", max_new_tokens=5) == ["14so", "plus" * 5]
    assert passes == [1] + [1] * 5


def test_the_first_token_may_end_it(loaded):
    model, tokenizer, _ = loaded({"times": rigged.END, "plus": "\n"})
    assert answered(model, tokenizer, "times", "plus") == ["", ""]


def test_an_end_of_text_that_only_the_configuration_says(tmp_path, loaded):
    read = rigged.made([*rigged.WORDS, *"0123456789"])
    folder = rigged.save(tmp_path / "m", chain("times", "7", "so", "4", "4"), read=read)
    config = json.loads((folder / "config.json").read_text())
    config["eos_token_id"] = [1, read.get_vocab()["so"]]
    (folder / "config.json").write_text(json.dumps(config))
    checkpoint = next(open_suite(folder).checkpoints())
    assert answered(checkpoint.load(), checkpoint.model.tokenizer(), "times") == ["7"]


@pytest.mark.parametrize(
    "said",
    [{"no_repeat_ngram_size": 1}, {"num_beams": 3}, {"do_sample": True, "temperature": 9.0}, {"max_length": 1}],
)
def test_what_a_configuration_says_of_generation_is_not_asked_for(tmp_path, said):
    read = rigged.made([*rigged.WORDS, *"0123456789"])
    folder = rigged.save(tmp_path / "m", chain("times", "4", "4"), read=read)
    for name in ("config.json", "generation_config.json"):
        content = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        (folder / name).write_text(json.dumps(content | said))
    checkpoint = next(open_suite(folder).checkpoints())
    assert answered(checkpoint.load(), checkpoint.model.tokenizer(), "so times", max_new_tokens=6) == ["444444"]


def test_nor_what_the_model_has_been_told(loaded):
    model, tokenizer, _ = loaded(chain("times", "4", "4"))
    model.original_model.generation_config.no_repeat_ngram_size = 1
    assert answered(model, tokenizer, "times", max_new_tokens=6) == ["444444"]


def test_logits_that_are_no_numbers(loaded):
    model, tokenizer, _ = loaded(chain("times", "4"))
    with torch.no_grad():
        model.original_model.get_output_embeddings().weight[3] = torch.nan
    with pytest.raises(ValueError, match=r"^m: its logits are nan, expected numbers"):
        answered(model, tokenizer, "times")
