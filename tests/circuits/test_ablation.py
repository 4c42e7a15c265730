"""Metrics with edges ablated: against a textbook's masked pass, four ablations, any batch, and what is refused."""

import numpy as np
import pytest
import torch

from circuits import EdgeAblation, Graph, Metric, Pairs, eap, eap_ig, logit_difference
from circuits import ablated_runs as runs_module
from circuits.ablation import Ablated, _partners
from circuits.discovery import on_paths
from circuits.passes import ready
from tests.circuits.masked import masked_forward
from tests.circuits.models import gpt2, llama, neox, ours, random_pairs

ABLATIONS = ("corrupted", "resample", "mean", "zero")
UNEQUAL = Pairs.of(
    [[1, 2, 3, 4], [5, 6], [7, 8, 9, 1], [2, 9]],
    [[3, 2, 3, 4], [1, 6], [2, 8, 9, 3], [4, 9]],
    [5, 6, 7, 8],
    11,
    [1, 2, 3, 4],
)


def random_masks(graph, n, seed=0):
    return graph.mask & (np.random.default_rng(seed).random((n, *graph.mask.shape)) < 0.4)


def difference(logits, pairs, rows):
    at = logits[torch.arange(len(rows)), torch.tensor(pairs.answer_positions[rows])]
    return (at[range(len(rows)), pairs.answers[rows]] - at[range(len(rows)), pairs.wrong_answers[rows]]).numpy()


def by_the_textbook(arch, weights, pairs, ablation, mask, partner):
    """The logit difference of each pair with some edges ablated; equal lengths."""
    graph = Graph(arch.n_layers, arch.n_heads)
    clean, corrupted = torch.tensor(pairs.clean), torch.tensor(pairs.corrupted)
    _, written = masked_forward(arch, weights, clean)
    match ablation:
        case "corrupted":
            _, instead = masked_forward(arch, weights, corrupted)
        case "resample":
            _, instead = masked_forward(arch, weights, clean[partner])
        case "mean":
            instead = {name: value.mean(0, keepdim=True).expand_as(value) for name, value in written.items()}
        case "zero":
            instead = {name: torch.zeros_like(value) for name, value in written.items()}
    masks = {
        (graph.source_names[source], graph.destination_names[destination]): torch.tensor(1.0, dtype=torch.float64)
        for source, destination in np.argwhere(mask)
    }
    logits, _ = masked_forward(arch, weights, clean, instead, masks)
    return difference(logits, pairs, np.arange(len(pairs)))


@pytest.mark.parametrize("options", [{}, {"normalization": "LN", "biases": True, "activation": "relu"}], ids=str)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_any_edges_in_any_ablation_as_a_textbook_has_it(options, ablation):
    model, arch, weights = ours(torch.float64, **options)
    pairs = random_pairs(n=6)
    runs = EdgeAblation(model, pairs, logit_difference, ablation=ablation, seed=3)
    masks = random_masks(runs.graph, 5)
    found = runs.values(masks)
    assert found.shape == (1, 5, 6)
    # the partners are a cycle of all; which one is drawn is told by the class
    partner = Ablated(model, runs.graph, pairs, "resample", seed=3)._partner
    assert sorted(partner) == list(range(6))
    assert (partner != np.arange(6)).all()
    for mask, values in zip(masks, found[0], strict=True):
        expected = by_the_textbook(arch, weights, pairs, ablation, mask, partner)
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("make", [neox, gpt2, llama])
def test_all_edges_of_a_bridge_ablated_are_the_other_question(make):
    model, pairs = make(), random_pairs(n=3, d_vocab=40)
    runs = EdgeAblation(model, pairs, logit_difference)
    every = runs.graph.mask
    clean, corrupted = runs.values(np.stack([np.zeros_like(every), every]))[0]
    for tokens, values in ((pairs.clean, clean), (pairs.corrupted, corrupted)):
        with torch.no_grad():
            logits = model.run_with_hooks(torch.tensor(tokens), fwd_hooks=[])
        np.testing.assert_allclose(values, difference(logits, pairs, np.arange(3)), rtol=0, atol=2e-4)


