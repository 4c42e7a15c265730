"""Direct logit attribution against the sum written out, and models in which something else is in between."""

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import Gemma2Config

from circuits import Pairs
from circuits.heads import direct_logit_attribution
from tests.circuits.heads.known_heads import D_VOCAB, GAIN, capped, gemma, known_heads
from tests.circuits.models import gpt2, llama, neox, ours, random_pairs
from tests.native_bridge import native_bridge

MODELS = {
    "gpt2": gpt2,
    "neox": neox,
    "llama": llama,
    "gemma": gemma,
    "LayerNorm": lambda: ours(normalization="LN", biases=True)[0],
    "no norm": lambda: ours()[0],
    "attention alone": lambda: ours(normalization="LN", attn_only=True)[0],
    # of which padding would be seen
    "bidirectional": lambda: ours(causal=False)[0],
    "native": lambda: native_bridge(*ours(normalization="LN", biases=True)[1:]),
}
PAIRS = Pairs.of(
    [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3]], [[2, 1, 4, 1, 5], [8, 2], [5, 5, 3]], [1, 2, 3], 11, wrong_answers=[7, 8, 9]
)
"""Of different lengths."""


@torch.no_grad()
def slowly(model, tokens, right, wrong):
    """What each part adds, of one question by itself: each is normalized as the sum of all is, and unembedded."""
    logits, cache = model.run_with_cache(torch.tensor([tokens]))
    parts = {"embed": cache["blocks.0.hook_resid_pre"][0, -1]}
    biases = 0
    for layer in range(model.cfg.n_layers):
        attention = model.blocks[layer].attn
        for head in range(model.cfg.n_heads):
            parts[f"L{layer}.H{head}"] = cache[f"blocks.{layer}.attn.hook_z"][0, -1, head] @ attention.W_O[head]
        written = sum(parts[f"L{layer}.H{head}"] for head in range(model.cfg.n_heads))
        biases = biases + cache[f"blocks.{layer}.hook_attn_out"][0, -1] - written
        if f"blocks.{layer}.hook_mlp_out" in cache:
            parts[f"L{layer}.MLP"] = cache[f"blocks.{layer}.hook_mlp_out"][0, -1]
    parts["b_O"] = biases
    whole = sum(parts.values())
    kind = model.cfg.normalization_type

    def unembed(x):  # linear or not, without its own bias
        zero = torch.zeros_like(x)
        out = model.unembed(torch.stack([x, zero])[None])[0]
        return out[0] - out[1]

    if kind is None:
        shift = torch.zeros_like(whole)
        normed = parts
    else:
        scale = (
            (whole - whole.mean() if kind == "LN" else whole).pow(2).mean() + getattr(model.cfg, "eps", 1e-5)
        ).sqrt()
        norm = getattr(model.ln_final, "original_component", model.ln_final)
        weight = (norm.w if hasattr(norm, "w") else norm.weight) + (1 if model.cfg.rmsnorm_uses_offset else 0)
        shift = getattr(norm, "b", getattr(norm, "bias", None))
        shift = torch.zeros_like(whole) if shift is None else shift
        normed = {name: (x - x.mean() if kind == "LN" else x) / scale * weight for name, x in parts.items()}
    found = {name: unembed(x) for name, x in normed.items()} | {"ln_final.b": unembed(shift)}
    found["b_U"] = model.unembed(torch.zeros(1, 1, len(whole)))[0, 0]
    assert torch.allclose(sum(found.values()), logits[0, -1], atol=1e-4)
    return {name: float(value[right] - (0 if wrong is None else value[wrong])) for name, value in found.items()}


