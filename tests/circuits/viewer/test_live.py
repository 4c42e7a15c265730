"""What is computed on models of edges and prompts, against the public functions and hooks by hand; and for whom."""

import json
import threading
import time

import numpy as np
import pytest
import torch

import probe
from circuits import EdgeAblation, Metric, Pairs, answer_loss, eap_ig, logit_difference
from circuits.graph import Graph
from circuits.pairs.tasks import some_pairs_from_task
from circuits.probes import CircuitFormation
from circuits.viewer.answers import Answers
from circuits.viewer.live import forward
from circuits.viewer.live.loaded import KEPT_MODELS, Cancelled
from probe.suites.trained import TrainedModel
from tests.circuits.viewer.live_suite import DIGITS, QUOTIENT, REPEATED, STEP, SUM, at, interval, suite_in


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return suite_in(tmp_path_factory.getbasetemp() / "live")


@pytest.fixture(scope="module")
def answers(suite):
    return Answers.of(suite.address)


# --- edges ---


@pytest.mark.parametrize(("name", "edge"), [(SUM, "L0.MLP -> L1.H1.v"), (REPEATED, "L0.H1 -> L1.H0.k")])
def test_edge_has_the_scores_of_pairs_and_what_ablating_it_does(answers, suite, name, edge):
    told = answers.answer("edge", at(name, edge=edge))
    checkpoint = suite[name, STEP]
    model, pairs = checkpoint.load(), some_pairs_from_task(checkpoint.task, 64)
    scores = eap_ig(model, pairs, logit_difference, steps=5, per_example=True)
    place = next(tuple(p) for p in np.argwhere(scores.graph.mask) if str(scores.graph.edge(*p)) == edge)
    mask = np.zeros_like(scores.graph.mask)
    mask[place] = True
    whole, ablated = EdgeAblation(model, pairs, logit_difference).values(np.stack([mask & False, mask]))[0]
    assert told.values == pytest.approx(scores.per_example[(slice(None), *place)].tolist(), rel=1e-5, abs=1e-7)
    assert np.abs(ablated - whole).max() > 1e-3  # so that there is something to tell
    for field, values in {
        "score": scores.per_example[(slice(None), *place)],
        "whole": whole,
        "ablated": ablated,
        "change": ablated - whole,
    }.items():
        assert getattr(told, field).model_dump() == interval(values), field
    assert (told.metric, told.ablation) == ("logit_difference", "corrupted")


def test_edges_are_scored_as_the_batch_says(suite, tmp_path):
    """By a batch that has not run yet, so that nothing is stored."""
    said = {"n_pairs": 9, "operand": 1, "subset": "train", "metric": "answer_loss", "ablation": "zero", "steps": 2}
    probes = [{"name": name, "args": said | {"seed": 5}} for name in ("final_circuit", "circuit_formation")]
    batch = {"name": "said", "suite": {"source": "folder", "path": suite.address}, "probes": probes}
    edge, checkpoint = "L0.H0 -> logits", suite[QUOTIENT, STEP]
    pairs = some_pairs_from_task(checkpoint.task, 9, operand=1, subset="train", seed=5)
    expected = eap_ig(checkpoint.load(), pairs, answer_loss, steps=2, ablation="zero", per_example=True)
    place = expected.graph.source_names.index("L0.H0"), -1
    for some in (probes, probes[:1]):
        (tmp_path / "batch.yaml").write_text(probe.Batch.model_validate(batch | {"probes": some}).to_yaml())
        told = Answers.of(tmp_path).answer("edge", at(QUOTIENT, edge=edge))
        assert (told.metric, told.ablation) == ("answer_loss", "zero")
        assert told.values == pytest.approx(expected.per_example[(slice(None), *place)].tolist(), rel=1e-5, abs=1e-7)
        assert told.whole.mean == pytest.approx(expected.clean.mean())


# --- prompts ---


def logits_with(model, tokens, nodes, instead, ablation):
    """Logits at the last position with all edges out of some nodes ablated, a metric for each token."""
    metrics = [
        Metric(f"logit {token}", 1, lambda logits, asked, token=token: logits[:, token].double())
        for token in range(model.cfg.d_vocab_out)
    ]
    pairs = Pairs.of([tokens], [instead], [0], model.cfg.d_vocab, None)
    runs = EdgeAblation(model, pairs, metrics, ablation=ablation)
    mask = runs.graph.mask & np.isin(runs.graph.source_names, nodes)[:, None]
    return runs.values(mask)[:, 0]


