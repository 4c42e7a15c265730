"""Tasks in one stream: each keeps its questions, answers and exposures, in the proportion that was declared."""

import numpy as np
import pytest

from probe.suites.architecture import Architecture, Shape
from probe.tasks import (
    Duplicated,
    Facts,
    Mixture,
    ModularArithmetic,
    Multiplication,
    Part,
    task_from_dict,
    task_to_dict,
)
from probe.training.ensemble import Ensemble, Member
from probe.training.settings import TrainingSettings

PARTS = (
    Part("rare", ModularArithmetic(7, train_fraction=0.5), 1),
    Part("digits", Multiplication("0-11", notation="digits"), 3),
    Part("facts", Facts(40, frequency=Duplicated((1, 2))), 12),
)
MIXTURE = Mixture(PARTS, total=2000)


def test_every_example_is_that_of_its_part_in_its_own_block_of_the_vocabulary():
    blocks = []
    for part in PARTS:
        task, rows, first = part.task, MIXTURE.examples[part.name], MIXTURE.first_token[part.name]
        n = task.n_ctx
        assert (MIXTURE.tokens[rows, :n] - first == task.tokens).all()
        scored = task.targets != -1
        assert ((MIXTURE.targets[rows, :n] != -1) == scored).all()
        assert (MIXTURE.targets[rows, :n][scored] - first == task.targets[scored]).all()
        assert (MIXTURE.targets[rows, n:] == -1).all()
        assert (MIXTURE.lengths[rows] == task.lengths).all()
        assert (MIXTURE.answer_positions[rows] == task.answer_positions).all()
        blocks += list(range(first, first + task.d_vocab))
    assert blocks == list(range(MIXTURE.d_vocab))
    assert (np.diff(MIXTURE.answer_tokens) > 0).all()
    assert set(MIXTURE.targets[MIXTURE.targets != -1]) <= set(MIXTURE.answer_tokens)


def test_a_pass_shows_the_parts_in_the_declared_proportion():
    shown = {part.name: MIXTURE.exposures[MIXTURE.examples[part.name]] for part in PARTS}
    assert {name: int(of.sum()) for name, of in shown.items()} == {"rare": 125, "digits": 375, "facts": 1500}
    for part in PARTS:
        own, of = part.task.exposures, shown[part.name]
        assert ((of > 0) == (own > 0)).all()
        np.testing.assert_allclose(of, own * of.sum() / own.sum(), atol=1)


def test_every_parts_subsets_are_kept_apart():
    subsets = MIXTURE.subsets
    assert set(subsets) == {
        *("train", "test", "all"),
        *(f"{part.name}/{subset}" for part in PARTS for subset in part.task.subsets),
    }
    for part in PARTS:
        for subset, mask in part.task.subsets.items():
            found = subsets[f"{part.name}/{subset}"]
            assert (found[MIXTURE.examples[part.name]] == mask).all()
            assert found.sum() == mask.sum()
    assert (subsets["test"] == ~subsets["train"]).all()


def test_the_seed_draws_every_part_anew():
    other = Mixture(PARTS, total=2000, seed=3)
    for part in PARTS:
        assert other.tasks[part.name].seed == 3
        assert (other.exposures[MIXTURE.examples[part.name]] != MIXTURE.exposures[MIXTURE.examples[part.name]]).any()


def test_a_mixture_is_what_it_is_written_down_as():
    again = task_from_dict(task_to_dict(MIXTURE))
    assert again == MIXTURE
    assert (again.exposures == MIXTURE.exposures).all()


def test_one_model_learns_all_parts():
    arch = Architecture.of(Shape(d_model=32), MIXTURE)
    ensemble = Ensemble(arch, [Member("m", MIXTURE, 0, 1e-2, 0.0)], TrainingSettings(steps=150, batch_size=250), "cpu")
    for _ in range(150):
        ensemble.train_step()
    import torch

    from probe.measures.performance import outcomes
    from probe.suites.hooked import HookedTransformer

    model = HookedTransformer.with_weights(arch, ensemble.weights(0))
    with torch.no_grad():
        logits = model(torch.tensor(MIXTURE.tokens))[:, list(MIXTURE.scored)][..., torch.tensor(MIXTURE.answer_tokens)]
    exact = outcomes(logits, MIXTURE.scored_answers).exact.numpy()
    for part in PARTS:
        assert exact[MIXTURE.subsets[f"{part.name}/train"]].mean() > 0.6, part.name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixture(PARTS[:1], total=2000), "parts: got 1"),
        (lambda: Mixture((PARTS[0], PARTS[0]), total=2000), "parts: two are called 'rare'"),
        (lambda: Mixture(PARTS, total=100), r"total: got 100; expected at least \d+, so that the share of 'digits'"),
        (lambda: Mixture(PARTS, total=2000, seed=-1), "seed: got -1"),
        (
            lambda: Mixture((PARTS[0], Part("gone", Facts(40, special=0.2, special_passes=3), 12)), total=2000),
            "parts: 'gone' has a special batch, shown in its first 3 passes; expected parts of which all is shown",
        ),
        (lambda: Part("a/b", PARTS[0].task, 1), "name: got 'a/b'"),
        (lambda: Part("a", PARTS[0].task, 0), "share: got 0 of a"),
        (lambda: Part("a", PARTS[0].task, float("nan")), "share: got nan of a"),
    ],
)
def test_bad_mixtures_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_least_total_that_is_named_is_enough():
    with pytest.raises(ValueError, match=r"expected at least \d+") as refused:
        Mixture(PARTS, total=100)
    least = int(str(refused.value).split("at least ")[1].split(",")[0])
    assert Mixture(PARTS, total=least).exposures.sum() == least
    with pytest.raises(ValueError, match="total"):
        Mixture(PARTS, total=least - 1)