@pytest.mark.parametrize("make", [neox, gpt2, llama])
def test_one_edge_of_a_bridge_is_that_input_of_that_head_alone(make):
    """By a plain hook at the input: what the source writes on the corrupted question less what it writes here."""
    model, pairs = make(), random_pairs(n=3, d_vocab=40)
    runs = EdgeAblation(model, pairs, logit_difference)
    graph, site = runs.graph, "blocks.0.hook_resid_pre"
    names = graph.destination_names
    column = names.index("L1.KV1.k" if graph.n_kv < graph.n_heads else "L1.H1.k")
    written = {}
    for name, tokens in (("clean", pairs.clean), ("corrupted", pairs.corrupted)):
        with torch.no_grad():
            _, cache = model.run_with_cache(torch.tensor(tokens), names_filter=site)
        written[name] = cache[site]

    def hook(activation, hook):
        activation = activation.clone()
        activation[:, :, 1] += written["corrupted"] - written["clean"]
        return activation

    model.set_use_split_qkv_input(True)
    with torch.no_grad():
        logits = model.run_with_hooks(torch.tensor(pairs.clean), fwd_hooks=[("blocks.1.hook_k_input", hook)])
    model.set_use_split_qkv_input(False)
    mask = np.zeros_like(graph.mask)
    mask[0, column] = True
    values = runs.values(mask)[0]
    np.testing.assert_allclose(values, difference(logits, pairs, np.arange(3)), rtol=0, atol=1e-4)
    assert np.abs(values - runs.values(np.zeros_like(mask))[0]).max() > 1e-3


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_neither_batch_nor_padding_nor_what_is_held_makes_a_difference(ablation, monkeypatch):
    model, _, _ = ours(torch.float64)
    runs = EdgeAblation(model, UNEQUAL, logit_difference, ablation=ablation)
    masks = random_masks(runs.graph, 6).reshape(2, 3, *runs.graph.mask.shape)
    together = runs.values(masks)
    assert together.shape == (1, 2, 3, 4)
    np.testing.assert_array_equal(runs.values(masks), together)  # from what is held
    halves = EdgeAblation(model, UNEQUAL, logit_difference, ablation=ablation, batch_size=2)
    for order in (slice(None, None, -1), slice(None)):
        np.testing.assert_allclose(halves.values(masks[order]), together[:, order], rtol=0, atol=1e-12)
    monkeypatch.setattr(runs_module, "HELD_NUMBERS", 0)
    monkeypatch.setattr(runs_module, "ROW_NUMBERS", {"cpu": 1})
    for size in (None, 1, 3):
        other = EdgeAblation(model, UNEQUAL, logit_difference, ablation=ablation, batch_size=size)
        np.testing.assert_allclose(other.values(masks), together, rtol=0, atol=1e-12)
    if ablation in ("corrupted", "zero"):
        for pair in range(4):
            length = UNEQUAL.lengths[pair]
            alone = Pairs(
                UNEQUAL.clean[pair : pair + 1, :length],
                UNEQUAL.corrupted[pair : pair + 1, :length],
                UNEQUAL.answers[pair : pair + 1],
                11,
                UNEQUAL.wrong_answers[pair : pair + 1],
            )
            values = EdgeAblation(model, alone, logit_difference, ablation=ablation).values(masks)
            np.testing.assert_allclose(values[..., 0], together[..., pair], rtol=0, atol=1e-12)


def test_a_mean_is_of_content_alone():
    """At the third position there are two questions, at the first four."""
    model, _, _ = ours(torch.float64)
    graph = Graph.of(model)
    with torch.no_grad():
        _, cache = model.run_with_cache(torch.tensor(UNEQUAL.clean))
    site = "blocks.0.hook_resid_pre"
    runs = EdgeAblation(model, UNEQUAL, logit_difference, ablation="mean")
    runs.values(graph.mask)
    mean = runs._ablated._mean[site][0]
    np.testing.assert_allclose(mean[2], cache[site][[0, 2], 2].mean(0), atol=1e-12)
    np.testing.assert_allclose(mean[0], cache[site][:, 0].mean(0), atol=1e-12)


