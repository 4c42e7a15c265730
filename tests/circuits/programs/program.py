"""What a transformer whose program is known is to tests: its weights, questions to it, and the edges that matter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from circuits import Metric, Pairs
from probe.suites.architecture import Architecture
from probe.suites.hooked import HookedTransformer

Edges = tuple[tuple[str, str], ...]
"""Edges as source and destination, such as ``("embed", "L0.H0.q")``."""


@dataclass(frozen=True)
class Program:
    """A transformer whose circuit is known because its weights were written to do just that.

    An edge that is in neither ``moved`` nor ``fixed`` has exactly no effect, alone or with others, where it is replaced
    by what it is on another question, by the mean of that at each position, or by 0: what its source writes is in
    directions that its destination does not read, or what the destination makes of it is in none that is read.

    Args:
        name: of the program.
        weights: makes the architecture and the weights.
        pairs: makes pairs, from how many and a seed; their clean and corrupted answers differ.
        metric: by which the effect of edges is told on these pairs; all have a clean value above the corrupted one.
        moved: edges that carry what differs between the two questions of a pair, and that the answer rests on. They are
            the circuit under corrupted and mean ablation.
        fixed: edges that the answer rests on as well, but that carry what is the same in all questions, such as
            positions: replacing them by what they are on the corrupted question has exactly no effect. With ``moved``
            they are the circuit under zero ablation.
        flat: those of ``moved`` of which the gradient on clean questions says nothing: it is all but 0, as attention is
            hard and neurons are far from their thresholds, or a matter of rounding, as neurons are at their thresholds.
            EAP may score them 0, though each one matters.
    """

    name: str
    weights: Callable[[], tuple[Architecture, dict[str, Tensor]]]
    pairs: Callable[[int, int], Pairs]
    metric: Metric
    moved: Edges
    fixed: Edges
    flat: Edges = ()

    def model(self) -> HookedTransformer:
        """The program as a hooked model."""
        return HookedTransformer.with_weights(*self.weights())

    @property
    def known_edges(self) -> frozenset[str]:
        """The circuit under corrupted ablation, as edges are written."""
        return _written(self.moved)

    @property
    def fixed_edges(self) -> frozenset[str]:
        return _written(self.fixed)

    @property
    def flat_edges(self) -> frozenset[str]:
        return _written(self.flat)

    def __str__(self) -> str:
        return self.name


def _written(edges: Edges) -> frozenset[str]:
    return frozenset(f"{source} -> {destination}" for source, destination in edges)


def with_idle_parts(
    arch: Architecture, weights: Mapping[str, Tensor], unread: slice, seed: int = 0
) -> dict[str, Tensor]:
    """The same weights, with random ones in every head and MLP that has none.

    These parts read the whole residual stream and write to ``unread``, directions of it that no other part reads: they
    are as active as any, and have nothing to do with the answer.
    """
    generator = torch.Generator().manual_seed(seed)
    filled = {name: weight.clone() for name, weight in weights.items()}

    def draw(shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=generator) / 2

    for layer in range(arch.n_layers):
        at = f"blocks.{layer}"
        idle = filled[f"{at}.attn.W_O"].flatten(1).any(1).logical_not().nonzero()[:, 0].tolist()
        for head in idle:
            for name in ("W_Q", "W_K", "W_V"):
                filled[f"{at}.attn.{name}"][head] = draw(filled[f"{at}.attn.{name}"][head].shape)
            filled[f"{at}.attn.W_O"][head][:, unread] = draw(filled[f"{at}.attn.W_O"][head][:, unread].shape)
        if not filled[f"{at}.mlp.W_out"].any():
            filled[f"{at}.mlp.W_in"] = draw(filled[f"{at}.mlp.W_in"].shape)
            filled[f"{at}.mlp.W_out"][:, unread] = draw(filled[f"{at}.mlp.W_out"][:, unread].shape)
    return filled


def zeros(arch: Architecture) -> dict[str, Tensor]:
    """Weights of an architecture, all 0, to write a program into."""
    return {name: torch.zeros(shape) for name, shape in arch.shapes.items()}


def subspaces(**widths: int) -> tuple[dict[str, slice], int]:
    """Slices of the residual stream of these widths, one after the other, and the width of all."""
    found, start = {}, 0
    for name, width in widths.items():
        found[name] = slice(start, start + width)
        start += width
    return found, start
