"""State dicts as others write them: told apart, taken as weights, and every mistake in them named."""

import itertools
import json
import re

import pytest
import torch
from torch._subclasses import FakeTensorMode

from probe.suites.architecture import Architecture
from probe.suites.compact import CompactWeights
from probe.suites.configs import compact_fields, read_config
from probe.suites.hooked import HookedTransformer
from probe.suites.mappings import fit, read_mapping, renamed, weights_of
from tests.suites.layouts import LAYOUTS, early, transformerlens
from tests.suites.plain import noisy_weights, plain_forward

ARCHITECTURES = [
    Architecture(d_vocab=11, n_ctx=4, d_model=8, n_heads=2, n_layers=layers, normalization=norm, biases=biases, **other)
    for layers, norm, biases, other in itertools.product(
        (1, 3),
        (None, "LN"),
        (False, True),
        ({}, {"d_head": 3, "d_mlp": 5, "d_vocab_out": 7}, {"d_mlp": 8, "d_head": 8, "d_vocab_out": 8}),
    )
]
ARCH = Architecture(d_vocab=11, n_ctx=4, d_model=8, n_heads=2, n_layers=2, normalization="LN", biases=True)
TOKENS = torch.randint(11, (6, 4), generator=torch.Generator().manual_seed(0))


def taken(tensors, layout=None, config=None):
    form = weights_of(tensors, layout, config or {})
    weights, left_out = fit(form, tensors)
    assert left_out == []
    return form, weights


def complaint(tensors, layout=None, config=None):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the caller looks at the message
        taken(tensors, layout, config)
    return str(caught.value)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("arch", ARCHITECTURES, ids=str)
