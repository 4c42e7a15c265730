"""Which hook points a pattern means."""

import difflib
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from jaxtyping import Float
from torch import Tensor

LOGITS = "unembed.hook_out"
"""The hook point at which the logits are, in our models and in a ``TransformerBridge``."""


def match_sites(patterns: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Hook points that match any of the patterns (``*``, ``?`` and ``[...]`` as in file names), in model order.

    Args:
        patterns: such as ``blocks.*.hook_resid_post``; a plain name matches itself.
        names: the hook points there are.

    Raises:
        ValueError: a pattern matches none; the message names the closest that there are.
    """
    names = list(names)
    matched: set[str] = set()
    for pattern in patterns:
        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            close = difflib.get_close_matches(pattern, names, n=3, cutoff=0) or names[:3]
            raise ValueError(f"sites: {pattern!r} matches no hook point; the closest are {', '.join(close)}")
        matched |= set(found)
    return tuple(name for name in names if name in matched)


_BEFORE_BLOCKS = re.compile(r"hook_embed|hook_pos_embed|(embed|pos_embed|rotary_emb)\..*")


def stop_layer(sites: Iterable[str], n_layers: int) -> int | None:
    """How many blocks have to be run for these sites; None if the forward pass has to go on to the logits."""
    needed = 0
    for site in sites:
        block = re.match(r"blocks\.(\d+)\.", site)
        if block:
            needed = max(needed, int(block[1]) + 1)
        elif not _BEFORE_BLOCKS.fullmatch(site):
            return None
    return min(needed, n_layers)


def by_query(site: str) -> bool:
    """Whether a site's activations are [example, head, query, key], where others have the position second."""
    return site.endswith(("hook_pattern", "hook_attn_scores"))


def position_second(site: str, activation: Tensor) -> Float[Tensor, "example position ..."]:
    """A view with the position as second axis: of patterns and scores the query, so [example, query, head, key]."""
    return activation.transpose(1, 2) if by_query(site) else activation