def test_several_metrics_of_one_pass():
    model, _, _ = ours()
    count = Metric("count", 1, lambda logits, asked: torch.arange(len(logits)).double())
    runs = EdgeAblation(model, random_pairs(), (logit_difference, count))
    values = runs.values(np.zeros_like(runs.graph.mask))
    assert values.shape == (2, 5)
    assert values[1].tolist() == [0, 1, 2, 3, 4]


def test_what_is_refused():
    model, _, _ = ours()
    pairs = random_pairs()
    with pytest.raises(ValueError, match="ablation: got 'noise'; expected one of corrupted, resample, mean, zero"):
        EdgeAblation(model, pairs, logit_difference, ablation="noise")
    with pytest.raises(ValueError, match="batch_size: got 0"):
        EdgeAblation(model, pairs, logit_difference, batch_size=0)
    lone = Pairs.of([[1, 2], [3, 4], [5, 6, 7]], [[2, 2], [4, 4], [6, 6, 7]], [1, 2, 3], 11, [4, 5, 6])
    with pytest.raises(ValueError, match="pair 2 alone has 3 tokens; expected at least two"):
        EdgeAblation(model, lone, logit_difference, ablation="resample")
    runs = EdgeAblation(model, pairs, logit_difference)
    with pytest.raises(ValueError, match="ablated: got float64 of shape"):
        runs.values(runs.graph.mask * 1.0)
    with pytest.raises(ValueError, match=r"expected it within graph\.mask"):
        runs.values(np.ones_like(runs.graph.mask))
    model.train()
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        EdgeAblation(model, pairs, logit_difference)


def test_an_activation_that_is_not_finite_names_its_site():
    model, _, _ = ours()
    with torch.no_grad():
        model.blocks[1].mlp.W_out[0, 0] = float("nan")
    runs = EdgeAblation(model, random_pairs(), logit_difference)
    with pytest.raises(ValueError, match=r"blocks\.1\.hook_mlp_out: the activation on the clean question of pair 0"):
        runs.values(np.zeros_like(runs.graph.mask))


def test_under_resample_the_pair_that_is_named_is_the_one_whose_question_it_is():
    model, _, _ = ours()
    clean = random_pairs(n=4)
    tokens = clean.clean % 3
    tokens[2, 0] = 4  # on which alone the model breaks
    pairs = Pairs(tokens, tokens.copy(), clean.answers, clean.d_vocab, clean.wrong_answers)
    runs = EdgeAblation(model, pairs, logit_difference, ablation="resample", batch_size=1)
    with torch.no_grad():
        model.embed.W_E[4] = float("inf")
    drawn_by = int(np.flatnonzero(runs._ablated._partner == 2)[0])
    with ready(model, runs.graph):
        clean_activations = {site: torch.zeros(1, tokens.shape[1], 1, 1) for site, _ in runs.graph.source_sites}
        with pytest.raises(ValueError, match="the activation on the resample question of pair 2"):
            runs._ablated.of(slice(drawn_by, drawn_by + 1), clean_activations, tokens.shape[1])


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_eap_is_the_slope_at_no_mask_under_any_ablation(ablation):
    """The masks are continuous in the textbook's pass: central differences around none."""
    model, arch, weights = ours(torch.float64, normalization="LN", biases=True)
    pairs, graph = random_pairs(n=4), Graph(2, 2)
    scores = eap(model, pairs, logit_difference, ablation=ablation)
    assert scores.ablation == ablation
    clean = torch.tensor(pairs.clean)
    _, written = masked_forward(arch, weights, clean)
    partner = Ablated(model, graph, pairs, "resample")._partner
    instead = {
        "corrupted": masked_forward(arch, weights, torch.tensor(pairs.corrupted))[1],
        "resample": masked_forward(arch, weights, clean[partner])[1],
        "mean": {name: value.mean(0, keepdim=True).expand_as(value) for name, value in written.items()},
        "zero": {name: torch.zeros_like(value) for name, value in written.items()},
    }[ablation]
    for source, destination in (("embed", "L0.H1.q"), ("L0.H0", "L1.H1.k"), ("L0.MLP", "L1.MLP"), ("L1.H0", "logits")):
        ends = []
        for step in (1e-5, -1e-5):
            masks = {(source, destination): torch.tensor(step, dtype=torch.float64)}
            logits, _ = masked_forward(arch, weights, clean, instead, masks)
            ends.append(difference(logits, pairs, np.arange(4)).mean())
        place = graph.source_names.index(source), graph.destination_names.index(destination)
        assert scores.values[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)


