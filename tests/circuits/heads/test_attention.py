"""Where heads attend: hand-written heads, a loop over queries and keys, and what is refused."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from circuits import repeated_tokens
from circuits.heads import head_scores, scores_on_repeats, without_repeats
from circuits.heads.attention import SCORES
from probe.activations.inputs import Inputs
from probe.suites.hooked import HookedTransformer
from tests.circuits.heads.known_heads import BOS, D_VOCAB, known_heads
from tests.circuits.models import llama, neox, ours

REPEATED = repeated_tokens(8, 6, D_VOCAB, bos=BOS)
"""Twelve tokens: BOS, r1 to r6, r1 to r5."""


@pytest.fixture(scope="module")
def known():
    return scores_on_repeats(known_heads(), REPEATED)


def test_heads_that_were_written_to_do_one_thing_score_1_at_it_and_no_other_does(known):
    mean = known.means()["mean"].transpose("score", "layer", "head")
    for score, head in {"previous_token": (0, 0), "first_token": (1, 0), "induction": (1, 1)}.items():
        others = mean.sel(score=score).to_numpy().copy()
        assert others[head] > 0.999
        others[head] = 0
        assert others.max() < 0.4
    assert mean.sel(score="duplicate_token", layer=0, head=0) < 1e-6


def test_uniform_attention_scores_the_control_exactly(known):
    alike = {"layer": 0, "head": 1}
    assert np.allclose(known.values.sel(alike), known.uniform, atol=1e-7, rtol=0)
    assert np.allclose(known.by_offset.sel(alike), known.uniform_by_offset, atol=1e-7, rtol=0)
    # r1 to r5 of the second copy are positions 7 to 11, which see 8 to 12, and each has one earlier copy
    harmonic = np.mean([1 / n for n in range(8, 13)])
    assert np.allclose(known.uniform.sel(score=["induction", "duplicate_token"]), harmonic)
    assert np.allclose(known.uniform.sel(score="first_token"), np.mean([1 / n for n in range(2, 13)]))
    assert np.allclose(known.uniform_by_offset.sel(offset=3), np.mean([1 / n for n in range(4, 13)]))


def test_what_is_due_to_tokens_is_gone_where_nothing_repeats(known):
    control = known.unrepeated
    assert list(control["score"].to_numpy()) == ["duplicate_token", "induction"]
    # no key matches, so that the induction head attends to all it sees alike
    assert np.allclose(control.sel(score="induction", layer=1, head=1), known.uniform.sel(score="induction"), atol=1e-6)
    assert np.allclose(control.sel(layer=0, head=1), known.uniform.sel(score=control["score"]), atol=1e-7)
    frame = known.to_frame()
    assert len(frame) == len(SCORES) * 4
    assert frame.loc[frame["score"] == "first_token", "unrepeated"].isna().all()
    row = frame[(frame["score"] == "induction") & (frame["layer"] == 1) & (frame["head"] == 1)].iloc[0]
    assert row["mean"] > 0.999
    assert row["unrepeated"] < 0.11


def test_a_head_that_looks_back_by_a_fixed_distance_is_unmasked_by_the_control():
    found = scores_on_repeats(known_heads(offset=5), REPEATED).means().sel(score="induction", layer=0, head=0)
    assert found["mean"] > 0.999
    assert found["unrepeated"] > 0.999
    by_offset = head_scores(known_heads(offset=5), REPEATED).means_by_offset().sel(layer=0, head=0)
    assert by_offset["mean"].sel(offset=5) > 0.999


def slowly(pattern, tokens, causal, offset=None):
    """Scores of one example and head, and the control, as the definitions say."""
    n = len(tokens)
    found = {}
    for at, weights in (("values", pattern), ("uniform", None)):
        for score in SCORES if offset is None else (offset,):
            each = []
            for query in range(n):
                earlier = [k for k in range(query) if tokens[k] == tokens[query]]
                keys = {
                    "previous_token": [query - 1] if query else [],
                    "current_token": [query] if query else [],
                    "first_token": [0] if query else [],
                    "duplicate_token": earlier,
                    "induction": [k + 1 for k in earlier if k + 1 < query],
                }.get(score, [query - score] if score not in SCORES and query and 0 <= query - score < n else [])
                if keys:
                    share = 1 / (query + 1 if causal else n)
                    each.append(sum(share if weights is None else weights[query][k] for k in keys))
            found[at, score] = sum(each) / len(each) if each else np.nan
    return found


RAGGED = [[3, 1, 1, 3, 3, 2], [1, 2, 3, 4], [2, 2, 5, 2, 5], [7], [8, 9]]


@pytest.mark.parametrize(
    ("model", "causal"),
    [(llama, True), (neox, True), (lambda: ours(causal=False)[0], False)],
    ids=["llama", "neox", "bidirectional"],
)
def test_scores_are_those_of_a_loop_over_queries_and_keys(model, causal):
    model = model()
    found = head_scores(model, RAGGED, batch_size=2, max_offset=2)
    offsets = found.by_offset["offset"].to_numpy()
    assert offsets.tolist() == ([0, 1, 2] if causal else [-2, -1, 0, 1, 2])
    assert found.values.shape == (5, len(RAGGED), model.cfg.n_layers, model.cfg.n_heads)
    for example, tokens in enumerate(RAGGED):
        _, cache = model.run_with_cache(torch.tensor([tokens]))
        for layer in range(model.cfg.n_layers):
            for head, pattern in enumerate(cache[f"blocks.{layer}.attn.hook_pattern"][0].tolist()):
                slow = slowly(pattern, tokens, causal)
                place = {"example": example, "layer": layer, "head": head}
                for score in SCORES:
                    value = found.values.sel(place | {"score": score})
                    control = found.uniform.sel(example=example, score=score)
                    np.testing.assert_allclose(value, slow["values", score], atol=1e-6)
                    np.testing.assert_allclose(control, slow["uniform", score], atol=1e-12)
                for offset in offsets:
                    slow = slowly(pattern, tokens, causal, offset)
                    value = found.by_offset.sel(place | {"offset": offset})
                    np.testing.assert_allclose(value, slow["values", offset], atol=1e-6)
                    control = found.uniform_by_offset.sel(example=example, offset=offset)
                    np.testing.assert_allclose(control, slow["uniform", offset], atol=1e-12)


def test_means_are_over_examples_that_have_the_score():
    found = head_scores(ours()[0], RAGGED)
    means = found.means(0.9)
    values = found.values.sel(score="induction", layer=1, head=0).to_numpy()
    there = values[~np.isnan(values)]
    assert len(there) == 2  # [3, 1, 1, 3, 3, 2] and [2, 2, 5, 2, 5]
    here = means.sel(score="induction", layer=1, head=0)
    low, high = stats.t.interval(0.9, 1, there.mean(), stats.sem(there))
    np.testing.assert_allclose([here["mean"], here["low"], here["high"], here["n"]], [there.mean(), low, high, 2])
    with warnings.catch_warnings(action="error"):
        alone = head_scores(ours()[0], [[1, 1]]).means().sel(layer=0, head=0)
    assert alone["n"].sel(score=["duplicate_token", "induction"]).to_numpy().tolist() == [1, 0]
    assert np.isnan(alone["low"].sel(score="duplicate_token"))
    assert np.isnan(alone["mean"].sel(score="induction"))
    with pytest.raises(ValueError, match="confidence"):
        found.means(1.0)


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), min_size=1, max_size=4), st.integers(0, 3))
def test_what_comes_again_is_replaced_and_nothing_else(rows, seed):
    inputs = Inputs.of(rows)
    if all(len(set(row)) == len(row) for row in rows):
        with pytest.raises(ValueError, match="no token has an earlier copy"):
            without_repeats(inputs, 30, seed=seed)
        return
    other = without_repeats(inputs, 30, seed=seed)
    assert np.array_equal(other.lengths, inputs.lengths)
    for row, new in zip(rows, other.tokens.tolist(), strict=True):
        new, kept = new[: len(row)], [token not in row[i + 1 :] for i, token in enumerate(row)]
        assert len(set(new)) == len(new)
        assert all((a == b) is keep for a, b, keep in zip(row, new, kept, strict=True))


def test_too_few_tokens_to_replace_by():
    enough = without_repeats(Inputs.of([[0, 1, 2, 0, 1, 2]]), 6).tokens[0]
    assert sorted(enough[:3]) == [3, 4, 5]
    padded = without_repeats(Inputs.of([[1, 2, 1], [1, 2, 1, 2]]), 3)  # 0 is padding too, and as good as any
    assert padded.tokens.tolist() == [[0, 2, 1, 0], [0, 0, 1, 2]]
    few = without_repeats(Inputs.of([[0, 1, 2, 0, 1, 2]]), 4)  # 3 is the only one that is not there
    assert few.tokens.tolist() == [[3, 3, 3, 0, 1, 2]]
    with pytest.raises(ValueError, match="example 1 has all 3 tokens"):
        without_repeats(Inputs.of([[0, 0], [0, 1, 2, 0]]), 3)


def test_what_is_refused():
    model, arch, weights = ours()
    for options, message in (
        ({"max_offset": -1}, "max_offset: got -1"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"places": [[1, 2]]}, "places: got lengths"),
    ):
        with pytest.raises(ValueError, match=message):
            head_scores(model, [[1, 2, 1]], **options)
    with pytest.raises(ValueError, match="example 1 has token 11 at position 2"):
        head_scores(model, [[1, 2], [1, 2, 11]])
    with pytest.raises(ValueError, match="an example has 7 tokens; the model reads at most 6"):
        head_scores(model, [[1] * 7])
    with pytest.raises(ValueError, match="training mode"):
        head_scores(ours()[0].train(), [[1, 2]])
    constant = ours(attention_coefficient=0.5)[0]
    with pytest.raises(ValueError, match=r"sums to .*; expected 1"):
        head_scores(constant, [[1, 2, 3]])
    both_ways = ours(causal=False)[0]
    both_ways.cfg.attention_dir = "causal"
    with pytest.raises(ValueError, match=r"blocks.0.attn.hook_pattern: .* of example 1 "):
        head_scores(both_ways, [[1], [1, 2, 3]])
    local = HookedTransformer.with_weights(arch, weights)
    local.cfg.sliding_window = 2
    assert head_scores(local, [[1, 2]]).values.sizes["example"] == 1
    with pytest.raises(ValueError, match="a window of 2"):
        head_scores(local, [[1, 2, 3]])
