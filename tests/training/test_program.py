"""The batched training program against TransformerLens' own native model, which shares no code with it."""

import itertools

import pytest
import torch

from probe.suites.architecture import Architecture
from probe.training import program
from tests.native_bridge import native_bridge

ARCHITECTURES = [
    Architecture(
        d_vocab=11, n_ctx=5, d_model=16, n_layers=n_layers, normalization=norm, biases=biases, activation=activation
    )
    for n_layers, norm, biases, activation in itertools.product((1, 2), (None, "LN"), (False, True), ("relu", "gelu"))
]
WITHOUT_MLPS = [
    Architecture(d_vocab=11, n_ctx=5, d_model=16, n_layers=n_layers, normalization="LN", biases=True, attn_only=True)
    for n_layers in (1, 2)
]


def perturbed_weights(arch, seed):
    """Initial weights with noise on them, so that biases are not zero and LayerNorm scales not one; in float64."""
    generator = torch.Generator().manual_seed(100 + seed)
    initial = arch.initial_weights(seed)
    return {name: w.double() + 0.2 * torch.randn(w.shape, generator=generator) for name, w in initial.items()}


def stacked(members):
    return {name: torch.stack([weights[name] for weights in members]) for name in members[0]}


@pytest.mark.parametrize("arch", [*ARCHITECTURES, *WITHOUT_MLPS], ids=str)
@pytest.mark.parametrize("scored", [(4,), (1, 3), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("n_examples", [30, 2], ids=["table is smaller", "table is larger"])
def test_logits_are_those_of_the_native_bridge(arch, scored, n_examples):
    members = [perturbed_weights(arch, seed) for seed in range(3)]
    tokens = torch.randint(11, (3, n_examples, 5), generator=torch.Generator().manual_seed(0))
    logits = program.logits(arch, stacked(members), program.Inputs.of(tokens, scored))
    for member, weights in enumerate(members):
        expected = native_bridge(arch, weights)(tokens[member])[:, list(scored)]
        torch.testing.assert_close(logits[member], expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("arch", [a for a in ARCHITECTURES if a.n_layers == 1], ids=str)
def test_one_question_mark_at_the_end_takes_the_table_of_scores(arch):
    """Every example ends in the same token, as with ``a b =``."""
    members = [perturbed_weights(arch, seed) for seed in range(2)]
    tokens = torch.randint(10, (2, 40, 5), generator=torch.Generator().manual_seed(0))
    tokens[:, :, -1] = 10
    logits = program.logits(arch, stacked(members), program.Inputs.of(tokens, (4,)))
    for member, weights in enumerate(members):
        torch.testing.assert_close(
            logits[member, :, 0], native_bridge(arch, weights)(tokens[member])[:, 4], atol=1e-10, rtol=1e-10
        )


@pytest.mark.parametrize("tokens_end_alike", [True, False])
def test_gradients_are_those_of_the_native_bridge(tokens_end_alike):
    arch = Architecture(d_vocab=11, n_ctx=3, d_model=16, biases=True, normalization="LN")
    weights = perturbed_weights(arch, 0)
    tokens = torch.randint(10, (1, 60, 3), generator=torch.Generator().manual_seed(0))
    if tokens_end_alike:
        tokens[:, :, -1] = 10
    answers = torch.randint(11, (60,), generator=torch.Generator().manual_seed(1))

    ours = {name: w[None].clone().requires_grad_() for name, w in weights.items()}
    logits = program.logits(arch, ours, program.Inputs.of(tokens, (2,)))[0, :, 0]
    torch.nn.functional.cross_entropy(logits, answers).backward()

    bridge = native_bridge(arch, weights)
    torch.nn.functional.cross_entropy(bridge(tokens[0])[:, 2], answers).backward()
    theirs = {name.replace("._original_component", ""): p.grad for name, p in bridge.named_parameters()}
    for name, grad in {
        "embed.W_E": theirs["tok_embed.weight"],
        "pos_embed.W_pos": theirs["pos.weight"],
        "blocks.0.attn.W_K": theirs["layers.0.attn.k.weight"].T.unflatten(1, (4, 4)).transpose(0, 1),
        "blocks.0.attn.W_O": theirs["layers.0.attn.o.weight"].T.unflatten(0, (4, 4)),
        "blocks.0.mlp.W_in": theirs["layers.0.mlp.fc_in.weight"].T,
        "unembed.W_U": theirs["head.weight"].T,
    }.items():
        torch.testing.assert_close(ours[name].grad[0], grad, atol=1e-10, rtol=1e-8)


def test_a_mini_batch_is_those_examples_of_the_whole():
    arch = Architecture(d_vocab=11, n_ctx=3, d_model=16)
    weights = stacked([perturbed_weights(arch, seed) for seed in range(2)])
    inputs = program.Inputs.of(torch.randint(11, (2, 50, 3), generator=torch.Generator().manual_seed(0)), (2,))
    index = torch.tensor([[3, 40, 7], [0, 1, 49]])
    whole = program.logits(arch, weights, inputs)
    part = program.logits(arch, weights, inputs.examples(index))
    for member in range(2):
        torch.testing.assert_close(part[member], whole[member, index[member]], atol=1e-10, rtol=1e-10)
