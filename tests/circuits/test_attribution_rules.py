"""What attribution promises whatever the model: invariances, passes taken, and what it refuses."""

import gc
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from transformers import Olmo2Config

from circuits import (
    EdgeAblation,
    Metric,
    Pairs,
    accuracy,
    answer_log_prob,
    answer_loss,
    attribution,
    eap,
    eap_ig,
    eap_ig_activations,
    kl_from_clean,
    logit_difference,
)
from circuits.differences import Differences
from circuits.graph import Edge, Graph, Node
from probe.suites.hooked import HookedTransformer
from tests.circuits.models import SIZES, bridge, llama, neox, ours, random_pairs

METHODS = {
    "eap": eap,
    "eap_ig": partial(eap_ig, steps=2),
    "eap_ig_activations": partial(eap_ig_activations, steps=2),
}
named = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def with_ln(**options):
    return ours(normalization="LN", biases=True, **options)[0]


def wide():
    return with_ln(d_model=96, n_heads=6)


def both_ways():
    return with_ln(causal=False)


made = pytest.mark.parametrize("made", [with_ln, neox, llama])


@named
@pytest.mark.parametrize("made", [with_ln, wide, neox, llama])
def test_equal_questions_differ_by_exactly_nothing(method, made):
    pairs = random_pairs(n=16)
    same = Pairs(pairs.clean, pairs.clean, pairs.answers, pairs.d_vocab, pairs.wrong_answers)
    scores = method(made(), same, logit_difference)
    assert (scores.values == 0).all()
    assert (scores.clean == scores.corrupted).all()


@named
@made
def test_scores_do_not_depend_on_how_pairs_and_sources_are_divided(method, made):
    model, pairs = made(), random_pairs()
    whole = method(model, pairs, logit_difference, per_example=True)
    assert np.abs(whole.values).max() > 0.01
    np.testing.assert_allclose(whole.per_example.mean(0), whole.values, atol=1e-6)
    for batch_size, at_once in ((2, None), (4, 3)):
        divided = method(
            model, pairs, logit_difference, per_example=True, batch_size=batch_size, sources_at_once=at_once
        )
        np.testing.assert_allclose(divided.per_example, whole.per_example, atol=1e-5)
        np.testing.assert_allclose(divided.values, whole.values, atol=1e-5)
        np.testing.assert_allclose(divided.clean, whole.clean, atol=1e-5)
    assert method(model, pairs, logit_difference).per_example is None


@pytest.mark.parametrize("made", [with_ln, both_ways, neox, llama])
def test_pairs_of_unequal_length_are_scored_as_if_each_were_alone(made):
    model, drawn = made(), np.random.default_rng(0)
    rows = [drawn.integers(11, size=(2, length)).tolist() for length in (5, 2, 4)]
    clean, corrupted = ([row[i] for row in rows] for i in (0, 1))
    answers, wrong = [1, 2, 3], [4, 5, 6]
    together = eap_ig(
        model, Pairs.of(clean, corrupted, answers, 11, wrong), logit_difference, steps=2, per_example=True
    )
    for i in range(3):
        alone = Pairs.of(clean[i : i + 1], corrupted[i : i + 1], answers[i : i + 1], 11, wrong[i : i + 1])
        expected = eap_ig(model, alone, logit_difference, steps=2)
        np.testing.assert_allclose(together.per_example[i], expected.values, atol=2e-5)


def test_an_answer_may_be_asked_for_before_the_last_position():
    model, pairs = ours()[0], random_pairs(length=5, n_changed=5)
    positions = np.array([0, 1, 2, 3, 4])
    asked = Pairs(pairs.clean, pairs.corrupted, pairs.answers, 11, pairs.wrong_answers, answer_positions=positions)
    scores = eap(model, asked, logit_difference, per_example=True)
    for i, position in enumerate(positions):
        cut = slice(0, position + 1)
        alone = Pairs(
            pairs.clean[i : i + 1, cut],
            pairs.corrupted[i : i + 1, cut],
            pairs.answers[i : i + 1],
            11,
            pairs.wrong_answers[i : i + 1],
        )
        np.testing.assert_allclose(scores.per_example[i], eap(model, alone, logit_difference).values, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "passes"), [(eap, 2), (lambda *given: eap_ig(*given, steps=4), 6)], ids=["eap", "eap_ig"]
)
def test_passes_taken(method, passes):
    model, counted = ours()[0], []
    model.blocks[0].register_forward_hook(lambda *_: counted.append(1))
    method(model, random_pairs(), logit_difference)
    assert len(counted) == passes


