import pytest
import torch

from probe.suites.architecture import Architecture, Shape
from probe.tasks import ModularArithmetic


def test_the_published_model_has_its_published_size():
    arch = Architecture.of(Shape(), ModularArithmetic(113))
    assert (arch.d_head, arch.d_mlp, arch.d_vocab, arch.d_vocab_out, arch.n_ctx) == (32, 512, 114, 114, 3)
    # W_E, W_pos, W_Q W_K W_V W_O, W_in W_out, W_U
    assert arch.n_params == 114 * 128 + 3 * 128 + 4 * 128 * 128 + 2 * 128 * 512 + 128 * 114
    assert arch.n_params_without_embeddings == 4 * 128 * 128 + 2 * 128 * 512


def test_initial_weights_have_the_published_scale_and_follow_the_seed():
    arch = Architecture(d_vocab=400, n_ctx=3, d_model=256, biases=True, normalization="LN")
    weights = arch.initial_weights(0)
    assert {name: tuple(w.shape) for name, w in weights.items()} == arch.shapes
    for name, w in weights.items():
        if name.endswith(".w"):
            assert (w == 1).all(), name
        elif name.rpartition(".")[2].startswith("b"):
            assert (w == 0).all(), name
        else:
            std = 400**-0.5 if name == "unembed.W_U" else 256**-0.5
            assert w.std().item() == pytest.approx(std, rel=0.05), name
    again, other = arch.initial_weights(0), arch.initial_weights(1)
    assert all(torch.equal(w, again[name]) for name, w in weights.items())
    assert not torch.equal(weights["embed.W_E"], other["embed.W_E"])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"d_model": 30}, "d_model: got 30, which is not divisible by n_heads = 4; the nearest that is is 32"),
        ({"d_model": -8}, "d_model: got -8; expected at least 1"),
        ({"n_heads": 0}, "n_heads: got 0; expected at least 1"),
        ({"d_mlp": 0}, "d_mlp: got 0"),
        ({"activation": "tanh"}, "activation: got 'tanh'; expected 'relu' or 'gelu'"),
        ({"attn_only": True, "d_mlp": 8}, "d_mlp: got 8; expected none with attn_only"),
        ({"normalization": "RMS"}, "normalization: got 'RMS'; expected null or 'LN'"),
    ],
)
def test_bad_fields_are_named(fields, says):
    with pytest.raises(ValueError, match=says):
        Shape(**fields)


def test_the_usual_attention_is_not_written_down():
    """So that what was written before there was a choice is what is written now."""
    usual = Architecture(d_vocab=5, n_ctx=3)
    assert "causal" not in usual.to_dict()
    assert "attention_coefficient" not in usual.to_dict()
    other = Architecture(d_vocab=5, n_ctx=3, causal=False, attention_coefficient=0)
    assert (other.to_dict()["causal"], other.to_dict()["attention_coefficient"]) == (False, 0.0)
    for arch in (usual, other):
        assert Architecture(**arch.to_dict()) == arch


def test_blocks_without_mlps_have_no_weights_of_them_nor_of_the_norm_before():
    arch = Architecture(d_vocab=5, n_ctx=3, d_model=8, n_layers=2, normalization="LN", biases=True, attn_only=True)
    assert arch.d_mlp is None
    assert not [name for name in arch.shapes if "mlp" in name or "ln2" in name]
    assert arch.n_params_without_embeddings == 2 * (4 * 8 * 8 + 4 * 8 + 2 * 8) + 2 * 8
    assert arch.to_dict()["attn_only"] is True
    assert Architecture(**arch.to_dict()) == arch
    assert "attn_only" not in Architecture(d_vocab=5, n_ctx=3).to_dict()


@pytest.mark.parametrize("c", [-0.1, 1.5, float("nan")])
def test_a_coefficient_is_a_share(c):
    with pytest.raises(ValueError, match=r"attention_coefficient: got .*; expected 0 to 1"):
        Architecture(d_vocab=5, n_ctx=3, attention_coefficient=c)
