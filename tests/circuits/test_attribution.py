"""Edge attribution against arithmetic on paper, autograd of explicit masks, finite differences, and TransformerLens."""

from math import log

import numpy as np
import pytest
import torch

from circuits import (
    Pairs,
    answer_log_prob,
    eap,
    eap_ig,
    eap_ig_activations,
    kl_from_clean,
    logit_difference,
)
from circuits.graph import Graph
from probe.suites.architecture import Architecture
from probe.suites.hooked import HookedTransformer
from tests.circuits.masked import masked_forward
from tests.circuits.models import gpt2, llama, neox, ours, random_pairs
from tests.circuits.oracle import their_scores


def by_name(scores):
    graph = scores.graph
    return {
        (graph.source_names[s], graph.destination_names[d]): scores.values[s, d] for s, d in np.argwhere(graph.mask)
    }


def micro_model():
    arch = Architecture(d_vocab=3, n_ctx=2, d_model=1, n_heads=2, d_head=1, d_mlp=1, n_layers=2)
    w = {name: torch.zeros(shape) for name, shape in arch.shapes.items()}
    w["embed.W_E"] = torch.tensor([[1 / 4], [1 / 12], [3 / 4]])
    w["blocks.0.attn.W_V"] = torch.tensor([2.0, -1.0]).reshape(2, 1, 1)
    w["blocks.0.attn.W_O"] = torch.ones(2, 1, 1)
    w["blocks.0.mlp.W_in"], w["blocks.0.mlp.W_out"] = torch.tensor([[1.0]]), torch.tensor([[3.0]])
    w["blocks.1.attn.W_Q"] = torch.tensor([log(3), 0.0]).reshape(2, 1, 1)
    w["blocks.1.attn.W_K"] = torch.tensor([1.0, 0.0]).reshape(2, 1, 1)
    w["blocks.1.attn.W_V"] = torch.ones(2, 1, 1)
    w["blocks.1.attn.W_O"] = torch.tensor([1.0, -2.0]).reshape(2, 1, 1)
    w["blocks.1.mlp.W_in"], w["blocks.1.mlp.W_out"] = torch.tensor([[-4.0]]), torch.tensor([[0.5]])
    w["unembed.W_U"] = torch.tensor([[1.0, -1.0, 0.0]])
    return HookedTransformer.with_weights(arch, w)


