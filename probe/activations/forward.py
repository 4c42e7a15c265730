"""One pass over the inputs with hooks on the chosen sites only, and no further than the last of them."""

import gc
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.activations.inputs import Inputs
from probe.activations.sites import match_sites, position_second, stop_layer

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

BATCH_TOKENS = 1 << 13
"""Tokens in a forward pass: few enough that the activations of one stay in the cache."""
CAPTURE_TOKENS = {"cpu": 1 << 11, "cuda": 1 << 14}
"""The same in a capture, whose models may be larger than ours; a GPU needs more to be busy."""
BATCH_LOGITS = 1 << 26
"""Logits in a forward pass that goes on to them: with a large vocabulary they are what takes the memory."""
GRADIENT = ".grad"
"""What the name of a site's gradient ends in."""

Metric = Callable[[Float[Tensor, "example position d_vocab"], "Batch"], Float[Tensor, " example"]]
"""A number for each example from the logits at all positions; of padded positions they mean nothing."""

# What a bridge computes only when told to: the hook points' last names, and the setting that each waits for.
_SETTINGS = {
    "hook_result": "use_attn_result",
    "hook_q_input": "use_split_qkv_input",
    "hook_k_input": "use_split_qkv_input",
    "hook_v_input": "use_split_qkv_input",
    "hook_attn_in": "use_attn_in",
    "hook_mlp_in": "use_hook_mlp_in",
}


class Batch:
    """Some of the examples of inputs, on a device.

    Attributes:
        examples: which they are.
        tokens: [example, position], cut to the longest of them.
        mask: [example, position], 1 where there is content.
        padded: whether some of them are shorter than the longest.
        lengths: tokens of content in each.
        answers: the right token after each example's answer position; None where there is no such thing.
        answer_positions: at which position each is answered; None where there is no such thing.
    """

    def __init__(self, inputs: Inputs, examples: slice, device: str | torch.device) -> None:
        def put(array: np.ndarray | None) -> Tensor | None:
            return None if array is None else torch.as_tensor(array[examples], device=device)

        longest = int(inputs.lengths[examples].max())
        self.examples = examples
        self.padded = bool(inputs.lengths[examples].min() < longest)
        self.tokens: Int[Tensor, "example position"] = torch.as_tensor(inputs.tokens[examples, :longest], device=device)
        self.lengths: Int[Tensor, " example"] = torch.as_tensor(inputs.lengths[examples], device=device)
        self.mask: Int[Tensor, "example position"] = (
            torch.arange(longest, device=device) < self.lengths[:, None]
        ).long()
        self.answers, self.answer_positions = put(inputs.answers), put(inputs.answer_positions)

    def __len__(self) -> int:
        return len(self.tokens)


