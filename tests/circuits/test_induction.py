"""What a two-layer attention-only model that goes on with repeated sequences consists of (Olsson et al. 2022)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from einops import einsum

from circuits import Graph, eap_ig, logit_difference, pairs_from_task
from tests.circuits.induction_suite import MODEL, STEPS, induction  # noqa: F401  # the fixture


@pytest.fixture(scope="module")
def trained(induction):  # noqa: F811
    """The last checkpoint, and what it does on 400 sequences that it was never shown."""
    checkpoint = induction[MODEL, STEPS[-1]]
    model, task = checkpoint.load(), checkpoint.task
    chosen = np.flatnonzero(task.subsets["test"])[:400]
    tokens, targets = torch.as_tensor(task.tokens[chosen]), torch.as_tensor(task.targets[chosen])

    def accuracy(hooks=()):
        with torch.no_grad():
            logits = model.run_with_hooks(tokens, fwd_hooks=list(hooks))
        scored = targets >= 0
        return (logits.argmax(-1) == targets)[scored].double().mean().item()

    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    row, query = (targets >= 0).nonzero(as_tuple=True)
    length = torch.as_tensor(task.sequence_lengths[chosen])[row]
    patterns = [cache[f"blocks.{layer}.attn.hook_pattern"] for layer in (0, 1)]
    previous = patterns[0].diagonal(-1, 2, 3).mean((0, 2))
    return SimpleNamespace(
        model=model,
        task=task,
        accuracy=accuracy,
        z=[cache[f"blocks.{layer}.attn.hook_z"] for layer in (0, 1)],
        previous=previous,
        following=[pattern[row, :, query, query - length + 1].mean(0) for pattern in patterns],
        same=[pattern[row, :, query, query - length].mean(0) for pattern in patterns],
        head=int(previous.argmax()),
    )


def test_it_goes_on_with_sequences_that_it_was_never_shown(trained, induction):  # noqa: F811
    assert trained.accuracy() > 0.95
    assert induction.steps(MODEL) == STEPS
    assert Graph.of(trained.model) == Graph(2, 2, mlps=False)


def test_one_head_looks_at_the_previous_token_and_both_after_it_at_what_followed(trained):
    """Patterns alone: from a token of the second copy, heads of layer 1 look at what came after it in the first."""
    assert trained.previous[trained.head] > 0.5
    assert trained.previous[1 - trained.head] < 0.3
    assert (trained.following[1] > 0.5).all()
    assert (trained.following[0] < 0.15).all()
    assert (trained.same[1] < 0.1).all()


@pytest.mark.parametrize("instead", ["zero", "mean"])
def test_without_the_previous_token_head_little_is_left_and_without_the_other_nothing_is_lost(trained, instead):
    def ablated(head):
        z = trained.z[0][:, :, head].mean(0) if instead == "mean" else 0.0

        def hook(activation, hook):
            changed = activation.clone()
            changed[:, :, head] = z
            return changed

        return trained.accuracy([("blocks.0.attn.hook_z", hook)])

    assert ablated(trained.head) < 0.3
    assert ablated(1 - trained.head) > 0.95


def test_keys_of_the_second_layer_are_made_of_what_the_previous_token_head_writes(trained):
    """Composition, the norms of W_OV W_QK^T and W_OV W_QK (Elhage et al. 2021): the head is in keys, not in queries."""
    W = {name: weight.detach() for name, weight in trained.model.named_parameters()}
    OV = einsum(W["blocks.0.attn.W_V"], W["blocks.0.attn.W_O"], "h d e, h e f -> h d f")
    QK = einsum(W["blocks.1.attn.W_Q"], W["blocks.1.attn.W_K"], "h d e, h f e -> h d f")
    in_keys = einsum(OV, QK, "i d f, j g f -> i j d g").norm(dim=(2, 3))
    in_queries = einsum(OV, QK, "i d f, j f g -> i j d g").norm(dim=(2, 3))
    assert in_keys[trained.head].min() > 2.5 * in_keys[1 - trained.head].max()
    assert in_keys[trained.head].min() > 2.5 * in_queries.max()


@pytest.mark.parametrize("operand", [0, 1])
def test_pairs_of_the_task_are_answered_by_what_came_before_and_their_edges_tell_how(trained, operand):
    """What is copied does not go by the previous-token head into keys; where is looked goes by nothing else."""
    pairs = pairs_from_task(trained.task, 100, subset="test", operand=operand)
    scores = eap_ig(trained.model, pairs, logit_difference)
    assert (scores.clean > 0).mean() > 0.95
    assert (scores.corrupted < 0).mean() > 0.95
    size, graph = np.abs(scores.values), scores.graph
    into = {name: [graph.destination_names.index(f"L1.H{head}.{name}") for head in (0, 1)] for name in "qkv"}
    head, other = (graph.source_names.index(f"L0.H{head}") for head in (trained.head, 1 - trained.head))
    keys, values = size[head, into["k"]].sum(), size[0, into["v"]].sum()
    assert values > 5 * keys if operand == 0 else keys > 5 * values
    if operand:
        assert keys > 5 * max(size[other, into["k"]].sum(), size[head, into["q"]].sum())
