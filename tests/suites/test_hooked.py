"""Our hooked model against a plain forward pass, against TransformerLens' native model, and under edits."""

import itertools
import pickle

import pytest
import torch

from probe.suites.architecture import Architecture
from probe.suites.hooked import HookedTransformer
from tests.native_bridge import native_bridge
from tests.suites.plain import noisy_weights, plain_forward

ARCHITECTURES = [
    Architecture(
        d_vocab=11, n_ctx=4, d_model=8, n_heads=2, n_layers=layers, normalization=norm, biases=biases, activation=act
    )
    for layers, norm, biases, act in itertools.product((1, 2), (None, "LN"), (False, True), ("relu", "gelu"))
]
WITHOUT_MLPS = [
    Architecture(
        d_vocab=11, n_ctx=4, d_model=8, n_heads=2, n_layers=2, normalization=norm, biases=biases, attn_only=True
    )
    for norm, biases in itertools.product((None, "LN"), (False, True))
]
ARCH = Architecture(d_vocab=11, n_ctx=4, d_model=8, n_heads=2, n_layers=2, normalization="LN", biases=True)
TOKENS = torch.randint(11, (6, 4), generator=torch.Generator().manual_seed(0))


def hooked(arch=ARCH, seed=0):
    return HookedTransformer.with_weights(arch, noisy_weights(arch, seed))


@pytest.mark.parametrize("arch", [*ARCHITECTURES, *WITHOUT_MLPS], ids=str)
def test_logits_are_those_of_the_plain_definition_and_of_the_native_bridge(arch):
    weights = noisy_weights(arch)
    logits = HookedTransformer.with_weights(arch, weights)(TOKENS)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, plain_forward(arch, weights, TOKENS)[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits, native_bridge(arch, weights)(TOKENS), atol=1e-5, rtol=1e-5)


OTHER_ATTENTION = [
    Architecture(
        **{**ARCH.to_dict(), "causal": causal, "attention_coefficient": c, "normalization": norm},
    )
    for causal, c, norm in itertools.product((True, False), (0, 0.3, 1.0), (None, "LN"))
]


@pytest.mark.parametrize("arch", OTHER_ATTENTION, ids=str)
def test_attention_both_ways_and_in_part_constant(arch):
    weights = noisy_weights(arch)
    logits, cache = HookedTransformer.with_weights(arch, weights).run_with_cache(TOKENS)
    expected_logits, expected = plain_forward(arch, weights, TOKENS)
    torch.testing.assert_close(logits, expected_logits, atol=1e-5, rtol=1e-5)
    for name, value in expected.items():
        torch.testing.assert_close(cache[name], value, atol=1e-5, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    if arch.attention_coefficient == 0:
        assert cache["blocks.0.attn.hook_pattern"].unique().tolist() == ([0, 1] if arch.causal else [1])


MASKS = {
    "left": [[0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]],
    "right": [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]],
    "anywhere": [[0, 1, 0, 1], [1, 0, 0, 1], [1, 0, 1, 1], [0, 0, 0, 0]],
}


@pytest.mark.parametrize("type", [torch.int64, torch.bool])
@pytest.mark.parametrize("side", MASKS)
@pytest.mark.parametrize("arch", [ARCH, *OTHER_ATTENTION[1::2]], ids=str)
def test_padded_content_is_read_as_if_it_were_alone(arch, side, type):
    model = HookedTransformer.with_weights(arch, noisy_weights(arch))
    mask = torch.tensor(MASKS[side])
    logits, cache = model.run_with_cache(TOKENS[:4], attention_mask=mask.to(type))
    assert all(value.isfinite().all() for name, value in cache.items() if not name.endswith("hook_attn_scores"))
    for tokens, content, found in zip(TOKENS, mask.bool(), logits, strict=False):
        if content.any():
            alone = model(tokens[content][None])[0]
            torch.testing.assert_close(found[content], alone, atol=1e-5, rtol=1e-5)


def test_a_mask_without_padding_changes_nothing():
    model = hooked()
    assert torch.equal(model(TOKENS, attention_mask=torch.ones_like(TOKENS)), model(TOKENS))
    before = model(TOKENS, stop_at_layer=1)
    assert torch.equal(model(TOKENS, stop_at_layer=1, attention_mask=torch.ones_like(TOKENS)), before)