@pytest.mark.parametrize("nodes", [["L0.H1"], ["L1.H0", "L0.H1", "L0.MLP"], ["embed"], ["L1.MLP"], ["L0.H0", "L0.H1"]])
@pytest.mark.parametrize("other", [None, [1, 6, 7]])
def test_nodes_ablated_are_all_their_edges_ablated(answers, suite, nodes, other):
    tokens = [3, 5, 7]
    model = suite[SUM, STEP].load()
    ablation = "zero" if other is None else "corrupted"
    expected = logits_with(model, tokens, nodes, other or [0, 0, 7], ablation)
    told = answers.answer("forward", at(SUM, tokens=tokens, ablated=nodes, other=other))
    assert told.tokens == ["3", "5", "="]
    logits = {prediction.token: prediction.logit for prediction in told.predictions}
    assert [logits[token] for token in [*map(str, range(7)), "="]] == pytest.approx(expected.tolist(), abs=1e-4)
    probabilities = torch.tensor(expected).softmax(0)
    assert [p.probability for p in told.predictions] == pytest.approx(
        probabilities.sort(descending=True)[0].tolist(), abs=1e-5
    )
    plain = model(torch.tensor([tokens]))[0, -1].detach()
    assert told.lens[-1].right == pytest.approx(float(probabilities[int(plain.argmax())]), abs=1e-5)
    assert [p.logit for p in told.without] == pytest.approx(plain.sort(descending=True)[0].tolist(), abs=1e-5)
    assert told.predictions != told.without
    if nodes == ["embed"]:  # so that it matters whose first answer it is
        assert told.predictions[0].token != told.without[0].token


def test_with_all_nodes_ablated_nothing_is_left_to_tell_answers_apart(answers, suite):
    names = list(Graph.of(suite[SUM, STEP].load()).source_names)
    told = answers.answer("forward", at(SUM, tokens=[3, 5, 7], ablated=names))
    assert [p.probability for p in told.predictions] == pytest.approx([1 / 8] * 8)  # no biases: all logits are 0
    assert [layer.right for layer in told.lens] == pytest.approx([1 / 8] * 3)
    instead = answers.answer("forward", at(SUM, tokens=[3, 5, 7], other=[1, 2, 7], ablated=names))
    of_other = answers.answer("forward", at(SUM, tokens=[1, 2, 7]))
    assert [p.token for p in instead.predictions] == [p.token for p in of_other.predictions]
    assert [p.logit for p in instead.predictions] == pytest.approx([p.logit for p in of_other.predictions], abs=1e-4)


def test_lens_and_patterns_are_those_of_the_ablated_pass(answers, suite):
    tokens, model = [16, 3, 5, 9, 3, 5], suite[REPEATED, STEP].load()
    for ablated in ([], ["L0.H0"]):
        told = answers.answer("forward", at(REPEATED, tokens=tokens, ablated=ablated))

        def zero(z, hook):
            return torch.where(torch.tensor([True, False])[:, None], 0.0, z)

        hooks = [("blocks.0.attn.hook_z", zero)] if ablated else []
        seen = {}
        keep = [f"blocks.{layer}.{site}" for layer in (0, 1) for site in ("attn.hook_pattern", "hook_resid_post")]
        for site in ["blocks.0.hook_resid_pre", *keep]:
            hooks.append((site, lambda value, hook, site=site, seen=seen: seen.__setitem__(site, value)))
        with torch.no_grad():
            logits = model.run_with_hooks(torch.tensor([tokens]), fwd_hooks=hooks)[0, -1]
        assert [pattern.head for pattern in told.patterns] == ["L0.H0", "L0.H1", "L1.H0", "L1.H1"]
        for pattern in told.patterns:
            layer, head = int(pattern.head[1]), int(pattern.head[-1])
            found = np.array(pattern.values)
            assert found == pytest.approx(seen[f"blocks.{layer}.attn.hook_pattern"][0, head].detach().numpy(), abs=1e-6)
            assert found.sum(1) == pytest.approx(np.ones(6), abs=1e-5)
        first = int(model(torch.tensor([tokens]))[0, -1].argmax())
        streams = [seen[f"blocks.{site}"] for site in ("0.hook_resid_pre", "0.hook_resid_post", "1.hook_resid_post")]
        assert [layer.name for layer in told.lens] == ["embed", "L0", "L1"]
        for layer, stream in zip(told.lens, streams, strict=True):
            said = (stream[0, -1] @ model.unembed.W_U.detach()).double().softmax(0)
            assert layer.right == pytest.approx(float(said[first]), abs=1e-6)
            assert [p.probability for p in layer.top] == pytest.approx(said.topk(5)[0].tolist(), abs=1e-6)
        assert [p.token for p in told.lens[-1].top] == [p.token for p in told.predictions[:5]]
        assert told.predictions[0].logit == pytest.approx(float(logits.max()), abs=1e-5)


def test_patterns_of_a_long_prompt_are_left_out(answers, monkeypatch):
    monkeypatch.setattr(forward, "PATTERN_NUMBERS", 2 * 2 * 5 * 5)
    assert len(answers.answer("forward", at(REPEATED, tokens=[1, 2, 3, 4, 5])).patterns) == 4
    longer = answers.answer("forward", at(REPEATED, tokens=[1, 2, 3, 4, 5, 6]))
    assert (longer.patterns, len(longer.lens)) == ([], 3)


