"""One pass over the inputs: the right values at the right position, and no more work than that."""

import pytest
import torch

from probe.activations import forward
from probe.activations.forward import Batch, activations_at, reading
from probe.activations.inputs import Inputs
from probe.suites.architecture import Architecture
from probe.suites.hooked import HookedTransformer
from tests.native_bridge import native_bridge
from tests.suites.plain import noisy_weights, plain_forward

ARCH = Architecture(d_vocab=8, n_ctx=4, d_model=8, n_heads=2, n_layers=2, normalization="LN", biases=True)
WEIGHTS = noisy_weights(ARCH)
TOKENS = torch.randint(8, (13, 4), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    return HookedTransformer.with_weights(ARCH, WEIGHTS)


def at(position):
    return torch.full((len(TOKENS),), position)


def counted(model, names):
    """How often, and with how many examples, the forward pass reaches each of these hook points."""
    calls = {name: [] for name in names}
    for name in names:
        model.hook_dict[name].add_perma_hook(lambda value, hook: calls[hook.name].append(len(value)))
    return calls


@pytest.mark.parametrize("position", [0, 1, 3])
@pytest.mark.parametrize("batch_tokens", [1, 8, 24, 1 << 15], ids="{} tokens a batch".format)
def test_every_site_is_read_at_the_position_whatever_the_batches(model, monkeypatch, position, batch_tokens):
    monkeypatch.setattr(forward, "BATCH_TOKENS", batch_tokens)
    found = activations_at(model, TOKENS, ["*"], at(position))
    _, expected = plain_forward(ARCH, WEIGHTS, TOKENS)
    assert found.keys() == expected.keys() == model.hook_dict.keys()
    for name, value in expected.items():
        by_query = name.endswith(("hook_pattern", "hook_attn_scores"))
        wanted = value[:, :, position] if by_query else value[:, position]
        torch.testing.assert_close(found[name], wanted, atol=1e-5, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
        assert not found[name].requires_grad


def test_each_example_is_read_at_its_own_position(model, monkeypatch):
    monkeypatch.setattr(forward, "BATCH_TOKENS", 20)
    positions = torch.arange(len(TOKENS)) % 4
    found = activations_at(model, TOKENS, ["*"], positions)
    _, expected = plain_forward(ARCH, WEIGHTS, TOKENS)
    for name, value in expected.items():
        by_query = name.endswith(("hook_pattern", "hook_attn_scores"))
        wanted = torch.stack([row[:, at] if by_query else row[at] for row, at in zip(value, positions, strict=True)])
        torch.testing.assert_close(found[name], wanted, atol=1e-5, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_each_batch_is_shown_as_it_passes(model, monkeypatch):
    monkeypatch.setattr(forward, "BATCH_TOKENS", 20)
    seen = []
    activations_at(model, TOKENS, ["unembed.*"], at(3), lambda examples, found: seen.append((examples, found)))
    logits, _ = plain_forward(ARCH, WEIGHTS, TOKENS)
    assert [(examples.start, examples.stop) for examples, _ in seen] == [(0, 5), (5, 10), (10, 13)]
    for examples, found in seen:
        torch.testing.assert_close(found["unembed.hook_out"], logits[examples], atol=1e-5, rtol=1e-5)


def test_the_inputs_go_through_the_model_once_in_batches(model, monkeypatch):
    monkeypatch.setattr(forward, "BATCH_TOKENS", 20)
    calls = counted(model, ["hook_embed", "unembed.hook_out"])
    activations_at(model, TOKENS, ["hook_embed", "unembed.hook_out", "blocks.*.hook_resid_post"], at(3))
    assert calls == {"hook_embed": [5, 5, 3], "unembed.hook_out": [5, 5, 3]}


@pytest.mark.parametrize(
    ("patterns", "reached"),
    [
        (["hook_embed"], []),
        (["blocks.0.attn.hook_z"], ["blocks.0.hook_resid_post"]),
        (["blocks.*.hook_resid_pre"], ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"]),
        (["unembed.*"], ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post", "unembed.hook_out"]),
        ([], []),
    ],
)
def test_only_the_blocks_that_are_needed_are_run(model, patterns, reached):
    calls = counted(model, ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post", "unembed.hook_out"])
    activations_at(model, TOKENS, patterns, at(3))
    assert [name for name, times in calls.items() if times] == reached


def test_no_hook_is_left_behind_and_of_a_batch_only_the_position_is_kept(model, monkeypatch):
    kept, cat = [], torch.cat
    monkeypatch.setattr(torch, "cat", lambda parts, *args, **kwargs: kept.extend(parts) or cat(parts, *args, **kwargs))
    activations_at(model, TOKENS, ["hook_embed", "unembed.hook_out"], at(3))
    assert not any(point.has_hooks() for point in model.hook_dict.values())
    assert len(kept) == 2
    assert all(part.untyped_storage().nbytes() == part.nbytes for part in kept)


def test_a_transformer_lens_model_will_do():
    found = activations_at(
        native_bridge(ARCH, WEIGHTS), TOKENS, ["blocks.0.attn.hook_pattern", "unembed.hook_out"], at(2)
    )
    logits, expected = plain_forward(ARCH, WEIGHTS, TOKENS)
    torch.testing.assert_close(found["unembed.hook_out"], logits[:, 2], atol=1e-5, rtol=1e-5)
    pattern = expected["blocks.0.attn.hook_pattern"][:, :, 2]
    torch.testing.assert_close(found["blocks.0.attn.hook_pattern"], pattern, atol=1e-5, rtol=1e-5)


def test_padding_is_not_seen_where_attention_is_not_causal():
    """With a causal mask what follows does not matter; without one, padding has to be masked."""
    arch = Architecture(d_vocab=8, n_ctx=4, d_model=8, n_heads=2, n_layers=2, causal=False)
    weights = noisy_weights(arch)
    inputs = Inputs.of([[1, 2, 3, 4], [5, 6]])
    with reading(HookedTransformer.with_weights(arch, weights), ["blocks.1.hook_resid_post"]) as read:
        (found,) = read(Batch(inputs, slice(0, 2), "cpu")).values()
    _, alone = plain_forward(arch, weights, torch.tensor([[5, 6]]))
    torch.testing.assert_close(found[1, :2], alone["blocks.1.hook_resid_post"][0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("position", [-1, 4])
def test_a_position_that_is_not_there_is_refused(model, position):
    with pytest.raises(ValueError, match=f"positions: got {position}; expected 0 to 3"):
        activations_at(model, TOKENS, ["hook_embed"], at(position))


def test_a_pattern_that_matches_nothing_is_refused_before_any_work(model):
    calls = counted(model, ["hook_embed"])
    with pytest.raises(ValueError, match="'hook_embedding' matches no hook point; the closest are hook_embed"):
        activations_at(model, TOKENS, ["hook_embedding"], at(3))
    assert calls == {"hook_embed": []}