def test_layout_and_architecture_are_told_from_the_tensors(arch, layout):
    """Even where matrices are square: the output of the heads tells."""
    weights = noisy_weights(arch)
    form, found = taken(LAYOUTS[layout](arch, weights))
    assert form.layout == layout
    assert form.arch == arch
    assert list(found) == list(arch.shapes)
    assert all(torch.equal(found[name], weight) and found[name].is_contiguous() for name, weight in weights.items())
    assert (form.n_params, form.n_ctx, form.d_vocab) == (arch.n_params, 4, 11)
    assert form.n_params_without_embeddings == arch.n_params_without_embeddings
    assert form.notes == [f"mapping {layout!r}"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_loaded_model_computes_what_the_config_says(layout):
    config = {"activation": "gelu", "causal": False, "attention_coefficient": 0.5}
    arch = Architecture(**{**ARCH.to_dict(), **config})
    weights = noisy_weights(arch)
    form, found = taken(LAYOUTS[layout](arch, weights), None, config)
    model = form.load(found, "cpu", torch.float64)
    assert not model.training
    expected, _ = plain_forward(arch, weights, TOKENS)
    torch.testing.assert_close(model(TOKENS), expected.double(), atol=1e-5, rtol=1e-5)
    assert set(form.skeleton().hook_dict) == set(model.hook_dict)


def test_biases_of_a_part_that_has_none_are_zero_and_do_not_count():
    """Nanda et al. 2023 have biases in the MLP alone."""
    weights = noisy_weights(ARCH)
    stored = {name: w for name, w in early(ARCH, weights).items() if not re.search(r"b_[QKVOU]$", name)}
    form, found = taken(stored)
    assert form.arch == ARCH
    assert torch.equal(found["blocks.1.mlp.b_in"], weights["blocks.1.mlp.b_in"])
    absent = [name for name in ARCH.shapes if re.search(r"b_[QKVOU]$", name)]
    assert len(absent) == 9
    assert all((found[name] == 0).all() and found[name].shape == ARCH.shapes[name] for name in absent)
    assert form.n_params == sum(w.numel() for name, w in stored.items() if "mask" not in name)
    assert form.n_params_without_embeddings == form.n_params - 11 * 8 - 4 * 8 - 8 * 11
    assert form.notes[1] == "not in the file, and therefore b_K = 0, b_O = 0, b_Q = 0, b_U = 0, b_V = 0"
    stored["blocks.0.attn.b_Q"] = weights["blocks.0.attn.b_Q"]
    others = ", ".join(f"blocks.{layer}.attn.b_{x}" for layer in (0, 1) for x in "QKVO" if (layer, x) != (0, "Q"))
    assert f"missing: {others}" in complaint(stored), "part of them is a mistake"


def test_layernorm_without_scale_and_shift():
    """TransformerLens' LNPre is what is left when both were folded into the weights that follow."""
    weights = noisy_weights(ARCH)
    norms = {name: torch.full_like(w, float(name.endswith(".w"))) for name, w in weights.items() if "ln" in name}
    stored = {name: w for name, w in transformerlens(ARCH, weights).items() if name not in norms}
    assert taken(stored)[0].arch.normalization is None, "nothing in the file says that there is one"
    form, found = taken(stored, None, {"normalization_type": "LNPre"})
    assert form.arch == ARCH
    assert form.notes[1] == "not in the file, and therefore b = 0, w = 1"
    assert form.n_params == sum(w.numel() for name, w in weights.items() if name not in norms)
    expected, _ = plain_forward(ARCH, weights | norms, TOKENS)
    torch.testing.assert_close(form.load(found, "cpu", None)(TOKENS), expected, atol=1e-5, rtol=1e-5)
    assert "unused: blocks.0.ln1.b, " in complaint(weights, None, {"normalization_type": "LNPre"})


@pytest.mark.parametrize("other_first", [False, True])
def test_everything_wrong_is_said_at_once(other_first):
    stored = transformerlens(ARCH, noisy_weights(ARCH))
    stored["blocks.0.mlp.W_in"] = stored["blocks.0.mlp.W_in"].T
    stored["blocks.1.attn.W_Q"] = stored["blocks.1.attn.W_Q"].mT
    stored["unembed.b_U"] = torch.zeros(12)
    stored["blocks.0.ln1.w"] = stored["blocks.0.ln1.w"].int()
    del stored["ln_final.b"], stored["blocks.1.attn.b_O"]
    stored |= {"blocks.0.attn.rotary_sin": torch.zeros(4, 4), "optimizer_step": torch.tensor(3)}
    if other_first:
        stored = dict(reversed(stored.items()))
    assert sorted(complaint(stored).splitlines()) == sorted(
        [
            "not the weights of the model (mapping 'transformerlens'):",
            "  missing: blocks.1.attn.b_O, ln_final.b",
            "  blocks.0.mlp.W_in is [32, 8], expected [8, 32]: it looks transposed; the early layout stores it so:"
            " mapping='early'",
            "  blocks.1.attn.W_Q is [2, 4, 8], expected [2, 8, 4]: it looks transposed; the early layout stores it so:"
            " mapping='early'",
            "  unembed.b_U is [12], expected [11]",
            "  blocks.0.ln1.w holds torch.int32, expected floating point",
            "  unused: blocks.0.attn.rotary_sin, for which the model has no place",
        ]
    )


@pytest.mark.parametrize(("is_in", "said"), [("early", "transformerlens"), ("transformerlens", "early")])
def test_the_wrong_one_of_two_layouts(is_in, said):
    arch = Architecture(d_vocab=11, n_ctx=4, d_model=12, n_heads=2, d_head=5)
    lines = complaint(LAYOUTS[is_in](arch, noisy_weights(arch)), said).splitlines()
    hint = f"the {is_in} layout stores it so: mapping={is_in!r}"
    assert len(lines) == 1 + 7, "all but the positions and the unembedding"
    assert all(line.endswith(hint) for line in lines[1:])
    assert sum("it looks transposed; " in line for line in lines) == 6, "all of these but the output of the heads"


def test_a_whole_part_that_is_missing():
    stored = transformerlens(ARCH, noisy_weights(ARCH))
    for part in ("W_pos", "W_U", "mlp.W_", "attn.W_[QKV]", "embed.W_E|W_pos"):
        rest = {name: w for name, w in stored.items() if not re.search(part, name)}
        gone = [name for name in ARCH.shapes if re.search(part, name)]
        if "embed.W_E" in gone:
            assert "mapping: cannot be told" in complaint(rest)
        assert complaint(rest, "transformerlens").splitlines()[1:] == [f"  missing: {', '.join(gone)}"]


def test_a_config_that_is_at_odds_with_the_tensors():
    stored = transformerlens(ARCH, noisy_weights(ARCH))
    assert complaint(stored, None, {"d_mlp": 30}).count("expected [8, 30]") == 2
    assert "unused: blocks.0.attn.b_K, for which" in complaint(stored, None, {"biases": False})
    assert "unused: ln_final.w, for which" in complaint(stored, None, {"normalization": None})
    assert "missing: blocks.2.ln1.w, blocks.2.ln1.b, blocks.2.attn.W_Q" in complaint(stored, None, {"n_layers": 3})
    assert "unused: blocks.1.mlp.b_in, for which" in complaint(stored, None, {"n_layers": 1})
    assert "n_heads: got 0; expected at least 1" in complaint(stored, None, {"n_heads": 0})


def test_what_is_not_of_the_model_is_left_out_and_said():
    stored = transformerlens(ARCH, noisy_weights(ARCH)) | {"x_embed": torch.zeros(2), "probe.weight": torch.zeros(2)}
    form = weights_of(stored, None, {})
    assert fit(form, stored)[1] == ["x_embed", "probe.weight"]


@pytest.mark.parametrize("mapping", ["{}", "file"])
def test_a_mapping_of_ones_own(tmp_path, mapping):
    stored = early(ARCH, noisy_weights(ARCH))
    own = {f"net/{i}": name for i, name in enumerate(stored) if name != "unembed.W_U"}
    file = {theirs: stored[name] for theirs, name in own.items()} | {"unembed.W_U": stored["unembed.W_U"]}
    (tmp_path / "names.json").write_text(json.dumps(own))
    layout, names = read_mapping(str(tmp_path / "names.json") if mapping == "file" else own)
    form, found = taken(renamed(file, names), layout)
    assert form.layout == "early"
    assert all(torch.equal(found[name], w) for name, w in noisy_weights(ARCH).items())
    with pytest.raises(ValueError, match=r"mapping: there is no net/99; there are net/0, net/1, .* and \d+ more"):
        renamed(file, {"net/99": "embed.W_E"})
    with pytest.raises(ValueError, match=r"mapping: two tensors would be called unembed\.W_U; one of them is unembed"):
        renamed(file, {"net/0": "unembed.W_U"})


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ("transformerlense", r"mapping: got 'transformerlense' \(did you mean 'transformerlens'\?\); expected one of"),
        (
            "pythia",
            "mapping: got 'pythia'; expected one of transformerlens, early, gpt-neox, gpt2, or {name in the file",
        ),
        ("absent.json", r"mapping: absent\.json cannot be read"),
        ({"a": 1}, r"mapping: got \{'a': 1\}; expected one of"),
    ],
)
def test_a_mapping_that_is_none(mapping, says):
    with pytest.raises(ValueError, match=says):
        read_mapping(mapping)