def test_no_more_sources_are_expanded_at_a_time_than_was_said(monkeypatch):
    widths = []
    expanded = Differences._expanded
    monkeypatch.setattr(
        Differences, "_expanded", lambda self, first, end: widths.append(end - first) or expanded(self, first, end)
    )
    eap(ours()[0], random_pairs(), logit_difference, sources_at_once=3)
    assert max(widths) == 3
    assert min(widths) == 1
    widths.clear()
    eap(ours()[0], random_pairs(), logit_difference)
    assert widths == [7]  # all of them, once


@named
@made
def test_nothing_of_a_pass_is_left_when_the_next_batch_is_read(method, made, monkeypatch):
    passes, alive = [], []
    forward = attribution.forward

    def watched(*given, **options):
        alive.append(sum(one() is not None for one in passes))
        done = forward(*given, **options)
        passes.append(weakref.ref(done))
        return done

    monkeypatch.setattr(attribution, "forward", watched)
    method(made(), random_pairs(), logit_difference, batch_size=1)
    gc.collect()
    assert not any(one() for one in passes)
    assert max(alive) <= 3  # the corrupted pass, the clean one, and the one before


@named
@made
def test_frozen_weights_and_a_caller_without_gradients_make_no_difference(method, made):
    model, pairs = made(), random_pairs()
    expected = method(model, pairs, logit_difference).values
    parameters = [parameter for module in model.modules() for parameter in module.parameters(recurse=False)]
    assert all(parameter.requires_grad and parameter.grad is None for parameter in parameters)
    assert not any(point.fwd_hooks or point.bwd_hooks for point in model.hook_dict.values())
    assert not getattr(model.cfg, "use_split_qkv_input", False)
    assert not getattr(model.cfg, "use_hook_mlp_in", False)
    parameters[0].requires_grad_(False)
    with torch.inference_mode():
        np.testing.assert_array_equal(method(model, pairs, logit_difference).values, expected)
    assert [parameter.requires_grad for parameter in parameters] == [False] + [True] * (len(parameters) - 1)
    for parameter in parameters:
        parameter.requires_grad_(False)
    np.testing.assert_array_equal(method(model, pairs, logit_difference).values, expected)
    assert not any(parameter.requires_grad for parameter in parameters)


def test_signs_say_what_corrupting_an_edge_does():
    """A loss is minus a log-probability: its scores have the other sign, and its direction too."""
    model, pairs = ours()[0], random_pairs()
    one, other = eap(model, pairs, answer_log_prob), eap(model, pairs, answer_loss)
    np.testing.assert_allclose(one.values, -other.values, atol=1e-7)
    assert (one.direction, other.direction) == (1, -1)
    assert one[Edge(Node("embed"), Node("logits"), "logits")] == one.values[0, -1]
    circuit = one.circuit(np.abs(one.values) > np.median(np.abs(one.values)), model_digest="d", step=3)
    assert (circuit.metric, circuit.method, circuit.ablation) == ("answer_log_prob", "eap", "corrupted")
    assert (circuit.model_digest, circuit.step) == ("d", 3)
    for edge, score in circuit.edges():
        assert score == one[edge]


def test_attention_only_is_the_same_without_mlps_that_write_nothing():
    _, arch, w = ours()
    silent = {name: torch.zeros_like(x) if "mlp" in name else x for name, x in w.items()}
    model, pairs = HookedTransformer.with_weights(arch, silent), random_pairs()
    whole = eap(model, pairs, logit_difference)
    model.cfg.attn_only = True
    fewer = eap(model, pairs, logit_difference)
    assert not fewer.graph.mlps
    for edge in fewer.graph.edges():
        assert fewer[edge] == pytest.approx(whole[edge], abs=1e-6)