def test_every_edge_of_a_model_worked_out_on_paper():
    """Two layers of two heads, everything one number wide, no normalization, two positions (x0, x1).

    Forward, clean, e = (1/4, 1/12). L0.H0 and L0.H1 have no queries, so the second position attends 1/2, 1/2:
    L0.H0 = 2 (e0, (e0 + e1) / 2), L0.H1 = -1 of the same. MLP 0 is 3 relu(input), L0.MLP = 3 (e + L0.H0 + L0.H1).
    So the stream is r = (8 e0, 2 e0 + 6 e1) = (2, 1). L1.H0 has q = ln3 r, k = r, v = r: the second position's scores
    differ by ln3 (2 - 1), it attends 3/4, 1/4, and gives 7/4. L1.H1 has no queries, and gives -2 (2 + 1) / 2 = -3.
    MLP 1 is relu(-4 input) / 2, of 1 + 7/4 - 3 = -1/4 it makes 1/2. The stream ends at f = 1/4; the metric is f - (-f).

    Corrupted, e = (3/4, 1/12): differences, per position, are embed (1/2, 0), L0.H0 (1, 1/2), L0.H1 (-1/2, -1/4),
    L0.MLP (3, 3/4); r = (6, 2). L1.H0's scores differ by 2 ln3 (6 - 2) = 8 ln3: it attends 6561 : 1, and gives
    6 - 4/6562, difference (4, 17/4 - t) with t = 2/3281; L1.H1 gives -8, difference (-8, -5); MLP 1 reads
    2 + 6 - t - 8 = -t and gives 2 t, difference 2 t - 1/2 at the second position.

    Gradients, clean, at (x0, x1), with L = ln3: logits (0, 2); L1.MLP (0, -4), so L1's heads' outputs (0, -2).
    L1.H1.v: -2 * -2 / 2 at both, (2, 2). L1.H0.v: -2 (3/4, 1/4). dz/dscore = 3/4 1/4 (v0 - v1) = 3/16, so
    L1.H0.q: -2 * 3/16 * L (k0 - k1) = -3L/8 at x1, and L1.H0.k: -2 * 3/16 * q = (-3L/8, 3L/8). All together what
    enters layer 1 has g = (1/2 - 3L/8, -1/2). L0.MLP: 3 g. L0's heads' outputs: 4 g = (2 - 3L/2, -2).
    L0.H0.v: (2 (2 - 3L/2) - 2, -2); L0.H1.v: -1/2 of that.

    A score is difference times gradient, summed over the two positions.
    """
    L, t = log(3), 2 / 3281
    of_h0 = {
        "L0.MLP": 3 / 4 - 9 * L / 8,
        "L1.H0.q": -3 * L / 16,
        "L1.H0.k": -3 * L / 16,
        "L1.H0.v": -7 / 4,
        "L1.H1.v": 3,
        "L1.MLP": -2,
        "logits": 1,
    }
    expected = {
        "embed": {
            "L0.H0.v": 1 - 3 * L / 2,
            "L0.H1.v": (-1 + 3 * L / 2) / 2,
            "L0.MLP": 3 / 4 - 9 * L / 16,
            "L1.H0.k": -3 * L / 16,
            "L1.H0.v": -3 / 4,
            "L1.H1.v": 1,
        },
        "L0.H0": of_h0,
        "L0.H1": {destination: -score / 2 for destination, score in of_h0.items()},
        "L0.MLP": {
            "L1.H0.q": -9 * L / 32,
            "L1.H0.k": -27 * L / 32,
            "L1.H0.v": -39 / 8,
            "L1.H1.v": 15 / 2,
            "L1.MLP": -3,
            "logits": 3 / 2,
        },
        "L1.H0": {"L1.MLP": -17 + 4 * t, "logits": 17 / 2 - 2 * t},
        "L1.H1": {"L1.MLP": 20, "logits": -10},
        "L1.MLP": {"logits": -1 + 4 * t},
    }
    pairs = Pairs(np.array([[0, 1]]), np.array([[2, 1]]), np.array([0]), 3, np.array([1]))
    scores = eap(micro_model(), pairs, logit_difference)
    assert scores.clean == pytest.approx([1 / 2], abs=1e-6)
    assert scores.corrupted == pytest.approx([2 * t], abs=1e-5)  # f = -t + 2 t
    found = by_name(scores)
    assert len(found) == 46
    for (source, destination), score in found.items():
        assert score == pytest.approx(expected[source].get(destination, 0), abs=2e-5), (source, destination)


@pytest.mark.parametrize("options", [{}, {"normalization": "LN"}, {"normalization": "LN", "biases": True}], ids=str)
@pytest.mark.parametrize("metric", [logit_difference, answer_log_prob], ids=lambda metric: metric.name)
def test_eap_is_the_derivative_with_respect_to_a_mask_on_every_edge(options, metric):
    model, arch, w = ours(torch.float64, n_heads=3, d_head=2, **options)
    pairs = random_pairs(n_changed=5)
    scores = eap(model, pairs, metric, per_example=True)
    clean, corrupted = torch.tensor(pairs.clean), torch.tensor(pairs.corrupted)
    _, instead = masked_forward(arch, w, corrupted)
    named = list(by_name(scores))
    for i in range(len(pairs)):
        masks = {edge: torch.zeros((), dtype=torch.float64, requires_grad=True) for edge in named}
        one = {source: value[i : i + 1] for source, value in instead.items()}
        logits = masked_forward(arch, w, clean[i : i + 1], one, masks)[0][0, -1]
        right, wrong = pairs.answers[i], pairs.wrong_answers[i]
        value = logits[right] - logits[wrong] if metric is logit_difference else logits.log_softmax(-1)[right]
        assert scores.clean[i] == pytest.approx(value.item())
        gradients = torch.autograd.grad(value, list(masks.values()), allow_unused=True)
        for (source, destination), gradient in zip(named, gradients, strict=True):
            row, column = (
                scores.graph.source_names.index(source),
                scores.graph.destination_names.index(destination),
            )
            expected = 0.0 if gradient is None else gradient.item()
            assert scores.per_example[i, row, column] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert np.abs(scores.values[scores.graph.mask]).min() > 1e-6
    assert (scores.values[~scores.graph.mask] == 0).all()


