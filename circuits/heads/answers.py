"""What a model does at the answer positions of some pairs, and nothing of its other positions."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.checking import check_fit
from circuits.pairs import Pairs
from circuits.passes import batches_of, check_evaluating, logits_at_answers
from probe.activations.forward import Batch, default_batch_size
from probe.activations.sites import match_sites

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel


def at_answers(
    model: "HookedModel", pairs: Pairs, sites: Sequence[str], batch_size: int | None, depths: int = 1
) -> Iterator[tuple[slice, dict[str, Tensor], Float[Tensor, "pair d_vocab"]]]:
    """A forward pass over the clean questions, a batch at a time: which pairs these are, their activations by site,
    [pair, ...], and the logits that the model gives, whatever comes after its unembedding.

    Args:
        model: in evaluation mode.
        pairs: clean questions, and where they are answered.
        sites: hook names.
        batch_size: pairs at a time; as many as ``probe`` takes in a capture, if not given.
        depths: logits that are made of each pair beside those of all positions.

    Raises:
        ValueError: the batch size is below 1; or the model is in training mode, lacks a site, or does not know the
            tokens of the pairs.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size: got {batch_size}; expected at least 1")
    check_evaluating(model)
    check_fit(model, pairs)
    match_sites(sites, model.hook_dict)
    device = next(iter(model.named_parameters()))[1].device
    longest = max(pairs.clean.shape[1], depths)
    size = batch_size or default_batch_size(longest, model.cfg.d_vocab_out, str(device), to_logits=True)
    for examples in batches_of(len(pairs), size):
        yield examples, *_read(model, Batch(pairs.inputs(corrupted=False), examples, device), sites)


def _read(model: "HookedModel", batch: Batch, sites: Sequence[str]) -> tuple[dict[str, Tensor], Tensor]:
    seen: dict[str, Tensor] = {}
    at = (torch.arange(len(batch), device=batch.tokens.device), batch.answer_positions)

    def keep(site: str) -> Callable[..., None]:
        def hook(activation: Tensor, hook: object) -> None:
            seen[site] = activation[at]

        return hook

    with torch.no_grad():
        return seen, logits_at_answers(model, batch, [(site, keep(site)) for site in sites])