def test_bfloat16_is_added_up_in_float32():
    model = ours()[0]
    expected = eap(model, random_pairs(), logit_difference).values
    found = eap(model.to(torch.bfloat16), random_pairs(), logit_difference).values
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


BROKEN = {
    "embed.W_E": "blocks.0.hook_resid_pre: the activation on the corrupted question of pair 0",
    "blocks.0.attn.W_V": "blocks.0.attn.hook_z, head 1: the activation on the corrupted question of pair 0",
    "blocks.1.mlp.W_in": "blocks.1.hook_mlp_out: the activation on the corrupted question of pair 0",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_nan_in_an_activation_names_the_site(name):
    _, arch, w = ours()
    w[name][(-1,) * w[name].ndim] = torch.nan
    pairs = random_pairs()
    if name == "embed.W_E":  # the nan is in the last token's embedding
        pairs.corrupted[0, 0] = 10
    else:
        w[name][1 if "attn" in name else 0] = torch.nan
    with pytest.raises(ValueError, match=BROKEN[name]):
        eap(HookedTransformer.with_weights(arch, w), pairs, logit_difference)


def test_a_nan_on_one_clean_question_names_the_pair():
    _, arch, w = ours()
    w["embed.W_E"][9] = torch.nan
    pairs = random_pairs(n=6)
    clean, corrupted = pairs.clean % 9, pairs.corrupted % 9
    clean[4, 2] = 9
    broken = Pairs(clean, corrupted, pairs.answers, 11, pairs.wrong_answers)
    model = HookedTransformer.with_weights(arch, w)
    with pytest.raises(ValueError, match="hook_resid_pre: the activation on the clean question of pair 4 is nan"):
        eap_ig(model, broken, logit_difference, batch_size=3)


def test_a_gradient_that_is_not_finite_names_the_site():
    def edge_of_a_root(logits, asked):
        return (logits[:, 0] - logits[:, 0].detach()).sqrt()

    with pytest.raises(ValueError, match=r"blocks\.1\.hook_resid_post: the gradient of pair 0"):
        eap(ours()[0], random_pairs(), Metric("root", 1, edge_of_a_root))
    with pytest.raises(ValueError, match="metric: bad of pair 3 is not finite"):
        eap(ours()[0], random_pairs(), Metric("bad", 1, lambda x, _: x[:, 0] / (torch.arange(len(x)) != 3)))


def test_what_is_refused_of_a_model():
    pairs = random_pairs()
    training = ours()[0]
    training.blocks[1].mlp.train()
    with pytest.raises(ValueError, match=r"blocks\.1\.mlp is in training mode.*model\.eval\(\)"):
        eap(training, pairs, logit_difference)
    assert all(parameter.requires_grad for parameter in training.parameters())
    inner = neox()
    inner.original_model.train()
    with pytest.raises(ValueError, match="in training mode"):
        eap(inner, pairs, logit_difference)
    config = Olmo2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, pad_token_id=0, **SIZES
    )
    config.architectures = ["Olmo2ForCausalLM"]
    post_norm = bridge(config)
    with pytest.raises(ValueError, match="is not the sum of what the nodes before it write"):
        eap(post_norm, pairs, logit_difference)
    wrong_order = neox()
    wrong_order.cfg.parallel_attn_mlp = False
    with pytest.raises(ValueError, match=r"blocks\.0\.hook_mlp_in is not the sum"):
        eap(wrong_order, pairs, logit_difference)