def test_names_of_no_ready_made_mapping_and_of_two():
    unknown = {f"layers.{i}.weight": torch.zeros(2, 2) for i in range(9)}
    assert complaint(unknown) == (
        "mapping: cannot be told: the names are of none that is ready-made (layers.0.weight, layers.1.weight,"
        " layers.2.weight, layers.3.weight, layers.4.weight, layers.5.weight and 3 more); expected one of"
        " transformerlens, early, gpt-neox, gpt2, or {name in the file: name in one of these}"
    )
    both = transformerlens(ARCH, noisy_weights(ARCH)) | {"h.0.attn.c_attn.weight": torch.zeros(2, 2)}
    assert "the names are those of transformerlens and of gpt2 (" in complaint(both)


TL_CONFIG = {**vars(HookedTransformer(ARCH).cfg), "act_fn": "gelu", "attn_scale": 2.0, "d_vocab_out": -1}


def test_a_transformer_lens_config_is_read_as_ours(tmp_path):
    told = compact_fields(
        {**TL_CONFIG, "attention_dir": "bidirectional", "n_key_value_heads": 2, "tokenizer_name": "x"}
    )
    expected = {**ARCH.to_dict(), "activation": "gelu", "causal": False}
    expected = {name: value for name, value in expected.items() if name not in ("biases", "d_vocab_out")}
    assert told == {**expected, "attn_only": False}
    assert compact_fields(ARCH.to_dict()) == ARCH.to_dict()
    (tmp_path / "cfg.json").write_text('{"d_model": 8, "act_fn": "relu"}')
    assert compact_fields(read_config(str(tmp_path / "cfg.json"))) == {"d_model": 8, "activation": "relu"}
    assert compact_fields(read_config(None)) == {}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"act_fn": "gelu_new"}, "act_fn: got 'gelu_new'; expected 'relu' or 'gelu'"),
        ({"act_fn": ["relu"]}, "act_fn: got ['relu']; expected 'relu' or 'gelu'"),
        ({"activation": "ReLU"}, "activation: got 'ReLU'; expected 'relu' or 'gelu'"),
        ({"normalization_type": "RMS"}, "normalization_type: got 'RMS'; expected None or 'LN' or 'LNPre'"),
        ({"attention_dir": "casual"}, "attention_dir: got 'casual'; expected 'causal' or 'bidirectional'"),
        ({"positional_embedding_type": "rotary"}, "positional_embedding_type: got 'rotary'; expected 'standard'"),
        ({"parallel_attn_mlp": True}, "parallel_attn_mlp: got True; expected False or None"),
        ({"attn_only": 1}, "attn_only: got 1; expected true or false"),
        ({"gated_mlp": True}, "gated_mlp: got True; expected False or None"),
        ({"use_local_attn": True}, "use_local_attn: got True; expected False or None"),
        ({"use_attn_scale": False}, "use_attn_scale: got False; expected True"),
        ({"attn_scale": 1.0, "d_head": 4}, "attn_scale: got 1.0; expected -1 or None or 2.0"),
        ({"n_key_value_heads": 1, "n_heads": 2}, "n_key_value_heads: got 1; expected None or 2"),
        ({"eps": 1e-6}, "eps: got 1e-06; expected 1e-05"),
        ({"d_model": "8"}, "d_model: got '8'; expected a whole number"),
        ({"causal": 1}, "causal: got 1; expected true or false"),
        (
            {"activaton": "relu"},
            "activaton (did you mean 'activation'?), shortformer: no such field of ours nor of TransformerLens",
        ),
        ({"lr": 0.1}, "lr, shortformer: no such field of ours nor of TransformerLens; ours are d_model, n_layers, "),
    ],
)
def test_what_ours_cannot_be_is_named_with_its_value(fields, says):
    with pytest.raises(ValueError, match=r"config: describes a model that ours cannot be\n  ") as caught:
        compact_fields({**fields, "shortformer": True})
    assert says in str(caught.value)
    assert "shortformer: no such field" in str(caught.value), "the other one is named as well"


