"""The logit lens against stopping the model early, and against its own logits after the last layer."""

import numpy as np
import pytest
import torch

from circuits import Pairs, answer_log_prob, logit_difference
from circuits.heads import logit_lens
from circuits.metrics import Asked
from tests.circuits.heads.known_heads import D_VOCAB, GAIN, capped, known_heads
from tests.circuits.models import gpt2, llama, neox, ours, random_pairs

PAIRS = Pairs.of(
    [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3]], [[2, 1, 4, 1, 5], [8, 2], [5, 5, 3]], [1, 2, 3], 11, wrong_answers=[7, 8, 9]
)


def normed(model, x):
    """The final normalization by hand, as its config says."""
    kind = model.cfg.normalization_type
    if kind is None:
        return x
    norm = getattr(model.ln_final, "original_component", model.ln_final)
    x = x - x.mean(-1, keepdim=True) if kind == "LN" else x
    x = x / (x.pow(2).mean(-1, keepdim=True) + getattr(model.cfg, "eps", 1e-5)).sqrt()
    x = x * (norm.w if hasattr(norm, "w") else norm.weight)
    shift = getattr(norm, "b", getattr(norm, "bias", None))
    return x if shift is None else x + shift


@pytest.mark.parametrize("name", ["gpt2", "neox", "llama", "LayerNorm", "no norm"])
@torch.no_grad()
def test_answers_are_those_of_a_model_that_ends_early(name):
    model = {
        "gpt2": gpt2,
        "neox": neox,
        "llama": llama,
        "LayerNorm": lambda: ours(normalization="LN", biases=True)[0],
        "no norm": lambda: ours()[0],
    }[name]()
    found = logit_lens(model, PAIRS, batch_size=2)
    assert found.d_vocab == model.cfg.d_vocab_out
    values = found.values
    assert values["depth"].to_numpy().tolist() == ["embed", "L0", "L1"]
    for pair, length in enumerate(PAIRS.lengths):
        tokens = torch.tensor(PAIRS.clean[pair : pair + 1, :length])
        logits, cache = model.run_with_cache(tokens)
        streams = ("blocks.0.hook_resid_pre", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post")
        right, wrong = int(PAIRS.answers[pair]), int(PAIRS.wrong_answers[pair])
        for depth, site in enumerate(streams):
            there = model.unembed(normed(model, cache[site]))[0, -1].double()
            here = values.isel(depth=depth, pair=pair)
            np.testing.assert_allclose(here["logit_difference"], there[right] - there[wrong], atol=1e-4)
            np.testing.assert_allclose(here["log_prob"], there.log_softmax(0)[right], atol=1e-4)
            assert here["rank"] == 1 + sorted(there.tolist(), reverse=True).index(float(there[right]))
        asked = Asked.of(PAIRS, slice(pair, pair + 1), logits[:, -1])
        last = values.isel(depth=-1, pair=[pair])
        np.testing.assert_allclose(last["logit_difference"], logit_difference(logits[:, -1], asked), atol=1e-4)
        np.testing.assert_allclose(last["log_prob"], answer_log_prob(logits[:, -1], asked), atol=1e-4)


def test_the_answer_is_there_after_the_induction_head():
    pairs = Pairs.of([[0, 3, 5, 7, 3], [0, 2, 9, 4, 2]], [[0, 3, 6, 7, 3], [0, 2, 8, 4, 2]], [5, 9], D_VOCAB, [6, 8])
    means = logit_lens(known_heads(), pairs).means("logit_difference")
    np.testing.assert_allclose(means["mean"], [0, 0, GAIN], atol=1e-4)
    ranks = logit_lens(known_heads(), pairs).means("rank")
    assert ranks["mean"].sel(depth="L1") == 1
    assert ranks["n"].sel(depth="L1") == 2


def test_what_is_refused():
    model = ours()[0]
    lens = logit_lens(model, random_pairs())
    with pytest.raises(ValueError, match="what: got 'loss'; expected one of log_prob, rank, logit_difference"):
        lens.means("loss")
    without = Pairs(PAIRS.clean, PAIRS.corrupted, PAIRS.answers, 11, None, PAIRS.lengths)
    assert set(logit_lens(model, without).values) == {"log_prob", "rank"}
    with pytest.raises(ValueError, match="batch_size: got 0"):
        logit_lens(model, PAIRS, batch_size=0)
    with pytest.raises(ValueError, match="the model has 11"):
        logit_lens(model, random_pairs(d_vocab=40))
    with pytest.raises(ValueError, match="such as a cap on logits"):
        logit_lens(capped(), PAIRS)
    with pytest.raises(ValueError, match="training mode"):
        logit_lens(ours()[0].train(), PAIRS)