def test_what_is_refused_of_pairs_and_metrics():
    model, pairs = ours()[0], random_pairs()
    tokens = Pairs(pairs.clean, np.where(np.arange(5) == 3, 11, pairs.corrupted), pairs.answers, 12)
    with pytest.raises(ValueError, match="corrupted of pair 0 has token 11; the model has 11"):
        eap_ig(model, tokens, kl_from_clean)
    with pytest.raises(ValueError, match="answers of pair 2 has token 11"):
        eap(model, Pairs(pairs.clean, pairs.corrupted, [1, 2, 11, 3, 4], 12), answer_loss)
    with pytest.raises(ValueError, match="pair 0 has 7 tokens; the model reads at most 6"):
        eap(model, random_pairs(length=7), answer_loss)
    with pytest.raises(ValueError, match="wrong_answers"):
        eap(model, Pairs(pairs.clean, pairs.corrupted, pairs.answers, 11), logit_difference)
    with pytest.raises(ValueError, match="have no gradient"):
        eap(model, pairs, accuracy)
    for method in (eap, lambda *given: eap_ig(*given, steps=1)):
        with pytest.raises(ValueError, match=r"kl_from_clean on clean questions is 0.*eap_ig"):
            method(model, pairs, kl_from_clean)
    with pytest.raises(ValueError, match="batch_size: got 0"):
        eap(model, pairs, logit_difference, batch_size=0)
    with pytest.raises(ValueError, match="steps: got 0"):
        eap_ig(model, pairs, logit_difference, steps=0)
    with pytest.raises(ValueError, match="gave shape"):
        eap(model, pairs, Metric("whole", 1, lambda logits, _: logits.sum()))


def test_an_architecture_without_a_hook_point_is_refused():
    model = ours()[0]
    del model.hook_dict["blocks.1.hook_q_input"]
    with pytest.raises(ValueError, match=r"no hook point blocks\.1\.hook_q_input"):
        Graph.of(model)
    model = neox()
    model.cfg.per_layer_num_key_value_heads = [1, 2]
    with pytest.raises(ValueError, match="unequal numbers of heads"):
        Graph.of(model)


@named
@pytest.mark.parametrize("ablation", ["mean", "resample"])
def test_what_other_pairs_write_does_not_depend_on_the_batch(method, ablation):
    model, pairs = with_ln(), random_pairs(n=5)
    whole = method(model, pairs, logit_difference, ablation=ablation, per_example=True)
    divided = method(model, pairs, logit_difference, ablation=ablation, per_example=True, batch_size=2)
    np.testing.assert_allclose(divided.per_example, whole.per_example, atol=1e-5)
    assert np.abs(whole.values - method(model, pairs, logit_difference).values).max() > 0.01
    np.testing.assert_allclose(whole.corrupted, method(model, pairs, logit_difference).corrupted, atol=1e-5)


@pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])
def test_groups_of_sources_are_complete_under_any_ablation(ablation):
    """Against ablating the edges out of a group together; what is left at 30 steps is a third of that at 10."""
    model, pairs = ours(torch.float64, biases=True)[0], random_pairs(n=4)
    few, many = (eap_ig_activations(model, pairs, answer_loss, steps=k, ablation=ablation).values for k in (10, 30))
    runs = EdgeAblation(model, pairs, answer_loss, ablation=ablation)
    groups = np.zeros((6, *runs.graph.mask.shape), dtype=bool)
    for group, (_, rows) in zip(groups[1:], runs.graph.source_sites, strict=True):
        group[rows] = runs.graph.mask[rows]
    values = runs.values(groups)[0].mean(1)
    for group, value in zip(groups[1:], values[1:], strict=True):
        found = (3 * many[group].sum() - few[group].sum()) / 2
        assert found == pytest.approx(value - values[0], rel=0.02, abs=2e-3)
    inputs = [eap_ig(model, pairs, answer_loss, steps=k, ablation=ablation).values[0].sum() for k in (10, 30)]
    assert (3 * inputs[1] - inputs[0]) / 2 == pytest.approx(values[1] - values[0], rel=0.02, abs=2e-3)


def test_ablations_that_cannot_be():
    model, pairs = ours()[0], random_pairs()
    with pytest.raises(ValueError, match="ablation: got 'noise'; expected one of"):
        eap(model, pairs, logit_difference, ablation="noise")
    with pytest.raises(ValueError, match="pair 0 alone has 5 tokens"):
        eap_ig(model, random_pairs(n=1), logit_difference, ablation="resample")
