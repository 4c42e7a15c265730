"""Learning in context, measured on a model that does and on one that does not."""

import numpy as np
import pytest
import torch
import yaml

import probe
from circuits.heads import head_scores
from probe.activations.inputs import Inputs
from probe.batch.schema import load_batch, parse_batch
from probe.probes.in_context import LearnedInContext
from probe.tasks import InContextLinear, InContextMapping, ModularArithmetic
from tests.probes.stub import observation

TASK = {"family": "in_context_mapping", "n": 1024, "n_keys": 4, "n_values": 6, "pairs": 8}
LAST = 240


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that can look two tokens up, beside one of a single layer, which cannot."""
    batch = {
        "name": "learning",
        "suite": {
            "task": TASK | {"n": 600},
            "shapes": [{"d_model": 32, "n_heads": 2, "n_layers": n, "attn_only": True} for n in (1, 2)],
            "vary": {"learning_rate": [1.0e-2], "weight_decay": [0.3]},
            "training": {"steps": LAST, "batch_size": 64, "checkpoints": {"log_until": 0, "every": 120}},
        },
        "probes": ["probe.probes.in_context:LearnedInContext", "circuits.role_probe:HeadRoles"],
    }
    parsed = parse_batch(yaml.safe_dump(batch), "learning.yaml")
    return probe.run(parsed, out=str(tmp_path_factory.mktemp("runs") / "learning"), workers=1)


@pytest.fixture(scope="module")
def results(folder):
    return probe.results(folder)


def told(results, metric, key, model="d32-l2-s0", step=LAST):
    at = (results["model"] == model) & (results["step"] == step)
    (value,) = results[at & (results["metric"] == metric) & (results["key"] == key)]["value"]
    return value


def test_what_is_stored_is_what_the_model_says_sequence_by_sequence(folder, results):
    checkpoint = probe.open_suite(f"{folder}/suite")["d32-l2-s0", LAST]
    task, model = checkpoint.task, checkpoint.load()
    test = np.flatnonzero(task.subsets["test"])
    right, losses = {}, []
    for example in test.tolist():
        row = task.tokens[example].tolist()
        before, of_row = [], []
        for place in range(task.pairs):
            with torch.no_grad():
                logits = model(torch.tensor([row[: 2 * place + 1]]))[0, -1, task.n_keys :].double()
            value = task.told[example, place] - task.n_keys
            key = row[2 * place]
            right.setdefault(before.count(key), []).append(int(logits.argmax()) == value)
            of_row.append(-logits.log_softmax(-1)[value].item())
            before.append(key)
        losses.append(of_row[-1] - of_row[0])
    for shown, hits in right.items():
        assert told(results, "accuracy", f"test/{shown}") == pytest.approx(np.mean(hits))
    assert told(results, "icl_score", "test") == pytest.approx(np.mean(losses), abs=1e-5)
    stored = probe.arrays(folder, "d32-l2-s0", "in_context_right").sel(step=LAST).values
    assert stored[test].sum() == sum(map(sum, right.values()))


def test_two_layers_learn_in_context_and_only_from_what_is_shown(results):
    untrained = told(results, "accuracy", "test/1", step=0)
    trained = told(results, "accuracy", "test/1")
    assert untrained < 0.35
    assert trained > 0.8
    assert told(results, "accuracy", "uninformed/1") < 0.35
    assert told(results, "icl_score_high", "test") < -0.7
    assert told(results, "icl_score_low", "uninformed") > -0.35
    assert told(results, "ceiling", "0") == pytest.approx(1 / 6)
    assert told(results, "ceiling", "1") == 1
    assert told(results, "accuracy", "test/1", model="d32-l1-s0") < trained - 0.2
    for metric in ("accuracy", "loss"):
        low, value, high = (told(results, f"{metric}{end}", "test/2") for end in ("_low", "", "_high"))
        assert low <= value <= high
        assert low < high


def test_heads_are_scored_on_the_task_itself(folder, results):
    checkpoint = probe.open_suite(f"{folder}/suite")["d32-l2-s0", LAST]
    task = checkpoint.task
    members = np.linspace(0, task.n - 1, 256).round().astype(int)
    found = head_scores(checkpoint.load(), Inputs(task.tokens[members], task.lengths[members])).means()
    for head in (0, 1):
        expected = found["mean"].sel(score="induction", layer=1, head=head).item()
        assert told(results, "induction", f"L1.H{head}") == pytest.approx(expected, abs=1e-6)
    uniform = told(results, "induction", "uniform")
    best = max(told(results, "induction_low", f"L1.H{head}") for head in (0, 1))
    assert best > uniform + 0.2  # whoever looks a value up looks at what came after the key
    assert told(results, "induction", "L1.H0", step=0) < uniform + 0.15


def test_a_model_that_ignores_the_context_has_a_score_of_0():
    task = InContextMapping(60, 3, 5, 6, seed=1)
    flat = torch.zeros(60, 6, 5, dtype=torch.float64)
    probe_of = LearnedInContext()
    found = observation(task, scored_logits=flat)
    rows = {}
    try:
        for row in probe_of.measure(found):
            rows[row.metric, row.key] = row.value
    except AttributeError:
        pass  # there is no model to be asked again
    assert rows["icl_score", "test"] == pytest.approx(0, abs=1e-12)
    assert rows["loss", "test/2"] == pytest.approx(np.log(5))


def test_other_tasks_are_refused():
    with pytest.raises(ValueError, match="nothing is learned in context"):
        LearnedInContext().check(ModularArithmetic(7))
    LearnedInContext().check(InContextLinear(20, 3, 4))
    with pytest.raises(ValueError, match="controls: got 1; expected 2 or more"):
        LearnedInContext(controls=1)


def test_the_bundled_batch_has_sizes_and_seeds():
    batch = load_batch("emergence-icl")
    members = [member for _, group in batch.suite.ensembles() for member in group]
    assert len({member.seed for member in members}) >= 3
    assert len(batch.suite.shapes) >= 5
    assert batch.tasks()[0].family == "in_context_mapping"
