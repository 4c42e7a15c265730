"""A model that was trained on a mixture, taken as a model of one of its tasks."""

import numpy as np
import pytest
import torch

from probe.suites import open_suite
from probe.suites.architecture import Architecture, Shape
from probe.tasks import Facts, Mixture, ModularArithmetic, Multiplication, Part
from probe.training.ensemble import Member
from probe.training.run import train
from probe.training.settings import Schedule, TrainingSettings

MIXTURE = Mixture(
    (
        Part("products", Multiplication("1-6", notation="digits"), 2.0),
        Part("rare", ModularArithmetic(7, train_fraction=0.5), 1.0),
        Part("rest", Facts(20, relations=2, values=5), 3.0),
    ),
    total=600,
    seed=2,
)
SHAPE = Shape(d_model=8, n_heads=2, n_layers=2, normalization="LN", biases=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("mixed"))
    settings = TrainingSettings(steps=6, batch_size=64, checkpoints=Schedule(log_until=0, every=3))
    train(Architecture.of(SHAPE, MIXTURE), [Member("mixed", MIXTURE, seed=1)], settings, folder)
    return folder


@pytest.mark.parametrize("part", ["products", "rare", "rest"])
def test_it_says_of_the_parts_questions_what_the_whole_model_says(folder, part):
    whole, alone = open_suite(folder)["mixed", 6], open_suite(folder, part=part)["mixed", 6]
    task = MIXTURE.tasks[part]
    assert alone.task == task
    asked = torch.as_tensor(MIXTURE.tokens[MIXTURE.examples[part]])
    block = MIXTURE.first_token[part] + torch.arange(task.d_vocab)
    with torch.no_grad():
        said, cache = alone.load().run_with_cache(torch.as_tensor(task.tokens))
        expected, of_whole = whole.load().run_with_cache(asked)
    torch.testing.assert_close(said, expected[:, : task.n_ctx, block])
    for name in ("blocks.0.hook_resid_pre", "blocks.1.mlp.hook_post"):
        torch.testing.assert_close(cache[name], of_whole[name][:, : task.n_ctx])
    np.testing.assert_array_equal(alone.exposures, whole.exposures[MIXTURE.examples[part]])
    assert alone.exposures.sum() > 0


def test_its_size_and_what_it_has_seen_are_those_of_the_whole_model(folder):
    whole, alone = open_suite(folder)["mixed", 3], open_suite(folder, part="rare")["mixed", 3]
    for field in ("n_params", "n_params_without_embeddings", "examples_seen", "tokens_seen", "flops", "digest", "size"):
        assert getattr(alone, field) == getattr(whole, field), field
    assert open_suite(folder, part="rare").steps("mixed") == (0, 3, 6)
    weights = alone.weights()
    assert weights["embed.W_E"].shape == (8, 8)
    assert weights["embed.W_E"].untyped_storage().nbytes() == 8 * 8 * 4
    assert alone.model.d_vocab == 8
    assert alone.model.n_ctx == 3


def test_what_has_no_such_part_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"part: got 'rar'; expected one of products, rare, rest"):
        open_suite(folder, part="rar")
    with pytest.raises(ValueError, match=r"part: got 'rare', which means nothing for a name on the hub"):
        open_suite("EleutherAI/pythia-70m", part="rare")
    task, settings = ModularArithmetic(7), TrainingSettings(steps=0)
    train(Architecture.of(SHAPE, task), [Member("plain", task, seed=0)], settings, str(tmp_path))
    with pytest.raises(ValueError, match=r"part: got 'rare'; plain was trained on modular, expected a mixture"):
        open_suite(str(tmp_path), part="rare")
