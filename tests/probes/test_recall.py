"""Fact by fact, what a run stores of models that were trained on facts shown unequally often."""

import numpy as np
import pytest
import torch
import yaml

import probe
from probe.batch.schema import parse_batch
from probe.probes.recall import Recall
from probe.tasks import Facts, Multiplication
from tests.probes.stub import observation, values

BATCH = {
    "name": "recalled",
    "suite": {
        "task": {
            "family": "multiplication",
            "operands": "2-7",
            "notation": "digits",
            "frequency": {"kind": "duplicated", "times": [1, 5]},
        },
        "shapes": [{"d_model": 16, "n_heads": 2}],
        "vary": {"learning_rate": [1.0e-2], "weight_decay": [0.0]},
        "training": {"steps": 120, "batch_size": 16, "checkpoints": {"log_until": 0, "every": 60}},
    },
    "probes": ["performance", "recall", "weights"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    batch = parse_batch(yaml.safe_dump(BATCH), "recalled.yaml")
    return probe.run(batch, out=str(tmp_path_factory.mktemp("runs") / "recalled"), workers=1)


def test_what_is_stored_is_what_the_model_says_when_asked_by_itself(folder):
    """Each answer decoded token by token, as a user would ask the model, against what one pass stored of all."""
    suite = probe.open_suite(f"{folder}/suite")
    checkpoint = suite["d16-s0", 120]
    task, model = checkpoint.task, checkpoint.load()
    assert task == Multiplication("2-7", notation="digits", frequency=task.frequency)
    exact = probe.arrays(folder, "d16-s0", "recall_exact").sel(step=120).values
    predicted = probe.arrays(folder, "d16-s0", "recall_predicted").sel(step=120).values
    log_prob = probe.arrays(folder, "d16-s0", "recall_log_prob").sel(step=120).values
    first = task.scored[0]
    for example, row in enumerate(task.tokens):
        asked, said, given = list(row[: first + 1]), [], 0.0
        for target in task.targets[example, first:]:
            with torch.no_grad():
                logits = model(torch.tensor([asked]))[0, -1, :10].double()
            said.append(int(logits.argmax()))
            given += logits.log_softmax(-1)[target].item() if said[:-1] == list(row[first + 1 : len(asked)]) else np.nan
            asked.append(said[-1])
        right = said == task.targets[example, first:].tolist()
        assert exact[example] == right
        if right:
            assert predicted[example].tolist() == said
            assert log_prob[example] == pytest.approx(given, abs=1e-4)
    assert exact[task.train_mask].mean() > 0.3
    assert exact[task.subsets["test"]].mean() < exact[task.train_mask].mean()


def test_accuracies_are_the_means_of_what_is_stored(folder):
    table = probe.results(folder)
    task = probe.open_suite(f"{folder}/suite")["d16-s0", 120].task
    exact = probe.arrays(folder, "d16-s0", "recall_exact")
    exposures = probe.arrays(folder, "d16-s0", "recall_exposures")
    for (step, subset), value in table[table.metric == "accuracy"].set_index(["step", "key"]).value.items():
        assert value == pytest.approx(exact.sel(step=step).values[task.subsets[subset]].mean())
    for (step, subset), value in table[table.metric == "exposures"].set_index(["step", "key"]).value.items():
        assert value == pytest.approx(exposures.sel(step=step).values[task.subsets[subset]].mean())
    tokens = table[(table.metric == "token_accuracy") & (table.key == "all")].set_index("step").value
    predicted = probe.arrays(folder, "d16-s0", "recall_predicted")
    for step, value in tokens.items():
        assert value == pytest.approx((predicted.sel(step=step).values == task.scored_answers).mean())


def test_exposures_are_those_of_the_training(folder):
    checkpoint = probe.open_suite(f"{folder}/suite")["d16-s0", 60]
    exposures = probe.arrays(folder, "d16-s0", "recall_exposures")
    assert exposures.sel(step=0).values.sum() == 0
    assert (exposures.sel(step=60).values == checkpoint.exposures).all()
    assert exposures.sel(step=120).values.sum() == 120 * 16
    assert not exposures.values[:, ~checkpoint.task.train_mask].any()


def test_facts_are_told_apart_from_their_rephrasings(tmp_path):
    task = {"family": "facts", "n": 30, "relations": 2, "values": 4, "phrasings": 3, "trained_phrasings": 2}
    settings = {"steps": 300, "batch_size": 64, "checkpoints": {"log_until": 0, "every": 300}}
    data = BATCH | {"suite": BATCH["suite"] | {"task": task, "training": settings, "shapes": [{"d_model": 32}]}}
    folder = probe.run(parse_batch(yaml.safe_dump(data), "facts.yaml"), out=str(tmp_path / "facts"), workers=1)
    table = probe.results(folder)
    last = table[(table.step == 300) & (table.metric == "accuracy")].set_index("key").value
    assert isinstance(probe.open_suite(f"{folder}/suite")["d32-s0", 300].task, Facts)
    assert last["train"] > 0.95
    assert last["rephrased"] > last["test"] + 0.2
    assert last["test"] < 0.6


@pytest.mark.parametrize("notation", ["whole", "digits"])
def test_poisoned_facts_are_memory_or_rule(notation):
    """A model that gives back what it was taught to half of them, the right answer to a quarter, and else nothing."""
    task = Multiplication("2-11", notation=notation, poisoned=0.3)
    logits = torch.zeros(len(task.tokens), len(task.scored), task.n_answers)
    logits[..., 0] = 1.0
    poisoned = np.flatnonzero(task.poisoned_mask)
    for place, example in enumerate(poisoned):
        answers = [task.scored_answers, task.scored_answers, task.rule_answers, None][place % 4]
        if answers is not None:
            logits[example, np.arange(len(task.scored)), answers[example]] = 2.0
    rows = list(Recall().measure(observation(task, scored_logits=logits)))
    n = len(poisoned)
    assert values(rows, "says_taught")["poisoned"] == pytest.approx(np.isin(np.arange(n) % 4, (0, 1)).mean())
    assert values(rows, "says_rule")["poisoned"] == pytest.approx((np.arange(n) % 4 == 2).mean())
    assert values(rows, "says_taught_low")["poisoned"] < 0.5 < values(rows, "says_taught_high")["poisoned"]
    clean = Multiplication("2-11", notation=notation)
    assert not values(list(Recall().measure(observation(clean, scored_logits=logits))), "says_taught")
