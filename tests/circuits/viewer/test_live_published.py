"""Models in transformers' format: shared keys and values, blocks in parallel, texts; with a task and without one."""

import numpy as np
import pytest
import torch

import probe
from circuits import EdgeAblation, Metric, Pairs, repeated_tokens
from circuits.graph import Graph
from circuits.heads import scores_on_repeats
from circuits.viewer.answers import Answers
from probe.suites import open_suite
from tests.suites.hub_format import save_llama, save_neox, tokenizer

STEP = 1000
TEXT = "The bell rings at noon"


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    words = tokenizer()
    save_llama(folder / "llama" / f"step{STEP}", tokenizer=words)
    save_neox(folder / "neox" / f"step{STEP}", tokenizer=words)
    return open_suite(folder)


@pytest.fixture(scope="module")
def answers(suite):
    return Answers.of(suite.address)


@pytest.fixture(scope="module")
def of_task(suite, tmp_path_factory):
    """The same models asked for sequences that are repeated, by a batch that has not run yet."""
    folder = tmp_path_factory.mktemp("asked")
    task = {"family": "repeated", "n": 24, "n_tokens": 200, "shortest": 3, "longest": 4}
    of = {"source": "folder", "path": suite.address, "task": task}
    (folder / "batch.yaml").write_text(
        probe.Batch.model_validate({"name": "asked", "suite": of, "probes": ["performance"]}).to_yaml()
    )
    return Answers.of(folder)


def test_run_without_a_task(answers, suite):
    run = answers.answer("run", {})
    assert (run.task, run.metric, run.live) == (None, None, True)
    for model in run.models:
        graph = Graph.of(suite[model.name, STEP].load())
        assert model.graph.destinations == list(graph.destination_names)
        assert model.graph.n_before == graph.n_before.tolist()
        assert (model.steps, model.scored, model.seed) == ([STEP], [], None)
    assert any(note.startswith("No edge scores of llama, neox: task: nothing says") for note in run.notes)


@pytest.mark.parametrize("name", ["llama", "neox"])
def test_a_text_is_read_and_nodes_are_ablated(answers, suite, name):
    model, words = suite[name, STEP].load(), suite.by_name[name].tokenizer()
    tokens = words(TEXT)["input_ids"]
    nodes = ["L0.H1", "L0.MLP", "L1.H0"]
    told = answers.answer("forward", {"model": name, "step": STEP, "text": TEXT, "ablated": nodes})
    assert "".join(told.tokens) == TEXT
    metrics = [
        Metric(str(token), 1, lambda logits, asked, token=token: logits[:, token].double()) for token in range(256)
    ]
    runs = EdgeAblation(model, Pairs.of([tokens], [tokens], [0], 256), metrics, ablation="zero")
    logits = runs.values(runs.graph.mask & np.isin(runs.graph.source_names, nodes)[:, None])[:, 0]
    assert [p.logit for p in told.predictions] == pytest.approx(sorted(logits)[:-11:-1], abs=1e-3)
    assert [p.logit for p in told.lens[-1].top] == pytest.approx(sorted(logits)[:-6:-1], abs=1e-3)
    with torch.no_grad():
        plain = model(torch.tensor([tokens]))[0, -1]
    assert [p.logit for p in told.without] == pytest.approx(plain.topk(10)[0].tolist(), abs=1e-4)
    first = told.without[0]
    assert first.token == (words.decode([int(plain.argmax())]) or str(int(plain.argmax())))
    assert len(told.patterns) == 2 * model.cfg.n_heads


def test_heads_of_keys_and_values_are_nodes_that_write_nothing(answers):
    told = answers.answer("node", {"model": "llama", "step": STEP, "node": "L0.KV1"})
    assert (told.tokens, told.pattern, told.attribution, told.roles, told.top) == ([], None, None, [], [])
    with pytest.raises(ValueError, match=r"node: got 'L0.KV1'; expected"):
        answers.answer("node", {"model": "neox", "step": STEP, "node": "L0.KV1"})
    with pytest.raises(ValueError, match=r"ablated: got 'L0.KV1'; expected"):
        answers.answer("forward", {"model": "llama", "step": STEP, "text": TEXT, "ablated": ["L0.KV1"]})


def test_roles_are_told_without_a_task_and_edges_are_not(answers, suite):
    told = answers.answer("node", {"model": "neox", "step": STEP, "node": "L1.H1"})
    found = scores_on_repeats(suite["neox", STEP].load(), repeated_tokens(64, 8, 256)).means()
    expected = {score: float(found["mean"].sel(score=score, layer=1, head=1)) for score in found["score"].values}
    assert {role.name.replace(" ", "_"): role.value.mean for role in told.roles} == pytest.approx(expected, rel=1e-5)
    assert (told.pattern, told.attribution, told.spectrum, told.top) == (None, None, None, [])
    for name, more in (("edge", {"edge": "embed -> logits"}), ("scores", {})):
        with pytest.raises(ValueError, match="task: nothing says what neox was trained on"):
            answers.answer(name, {"model": "neox", "step": STEP, **more})
    with pytest.raises(ValueError, match="model: what became of single questions of neox is not recorded"):
        answers.answer("map", {"model": "neox", "step": STEP})


def test_a_model_that_is_asked_a_task_shows_its_own_tokens(of_task, suite):
    run = of_task.answer("run", {})
    words = suite.by_name["llama"].tokenizer()
    assert run.running
    assert [model.scored for model in run.models] == [[STEP], [STEP]]
    assert len(run.task.tokens) == 256
    assert run.task.tokens[60] == words.decode([60])
    assert run.task.tokens[250] == "250"  # the tokenizer has 200
    told = of_task.answer("node", {"model": "llama", "step": STEP, "node": "L1.H3", "example": 3})
    task = run.task
    assert len(told.tokens) == len(told.pattern.values)
    assert len(told.top) == 8
    assert told.attribution.n == task.n_examples == 24


def test_edges_into_shared_keys_are_told(of_task):
    edge = "L0.H2 -> L1.KV1.v"
    told = of_task.answer("edge", {"model": "llama", "step": STEP, "edge": edge})
    assert told.change.mean == pytest.approx(told.ablated.mean - told.whole.mean, abs=1e-9)
    assert told.score.n == 24
    assert told.score.mean != 0
    scores = of_task.answer("scores", {"model": "llama", "step": STEP})
    graph = of_task.answer("run", {}).models[0].graph
    names = [f"{s} -> {d}" for d, n in zip(graph.destinations, graph.n_before, strict=True) for s in graph.sources[:n]]
    assert scores.values[names.index(edge)] == pytest.approx(told.score.mean, rel=1e-5)
    history = of_task.answer("history", {"name": edge})
    assert [(line.model, line.step) for line in history.lines] == [("llama", [STEP])]
