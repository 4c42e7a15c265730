"""A node, on the model: where it attends, what it adds to the answer, what it does, and when it writes most."""

from contextlib import suppress

import torch

from circuits.graph import Node
from circuits.heads import DirectAttribution, direct_logit_attribution
from circuits.viewer.edge_scores import check_part, node_names, shape_of
from circuits.viewer.estimates import estimate_of
from circuits.viewer.live.loaded import Loaded
from circuits.viewer.live.roles import roles_of
from circuits.viewer.live.spectrum import spectrum_of
from circuits.viewer.live.written import top_examples
from circuits.viewer.messages import Estimate, NodeAnswer, OfNode, Pattern
from circuits.viewer.questions import questions_of
from probe.activations.forward import Batch, reading


def node_answer(at: Loaded, asked: OfNode) -> NodeAnswer:
    """
    Raises:
        ValueError: the model has no such node, or its task no such example.
    """
    check_part("node", asked.node, node_names(shape_of(at.graph)))
    node = Node.named(asked.node)
    writes = node in at.graph.sources
    return NodeAnswer(
        model=at.name,
        step=at.step,
        node=asked.node,
        example=asked.example,
        tokens=_tokens(at, asked.example),
        pattern=_pattern(at, node, asked.example),
        attribution=_attribution(at, node) if writes else None,
        roles=roles_of(at, node),
        spectrum=spectrum_of(at, node) if writes else None,
        top=top_examples(at, node) if writes and at.task is not None else [],
    )


def _tokens(at: Loaded, example: int) -> list[str]:
    """The question that is looked at; nothing where nothing says what the model was asked."""
    if at.task is None:
        return []
    questions = questions_of(at.task)
    if example >= len(questions):
        raise ValueError(f"example: got {example}; expected 0 to {len(questions) - 1}, the questions of the task")
    return at.show(questions.tokens[example, : questions.lengths[example]])


def _pattern(at: Loaded, node: Node, example: int) -> Pattern | None:
    if node.kind != "head" or at.task is None:
        return None
    site = f"blocks.{node.layer}.attn.hook_pattern"
    device = next(iter(at.model.named_parameters()))[1].device
    questions = questions_of(at.task)
    with reading(at.model, [site]) as read:
        found = read(Batch(questions, slice(example, example + 1), device))[site]  # [example, query, head, key]
    return Pattern(head=str(node), values=found[0, :, node.head].tolist())


def _attribution(at: Loaded, node: Node) -> Estimate | None:
    """What a node adds to the logit difference of the pairs, if that can be told."""
    found = at.once(_attributions)
    return None if found is None else estimate_of(found.values.sel(component=str(node)).to_numpy())


def _attributions(at: Loaded) -> DirectAttribution | None:
    """Of all nodes; None where the task has no pairs, or the logits of the model are no sum of what its nodes write."""
    with suppress(ValueError), torch.no_grad():
        return direct_logit_attribution(at.model, at.pairs)
    return None
