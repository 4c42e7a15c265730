"""Published models opened as anybody would open them, against the numbers that are known of them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from probe.suites import open_suite
from probe.tasks import ModularArithmetic
from tests.reference_models import reference_path


def losses(path, model, split):
    """Mean loss on the trained and on the other examples, through the hooked model, in float64."""
    task = ModularArithmetic(113, train_fraction=0.3, split=split, seed=1)
    checkpoint = open_suite(reference_path(path), task=task)[model, 0]
    hooked, task = checkpoint.load(), checkpoint.model.task
    with torch.no_grad():
        logits, cache = hooked.run_with_cache(torch.as_tensor(task.tokens), names_filter="blocks.0.mlp.hook_post")
    assert cache["blocks.0.mlp.hook_post"].shape == (113 * 113, 3, 512)
    log_probabilities = F.log_softmax(logits[:, task.answer_positions[0]].double(), dim=-1)
    loss = -log_probabilities[torch.arange(len(logits)), torch.as_tensor(task.answers)]
    train = torch.as_tensor(task.train_mask)
    return loss[train].mean().item(), loss[~train].mean().item()


def test_nanda_wd01_needs_neither_config_nor_mapping():
    """Its file holds the optimizer as well, its matrices are the other way round, and only its MLP has biases."""
    train, test = losses("nanda-wd01/model_and_curve.pth", "model_and_curve", "ordered-python")
    assert train == pytest.approx(9.2024e-9, rel=1e-3)
    assert test == pytest.approx(4.9884e-7, rel=1e-3)
    checkpoint = open_suite(reference_path("nanda-wd01/model_and_curve.pth"))["model_and_curve", 0]
    assert sum(w.double().square().sum().item() for w in checkpoint.weights().values()) == pytest.approx(
        1180.97, rel=1e-5
    )
    assert checkpoint.n_params == 114 * 128 + 3 * 128 + 4 * 128 * 128 + 2 * 128 * 512 + 512 + 128 + 128 * 114


@pytest.mark.filterwarnings("ignore:.*not part of the model")
def test_cyclic113():
    """TransformerLens' own names; biases; 113 answers of 114 tokens."""
    _, test = losses("cyclic113/model.pt", "model", "ordered-torch")
    assert test == pytest.approx(1.88475e-7, rel=1e-3)


def test_what_cyclic113_holds_beside_its_weights_is_said():
    path = reference_path("cyclic113/model.pt")
    with pytest.warns(UserWarning, match="not part of the model and not used: x_embed, y_embed"):
        suite = open_suite(path)
    assert suite.by_name["model"].notes == ("mapping 'transformerlens'", "not used: x_embed, y_embed")
    with pytest.raises(ValueError, match=r"lr, weight_decay, betas.*: no such field of ours nor of TransformerLens"):
        open_suite(path, config=str(path.with_name("cfg.json")))


def test_pizza_a():
    """(a + b) mod 59 as two tokens, attention that is 1 everywhere (Zhong et al. 2023, arXiv 2306.17844)."""
    p = 59
    config = {"causal": False, "attention_coefficient": 0}
    checkpoint = open_suite(reference_path("pizza-a/model.pt"), config=config)["model", 0]
    a, b = (torch.as_tensor(operand.ravel()) for operand in np.mgrid[:p, :p])
    with torch.no_grad():
        logits, cache = checkpoint.load().run_with_cache(torch.stack([a, b], dim=1))
    assert (cache["blocks.0.attn.hook_pattern"] == 1).all()
    answer = (a + b) % p
    assert (logits[:, -1].argmax(-1) == answer).all()

    # distance irrelevance: how much the right logit varies over sums at one difference, of how much it varies at all
    correct = torch.zeros(p, p, dtype=torch.float64)
    correct[answer, (a - b) % p] = logits[torch.arange(p * p), -1, answer].double()
    irrelevance = correct.std(0, correction=0).mean() / correct.std(correction=0)
    assert irrelevance.item() == pytest.approx(0.171736, abs=1e-5)

    squares = sum(weight.double().square().sum().item() for weight in checkpoint.weights().values())
    assert math.sqrt(squares) == pytest.approx(22.854, abs=1e-3)