def default_batch_size(n_positions: int, d_vocab: int, device: str, *, to_logits: bool) -> int:
    """Examples in a forward pass of a capture, if nobody says how many."""
    n_tokens = CAPTURE_TOKENS["cuda" if device.startswith("cuda") else "cpu"]
    return max(1, (min(n_tokens, BATCH_LOGITS // d_vocab) if to_logits else n_tokens) // n_positions)


@contextmanager
def reading(
    model: "HookedModel", sites: Sequence[str], metric: Metric | None = None
) -> Iterator[Callable[[Batch], dict[str, Tensor]]]:
    """Within it, a function from a batch to the activations at the sites, and to their gradients if asked.

    Only the chosen sites are hooked, the forward pass ends with the last block that is needed, and when it is left,
    also by an exception, the model is as it was.

    Args:
        model: in evaluation mode.
        sites: hook names.
        metric: of which to take the gradient at each site, as ``<site>.grad``: of its sum over the examples, which is
            that of each example's own, as examples do not see each other.

    Yields:
        Activations by site, the position as second axis: [example, position, ...]. Those of a hook that fires more than
        once in a pass are its last, as a cache keeps them.
    """
    seen: dict[str, Tensor] = {}

    def keep(site: str) -> Callable[..., None]:
        def hook(activation: Any, hook: object) -> None:
            seen[site] = activation

        return hook

    hooks: list[tuple[str, Callable[..., Any]]] = [(site, keep(site)) for site in sites]
    n_layers = model.cfg.n_layers
    stop = None if metric else stop_layer(sites, n_layers)
    if stop == n_layers and "ln_final.hook_in" in model.hook_dict:
        hooks.append(("ln_final.hook_in", _end))  # a bridge would go on to the logits

    def read(batch: Batch) -> dict[str, Tensor]:
        seen.clear()
        asked: dict[str, Any] = {} if stop is None else {"stop_at_layer": stop}
        if hasattr(model, "original_model"):
            asked["use_cache"] = False  # transformers would keep keys and values for text that never comes
        if batch.padded:
            asked["attention_mask"] = batch.mask
        try:
            with torch.set_grad_enabled(metric is not None):
                logits = model.run_with_hooks(batch.tokens, fwd_hooks=hooks, **asked)
                found = dict(seen)
                if metric is not None:
                    found |= _gradients(_checked(metric(logits, batch), len(batch)), seen)
        except _Reached:
            found = dict(seen)
        finally:
            seen.clear()
        return {name: position_second(name.removesuffix(GRADIENT), found[name].detach()) for name in found}

    with ExitStack() as settings:
        hook_names = {site.rpartition(".")[2] for site in sites}
        for name in sorted({_SETTINGS[hook_name] for hook_name in hook_names & set(_SETTINGS)}):
            settings.enter_context(_switched_on(model, name))
        yield read


def activations_at(
    model: "HookedModel",
    tokens: Int[Tensor, "example position"],
    patterns: Sequence[str],
    positions: Int[Tensor, " example"],
    look: Callable[[slice, Mapping[str, Tensor]], None] | None = None,
) -> dict[str, Float[Tensor, "example ..."]]:
    """Activations of all examples, each at one position, by hook name.

    The inputs go through the model in batches, once, and no further than the last block that is asked for; of each
    batch only the positions are kept. Attention scores and patterns [batch, head, query, key] are read at the query.

    Args:
        model: a hooked model in evaluation mode.
        tokens: the inputs; padding, if any, on the right, where no position before it sees it.
        patterns: hook names, or patterns over them.
        positions: which position is kept of each, 0 to n - 1.
        look: is shown each batch as it passes: which examples it is, and their activations at all positions.

    Raises:
        ValueError: a pattern matches no hook point.
    """
    n, length = tokens.shape
    outside = (positions < 0) | (positions >= length)
    if outside.any():
        raise ValueError(f"positions: got {int(positions[outside][0])}; expected 0 to {length - 1}")
    if not patterns:
        return {}
    sites = match_sites(patterns, model.hook_dict)
    inputs = Inputs(tokens.numpy(), np.full(n, length))
    size = max(1, BATCH_TOKENS // length)
    parts: dict[str, list[Tensor]] = {site: [] for site in sites}
    with reading(model, sites) as read:
        for start in range(0, n, size):
            examples = slice(start, min(start + size, n))
            found = read(Batch(inputs, examples, "cpu"))
            if look is not None:
                look(examples, found)
            for site, activation in found.items():
                parts[site].append(activation[torch.arange(len(activation)), positions[examples]])
    return {site: torch.cat(batches) for site, batches in parts.items()}


def answer_loss(logits: Float[Tensor, "example position d_vocab"], batch: Batch) -> Float[Tensor, " example"]:
    """Loss in nats at each example's answer; of inputs without one, the mean over its next tokens.

    Raises:
        ValueError: an example has one token and no answer, so there is nothing to predict.
    """
    log_probs = logits.double().log_softmax(-1)
    if batch.answers is not None and batch.answer_positions is not None:
        examples = torch.arange(len(batch), device=logits.device)
        return -log_probs[examples, batch.answer_positions, batch.answers]
    if int(batch.lengths.min()) < 2:
        raise ValueError("gradient_of: an example of one token has no next token to predict; expected two or more")
    predicted = -log_probs[:, :-1].gather(-1, batch.tokens[:, 1:, None])[..., 0]
    return (predicted * batch.mask[:, 1:]).sum(1) / batch.mask[:, 1:].sum(1)


def _checked(values: Any, n_examples: int) -> Tensor:
    """What a metric gave, if it is a number per example that depends on the model."""
    if not isinstance(values, Tensor) or values.shape != (n_examples,):
        got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else repr(values)
        raise ValueError(f"gradient_of: the metric gave {got}; expected [{n_examples}], a number for each example")
    if not values.requires_grad:
        raise ValueError("gradient_of: the metric's values have no gradient; expected them computed from the logits")
    return values


def _gradients(metric: Tensor, seen: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gradient of the sum of the metric at each site; zeros where the metric does not depend on it."""
    tracked = {site: activation for site, activation in seen.items() if activation.requires_grad}
    gradients = torch.autograd.grad(metric.sum(), list(tracked.values()), allow_unused=True)
    return {
        f"{site}{GRADIENT}": torch.zeros_like(tracked[site]) if gradient is None else gradient
        for site, gradient in zip(tracked, gradients, strict=True)
    }


def give_back(model: "weakref.ref[HookedModel]", device: str) -> None:
    """Give back the memory of a model that its caller has let go of.

    A bridge and its hooks refer to each other, so that it would stay until the collector comes by by itself. Calling
    that takes long where many objects are, so it is called for models that need it only.
    """
    if model() is not None:
        gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


class _Reached(Exception):  # not an error: all that was asked for has been seen
    pass


def _end(activation: Tensor, hook: object) -> None:
    raise _Reached


@contextmanager
def _switched_on(model: "HookedModel", setting: str) -> Iterator[None]:
    """Within it, a bridge computes what waits for a setting. Our own models compute what is hooked, without one."""
    switch = getattr(model, f"set_{setting}", None)
    if switch is None or getattr(model.cfg, setting, False):
        yield
        return
    switch(True)
    try:
        yield
    finally:
        switch(False)