def test_a_config_file_that_is_none(tmp_path):
    (tmp_path / "cfg.json").write_text("[]")
    (tmp_path / "bad.json").write_text("{")
    for name, says in (
        ("cfg", "holds list; expected an object"),
        ("bad", "is not JSON"),
        ("absent", "there is no file"),
    ):
        with pytest.raises(ValueError, match=f"config: .*{says}"):
            read_config(str(tmp_path / f"{name}.json"))


@pytest.mark.parametrize("layout", ["transformerlens", "early"])
def test_a_model_without_mlps_is_told_from_its_weights_or_its_config(layout):
    arch = Architecture(d_vocab=11, n_ctx=4, d_model=8, n_heads=2, d_head=3, n_layers=2, attn_only=True)
    weights = noisy_weights(arch)
    stored = LAYOUTS[layout](arch, weights)
    shapes = {name: tuple(tensor.shape) for name, tensor in stored.items()}
    config = vars(HookedTransformer(arch).cfg)  # which has a d_mlp all the same
    assert config["d_mlp"]
    for fields in ({}, {"attn_only": True}, compact_fields(config), compact_fields(arch.to_dict())):
        found = CompactWeights.of(layout, shapes, fields)
        assert found.arch == arch
        assert set(found.stored) == set(found.named(stored))
        for name, weight in found.weights(found.named(stored)).items():
            assert (weight == weights[name]).all()


def test_compact_weights_need_no_values():
    with FakeTensorMode():
        model = CompactWeights.of("early", {}, ARCH.to_dict()).skeleton()
        _, cache = model.run_with_cache(torch.zeros(2, 4, dtype=torch.long))
    assert cache["blocks.1.attn.hook_z"].shape == (2, 4, 2, 4)
