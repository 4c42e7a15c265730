"""Passes through a hooked model that tell what nodes write, and the gradient at every input that reads it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.exchange import Exchange
from circuits.graph import Graph
from probe.activations.forward import Batch, reading

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

Receiver = Callable[[str, Tensor], None]
"""Is shown the gradient at a destination site, [pair, position, (head,) d_model], as the backward pass comes by."""


@dataclass
class Pass:
    """What a forward pass left.

    Attributes:
        logits: [pair, d_vocab] at the answer positions.
        kept: activations by site, without gradient.
        root: what the gradient is taken back to; None if there is no gradient.
        receivers: shown the gradients; one of them while ``backward`` runs. Hooks hold this list alone, as one that
            held the pass would hold its logits, these the graph, and the graph the hook: memory never given back.
    """

    logits: Float[Tensor, "pair d_vocab"] = field(default_factory=lambda: torch.empty(0, 0))
    kept: dict[str, Tensor] = field(default_factory=dict)
    root: Tensor | None = None
    receivers: list[Receiver] = field(default_factory=list)


@contextmanager
def ready(model: "HookedModel", graph: Graph) -> Iterator[None]:
    """Within it, the inputs of heads and MLPs are apart, and no parameter asks for a gradient; then all is as it was.

    So nothing is kept for gradients of weights, and it makes no difference whether the weights are frozen.

    Raises:
        ValueError: the model or a part of it is in training mode, where dropout makes two passes differ.
    """
    check_evaluating(model)
    trained = {id(p): p for _, module in _modules(model) for p in module.parameters(recurse=False) if p.requires_grad}
    sites = [site for site, _ in graph.destination_sites]
    # reading switches on what a bridge computes only when told to; whether the caller takes gradients is no matter
    with reading(model, sites), torch.inference_mode(False), torch.enable_grad():
        for parameter in trained.values():
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in trained.values():
                parameter.requires_grad_(True)


def check_evaluating(model: "HookedModel") -> None:
    """
    Raises:
        ValueError: the model or a part of it is in training mode, where dropout makes two passes differ.
    """
    for name, module in _modules(model):
        if module.training:
            raise ValueError(
                f"model: {name or 'it'} is in training mode, so dropout may be on; call model.eval() first"
            )


def _modules(model: Any) -> Iterator[tuple[str, torch.nn.Module]]:
    yield from model.named_modules()
    if hasattr(model, "original_model"):  # which a bridge does not count among its own
        for name, module in model.original_model.named_modules():
            yield f"original_model.{name}", module


def forward(
    model: "HookedModel",
    graph: Graph,
    batch: Batch,
    *,
    keep: Collection[str] = (),
    root: str | None = None,
    replaced: Mapping[str, Tensor] | None = None,
    exchange: Exchange | None = None,
) -> Pass:
    """One forward pass, within ``ready``.

    Args:
        model: a hooked model.
        graph: its graph.
        batch: what it reads.
        keep: sites whose activations are kept.
        root: the source site from which on there is a gradient; None for a pass without.
        replaced: activations by source site, to go on with in the place of those that are there.
        exchange: which edges carry what another run wrote.
    """
    done = Pass()
    receivers = done.receivers
    replaced = replaced or {}
    destinations = {site for site, _ in graph.destination_sites}

    def hook_at(site: str) -> Callable[..., Tensor]:
        def hook(activation: Tensor, hook: object) -> Tensor:
            activation = replaced.get(site, activation)
            if exchange is not None:
                activation = exchange.at(site, activation)
            if site == root:
                activation = done.root = activation.detach().requires_grad_()
            if site in keep:
                done.kept[site] = activation.detach()
            if site in destinations and activation.requires_grad:
                # a tensor of its own: an input may be the residual stream itself, whose gradient is that of all readers
                activation = activation.view_as(activation)
                activation.register_hook(partial(_show, receivers, site))
            return activation

        return hook

    # destinations are hooked in every pass, so that all passes compute alike and equal questions differ by exactly 0
    sites = {*keep, *replaced, *destinations} | ({root} if root else set())
    if exchange is not None:
        sites |= {site for site, _ in graph.source_sites}
    with torch.set_grad_enabled(root is not None):
        done.logits = logits_at_answers(model, batch, [(site, hook_at(site)) for site in sites])
    return done


def logits_at_answers(
    model: "HookedModel", batch: Batch, hooks: list[tuple[str, Callable[..., Any]]]
) -> Float[Tensor, "row d_vocab"]:
    """A forward pass with hooks, and what it says at the answer positions; with a gradient if they are enabled."""
    asked: dict[str, Any] = {"attention_mask": batch.mask} if batch.padded else {}
    if hasattr(model, "original_model"):
        asked["use_cache"] = False  # transformers would keep keys and values for text that never comes
    logits = model.run_with_hooks(batch.tokens, fwd_hooks=hooks, **asked)
    assert batch.answer_positions is not None
    return logits[torch.arange(len(batch), device=logits.device), batch.answer_positions]


def batches_of(n: int, size: int) -> Iterator[slice]:
    """n pairs, as many of them at a time.

    Raises:
        ValueError: that is fewer than 1.
    """
    if size < 1:
        raise ValueError(f"rows: got {size}; expected at least 1")
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def weights_out(model: "HookedModel", graph: Graph) -> list[Float[Tensor, "head d_head d_model"]]:
    """W_O of each layer, by which what a head writes is told from its z."""
    blocks: Any = getattr(model, "blocks")  # noqa: B009  # of which the protocol of hooked models does not speak
    return [blocks[layer].attn.W_O.detach() for layer in range(graph.n_layers)]


def _show(receivers: list[Receiver], site: str, gradient: Tensor) -> None:
    for receive in receivers:
        receive(site, gradient)


def backward(done: Pass, values: Float[Tensor, " pair"], receive: Receiver) -> None:
    """Take the gradient of each pair's value back to the root of a pass, and show it at every destination on the way.

    Pairs do not see each other, so the gradient of the sum of their values is that of each.

    Raises:
        ValueError: the values do not depend on the logits in a differentiable way.
    """
    if not values.requires_grad:
        raise ValueError("metric: its values have no gradient, so edges cannot be attributed by it")
    assert done.root is not None
    done.receivers.append(receive)
    try:
        torch.autograd.grad(values.sum(), done.root, allow_unused=True)
    finally:
        done.receivers.clear()