@pytest.mark.parametrize(
    "made", [neox, gpt2, lambda: neox(use_parallel_residual=False)], ids=["neox", "gpt2", "serial"]
)
def test_transformerlens_gives_the_same_edges(made):
    model = made()
    pairs = random_pairs(n=3, length=4, d_vocab=40)
    pairs = Pairs(pairs.clean, pairs.corrupted, np.full(3, 7), 40, np.full(3, 9))
    expected = their_scores(model, pairs)
    found = by_name(eap(model, pairs, logit_difference, batch_size=2))
    assert found.keys() == expected.keys()
    assert max(map(abs, expected.values())) > 0.1
    for edge, score in found.items():
        assert score == pytest.approx(expected[edge], abs=1e-4), edge


def test_grouped_queries_against_finite_differences():
    """Each edge moved by a little in its own run, on what TransformerLens says that heads write."""
    model = llama(torch.float64)
    pairs = random_pairs(n=2, length=4, d_vocab=40)
    graph = Graph.of(model)
    assert graph.n_kv_heads == 2
    scores = eap(model, pairs, logit_difference)
    clean, corrupted = torch.tensor(pairs.clean), torch.tensor(pairs.corrupted)
    for switch in (model.set_use_attn_result, model.set_use_split_qkv_input, model.set_use_hook_mlp_in):
        switch(True)
    names = ["blocks.0.hook_resid_pre"]
    names += [f"blocks.{layer}.{name}" for layer in range(2) for name in ("attn.hook_result", "hook_mlp_out")]

    def written(tokens):
        seen = {}
        model.run_with_hooks(
            tokens, fwd_hooks=[(name, lambda x, hook, name=name: seen.update({name: x.detach()})) for name in names]
        )
        return torch.cat([seen[name] if seen[name].ndim == 4 else seen[name][:, :, None] for name in names], 2)

    def value(site, head, moved):
        def move(x, hook):
            x = x.clone()
            if head is None:
                return x + moved
            x[:, :, head] += moved
            return x

        logits = model.run_with_hooks(clean, fwd_hooks=[(site, move)])[:, -1]
        rows = torch.arange(len(clean))
        return (logits[rows, pairs.answers] - logits[rows, pairs.wrong_answers]).mean().item()

    with torch.no_grad():
        difference = written(corrupted) - written(clean)
        assert difference.shape[2] == graph.n_sources == 11
        for source, column in np.argwhere(graph.mask):
            node, into = graph.destinations[column]
            site = {"mlp": f"blocks.{node.layer}.hook_mlp_in", "logits": "blocks.1.hook_resid_post"}.get(
                into, f"blocks.{node.layer}.hook_{into}_input"
            )
            step = 1e-2 * difference[:, :, source]  # transformers' RMSNorm is in float32 whatever the model is in
            slope = (value(site, node.head, step) - value(site, node.head, -step)) / 2e-2
            assert scores.values[source, column] == pytest.approx(slope, rel=5e-3, abs=5e-5), (source, str(node), into)


@pytest.mark.parametrize(
    "made", [lambda: ours(normalization="LN", d_model=16)[0], neox, llama], ids=["ours", "neox", "grouped queries"]
)
@pytest.mark.parametrize("metric", [logit_difference, kl_from_clean], ids=lambda metric: metric.name)
def test_edges_out_of_the_embedding_are_complete_as_steps_grow(made, metric):
    """The error is c / steps and less, so that of 60 steps weighed against that of 20 leaves next to none."""
    model = made()
    pairs = random_pairs(n=4, n_changed=5)
    few, many = (eap_ig(model, pairs, metric, steps=steps, per_example=True) for steps in (20, 60))
    whole = many.corrupted - many.clean
    size = np.abs(whole).max()
    errors = [scores.per_example[:, 0].sum(1) - whole for scores in (few, many)]
    assert size > 0.3
    assert np.abs(errors[0]).max() > 0.01 * size
    np.testing.assert_allclose(errors[1], errors[0] / 3, atol=0.005 * size)
    np.testing.assert_allclose((3 * errors[1] - errors[0]) / 2, 0, atol=0.01 * size)
    # edges into the logits are not complete
    assert np.abs(many.per_example[:, :, -1].sum(1) - whole).max() > 0.03 * size


