"""State dicts of GPT-NeoX and GPT-2 under transformers' names, in the ways in which they are found."""

import socket

import pytest
import torch
from torch._subclasses import FakeTensorMode
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

from probe.suites.hooked import weights_by_name
from probe.suites.mappings import fit, weights_of

TOKENS = torch.randint(31, (3, 7), generator=torch.Generator().manual_seed(0))
CONFIGS = {
    "gpt-neox": {
        "model_type": "gpt_neox",
        "architectures": ["GPTNeoXForCausalLM"],
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 24,
        "vocab_size": 31,
        "max_position_embeddings": 12,
        "torch_dtype": "float16",
    },
    "gpt2": {
        "model_type": "gpt2",
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 4,
        "vocab_size": 31,
        "n_positions": 12,
    },
}
PREFIX = {"gpt-neox": "gpt_neox.", "gpt2": "transformer."}
UNEMBEDDING = {"gpt-neox": "embed_out.weight", "gpt2": "lm_head.weight"}
FUSED = {"gpt-neox": "layers.1.attention.query_key_value.weight", "gpt2": "h.1.attn.c_attn.weight"}


@pytest.fixture(scope="module", params=CONFIGS)
def layout(request):
    return request.param


@pytest.fixture(scope="module")
def model(layout):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**CONFIGS[layout]), dtype=torch.float32).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn(weight.shape)
    return model


