"""Learning in context, measured on a model that does and on one that does not."""

import numpy as np
import pytest
import torch
import yaml

import probe
from probe.batch.schema import load_batch, parse_batch
from probe.probes import Row
from probe.probes.in_context import LearnedInContext
from probe.suites.architecture import Architecture
from probe.suites.hooked import HookedTransformer
from probe.tasks import InContextLinear, InContextMapping, ModularArithmetic
from tests.circuits.heads.known_heads import D_VOCAB, N_CTX, known_heads
from tests.circuits.programs.program import subspaces, zeros
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
    assert told(results, "icl_gain_high", "test") < -0.7
    assert told(results, "icl_gain_high", "test", model="d32-l1-s0") > -0.3
    assert told(results, "ceiling", "0") == pytest.approx(1 / 6)
    assert told(results, "ceiling", "1") == 1
    assert told(results, "accuracy", "test/1", model="d32-l1-s0") < trained - 0.2
    for metric in ("accuracy", "loss"):
        low, value, high = (told(results, f"{metric}{end}", "test/2") for end in ("_low", "", "_high"))
        assert low <= value <= high
        assert low < high


def test_heads_are_scored_at_what_is_asked(results):
    best = max(("L1.H0", "L1.H1"), key=lambda head: told(results, "induction_gain", head))
    assert told(results, "induction_gain_low", best) > 0.2  # whoever looks a value up looks at what came after the key
    assert told(results, "induction", best) > told(results, "induction", "uniform") + 0.2
    assert told(results, "induction_gain_low", best, step=0) < 0.02


def counting():
    """One head that attends to all alike and writes what it sees as the answer: it knows which values were shown."""
    at, d_model = subspaces(token=D_VOCAB, answer=D_VOCAB)
    arch = Architecture(
        d_model=d_model, n_layers=1, n_heads=1, d_head=D_VOCAB, d_vocab=D_VOCAB, n_ctx=N_CTX, attn_only=True
    )
    w = zeros(arch)
    w["embed.W_E"][:, at["token"]] = w["blocks.0.attn.W_V"][0, at["token"]] = torch.eye(D_VOCAB)
    w["blocks.0.attn.W_O"][0][:, at["answer"]] = torch.eye(D_VOCAB)
    w["unembed.W_U"][at["answer"]] = 8 * torch.eye(D_VOCAB)
    return HookedTransformer.with_weights(arch, w)


def rows_of(task, model):
    with torch.no_grad():
        logits = model(torch.as_tensor(task.tokens))[:, list(task.scored)][..., torch.as_tensor(task.answer_tokens)]
    found = {}
    for row in LearnedInContext().measure(observation(task, scored_logits=logits, model=model)):
        if isinstance(row, Row):
            assert found.setdefault((row.metric, row.key), row.value) == row.value or np.isnan(row.value)
    return found


def test_who_counts_the_answers_shown_learns_nothing_of_what_belongs_to_what():
    """Both have a score far below 0; of the shuffled sequences, who counts has the same."""
    task = InContextMapping(2000, 6, 8, 7, seed=1)
    counts, looks_up = rows_of(task, counting()), rows_of(task, known_heads())
    assert counts["icl_score_high", "test"] < -0.05
    for end in ("", "_low", "_high"):  # the same answers in another order are the same to it
        assert counts[f"icl_gain{end}", "test"] == pytest.approx(0, abs=1e-6)
    assert counts["accuracy", "test/1"] > 1.5 / 8
    assert counts["accuracy_low", "uninformed/1"] < 1 / 8 < counts["accuracy_high", "uninformed/1"]
    assert looks_up["icl_gain_high", "test"] < -1
    assert looks_up["accuracy", "test/2"] > 0.99
    # of a key that was shown once, where it is, one value is told: that of another place, and seldom the right one
    assert looks_up["accuracy", "shuffled/1"] < 0.4
    for rows in (counts, looks_up):
        gain = rows["icl_gain", "test"]
        assert gain == pytest.approx(rows["icl_score", "test"] - rows["icl_score", "shuffled"], abs=0.15)
        assert {key for metric, key in rows if metric == "accuracy" and key.startswith("shuffled")} >= {
            "shuffled/0",
            "shuffled/1",
        }


def test_a_model_that_ignores_the_context_has_a_score_of_0():
    task = InContextMapping(60, 6, 8, 7, seed=1)
    arch = counting().arch
    silent = HookedTransformer.with_weights(arch, zeros(arch))
    rows = rows_of(task, silent)
    for metric in ("icl_score", "icl_gain"):
        assert rows[metric, "test"] == pytest.approx(0, abs=1e-12)
    assert rows["icl_score", "uninformed"] == rows["icl_score", "shuffled"] == pytest.approx(0, abs=1e-12)
    assert rows["loss", "test/2"] == pytest.approx(np.log(8))


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
