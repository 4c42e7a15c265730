"""Losses of shown and never shown examples, of models whose losses are planted, and of some that were trained."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

import probe
from probe.batch.schema import parse_batch
from probe.measures.memorization import loss_separation
from probe.scaling.losses import loss_table
from probe.tasks import Facts, Mixture, ModularArithmetic, Multiplication, OperandWeights
from probe.tasks.biographies import Biographies
from probe.tasks.mixture import Part

STEPS = [0, 10]


def planted(task, seed=0, shift=3.0):
    """Log-probabilities: those of examples shown in training rise by ``shift`` up to the last step."""
    rng = np.random.default_rng(seed)
    losses = 20 + rng.normal(size=(2, len(task.tokens)))
    losses[1] -= shift * task.train_mask
    return xr.DataArray(-losses, dims=("step", "example"), coords={"step": STEPS})


def recalled(*models):
    rows = [(model, n_params, step, "recall") for model, n_params in models for step in STEPS]
    return pd.DataFrame(rows, columns=["model", "n_params", "step", "probe"])


def table_of(task, array):
    return loss_table(recalled(("d8-s0", 100)), lambda model, name: array, {"d8-s0": task})


def test_a_row_says_of_a_model_and_step_how_losses_are_distributed():
    task, other = Facts(200, relations=1, held_out=0.3), Facts(200, relations=1, held_out=0.3, seed=1)
    arrays = {("d16-s0", "recall_log_prob"): planted(task), ("d8-s0", "recall_log_prob"): planted(other, 1, 0.0)}
    results = pd.concat(
        [recalled(("d16-s0", 400), ("d8-s0", 100), ("none-s0", 7)), recalled(("x-s0", 1)).assign(probe="performance")]
    )
    table = loss_table(results, lambda model, name: arrays.get((model, name)), {"d16-s0": task, "d8-s0": other})
    assert table[["model", "size", "n_params", "part", "step"]].to_numpy().tolist() == [
        ["d8-s0", "d8", 100, "", 0],
        ["d8-s0", "d8", 100, "", 10],
        ["d16-s0", "d16", 400, "", 0],
        ["d16-s0", "d16", 400, "", 10],
    ]
    for i, step in enumerate(STEPS):
        row, losses = table.iloc[2 + i], -arrays["d16-s0", "recall_log_prob"].sel(step=step).values
        for kind, mask in (("shown", task.train_mask), ("unseen", ~task.train_mask)):
            found = [row[f"{kind}_{q}"] for q in ("q10", "median", "q90")]
            assert found == pytest.approx(np.quantile(losses[mask], (0.1, 0.5, 0.9)))
        auc = loss_separation(losses, task.train_mask).auc
        assert (row["auc"], row["auc_low"], row["auc_high"]) == pytest.approx((auc.value, auc.low, auc.high))
    assert table["auc"].iloc[3] > 0.95
    assert (table["auc_low"].iloc[:3] < 0.5).all()
    assert (table["auc_high"].iloc[:3] > 0.5).all()
    assert loss_table(results, lambda model, name: None, {}).empty


def test_facts_with_a_wrong_answer_other_words_or_no_place_in_the_data_are_left_out():
    weights = OperandWeights(total=2000, weights={7: 0.0})
    task = Multiplication("2-16", frequency=weights, held_out=0.2, poisoned=0.2)
    array = planted(task)
    array.values[:, task.poisoned_mask] = -1e3
    array.values[:, (task.facts == 7).any(1)] = -1e4
    row = table_of(task, array).iloc[1]
    assert row["shown_q90"] < 25
    assert row["unseen_q90"] < 25
    facts = Facts(60, phrasings=3, trained_phrasings=1, held_out=0.3)
    array = planted(facts)
    array.values[:, facts.subsets["rephrased"]] = -1e3
    row = table_of(facts, array).iloc[1]
    assert row["shown_q90"] < 25
    assert row["unseen_q90"] < 25


def together_matters(task, group):
    """Losses that are those of groups of examples: the interval is that of so many groups."""
    array = planted(task)
    per_group = np.random.default_rng(3).normal(size=(2, int(group.max()) + 1))
    array.values[:] = per_group[:, group]
    chosen = task.subsets["train"] | task.subsets["test"]
    found = loss_separation(-array.values[:, chosen], task.subsets["train"][chosen], group[chosen]).auc
    table = table_of(task, array)
    assert table["auc_low"].tolist() == pytest.approx(found.low.tolist())
    assert table["auc_high"].tolist() == pytest.approx(found.high.tolist())


def test_examples_that_are_shown_or_not_together_are_one():
    products = Multiplication("2-12", held_out=0.2)
    together_matters(products, np.unique(np.sort(products.facts, axis=1), axis=0, return_inverse=True)[1].ravel())
    facts = Facts(50, phrasings=3, trained_phrasings=3, held_out=0.3)
    together_matters(facts, facts.fact)
    sums = ModularArithmetic(p=11, operation="a+b", train_fraction=0.5, split="unordered")
    together_matters(sums, np.unique(np.sort(sums.operands, axis=1), axis=0, return_inverse=True)[1].ravel())


def test_parts_of_a_mixture_and_questions_beside_biographies_are_apart():
    part, people = Facts(40, relations=1, values=5, held_out=0.3), Biographies(n=30, held_out=0.3)
    mixed = Mixture((Part("rare", part, 1.0), Part("people", people, 3.0)), total=4000)
    array = planted(mixed)
    table = table_of(mixed, array).query("step == 10").set_index("part")
    assert set(table.index) == {"rare", "people/biographies", "people/questions"}
    losses = -array.sel(step=10).values
    for name, (shown, unseen) in {
        "rare": ("rare/train", "rare/test"),
        "people/biographies": ("people/recited", "people/test_biographies"),
        "people/questions": ("people/asked", "people/test_questions"),
    }.items():
        assert table["shown_median"][name] == pytest.approx(np.median(losses[mixed.subsets[shown]]))
        assert table["unseen_median"][name] == pytest.approx(np.median(losses[mixed.subsets[unseen]]))
    told = people.person[~people.is_question]
    chosen = (people.subsets["recited"] | people.subsets["test_biographies"])[: len(told)]
    of_people = losses[mixed.examples["people"]][: len(told)][chosen]
    auc = loss_separation(of_people, people.subsets["recited"][: len(told)][chosen], told[chosen]).auc
    assert table["auc_low"]["people/biographies"] == pytest.approx(auc.low)


def test_evaluations_with_losses_that_are_no_numbers_and_models_without_control_are_left_out():
    task = Facts(40)
    array = planted(task)
    array.values[0, 3] = np.nan
    assert table_of(task, array)["step"].tolist() == [10]
    array.values[1, 4] = -np.inf
    assert table_of(task, array).empty
    everything = ModularArithmetic(p=5, train_fraction=1.0)
    assert table_of(everything, planted(everything)).empty


def test_an_untrained_model_says_nothing_of_what_it_will_be_shown(tmp_path):
    batch = {
        "name": "losses",
        "suite": {
            "task": {"family": "multiplication", "operands": "2-16", "held_out": 0.2},
            "shapes": [{"d_model": 32, "n_heads": 2}],
            "vary": {"seed": [0, 1], "learning_rate": [1.0e-2], "weight_decay": [0.0]},
            "training": {"steps": 150, "batch_size": 64, "checkpoints": {"log_until": 0, "every": 150}},
        },
        "probes": ["performance", "recall"],
    }
    folder = probe.run(parse_batch(yaml.safe_dump(batch), "losses.yaml"), out=str(tmp_path / "run"), workers=1)
    models = probe.open_suite(f"{folder}/suite").by_name
    tasks = {name: model.task for name, model in models.items()}
    table = loss_table(probe.results(folder), lambda model, name: probe.arrays(folder, model, name), tasks)
    first, last = (table[table["step"] == step] for step in (0, 150))
    assert (first["auc_low"] < 0.5).all()
    assert (first["auc_high"] > 0.5).all()
    assert (last["auc_low"] > 0.7).all()
    assert (last["shown_median"] < 1).all()
    assert (last["unseen_median"] > last["shown_q90"]).all()
