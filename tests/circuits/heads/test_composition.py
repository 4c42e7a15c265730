"""Composition scores against products written out, TransformerLens' own, and heads that are known to compose."""

import numpy as np
import pytest
import torch

from circuits.heads import composition, composition_scores
from probe.suites.hooked import weights_by_name
from tests.circuits.heads.known_heads import D_VOCAB, known_heads
from tests.circuits.models import gpt2, llama, ours
from tests.native_bridge import native_bridge


def slowly(model):
    """Scores of all pairs from matrices d_model x d_model, [input, source, destination]."""
    cfg, w = model.cfg, {name: weight.double() for name, weight in weights_by_name(model).items()}
    centre = torch.eye(cfg.d_model).double() - (1 / cfg.d_model if cfg.normalization_type == "LN" else 0)
    heads = [(layer, head) for layer in range(cfg.n_layers) for head in range(cfg.n_heads)]
    found = np.full((3, len(heads), len(heads)), np.nan)

    def matrix(name, layer, head):
        weight = w[f"blocks.{layer}.attn.W_{name}"][head]
        norm = w.get(f"blocks.{layer}.ln1.w")
        return weight if name == "O" or norm is None else centre @ torch.diag(norm) @ weight

    for i, (layer, head) in enumerate(heads):
        out = matrix("V", layer, head) @ matrix("O", layer, head)
        for j, (later, reader) in enumerate(heads):
            if later <= layer:
                continue
            Q, K, V, O = (matrix(x, later, reader) for x in "QKVO")  # noqa: E741
            for k, read in enumerate((Q @ K.T, K @ Q.T, V @ O)):
                found[k, i, j] = (out @ read).norm() / (out.norm() * read.norm())
    return found


@pytest.mark.parametrize("name", ["gpt2", "llama", "ours"])
def test_scores_are_those_of_the_products_written_out(name, monkeypatch):
    model = {"gpt2": gpt2, "llama": llama, "ours": lambda: ours(n_layers=3, normalization="LN")[0]}[name]()
    found = composition_scores(model, draws=20)
    assert found["score"].dims == ("input", "source", "destination")
    assert found["score"]["input"].to_numpy().tolist() == ["q", "k", "v"]
    np.testing.assert_allclose(found["score"], slowly(model), rtol=1e-6)
    monkeypatch.setattr(composition, "PRODUCT_NUMBERS", 1)
    np.testing.assert_allclose(composition_scores(model, draws=20)["score"], found["score"], rtol=1e-12)


def test_transformer_lens_finds_the_same():
    model, arch, weights = ours(n_layers=3)
    found = composition_scores(model, draws=20)
    theirs = native_bridge(arch, weights)
    for name in "QKV":
        scores = theirs.all_composition_scores(name).scores.detach().flatten(0, 1).flatten(1)
        np.testing.assert_allclose(found["score"].sel(input=name.lower()).fillna(0), scores, atol=1e-6)


def test_the_induction_head_reads_the_previous_token_head_by_its_keys_and_no_other():
    found = composition_scores(known_heads())
    pair = {"source": "L0.H0", "destination": "L1.H1"}
    by_key = found.sel(pair | {"input": "k"})
    # both matrices map the tokens one to one: sqrt(d_vocab) / sqrt(d_vocab)^2
    assert np.isclose(by_key["score"], D_VOCAB**-0.5)
    assert by_key["score"] > found["baseline_high"]
    assert by_key["z"] > 5
    assert np.isclose(by_key["z"], (by_key["score"] - found["baseline"]) / found["baseline_std"])
    assert np.isclose(by_key["above"], by_key["score"] - found["baseline"])
    assert found["score"].sel(pair | {"input": ["q", "v"]}).max() == 0
    assert found["score"].sel(input="k", destination="L1.H1", source="L0.H1") == 0
    assert found["score"].sel(destination=["L0.H0", "L0.H1"]).isnull().all()
    assert found["score"].sel(source=["L1.H0", "L1.H1"]).isnull().all()


def test_random_heads_score_within_the_baseline():
    model = ours(d_model=32, n_heads=12, d_head=4, n_layers=2)[0]
    found = composition_scores(model, draws=2000, seed=2)
    assert np.isclose(found["expected"], 32**-0.5)
    assert np.isclose(found["baseline"], found["expected"], rtol=0.02)
    scores = found["score"].sel(destination=[f"L1.H{head}" for head in range(12)]).isel(source=slice(12))
    assert scores.notnull().all()
    within = ((scores >= found["baseline_low"]) & (scores <= found["baseline_high"])).mean()
    assert 0.9 < within < 0.99  # of 432 pairs, which share 24 heads
    assert abs(found["z"].mean()) < 0.3
    assert 0.8 < found["z"].std() < 1.2
    few = composition_scores(model, draws=20, seed=2)
    assert few["baseline"] != found["baseline"]
    assert composition_scores(model, draws=20, seed=2)["baseline"] == few["baseline"]
    assert composition_scores(model, draws=20, seed=3)["baseline"] != few["baseline"]


def test_what_is_refused():
    with pytest.raises(ValueError, match="it has 1 layer"):
        composition_scores(ours(n_layers=1)[0])
    with pytest.raises(ValueError, match="draws: got 3"):
        composition_scores(ours()[0], draws=3)