@pytest.fixture
def stored(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def taken(tensors, layout):
    form = weights_of(tensors, None, CONFIGS[layout])
    assert form.layout == layout
    weights, left_out = fit(form, tensors)
    assert left_out == []
    return form, weights


def bare(stored, layout):
    return {name.removeprefix(PREFIX[layout]): weight for name, weight in stored.items()}


def with_old_buffers(stored, layout):
    part = "layers.{}.attention" if layout == "gpt-neox" else "h.{}.attn"
    extra = {
        f"{part.format(i)}.{buffer}": torch.ones(1, 1, 4, 4).bool()
        for i in (0, 1)
        for buffer in ("bias", "masked_bias")
    }
    return {**stored, **extra, "layers.0.attention.rotary_emb.inv_freq": torch.ones(2)}


def with_the_older_name(stored, layout):
    return {UNEMBEDDING[layout] if name == "lm_head.weight" else name: weight for name, weight in stored.items()}


def without_tied(stored, layout):
    return {name: weight for name, weight in stored.items() if layout != "gpt2" or name != "lm_head.weight"}


@pytest.mark.parametrize(
    "way",
    [lambda stored, layout: stored, bare, with_old_buffers, with_the_older_name, without_tied],
    ids=lambda f: f.__name__,
)
def test_every_way_of_saving_them_is_the_same_model(monkeypatch, caplog, capfd, model, layout, stored, way):
    def never(*args):
        raise AssertionError("the network is not needed")

    monkeypatch.setattr(socket.socket, "connect", never)
    form, weights = taken(way(stored, layout), layout)
    hooked = form.load(weights, "cpu", None)
    assert not hooked.training
    assert hooked.tokenizer is None
    assert (caplog.text, *capfd.readouterr()) == ("", "", ""), "nobody says anything, and no bar is shown"
    with torch.no_grad():
        logits, cache = hooked.run_with_cache(TOKENS)
        torch.testing.assert_close(logits, model(TOKENS).logits, atol=1e-5, rtol=1e-5)
    assert cache["blocks.1.attn.hook_pattern"].shape == (3, 4, 7, 7)
    named = dict(model.named_parameters())
    assert form.n_params == sum(weight.numel() for weight in named.values())
    outer = [name for name in named if "emb" in name or "wte" in name or "wpe" in name or name == "lm_head.weight"]
    assert form.n_params_without_embeddings == form.n_params - sum(named[name].numel() for name in outer)
    assert (form.n_ctx, form.d_vocab) == (12, 31)
    assert set(weights) == set(named)
    assert all(torch.equal(weights[name], weight) for name, weight in named.items())


@pytest.mark.parametrize("shown", [True, False])
def test_progress_bars_are_as_before(stored, layout, shown):
    (logging.enable_progress_bar if shown else logging.disable_progress_bar)()
    form, weights = taken(stored, layout)
    form.load(weights, "cpu", None)
    assert logging.is_progress_bar_enabled() == shown
    logging.enable_progress_bar()


def test_precision_is_that_of_the_file_or_the_one_asked_for(stored, layout):
    half = {name: weight.half() for name, weight in stored.items()}
    form, weights = taken(half, layout)
    for dtype in (None, torch.float64):
        loaded = weights_by_name(form.load(weights, "cpu", dtype))
        assert {weight.dtype for weight in loaded.values()} == {dtype or torch.float16}


def test_hooks_change_what_follows(stored, layout):
    form, weights = taken(stored, layout)
    hooked = form.load(weights, "cpu", None)
    edit = [("blocks.0.attn.hook_z", lambda value, hook: value * 0)]
    with torch.no_grad():
        assert not torch.allclose(hooked.run_with_hooks(TOKENS, fwd_hooks=edit), hooked(TOKENS), atol=1e-3)


def test_no_values_are_needed_to_know_its_hooks(layout):
    form = weights_of({}, layout, CONFIGS[layout])
    with FakeTensorMode():
        _, cache = form.skeleton().run_with_cache(torch.zeros(3, 7, dtype=torch.long))
    assert cache["blocks.1.attn.hook_z"].shape == (3, 7, 4, 4)


def test_everything_wrong_is_said_at_once(stored, layout):
    prefix, fused = PREFIX[layout], FUSED[layout]
    rows, columns = stored[prefix + fused].shape
    stored[prefix + fused] = stored[prefix + fused].T
    gone = next(name for name in stored if name.endswith("final_layer_norm.bias") or name.endswith("ln_f.bias"))
    del stored[gone]
    stored |= {f"{prefix}adapter.weight": torch.zeros(2), "score.weight": torch.zeros(2)}
    with pytest.raises(ValueError, match="not the weights of the model") as caught:
        taken(stored, layout)
    assert sorted(str(caught.value).splitlines()[1:]) == sorted(
        [
            f"  missing: {gone}",
            f"  {prefix}{fused} is [{columns}, {rows}], expected [{rows}, {columns}]: it looks transposed",
            f"  unused: {prefix}adapter.weight, for which the model has no place",
        ]
    )


def test_an_unembedding_that_is_tied_has_to_be_the_embedding(stored, layout):
    stored["lm_head.weight"] = stored["lm_head.weight"] + 1
    if layout == "gpt2":
        with pytest.raises(ValueError, match=r"unused: lm_head\.weight, .*not the embedding.*tie_word_embeddings"):
            taken(stored, layout)
        config = CONFIGS[layout] | {"tie_word_embeddings": False}
    else:
        config = CONFIGS[layout]
    form = weights_of(stored, None, config)
    hooked = form.load(fit(form, stored)[0], "cpu", None)
    assert torch.equal(weights_by_name(hooked)["unembed.W_U"], stored["lm_head.weight"].T)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, r"config.model_type: got None; expected '(gpt_neox|gpt2)' for mapping '(gpt-neox|gpt2)'"),
        ({"d_model": 16}, r"config\.model_type: got None"),
        ({"model_type": "llama"}, r"config\.model_type: got 'llama'"),
    ],
)
def test_they_need_a_config_of_their_own(stored, config, says):
    with pytest.raises(ValueError, match=says):
        weights_of(stored, None, config)


def test_a_config_that_transformers_does_not_take(stored, layout):
    size = "hidden_size" if layout == "gpt-neox" else "n_embd"
    with pytest.raises(ValueError, match=r"config: transformers cannot make a gpt"):
        _ = weights_of(stored, None, CONFIGS[layout] | {size: "wide"}).n_params


def test_weights_of_ours_with_a_config_of_transformers():
    ours = {"embed.W_E": torch.zeros(5, 4), "blocks.0.attn.W_O": torch.zeros(2, 2, 4)}
    with pytest.raises(ValueError, match=r"config: is one of transformers \(model_type 'gpt2'\), and the mapping is"):
        weights_of(ours, None, CONFIGS["gpt2"])
