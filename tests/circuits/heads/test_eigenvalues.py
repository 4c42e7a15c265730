"""Eigenvalues of OV and QK circuits against those of the matrices written out, and against what is known."""

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, Qwen3Config

from circuits.heads import ov_copying, qk_matching
from probe.suites.hooked import HookedTransformer, weights_by_name
from tests.circuits.heads.known_heads import D_VOCAB, GAIN, gemma, known_heads
from tests.circuits.models import llama, neox, ours

MODELS = {
    "gemma": gemma,
    "llama": llama,
    "neox": neox,
    "ours": lambda: ours(normalization="LN", biases=True)[0],
    "plain": lambda: ours()[0],
}


def dense(model):
    """The full circuits [layer, head, d_vocab, d_vocab], written out."""
    w = {name: weight.double() for name, weight in weights_by_name(model).items()}
    n = model.cfg.d_model
    centre = torch.eye(n).double() - 1 / n if model.cfg.normalization_type == "LN" else torch.eye(n).double()

    def norm(name):
        offset = 1 if model.cfg.rmsnorm_uses_offset else 0  # of Gemma, which keeps what is added to 1
        return centre @ torch.diag(w[f"{name}.w"] + offset) if f"{name}.w" in w else centre

    def of_head(attention, x, head):
        """The matrix of a query head; of shared keys and values, that of its group."""
        matrices = getattr(attention, f"W_{x}").detach().double()
        return matrices[head * len(matrices) // model.cfg.n_heads]

    found = {"OV": [], "QK": []}
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            read = w["embed.W_E"] @ norm(f"blocks.{layer}.ln1")
            V, O, Q, K = (of_head(model.blocks[layer].attn, x, head) for x in "VOQK")  # noqa: E741
            found["OV"].append(read @ V @ O @ norm("ln_final") @ w["unembed.W_U"])
            found["QK"].append(read @ Q @ K.T @ read.T)
    return {name: torch.stack(matrices) for name, matrices in found.items()}


@pytest.mark.parametrize("name", MODELS)
def test_eigenvalues_are_those_of_the_whole_matrix_that_are_not_0(name):
    model = MODELS[name]()
    circuits = dense(model)
    compare(ov_copying(model, draws=20), circuits["OV"])
    compare(qk_matching(model, draws=20), circuits["QK"])


def compare(found, matrices):
    d_head = found["eigenvalues"].shape[-1]
    for matrix, mine, score in zip(
        matrices, found["eigenvalues"].to_numpy().reshape(-1, d_head), found["score"].to_numpy().flat, strict=True
    ):
        whole = torch.linalg.eigvals(matrix).numpy()
        whole = whole[np.argsort(-np.abs(whole))]
        np.testing.assert_allclose(np.abs(whole[:d_head]), np.abs(mine), rtol=1e-4, atol=1e-6)
        # each has one of the others next to it
        assert np.abs(whole[:d_head, None] - mine).min(0).max() < 1e-5
        np.testing.assert_allclose(np.abs(whole[d_head:]), 0, atol=1e-8)
        np.testing.assert_allclose(score, whole.sum().real / np.abs(whole).sum(), atol=1e-5)


def test_a_head_that_writes_what_it_reads_copies():
    model = known_heads()
    found = ov_copying(model)
    assert np.allclose(found["eigenvalues"].sel(layer=1, head=1), GAIN)
    assert np.isclose(found["score"].sel(layer=1, head=1), 1)
    # the token before is in no direction that the unembedding reads
    assert np.isnan(found["score"].sel(layer=0, head=0))
    weights = dict(weights_by_name(model))
    weights["blocks.1.attn.W_O"] = -weights["blocks.1.attn.W_O"]
    opposite = ov_copying(HookedTransformer.with_weights(model.arch, weights))
    assert np.isclose(opposite["score"].sel(layer=1, head=1), -1)
    assert found.attrs == {"circuit": "OV", "position": "none"}
    # each token is answered by the next one: a cycle, whose eigenvalues are roots of unity and sum to 0
    shifted = dict(weights_by_name(model)) | {"unembed.W_U": weights_by_name(model)["unembed.W_U"].roll(1, 1)}
    cycle = ov_copying(HookedTransformer.with_weights(model.arch, shifted))
    assert abs(cycle["score"].sel(layer=1, head=1)) < 1e-9
    assert np.allclose(cycle["eigenvalues"].sel(layer=1, head=1).to_numpy() ** D_VOCAB, GAIN**D_VOCAB)


def test_a_head_whose_queries_ask_for_their_own_token_matches():
    model = known_heads()
    weights = {name: weight.clone() for name, weight in weights_by_name(model).items()}
    weights["blocks.0.attn.W_K"][1] = weights["blocks.0.attn.W_V"][0]
    weights["blocks.0.attn.W_Q"][1] = weights["blocks.0.attn.W_V"][0]
    found = qk_matching(HookedTransformer.with_weights(model.arch, weights))
    assert np.allclose(found["eigenvalues"].sel(layer=0, head=1), 1)
    assert np.isclose(found["score"].sel(layer=0, head=1), 1)
    assert np.isnan(found["score"].sel(layer=0, head=0))  # which sees positions alone
    assert found.attrs == {"circuit": "QK", "position": "none"}
    assert qk_matching(neox()).attrs["position"] == "offset 0"


def test_random_heads_score_within_chance():
    found = ov_copying(ours(d_model=32, n_heads=16, d_head=4, n_layers=6)[0], draws=1000, seed=1)
    low, high = float(found["chance_low"]), float(found["chance_high"])
    assert -0.9 < low < -0.3
    assert 0.3 < high < 0.9
    within = ((found["score"] >= low) & (found["score"] <= high)).mean()
    assert 0.87 < within <= 1  # of 96 heads, 95 % +- 3.5 standard errors
    wide = ov_copying(ours(d_model=32, n_heads=1, d_head=16, n_layers=1)[0], draws=200)
    assert wide["chance_high"] - wide["chance_low"] < high - low


def test_what_is_refused():
    with pytest.raises(ValueError, match="reads 11 tokens and has logits of 7"):
        ov_copying(ours(d_vocab_out=7)[0])
    with pytest.raises(ValueError, match="draws: got 19"):
        qk_matching(ours()[0], draws=19)
    with pytest.raises(ValueError, match=r"blocks.0.ln1_post.hook_in, a norm of queries, of keys or of what"):
        ov_copying(gemma(Gemma2Config))
    with pytest.raises(ValueError, match=r"blocks.0.attn.q_norm.hook_in, a norm"):
        qk_matching(gemma(Qwen3Config))
