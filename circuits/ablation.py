"""What an ablated edge carries instead of what its source writes on the clean question.

``"corrupted"``  what it writes on the pair's corrupted question
``"resample"``   what it writes on the clean question of another pair of the same length, drawn once with a seed
``"mean"``       the mean, at each position, of what it writes on the clean questions of all pairs
``"zero"``       nothing

They ask different things: a mean leaves in place what all questions share, zero takes that away as well, and a
corrupted question changes only that in which the two differ. So no number is without the name of its ablation.
"""

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from circuits.checking import check_finite
from circuits.graph import Graph
from circuits.pairs import Pairs
from circuits.passes import forward
from probe.activations.forward import Batch
from probe.activations.inputs import Inputs

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

Ablation = Literal["corrupted", "resample", "mean", "zero"]


def check_ablation(ablation: str) -> None:
    """
    Raises:
        ValueError: there is no such ablation.
    """
    if ablation not in get_args(Ablation):
        raise ValueError(f"ablation: got {ablation!r}; expected one of {', '.join(get_args(Ablation))}")


class Ablated:
    """What ablated edges carry, for some pairs: activations by source site, of heads their z.

    Args:
        model: a hooked model, within ``ready``.
        graph: of the model.
        pairs: the contrast.
        ablation: one of those above.
        seed: of the pairs that ``"resample"`` draws.

    Raises:
        ValueError: there is no such ablation; or it resamples, and a pair has no other of its length.
    """

    def __init__(self, model: "HookedModel", graph: Graph, pairs: Pairs, ablation: str, seed: int = 0) -> None:
        check_ablation(ablation)
        self._model, self._graph, self.ablation = model, graph, ablation
        self._sites = [site for site, _ in graph.source_sites]
        self._inputs = pairs.inputs(corrupted=ablation == "corrupted")
        self._partner = _partners(pairs, seed) if ablation == "resample" else np.arange(len(pairs))
        self._mean: dict[str, Tensor] | None = None

    def of(self, examples: slice, clean: dict[str, Tensor], width: int) -> dict[str, Tensor]:
        """Of some pairs, whose questions are ``width`` tokens wide and whose clean activations are known."""
        if self.ablation == "zero":
            return {site: torch.zeros_like(clean[site]) for site in self._sites}
        if self.ablation == "mean":
            if self._mean is None:
                self._mean = self._mean_of_all(examples.stop - examples.start, clean[self._sites[0]].device)
            return {site: self._mean[site][:, :width].expand_as(clean[site]) for site in self._sites}
        device = clean[self._sites[0]].device
        batch = Batch(rows_of(self._inputs, self._partner[examples]), slice(0, examples.stop - examples.start), device)
        found = forward(self._model, self._graph, batch, keep=self._sites).kept
        check_finite(self._graph, found, self._partner[examples].tolist(), self.ablation)
        return found

    def _mean_of_all(self, batch_size: int, device: torch.device) -> dict[str, Tensor]:
        n_positions = self._inputs.tokens.shape[1]
        n_seen = torch.zeros(n_positions, dtype=torch.float64, device=device)
        total: dict[str, Tensor] = {}
        dtype: dict[str, torch.dtype] = {}
        for start in range(0, len(self._inputs), batch_size):
            examples = slice(start, min(start + batch_size, len(self._inputs)))
            batch = Batch(self._inputs, examples, device)
            width = batch.tokens.shape[1]
            found = forward(self._model, self._graph, batch, keep=self._sites).kept
            check_finite(self._graph, found, range(examples.start, examples.stop), "clean")
            n_seen[:width] += batch.mask.sum(0)
            for site, activation in found.items():
                seen = batch.mask.reshape(*batch.mask.shape, *[1] * (activation.ndim - 2))
                if site not in total:
                    total[site] = torch.zeros(n_positions, *activation.shape[2:], dtype=torch.float64, device=device)
                    dtype[site] = activation.dtype
                total[site][:width] += (activation.double() * seen).sum(0)
        counts = n_seen.clamp(min=1)
        return {
            site: (summed / counts.reshape(-1, *[1] * (summed.ndim - 1))).to(dtype[site])[None]
            for site, summed in total.items()
        }


def _partners(pairs: Pairs, seed: int) -> Int[np.ndarray, " pair"]:
    """For each pair another of the same length: the next in a random cycle through those of the length."""
    assert pairs.lengths is not None
    drawn = np.random.default_rng(seed)
    partner = np.arange(len(pairs))
    for length in np.unique(pairs.lengths):
        members = np.flatnonzero(pairs.lengths == length)
        if len(members) < 2:
            raise ValueError(
                f"ablation: 'resample' draws another pair of the same length, and pair {members[0]} alone has"
                f" {length} tokens; expected at least two"
            )
        cycle = drawn.permutation(members)
        partner[cycle] = np.roll(cycle, 1)
    return partner


def rows_of(inputs: Inputs, chosen: Int[np.ndarray, " row"]) -> Inputs:
    """Some questions, in any order and any number of times."""
    assert inputs.answers is not None
    assert inputs.answer_positions is not None
    return Inputs(
        inputs.tokens[chosen], inputs.lengths[chosen], inputs.answers[chosen], inputs.answer_positions[chosen]
    )