@pytest.mark.parametrize("steps", [1, 3])
def test_edges_into_the_logits_are_complete_where_the_metric_is_linear_in_the_stream(steps):
    model = ours()[0]
    scores = eap_ig(model, random_pairs(), logit_difference, steps=steps)
    assert scores.values[:, -1].sum() == pytest.approx((scores.corrupted - scores.clean).mean(), abs=1e-5)


@pytest.mark.parametrize("made", [lambda: ours(normalization="LN", d_model=16)[0], neox], ids=["ours", "neox"])
def test_each_group_of_sources_is_complete_with_integrated_activations(made):
    """The edges out of one layer's heads, or an MLP, against replacing what they write, by a hook of its own."""
    model = made()
    pairs = random_pairs(n=3, n_changed=5)
    few, many = (eap_ig_activations(model, pairs, answer_log_prob, steps=steps) for steps in (10, 30))
    clean, corrupted = torch.tensor(pairs.clean), torch.tensor(pairs.corrupted)

    def value(hooks):
        logits = model.run_with_hooks(clean, fwd_hooks=hooks)[:, -1].log_softmax(-1)
        return logits[torch.arange(len(clean)), pairs.answers].mean().item()

    with torch.no_grad():
        _, cache = model.run_with_cache(corrupted)
        for site, rows in many.graph.source_sites:
            effect = value([(site, lambda x, hook, site=site: cache[site])]) - value([])
            found = (3 * many.values[rows].sum() - few.values[rows].sum()) / 2  # without the error of 1 / steps
            assert abs(effect) > 1e-2
            assert found == pytest.approx(effect, rel=0.02), site


@pytest.mark.parametrize("made", [lambda: ours(normalization="LN")[0], neox], ids=["ours", "neox"])
def test_one_step_of_either_integral_is_eap(made):
    model, pairs = made(), random_pairs()
    expected = eap(model, pairs, logit_difference).values
    for method in (eap_ig, eap_ig_activations):
        np.testing.assert_allclose(method(model, pairs, logit_difference, steps=1).values, expected, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 4])
def test_the_steps_are_those_of_the_paper(steps):
    """Gradients at corrupted + k / steps (clean - corrupted), k = 1..steps, from models with these embeddings."""
    _, arch, w = ours(torch.float64, normalization="LN")
    pairs = random_pairs(n=1, n_changed=1)
    scores = eap_ig(HookedTransformer.with_weights(arch, w), pairs, logit_difference, steps=steps)
    clean, corrupted = torch.tensor(pairs.clean), torch.tensor(pairs.corrupted)
    _, here = masked_forward(arch, w, clean)
    _, there = masked_forward(arch, w, corrupted)
    total = 0.0
    for k in range(1, steps + 1):
        # the first token's embedding is between the two; the later ones are looked up in rows of their own
        rows = w["embed.W_E"][corrupted[0]] + k / steps * (w["embed.W_E"][clean[0]] - w["embed.W_E"][corrupted[0]])
        mask = torch.zeros((), dtype=torch.float64, requires_grad=True)
        between = {**w, "embed.W_E": rows}
        tokens = torch.arange(rows.shape[0])[None]
        instead = {"L0.H1": masked_forward(arch, between, tokens)[1]["L0.H1"] + there["L0.H1"] - here["L0.H1"]}
        logits = masked_forward(arch, between, tokens, instead, {("L0.H1", "L1.H0.v"): mask})[0][0, -1]
        value = logits[pairs.answers[0]] - logits[pairs.wrong_answers[0]]
        total += torch.autograd.grad(value, mask)[0].item() / steps
    found = by_name(scores)["L0.H1", "L1.H0.v"]
    assert found == pytest.approx(total, rel=1e-4)
    assert abs(found) > 1e-4