@pytest.mark.parametrize("name", MODELS)
def test_parts_are_those_written_out_and_sum_to_the_metric(name):
    model = MODELS[name]()
    for metric in ("logit_difference", "answer_logit"):
        found = direct_logit_attribution(model, PAIRS, metric, batch_size=2)
        assert found.metric == metric
        np.testing.assert_allclose(found.values.sum("component"), found.total, atol=1e-4)
        for pair, (length, right, wrong) in enumerate(
            zip(PAIRS.lengths, PAIRS.answers, PAIRS.wrong_answers, strict=True)
        ):
            tokens = PAIRS.clean[pair, :length].tolist()
            slow = slowly(model, tokens, right, wrong if metric == "logit_difference" else None)
            mine = found.values.sel(pair=pair)
            assert list(slow) == mine["component"].to_numpy().tolist()
            np.testing.assert_allclose(mine, list(slow.values()), atol=2e-5)
            assert np.isclose(found.total[pair], sum(slow.values()), atol=1e-4)
    if name in ("LayerNorm", "gpt2", "neox", "native"):
        assert (np.abs(direct_logit_attribution(model, PAIRS).values.sel(component=["b_O", "ln_final.b"])) > 1e-4).all()


def test_the_induction_head_adds_all_of_the_answer():
    # BOS a b c a, answered by b
    pairs = Pairs.of([[0, 3, 5, 7, 3], [0, 2, 9, 4, 2]], [[0, 3, 6, 7, 3], [0, 2, 8, 4, 2]], [5, 9], D_VOCAB, [6, 8])
    found = direct_logit_attribution(known_heads(), pairs)
    assert np.allclose(found.values.sel(component="L1.H1"), GAIN)
    assert np.allclose(found.values.drop_sel(component="L1.H1"), 0)
    assert np.allclose(found.total, GAIN)


def test_means_are_over_pairs_with_students_interval():
    found = direct_logit_attribution(ours()[0], random_pairs(9))
    means = found.means(0.9).sel(component="L1.H0")
    values = found.values.sel(component="L1.H0").to_numpy()
    low, high = stats.t.interval(0.9, 8, values.mean(), stats.sem(values))
    np.testing.assert_allclose([means["mean"], means["low"], means["high"], means["n"]], [values.mean(), low, high, 9])


def test_rounding_to_bfloat16_is_no_missing_part():
    found = direct_logit_attribution(neox(torch.bfloat16), PAIRS)
    exact = direct_logit_attribution(neox(), PAIRS)
    assert np.abs(found.values - exact.values).max() < 0.1 * np.abs(exact.values).max()


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ("blocks.1.hook_attn_out", "blocks.1.hook_attn_out .*another part of attention 1 than"),
        ("blocks.0.hook_resid_post", "blocks.0.hook_resid_post .*another part of layer 0 than"),
        ("ln_final.hook_normalized", "the metric .*the final normalization or the unembedding"),
        ("unembed.hook_out", "the metric .*the final normalization or the unembedding"),
    ],
)
def test_what_is_between_parts_and_logits_is_named(site, message):
    model = ours(normalization="LN")[0]
    model.add_perma_hook(site, lambda activation, hook: activation * 1.001)
    with pytest.raises(ValueError, match=f"(?s)sums to {message}"):
        direct_logit_attribution(model, PAIRS)


def test_what_comes_after_the_unembedding_is_named():
    with pytest.raises(ValueError, match="such as a cap on logits"):
        direct_logit_attribution(capped(), PAIRS)


def test_a_norm_after_attention_is_named():
    with pytest.raises(ValueError, match=r"blocks.0.hook_attn_out .*a norm or a factor comes after it"):
        direct_logit_attribution(gemma(Gemma2Config), PAIRS)


def test_what_is_refused():
    model = ours()[0]
    without = Pairs(PAIRS.clean, PAIRS.corrupted, PAIRS.answers, 11, None, PAIRS.lengths)
    assert direct_logit_attribution(model, without, "answer_logit").metric == "answer_logit"
    for pairs, options, message in (
        (without, {}, "expected pairs that have wrong_answers"),
        (PAIRS, {"metric": "loss"}, "metric: got 'loss'; expected one of logit_difference, answer_logit"),
        (PAIRS, {"batch_size": 0}, "batch_size: got 0"),
        (random_pairs(d_vocab=40), {}, "the model has 11"),
    ):
        with pytest.raises(ValueError, match=message):
            direct_logit_attribution(model, pairs, **options)
    with pytest.raises(ValueError, match="training mode"):
        direct_logit_attribution(ours()[0].train(), PAIRS)