def test_no_lens_where_the_logits_are_not_its_own(answers, monkeypatch):
    monkeypatch.setattr(forward, "TOLERANCE", -1.0)
    monkeypatch.setattr(torch, "finfo", lambda dtype: type("Exact", (), {"eps": -1.0}))
    assert answers.answer("forward", at(SUM, tokens=[1, 2, 7])).lens == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "tokens: got neither tokens nor a text"),
        ({"tokens": [1], "text": "one"}, "tokens: got tokens and a text"),
        ({"text": "one"}, "text: got 'one', and sum has no tokenizer; expected tokens"),
        ({"tokens": []}, "tokens: got 0 tokens; expected 1 to 3"),
        ({"tokens": [1, 2, 3, 4]}, "tokens: got 4 tokens; expected 1 to 3"),
        ({"tokens": [1, 8]}, "tokens: got token 8; expected 0 to 7"),
        ({"tokens": [1, -1]}, "tokens: got token -1; expected 0 to 7"),
        ({"tokens": [1, 2, 7], "other": [1, 2], "ablated": ["embed"]}, "other: got 2 tokens; expected 3"),
        ({"tokens": [1, 2, 7], "other": [1, 2, 9], "ablated": ["embed"]}, "other: got token 9"),
        ({"tokens": [1, 2, 7], "ablated": ["embed", "logits"]}, "ablated: got 'logits'; expected"),
        ({"tokens": [1, 2, 7], "ablated": ["L0.H2"]}, "ablated: got 'L0.H2'; expected .*, such as L0.H"),
    ],
)
def test_prompts_that_cannot_be_read_are_refused(answers, asked, said):
    with pytest.raises(ValueError, match=said):
        answers.answer("forward", at(SUM, **asked))


# --- who asks ---


def test_models_are_loaded_once_and_few_are_kept(suite, monkeypatch):
    loads, load = [], TrainedModel.load

    def counted(self, step, *given):
        loads.append((self.name, step))
        return load(self, step, *given)

    monkeypatch.setattr(TrainedModel, "load", counted)
    asked = Answers.of(suite.address)
    models = [(SUM, 0), (SUM, 20), (SUM, 40), (QUOTIENT, 0)]
    assert len(models) == KEPT_MODELS
    for name, step in [*models, *models, models[0]]:
        asked.answer("forward", at(name, step, tokens=[1]))
    assert loads == models
    asked.answer("forward", at(QUOTIENT, 20, tokens=[1]))  # SUM at 20 was asked for longest ago
    asked.answer("forward", at(SUM, 0, tokens=[1]))
    assert loads == [*models, (QUOTIENT, 20)]
    asked.answer("forward", at(SUM, 20, tokens=[1]))
    assert loads == [*models, (QUOTIENT, 20), (SUM, 20)]


def test_weights_that_are_elsewhere_are_not_fetched(suite, monkeypatch):
    asked = Answers.of(suite.address)
    monkeypatch.setattr(TrainedModel, "at_hand", lambda self, step: False)
    with pytest.raises(ValueError, match=r"step: the weights of sum at 20 are not on this disk; load them once"):
        asked.answer("forward", at(SUM, 20, tokens=[1]))
    assert not asked.answer("run", {}).live


def test_a_stale_question_is_given_up_and_leaves_no_trace(answers):
    whole = answers.answer("node", at(SUM, node="L0.H1"))
    with pytest.raises(Cancelled):
        answers.answer("forward", at(DIGITS, 0, tokens=[1]), lambda: True)
    for name, asked in (("node", {"node": "L0.H1"}), ("edge", {"edge": "L0.H1 -> logits"}), ("map", {})):
        looks = 0

        def at_the_third():
            nonlocal looks
            looks += 1
            return looks > 2

        answers._live._loaded.clear()
        with pytest.raises(Cancelled):
            answers.answer(name, at(SUM, **asked), at_the_third)
        assert looks == 3  # before it began, and then before each layer
    assert answers.answer("node", at(SUM, node="L0.H1")) == whole
    (model,) = (loaded.model for loaded in answers._live._loaded.values())
    assert not any(point._forward_pre_hooks or point.has_hooks() for point in model.hook_dict.values())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_stale_question_does_not_wait_for_its_turn(answers):
    checkpoint = answers._opened.look(anew=False).suite[SUM, STEP]
    holds, ended = threading.Event(), threading.Event()

    def hold():
        with answers._live.at(checkpoint, CircuitFormation()):
            holds.set()
            ended.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    holds.wait(10)
    begun, wanted = time.monotonic(), threading.Event()
    threading.Timer(0.2, wanted.set).start()
    try:
        with pytest.raises(Cancelled):
            answers.answer("node", at(SUM, node="embed"), wanted.is_set)
        assert 0.1 < time.monotonic() - begun < 5
    finally:
        ended.set()
        holder.join()
    assert answers.answer("node", at(SUM, node="logits")).top == []


def test_several_ask_at_once(answers):
    asked = [
        (name, at(model, step, **more))
        for model, step in ((SUM, 0), (SUM, 40), (QUOTIENT, 20))
        for name, more in (("node", {"node": "L0.H0"}), ("edge", {"edge": "embed -> L0.MLP"}), ("scores", {}))
    ]
    expected = [answers.answer(*one).model_dump_json() for one in asked]
    found = [""] * len(asked)

    def ask(place):
        found[place] = answers.answer(*asked[place]).model_dump_json()

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(map(json.loads, found)) == list(map(json.loads, expected))
