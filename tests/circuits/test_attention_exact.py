"""EAP with attention recomputed: against ablating edges, patterns by plain hooks, EAP where all is soft, and paper."""

import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from circuits import EdgeAblation, Pairs, attention_exact, attribution, kl_from_clean, logit_difference
from circuits.attribution import eap, eap_ig, eap_qk
from circuits.cli import Method
from circuits.graph import Edge, Graph
from probe.suites.architecture import Architecture
from probe.suites.hooked import HookedTransformer
from tests.circuits.models import gpt2, llama, neox, ours, random_pairs
from tests.circuits.programs.compiled import FRACTION_OF_X, SORT
from tests.circuits.programs.known import WRITTEN

MADE = {
    "ours": lambda: ours(normalization="LN", biases=True, n_heads=3, d_head=2)[0],
    "neox": neox,
    "gpt2": gpt2,
    "grouped queries": llama,
}


@pytest.fixture(scope="module", params=MADE)
def model(request):
    return MADE[request.param]()


def read_by(graph, inputs, layer=None):
    """Where there are edges into some kinds of inputs, of one layer or all."""
    columns = [into in inputs and layer in (None, node.layer) for node, into in graph.destinations]
    return graph.mask & np.array(columns)


def effects(model, pairs, ablation, mask):
    """What ablating each edge alone does to the metric of each pair: [edge, pair]."""
    runs = EdgeAblation(model, pairs, logit_difference, ablation=ablation)
    alone = np.zeros((int(mask.sum()), *mask.shape), dtype=bool)
    alone[np.arange(len(alone)), *np.nonzero(mask)] = True
    return (runs.values(alone) - runs.values(np.zeros_like(mask)))[0]


def attending(seed, sharpness, **options):
    """One of our models, by default without MLPs and normalization, whose attention is as sharp as is said."""
    options = {"n_heads": 3, "d_head": 2, "normalization": None, "attn_only": True, **options}
    _, arch, w = ours(torch.float64, **options)
    drawn = torch.Generator().manual_seed(seed)
    w = {name: torch.randn(x.shape, generator=drawn, dtype=x.dtype) / 2 for name, x in w.items()}
    w |= {name: x + 1 for name, x in w.items() if name.endswith(".w")}
    for layer in range(arch.n_layers):
        w[f"blocks.{layer}.attn.W_K"] *= sharpness
    return HookedTransformer.with_weights(arch, w)


@pytest.mark.parametrize("ablation", ["corrupted", "resample", "mean", "zero"])
@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sharpness=st.sampled_from([0.3, 3.0, 300.0]),
    causal=st.booleans(),
    biases=st.booleans(),
    n_layers=st.sampled_from([1, 2]),
)
def test_edges_into_the_last_attention_are_exactly_what_ablating_each_does(
    ablation, seed, sharpness, causal, biases, n_layers
):
    """Where the metric is linear in what heads write; with one layer that is so of all edges."""
    model = attending(seed, sharpness, causal=causal, biases=biases, n_layers=n_layers)
    pairs = random_pairs(n=4, n_changed=3, seed=seed)
    scores = eap_qk(model, pairs, logit_difference, ablation=ablation, per_example=True)
    mask = scores.graph.mask if n_layers == 1 else read_by(scores.graph, "qk", layer=1)
    expected = effects(model, pairs, ablation, mask)
    np.testing.assert_allclose(scores.per_example[:, mask].T, expected, rtol=1e-6, atol=1e-6)
    assert np.abs(expected).max() > 0.01