def test_integrated_gradients_add_up_under_zero_ablation():
    """All edges out of the embedding together: the metric with an embedding of zeros less that on the question."""
    model, arch, weights = ours(torch.float64)
    pairs, graph = random_pairs(n=4), Graph(2, 2)
    scores = eap_ig(model, pairs, logit_difference, steps=60, ablation="zero")
    without = weights | {"embed.W_E": weights["embed.W_E"] * 0, "pos_embed.W_pos": weights["pos_embed.W_pos"] * 0}
    clean = torch.tensor(pairs.clean)
    ends = [difference(masked_forward(arch, w, clean)[0], pairs, np.arange(4)).mean() for w in (without, weights)]
    assert scores.values[0][graph.mask[0]].sum() == pytest.approx(ends[0] - ends[1], rel=0.05)


def test_partners_are_others_of_the_same_length_by_the_seed():
    lengths = np.repeat([2, 3, 5], [2, 7, 30])
    tokens = np.ones((39, 5), dtype=int)
    pairs = Pairs(tokens, tokens, np.ones(39, dtype=int), 11, lengths=lengths)
    drawn = [_partners(pairs, seed) for seed in range(3)]
    for partner in drawn:
        assert (lengths[partner] == lengths).all()
        assert (partner != np.arange(39)).all()
        assert sorted(partner) == list(range(39))
    assert not (drawn[0] == drawn[1]).all()
    np.testing.assert_array_equal(_partners(pairs, 2), drawn[2])
    assert len({tuple(_partners(pairs, seed)[2:5]) for seed in range(20)}) > 10


@pytest.mark.parametrize("ablation", ["corrupted", "resample"])
def test_edges_on_no_path_change_nothing_where_other_questions_are_put_in(ablation):
    model, _, _ = ours(torch.float64, normalization="LN", biases=True)
    runs = EdgeAblation(model, random_pairs(n=3), logit_difference, ablation=ablation)
    graph = runs.graph
    kept = graph.mask & (np.random.default_rng(1).random((12, *graph.mask.shape)) < 0.3)
    bare = np.stack([on_paths(graph, mask) for mask in kept])
    assert (kept & ~bare).any((1, 2)).sum() > 6
    with_, without = runs.values(graph.mask & ~np.stack([kept, bare]))[0]
    np.testing.assert_allclose(with_, without, rtol=0, atol=1e-10)
    assert np.ptp(without.mean(1)) > 0.01


@pytest.mark.parametrize("make", [lambda: ours()[0], neox, llama], ids=["ours", "neox", "llama"])
def test_the_model_is_left_as_it_was(make):
    model, pairs = make(), random_pairs(n=2)
    parameters = [parameter for module in model.modules() for parameter in module.parameters(recurse=False)]
    parameters[0].requires_grad_(False)
    weights = [parameter.detach().clone() for parameter in parameters]
    runs = EdgeAblation(model, pairs, logit_difference, ablation="mean")
    runs.values(runs.graph.mask)
    bad = EdgeAblation(model, pairs, Metric("bad", 1, lambda logits, asked: logits[:, 0] * torch.nan))
    with pytest.raises(ValueError, match="metric: bad of pair 0 is not finite"):
        bad.values(bad.graph.mask)
    assert [parameter.requires_grad for parameter in parameters] == [False] + [True] * (len(parameters) - 1)
    assert not any(point.fwd_hooks or point.bwd_hooks for point in model.hook_dict.values())
    assert not getattr(model.cfg, "use_split_qkv_input", False)
    assert not getattr(model.cfg, "use_hook_mlp_in", False)
    assert all(torch.equal(one, other) for one, other in zip(parameters, weights, strict=True))
