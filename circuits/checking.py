"""What has to hold for edges to be attributed: tokens that the model knows, finite numbers, inputs that are sums."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from circuits.graph import Graph
from circuits.pairs import Pairs

if TYPE_CHECKING:
    from circuits.differences import Differences

TOLERANCE = 0.02
"""Share of an input's difference that what sources write may miss: rounding in bfloat16 is below, norms far above."""


def check_fit(model: Any, pairs: Pairs) -> None:
    """See that a model can read the pairs and has a logit for every answer.

    Raises:
        ValueError: a question is too long, or a token is not in the model's vocabulary; the message names the pair.
    """
    cfg = model.cfg
    assert pairs.lengths is not None
    if pairs.lengths.max() > cfg.n_ctx:
        pair = int(pairs.lengths.argmax())
        raise ValueError(f"pairs: pair {pair} has {pairs.lengths[pair]} tokens; the model reads at most {cfg.n_ctx}")
    columns = {"clean": (pairs.clean, cfg.d_vocab), "corrupted": (pairs.corrupted, cfg.d_vocab)}
    columns["answers"] = (pairs.answers[:, None], cfg.d_vocab_out)
    if pairs.wrong_answers is not None:
        columns["wrong_answers"] = (pairs.wrong_answers[:, None], cfg.d_vocab_out)
    for name, (tokens, d_vocab) in columns.items():
        if tokens.max() >= d_vocab:
            pair = int(tokens.max(1).argmax())
            raise ValueError(f"pairs: {name} of pair {pair} has token {tokens[pair].max()}; the model has {d_vocab}")


def check_finite(graph: Graph, found: Mapping[str, Tensor], pairs: Sequence[int], what: str) -> None:
    """See that activations, or gradients, are finite.

    Args:
        graph: of the model, for the order of its sites.
        found: what was found, by site.
        pairs: which pairs these are, by row.
        what: ``"clean"``, ``"corrupted"`` or ``"resample"``, for activations on these questions; or ``"gradient"``.

    Raises:
        ValueError: one is nan or infinite; the message names the first site, the pair, and the head if there is one.
    """
    order = [site for site, _ in (*graph.source_sites, *graph.destination_sites) if site in found]
    for site in dict.fromkeys(order):
        values = found[site]
        # one pass finds out whether all is well: a sum of finite numbers that overflows is looked at again
        if values.sum().isfinite() or (finite := values.isfinite()).all():
            continue
        place = (~finite).nonzero()[0].tolist()
        head = f", head {place[2]}" if values.ndim == 4 else ""
        kind = "the gradient" if what == "gradient" else f"the activation on the {what} question"
        raise ValueError(
            f"{site}{head}: {kind} of pair {pairs[place[0]]} is {values[tuple(place)].item()}; expected finite"
        )


def summed_sites(graph: Graph) -> dict[str, int]:
    """Sites at which the residual stream is read by all, each with how many sources have written to it."""
    found = {}
    for site, columns in graph.destination_sites:
        if not site.endswith(("hook_k_input", "hook_v_input")):
            found[site.replace("hook_q_input", "hook_resid_pre")] = int(graph.n_before[columns.start])
    return found


def check_sums(
    graph: Graph, differences: "Differences", clean: Mapping[str, Tensor], corrupted: Mapping[str, Tensor]
) -> None:
    """See that what is read is the sum of what the sources before wrote, up to what is the same on both questions.

    It is not where a norm or a factor comes between a head and the residual stream, or where another part writes to it.

    Raises:
        ValueError: it is not; the message names the first site.
    """
    expected = summed_sites(graph)
    for n, total in differences.sums():
        for site in [site for site, before in expected.items() if before == n]:
            difference = corrupted[site] - clean[site]
            missed = (difference - total).float().norm()
            size = corrupted[site].float().norm() + clean[site].float().norm()
            rounding = 10 * torch.finfo(clean[site].dtype).eps * size
            if missed > TOLERANCE * difference.float().norm() + rounding:
                raise ValueError(
                    f"model: what is read at {site} is not the sum of what the nodes before it write (off by"
                    f" {missed / difference.float().norm():.2g} of its norm): a norm or a factor is between a node and"
                    " the residual stream, or another part writes to it; edges of such a model have no attribution"
                )
