"""One pass over the inputs with hooks on the chosen sites only."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.activations.sites import match_sites, stop_layer

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

BATCH_TOKENS = 1 << 13
"""Tokens in a forward pass: few enough that the activations of one stay in the cache."""


@torch.no_grad()
def activations_at(
    model: "HookedModel", tokens: Int[Tensor, "example position"], patterns: Sequence[str], position: int
) -> dict[str, Float[Tensor, "example ..."]]:
    """Activations of all examples at one position, by hook name.

    The inputs go through the model in batches, once, and no further than the last block that is asked for; of each
    batch only the position is kept. Attention scores and patterns [batch, head, query, key] are read at the query.

    Args:
        model: a hooked model in evaluation mode.
        tokens: the inputs.
        patterns: hook names, or patterns over them.
        position: which position is kept, 0 to n - 1.

    Raises:
        ValueError: a pattern matches no hook point.
    """
    if not 0 <= position < tokens.shape[1]:
        raise ValueError(f"position: got {position}; expected 0 to {tokens.shape[1] - 1}")
    if not patterns:
        return {}
    sites = match_sites(patterns, model.hook_dict)
    parts: dict[str, list[Tensor]] = {site: [] for site in sites}

    last: dict[str, Tensor] = {}  # of a hook that fires more than once in a pass, as a cache keeps it

    def keep(site: str) -> Callable[..., None]:
        axis = 2 if site.endswith(("hook_pattern", "hook_attn_scores")) else 1
        return lambda tensor, hook: last.update({site: tensor.select(axis, position).clone()})

    for batch in tokens.split(max(1, BATCH_TOKENS // tokens.shape[1])):
        model.run_with_hooks(
            batch,
            fwd_hooks=[(site, keep(site)) for site in sites],
            stop_at_layer=stop_layer(sites, model.cfg.n_layers),
        )
        for site in sites:
            parts[site].append(last[site])
    return {site: torch.cat(batches) for site, batches in parts.items()}