def test_shorter_and_narrower_inputs_and_outputs():
    arch = Architecture(d_vocab=11, n_ctx=4, d_model=8, n_heads=2, d_head=3, d_mlp=5, d_vocab_out=7)
    weights = noisy_weights(arch)
    logits = HookedTransformer.with_weights(arch, weights)(TOKENS[:, :2])
    assert logits.shape == (6, 2, 7)
    torch.testing.assert_close(logits, plain_forward(arch, weights, TOKENS[:, :2])[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", [None, "LN"])
def test_hook_names_are_transformer_lens_names(norm):
    """TransformerLens' native model has every one of our names, counting its aliases; it lacks none."""
    arch = Architecture(d_vocab=11, n_ctx=4, d_model=8, n_heads=2, n_layers=2, normalization=norm)
    ours, theirs = set(hooked(arch).hook_dict), set(native_bridge(arch, noisy_weights(arch)).hook_dict)
    assert ours - theirs == set()
    block = {
        *("hook_resid_pre", "hook_q_input", "hook_k_input", "hook_v_input", "hook_attn_out", "hook_resid_mid"),
        *("hook_mlp_in", "hook_mlp_out", "hook_resid_post", "mlp.hook_pre", "mlp.hook_post"),
        *(f"attn.hook_{x}" for x in ("q", "k", "v", "attn_scores", "pattern", "z", "result")),
    }
    rest = {"hook_embed", "hook_pos_embed", "unembed.hook_out"}
    if norm:
        block |= {f"{ln}.{hook}" for ln in ("ln1", "ln2") for hook in ("hook_scale", "hook_normalized")}
        rest |= {"ln_final.hook_scale", "ln_final.hook_normalized"}
    assert ours == rest | {f"blocks.{layer}.{name}" for layer in (0, 1) for name in block}
    assert all(point.name == name for name, point in hooked(arch).hook_dict.items())


@pytest.mark.parametrize("arch", [ARCHITECTURES[0], ARCH, WITHOUT_MLPS[3]], ids=str)
def test_activations_are_the_plain_ones_whichever_are_asked_for(arch):
    weights = noisy_weights(arch)
    model = HookedTransformer.with_weights(arch, weights)
    plain_logits, expected = plain_forward(arch, weights, TOKENS)
    logits, cache = model.run_with_cache(TOKENS)
    assert set(cache) == set(expected) == set(model.hook_dict)
    torch.testing.assert_close(logits, plain_logits, atol=1e-5, rtol=1e-5)
    for name, value in expected.items():
        torch.testing.assert_close(cache[name], value, atol=1e-5, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
        _, alone = model.run_with_cache(TOKENS, names_filter=name)
        torch.testing.assert_close(alone[name], value, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("arch", [ARCHITECTURES[3], ARCH], ids=str)
def test_activations_are_those_of_the_native_bridge(arch):
    """But for the scores: the bridge's ``hook_attn_scores`` fires after the softmax."""
    weights = noisy_weights(arch)
    bridge = native_bridge(arch, weights)
    bridge.set_use_hook_mlp_in(True)
    _, theirs = bridge.run_with_cache(TOKENS)
    _, ours = HookedTransformer.with_weights(arch, weights).run_with_cache(TOKENS)
    common = [name for name in ours if name in theirs and not name.endswith("hook_attn_scores")]
    lacking = {name.split(".")[-1] for name in ours if name not in theirs}
    assert lacking == {"hook_q_input", "hook_k_input", "hook_v_input", "hook_result"}
    assert len(common) > 12 * arch.n_layers
    for name in common:
        torch.testing.assert_close(
            ours[name], theirs[name].reshape(ours[name].shape), atol=1e-5, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_looking_does_not_change_the_logits():
    model = hooked()
    before = model(TOKENS)
    during, _ = model.run_with_cache(TOKENS)
    torch.testing.assert_close(during, before, atol=1e-6, rtol=1e-6)
    assert torch.equal(model(TOKENS), before), "hooks were left behind"


def one_head(value):
    """Not a multiple and not a shift, which LayerNorm would undo."""
    value[:, :, 1] = uneven(value[:, :, 1]) + uneven(torch.ones(value.shape[-1]))
    return value


def scores_of_one_head(scores):
    scores[:, 1, 3, 0] += 3.0
    return scores


def no_attention_to_the_first(pattern):
    pattern[:, 0, 1:, 0] = 0.0
    return pattern


def uneven(value):
    return value * torch.linspace(0.2, 1.7, value.shape[-1])


EDITS = {
    "hook_embed": uneven,
    "hook_pos_embed": uneven,
    "blocks.0.hook_resid_pre": uneven,
    "blocks.1.hook_resid_pre": uneven,
    "blocks.0.hook_q_input": one_head,
    "blocks.0.hook_k_input": one_head,
    "blocks.1.hook_v_input": one_head,
    "blocks.1.ln1.hook_normalized": uneven,
    "blocks.1.ln1.hook_scale": lambda scale: scale * 0.5,
    "blocks.0.attn.hook_q": one_head,
    "blocks.1.attn.hook_k": one_head,
    "blocks.0.attn.hook_v": one_head,
    "blocks.0.attn.hook_attn_scores": scores_of_one_head,
    "blocks.1.attn.hook_pattern": no_attention_to_the_first,
    "blocks.0.attn.hook_z": one_head,
    "blocks.1.attn.hook_result": one_head,
    "blocks.0.hook_attn_out": uneven,
    "blocks.1.hook_resid_mid": uneven,
    "blocks.0.hook_mlp_in": uneven,
    "blocks.0.ln2.hook_normalized": uneven,
    "blocks.1.mlp.hook_pre": uneven,
    "blocks.0.mlp.hook_post": uneven,
    "blocks.0.hook_mlp_out": uneven,
    "blocks.1.hook_resid_post": uneven,
    "ln_final.hook_scale": lambda scale: scale * 0.5,
    "unembed.hook_out": uneven,
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_all_that_follows_and_nothing_else(name):
    weights = noisy_weights(ARCH)
    model = HookedTransformer.with_weights(ARCH, weights)
    expected, _ = plain_forward(ARCH, weights, TOKENS, {name: EDITS[name]})
    edited = model.run_with_hooks(TOKENS, fwd_hooks=[(name, lambda value, hook: EDITS[name](value.clone()))])
    torch.testing.assert_close(edited, expected, atol=2e-5, rtol=1e-5)
    assert not torch.allclose(edited, model(TOKENS), atol=1e-2), "the edit had no effect"


def test_edits_of_all_forks_and_of_results_at_once():
    names = ["blocks.0.hook_q_input", "blocks.0.hook_k_input", "blocks.0.hook_v_input", "blocks.0.attn.hook_result"]
    weights = noisy_weights(ARCH)
    expected, _ = plain_forward(ARCH, weights, TOKENS, dict.fromkeys(names, one_head))
    hooks = [(name, lambda value, hook: one_head(value.clone())) for name in names]
    edited = HookedTransformer.with_weights(ARCH, weights).run_with_hooks(TOKENS, fwd_hooks=hooks)
    torch.testing.assert_close(edited, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["blocks.1.hook_resid_pre", "blocks.1.hook_mlp_in", "blocks.0.attn.hook_z"])
def test_edits_do_what_they_do_in_the_native_bridge(name):
    weights = noisy_weights(ARCH)
    bridge = native_bridge(ARCH, weights)
    bridge.set_use_hook_mlp_in(True)
    hooks = [(name, lambda value, hook: uneven(value.flatten(2)).view_as(value))]
    ours = HookedTransformer.with_weights(ARCH, weights).run_with_hooks(TOKENS, fwd_hooks=hooks)
    torch.testing.assert_close(ours, bridge.run_with_hooks(TOKENS, fwd_hooks=hooks), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in EDITS if not name.endswith("hook_scale")])
def test_backward_hooks_get_the_gradient(name):
    """The gradient at a hook point is the slope of the loss when the point is moved, in float64."""
    weights = {key: value.double() for key, value in noisy_weights(ARCH).items()}
    model = HookedTransformer.with_weights(ARCH, weights)
    found = []

    def loss(hooks):
        with model.hooks(**hooks):
            return model(TOKENS)[:, -1, :3].square().sum()

    def keep(gradient, hook):
        found.append(gradient.clone())

    with model.hooks(bwd_hooks=[(name, keep)]):
        model(TOKENS)[:, -1, :3].square().sum().backward()
    gradient = found[0]
    _, cache = model.run_with_cache(TOKENS, names_filter=name)
    direction = torch.randn(cache[name].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direction = direction.masked_fill(~cache[name].isfinite(), 0)
    gradient = gradient.masked_fill(~cache[name].isfinite(), 0)
    size = 1e-5
    with torch.no_grad():
        up, down = (
            loss({"fwd_hooks": [(name, lambda value, hook, s=sign: value + s * size * direction)]}) for sign in (1, -1)
        )
    slope = (up - down).item() / (2 * size)
    assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-4, abs=1e-6)
    assert abs(slope) > 1e-3


def test_parameters_take_gradients():
    model = hooked()
    model(TOKENS).sum().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == set(ARCH.shapes)


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_stop_at_layer_gives_the_residual_stream_there_and_runs_no_later_block(stop):
    weights = noisy_weights(ARCH)
    model = HookedTransformer.with_weights(ARCH, weights)
    _, expected = plain_forward(ARCH, weights, TOKENS)
    run = []
    hooks = [(f"blocks.{layer}.hook_resid_post", lambda value, hook: run.append(hook.name)) for layer in (0, 1)]
    hooks.append(("unembed.hook_out", lambda value, hook: run.append(hook.name)))
    resid = model.run_with_hooks(TOKENS, fwd_hooks=hooks, stop_at_layer=stop)
    entering = expected["blocks.1.hook_resid_post"] if stop == 2 else expected[f"blocks.{stop}.hook_resid_pre"]
    torch.testing.assert_close(resid, entering, atol=1e-5, rtol=1e-5)
    assert run == [f"blocks.{layer}.hook_resid_post" for layer in range(stop)]


def test_it_pickles():
    model = hooked()
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(TOKENS), model(TOKENS))
    assert again.run_with_cache(TOKENS)[1].keys() == model.run_with_cache(TOKENS)[1].keys()
    assert not again.training


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: w.pop("blocks.1.attn.W_O"), r"weights: blocks\.1\.attn\.W_O is missing"),
        (lambda w: w.update({"extra": torch.zeros(2)}), "weights: extra is not part of the model"),
        (
            lambda w: w.update({"blocks.0.mlp.W_in": w["blocks.0.mlp.W_in"].T}),
            r"weights: blocks\.0\.mlp\.W_in has shape \(32, 8\); expected \(8, 32\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(change, says):
    weights = noisy_weights(ARCH)
    change(weights)
    with pytest.raises(ValueError, match=says):
        HookedTransformer.with_weights(ARCH, weights)


def test_the_configuration_says_what_the_model_is():
    cfg = hooked().cfg
    assert (cfg.n_layers, cfg.n_heads, cfg.d_model, cfg.d_head, cfg.d_mlp) == (2, 2, 8, 4, 32)
    assert (cfg.d_vocab, cfg.d_vocab_out, cfg.n_ctx, cfg.act_fn, cfg.normalization_type) == (11, 11, 4, "relu", "LN")
    assert cfg.attention_dir == "causal"
    assert HookedTransformer(OTHER_ATTENTION[-1]).cfg.attention_dir == "bidirectional"


def test_the_gradient_at_the_input_of_an_mlp_is_that_of_what_it_reads_alone():
    """The stream goes on past the MLP: what is added at its input moves the logits only through it."""
    model, found = hooked(), {}

    def keep(activation, hook):
        activation.register_hook(lambda gradient: found.__setitem__(hook.name, gradient))
        return activation

    name = "blocks.1.hook_mlp_in"
    model.run_with_hooks(TOKENS, fwd_hooks=[(name, keep)])[:, -1, 3].sum().backward()
    size = 1e-3
    for unit in (0, 5):

        def nudge(activation, hook, by):
            return activation + by * torch.nn.functional.one_hot(torch.tensor(unit), 8)  # noqa: B023

        ends = [
            model.run_with_hooks(TOKENS, fwd_hooks=[(name, lambda x, hook, by=by: nudge(x, hook, by))])[:, -1, 3]
            for by in (size, -size)
        ]
        expected = (ends[0] - ends[1]) / (2 * size)
        torch.testing.assert_close(found[name][:, -1, unit], expected, atol=2e-3, rtol=1e-2)