def test_far_from_saturation_it_is_eap_up_to_the_square_of_the_contrast():
    _, arch, w = ours(torch.float64, normalization="LN", biases=True)
    moved = torch.randn(5, arch.d_model, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    clean = np.random.default_rng(0).integers(5, size=(3, 5))
    pairs = Pairs(clean, clean + 5, np.array([0, 1, 2]), 11, np.array([3, 4, 5]))
    missed = []
    for size in (0.02, 0.01, 0.005):
        w["embed.W_E"][5:10] = w["embed.W_E"][:5] + size * moved
        model = HookedTransformer.with_weights(arch, w)
        one, other = eap(model, pairs, logit_difference).values, eap_qk(model, pairs, logit_difference).values
        missed.append(np.abs(one - other).max())
        assert 0 < missed[-1] < 0.1 * np.abs(other[read_by(Graph.of(model), "qk")]).max()
    assert missed[0] / missed[1] == pytest.approx(4, rel=0.1)
    assert missed[1] / missed[2] == pytest.approx(4, rel=0.1)


def test_it_ranks_edges_into_queries_and_keys_as_ablating_them_does():
    """Better than gradients do, in models where it is exact of no edge but many heads attend hard."""
    found = {eap: [], eap_ig: [], eap_qk: []}
    for seed in range(2):
        options = {"n_layers": 3, "d_model": 16, "d_head": 4, "normalization": "LN", "attn_only": False}
        model, pairs = attending(seed, 16, **options), random_pairs(n=4, n_changed=3, seed=seed)
        mask = read_by(Graph.of(model), "qk")
        measured = np.abs(effects(model, pairs, "corrupted", mask).mean(1))
        for method, correlations in found.items():
            scored = np.abs(method(model, pairs, logit_difference).values[mask])
            correlations.append(spearmanr(scored, measured).statistic)
    of_eap, of_ig, of_qk = (np.mean(correlations) for correlations in found.values())
    assert of_qk > 0.9
    assert max(of_eap, of_ig) < 0.8


def by_patterns(model, pairs):
    """Scores of edges into queries and keys by the pattern itself, one edge at a time: [pair], by row and column.

    What sources write is read off, and the metric's gradient at each pattern is taken, by hooks of their own.
    """
    graph, clean, corrupted = Graph.of(model), torch.tensor(pairs.clean), torch.tensor(pairs.corrupted)
    switches = [getattr(model, f"set_use_{name}", lambda on: None) for name in ("attn_result", "split_qkv_input")]
    for switch in switches:
        switch(True)
    writing = ["blocks.0.hook_resid_pre"]
    writing += [f"blocks.{layer}.{name}" for layer in range(2) for name in ("attn.hook_result", "hook_mlp_out")]
    patterns = [f"blocks.{layer}.attn.hook_pattern" for layer in range(2)]

    def run(tokens, sites, *hooks):
        seen = {}
        keep = [(site, lambda x, hook, site=site: seen.update({site: x})) for site in sites]
        return model.run_with_hooks(tokens, fwd_hooks=[*hooks, *keep])[:, -1], seen

    def written(tokens):
        seen = run(tokens, writing)[1]
        return torch.cat([seen[site] if seen[site].ndim == 4 else seen[site][:, :, None] for site in writing], 2)

    with torch.enable_grad():
        logits, seen = run(clean, patterns)
        rows = torch.arange(len(clean))
        value = (logits[rows, pairs.answers] - logits[rows, pairs.wrong_answers]).sum()
        gradients = torch.autograd.grad(value, [seen[site] for site in patterns])
    found = {}
    with torch.no_grad():
        difference = written(corrupted) - written(clean)
        for source, column in np.argwhere(read_by(graph, "qk")):
            node, into = graph.destinations[column]

            def move(x, hook, source=source, head=node.head):
                x = x.clone()
                x[:, :, head] += difference[:, :, source]
                return x

            site = patterns[node.layer]
            now = run(clean, [site], (f"blocks.{node.layer}.hook_{into}_input", move))[1][site]
            change = (now - seen[site].detach()) * gradients[node.layer]
            found[source, column] = change.flatten(1).sum(1)
    for switch in switches:
        switch(False)
    return found


def test_it_is_the_change_of_the_pattern_times_the_gradient_there(model):
    pairs = random_pairs(n=3, length=4, n_changed=2)
    scores = eap_qk(model, pairs, logit_difference, per_example=True)
    found = by_patterns(model, pairs)
    assert len(found) == read_by(scores.graph, "qk").sum()
    largest = np.abs(scores.per_example).max()
    for (source, column), values in found.items():
        np.testing.assert_allclose(scores.per_example[:, source, column], values, rtol=1e-4, atol=2e-6 * largest)
    assert max(values.abs().max() for values in found.values()) > 0.05


def test_edges_into_other_inputs_are_scored_as_by_eap(model):
    pairs = random_pairs()
    scores, of_eap = (method(model, pairs, logit_difference) for method in (eap_qk, eap))
    others = read_by(scores.graph, ("v", "mlp", "logits"))
    np.testing.assert_array_equal(scores.values[others], of_eap.values[others])
    assert np.abs(scores.values - of_eap.values)[~others].max() > 0.01
    np.testing.assert_array_equal(scores.clean, of_eap.clean)
    np.testing.assert_array_equal(scores.corrupted, of_eap.corrupted)
    assert (scores.values[~scores.graph.mask] == 0).all()
    assert (scores.method, scores.ablation, scores.direction) == ("eap-qk", "corrupted", 1)
    assert not any(point.fwd_hooks or point.bwd_hooks for point in model.hook_dict.values())
    assert not getattr(model.cfg, "use_split_qkv_input", False)


def test_equal_questions_differ_by_exactly_nothing(model):
    pairs = random_pairs(n=16)
    same = Pairs(pairs.clean, pairs.clean, pairs.answers, pairs.d_vocab, pairs.wrong_answers)
    assert (eap_qk(model, same, logit_difference).values == 0).all()


def test_scores_do_not_depend_on_how_pairs_and_sources_are_divided(model, monkeypatch):
    pairs = random_pairs()
    whole = eap_qk(model, pairs, logit_difference, per_example=True)
    np.testing.assert_allclose(whole.per_example.mean(0), whole.values, atol=1e-6)
    assert eap_qk(model, pairs, logit_difference).per_example is None
    numbers = pairs.clean.size * model.cfg.d_model * model.cfg.n_heads
    for batch_size, at_once, rows in ((4, 3, 10**3), (None, 5, 2)):
        monkeypatch.setitem(attention_exact.INPUT_NUMBERS, "cpu", rows * numbers + 1)
        given = {"batch_size": batch_size, "sources_at_once": at_once}
        divided = eap_qk(model, pairs, logit_difference, per_example=True, **given)
        np.testing.assert_allclose(divided.per_example, whole.per_example, atol=1e-5)


def test_pairs_of_unequal_length_are_scored_as_if_each_were_alone(model):
    drawn = np.random.default_rng(0)
    rows = [drawn.integers(11, size=(2, length)).tolist() for length in (5, 2, 4)]
    clean, corrupted = ([row[i] for row in rows] for i in (0, 1))
    answers, wrong = [1, 2, 3], [4, 5, 6]
    together = eap_qk(model, Pairs.of(clean, corrupted, answers, 11, wrong), logit_difference, per_example=True)
    for i in range(3):
        alone = Pairs.of(clean[i : i + 1], corrupted[i : i + 1], answers[i : i + 1], 11, wrong[i : i + 1])
        np.testing.assert_allclose(together.per_example[i], eap_qk(model, alone, logit_difference).values, atol=2e-5)


def test_a_head_that_attends_hard_has_edges_that_no_gradient_shows():
    """A pointer, worked out on paper.

    Tokens 0 and 1 are content, 2 and 3 point at positions 0 and 1. Directions of the stream: what the content is (1 or
    -1), which position it is at (1, -1, or 0 at the pointer), where is pointed to (1 or -1), and nothing. Queries are
    where is pointed to, keys 100 times the position, values the content: after the question 0 1 2 the scores are 100,
    -100 and 0, so the head gives the content of position 0, which is 1. The logits are it and its negative: their
    difference is 2. With the pointer's edge from the question 0 1 3 the scores are -100, 100, 0, and the difference is
    -2: a change of -4. The gradient of the pattern is of size exp(-100).
    """
    arch = Architecture(d_vocab=4, n_ctx=3, d_model=4, n_heads=1, d_head=1, n_layers=1, attn_only=True)
    w = {name: torch.zeros(shape) for name, shape in arch.shapes.items()}
    w["embed.W_E"][:, 0] = torch.tensor([1.0, -1.0, 0.0, 0.0])
    w["embed.W_E"][:, 2] = torch.tensor([0.0, 0.0, 1.0, -1.0])
    w["pos_embed.W_pos"][:, 1] = torch.tensor([1.0, -1.0, 0.0])
    w["blocks.0.attn.W_Q"][0, 2] = 1
    w["blocks.0.attn.W_K"][0, 1] = 100
    w["blocks.0.attn.W_V"][0, 0] = 1
    w["blocks.0.attn.W_O"][0, 0, 3] = 1
    w["unembed.W_U"][3, :2] = torch.tensor([1.0, -1.0])
    model = HookedTransformer.with_weights(arch, w)
    pairs = Pairs(np.array([[0, 1, 2]]), np.array([[0, 1, 3]]), np.array([0]), 4, np.array([1]))
    pointer = Edge.named("embed -> L0.H0.q")
    scores = eap_qk(model, pairs, logit_difference)
    assert (scores.clean[0], scores.corrupted[0]) == (2, -2)
    assert scores[pointer] == -4
    assert abs(eap(model, pairs, logit_difference)[pointer]) < 1e-30
    assert effects(model, pairs, "corrupted", read_by(scores.graph, "q")) == -4
    assert {str(edge) for edge in scores.graph.edges() if scores[edge] != 0} == {str(pointer), "L0.H0 -> logits"}


def named(scores, edges):
    return np.array([scores[Edge.named(edge)] for edge in sorted(edges)])


def largest(scores, n):
    order = sorted(scores.graph.edges(), key=lambda edge: -abs(scores[edge]))
    return {str(edge) for edge in order[:n]}


@pytest.mark.parametrize("program", [*WRITTEN, FRACTION_OF_X[1]], ids=str)
def test_all_edges_of_programs_that_attend_hard_are_found(program):
    """Under zero ablation, where all that heads match positions and tokens by is taken away."""
    model, pairs, known = program.model(), program.pairs(12, 0), program.known_edges | program.fixed_edges
    scores, of_eap = (method(model, pairs, program.metric, ablation="zero") for method in (eap_qk, eap))
    hidden = {edge for edge in known if abs(of_eap[Edge.named(edge)]) < 1e-6}
    assert hidden
    assert all(edge.endswith((".q", ".k")) for edge in hidden)
    assert largest(scores, len(known)) == known
    assert np.abs(named(scores, known)).min() > 0.1
    assert all(abs(scores[edge]) < 1e-5 for edge in scores.graph.edges() if str(edge) not in known)


def test_edges_before_a_later_head_that_attends_hard_remain_hidden():
    """Of the edges of sorting that no gradient shows, the one into that head is found, and those it depends on not."""
    _, program = SORT
    model, pairs = program.model(), program.pairs(12, 0)
    scores, of_eap = (method(model, pairs, program.metric) for method in (eap_qk, eap))
    assert np.abs(named(of_eap, program.flat_edges)).max() < 1e-6
    into_head = "L0.MLP -> L1.H0.k"
    measured = effects(model, pairs, "corrupted", read_by(scores.graph, "k", layer=1)).mean(1)
    assert scores[Edge.named(into_head)] == pytest.approx(measured[np.abs(measured).argmax()], abs=1e-5)
    assert np.abs(measured).max() > 0.1
    assert np.abs(named(scores, program.flat_edges - {into_head})).max() < 1e-6


def test_passes_taken_and_their_rows(monkeypatch):
    model, pairs, rows = ours(n_layers=3)[0], random_pairs(), []
    model.blocks[0].register_forward_hook(lambda *given: rows.append(len(given[1][0])))
    ended = []
    model.blocks[2].mlp.register_forward_hook(lambda *_: ended.append(1))
    eap_qk(model, pairs, logit_difference)
    # corrupted, clean, and for queries and for keys one of embed, and two heads and an MLP of each layer but the last
    assert rows == [5, 5, 35, 35]
    assert len(ended) == 2  # those for heads end with the last heads
    eap_qk(model, pairs, logit_difference, sources_at_once=4)
    assert rows[4:] == [5, 5, 20, 20, 15, 15]
    monkeypatch.setitem(attention_exact.INPUT_NUMBERS, "cpu", 3 * pairs.clean.size * 8 * 2)
    eap_qk(model, pairs, logit_difference)
    assert rows[10:] == [5, 5, 15, 15, 15, 15, 5, 5]


def test_nothing_of_a_pass_is_left_when_the_next_batch_is_read(model, monkeypatch):
    passes, alive = [], []
    forward = attribution.forward

    def watched(*given, **options):
        alive.append(sum(one() is not None for one in passes))
        done = forward(*given, **options)
        passes.append(weakref.ref(done))
        return done

    monkeypatch.setattr(attribution, "forward", watched)
    eap_qk(model, random_pairs(), logit_difference, batch_size=1)
    gc.collect()
    assert not any(one() for one in passes)
    assert max(alive) <= 2


def test_bfloat16_is_added_up_in_float32():
    model = ours()[0]
    expected = eap_qk(model, random_pairs(), logit_difference).values
    found = eap_qk(model.to(torch.bfloat16), random_pairs(), logit_difference).values
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


def test_what_is_not_finite_with_one_edge_ablated_is_named():
    """Queries are large where keys are 0 on the clean question; on the corrupted one it is the other way round."""
    arch = Architecture(d_vocab=2, n_ctx=2, d_model=2, n_heads=2, d_head=1, n_layers=1, attn_only=True)
    w = {name: torch.zeros(shape) for name, shape in arch.shapes.items()}
    w["embed.W_E"] = torch.eye(2)
    w["blocks.0.attn.W_Q"][1] = torch.tensor([[1e30], [0]])
    w["blocks.0.attn.W_K"][1] = torch.tensor([[0], [1e30]])
    for name in ("W_V", "W_O"):
        w[f"blocks.0.attn.{name}"] += 1
    w["unembed.W_U"][0, 0] = 1
    fine, broken = ([0, 0], [0, 0]), ([0, 0], [1, 1])
    clean, corrupted = (np.array([pair[i] for pair in (fine, broken)]) for i in (0, 1))
    pairs = Pairs(clean, corrupted, np.zeros(2, dtype=int), 2, np.ones(2, dtype=int))
    model = HookedTransformer.with_weights(arch, w)
    assert np.isfinite(eap(model, pairs, logit_difference).values).all()
    with pytest.raises(ValueError, match=r"attn\.hook_z: with the edge embed -> L0\.H1\.k ablated.*pair 1 is nan"):
        eap_qk(model, pairs, logit_difference, batch_size=1)
    assert not any(point.fwd_hooks for point in model.hook_dict.values())


def test_what_is_refused_and_that_the_command_knows_it():
    model, pairs = ours()[0], random_pairs()
    with pytest.raises(ValueError, match=r"kl_from_clean on clean questions is 0.*eap_ig"):
        eap_qk(model, pairs, kl_from_clean)
    with pytest.raises(ValueError, match="batch_size: got 0"):
        eap_qk(model, pairs, logit_difference, batch_size=0)
    assert getattr(attribution, Method("eap-qk").name) is eap_qk
