"""What an edge into queries or keys does to its head: the attention computed with that edge ablated, not estimated.

A head that attends to one position alone is at the flat end of its softmax. The gradient through its pattern is all but
0, and so is EAP's score of every edge into its queries and keys, though without one of them it may attend elsewhere.
The QK fix of AtP* (Kramár et al. 2024, arXiv 2403.00745, section 3.1.1) takes the change of the pattern itself, times
the metric's gradient at the pattern. Here for edges:

1. The gradient at what a head writes is the sum of those at all inputs that read it, which the backward pass of EAP
   comes by.
2. For each source, and for queries and keys apart, there is a forward pass on the clean questions in which these inputs
   of all heads after the source carry what it writes on the corrupted question. What every head makes of that is looked
   at, and the pass goes on with what it makes on the clean question. So nothing that follows changes, each head is
   seen with one edge ablated, and a pass serves all heads. Every row of a batch may have a source of its own.
3. The score of an edge is the change of what its head writes times the gradient there, summed over positions; of an
   edge into keys that several query heads share, also over these.

Values stay those of the clean question, and what a head writes is linear in its pattern: this is the change of the
pattern times the gradient at the pattern, without having to know how the model computes it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from circuits.ablation import rows_of
from circuits.differences import Differences
from circuits.graph import Graph
from circuits.pairs import Pairs
from circuits.passes import logits_at_answers
from probe.activations.forward import Batch

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

INPUT_NUMBERS = {"cpu": 1 << 22, "cuda": 1 << 28}
"""Numbers [row, position, head, d_model] that the inputs of a layer's queries may be in a pass. A GPU needs more to be
busy."""

Into = Literal["q", "k"]


class OutputGradients:
    """The gradient at what sources write, from the gradients at the inputs that read it.

    Args:
        graph: of the model.
        dtype: in which they are added up.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._n_before = {site: int(graph.n_before[columns.start]) for site, columns in graph.destination_sites}
        self._read: dict[int, Tensor] = {}

    def add(self, site: str, gradient: Float[Tensor, "pair position *head d_model"]) -> None:
        """What a backward pass shows at a destination site."""
        gradient = gradient.to(self._dtype)
        gradient = gradient.sum(2) if gradient.ndim == 4 else gradient
        n_before = self._n_before[site]
        self._read[n_before] = gradient + self._read[n_before] if n_before in self._read else gradient

    def at(self, source: int) -> Float[Tensor, "pair position d_model"]:
        """The gradient at what a source writes: all inputs that read more sources than those before it, read it."""
        return torch.stack([gradient for n_before, gradient in self._read.items() if n_before > source]).sum(0)


class RecomputedAttention:
    """What heads write on the clean questions of some pairs, with one edge into their queries or keys ablated.

    Args:
        model: a hooked model, within ``ready``.
        graph: of the model.
        pairs: the contrast.
        examples: which pairs these are.
        clean: activations on their clean questions, by source site.
        W_O: of each layer, [head, d_head, d_model].
        gradients: what a backward pass from the clean questions has shown.
    """

    def __init__(
        self,
        model: "HookedModel",
        graph: Graph,
        pairs: Pairs,
        examples: slice,
        clean: Mapping[str, Tensor],
        W_O: Sequence[Float[Tensor, "head d_head d_model"]],
        gradients: OutputGradients,
    ) -> None:
        self._model, self._graph = model, graph
        self._questions, self._numbers = pairs.inputs(corrupted=False), np.arange(examples.start, examples.stop)
        self._columns = dict(graph.destination_sites)
        self._z: list[Tensor] = []
        self._gradient: list[Tensor] = []
        for site, rows in graph.source_sites:
            if site.endswith("hook_z"):
                of_layer, gradient = W_O[len(self._z)], gradients.at(rows.start)
                self._z.append(clean[site])
                self._gradient.append(einsum(gradient, of_layer.to(gradient.dtype), "b p d, h e d -> b p h e"))

    def scores(self, differences: Differences) -> Iterator[tuple[slice, slice, Float[Tensor, "pair source head"]]]:
        """Scores of the edges into queries and keys, a part at a time, with their rows and columns.

        Raises:
            ValueError: one is not finite; the message names the site, the edge and the pair.
        """
        numbers = self._z[0].shape[:3].numel() * int(self._model.cfg.d_model)
        at_once = max(1, INPUT_NUMBERS["cuda" if self._z[0].is_cuda else "cpu"] // numbers)
        last = self._n_before(self._graph.n_layers - 1)  # sources after these are read by no query or key
        for part, difference in differences.parts(0, last):
            for start in range(part.start, part.stop, at_once):
                rows = slice(start, min(start + at_once, part.stop))
                written = difference[:, start - part.start : rows.stop - part.start]
                # an edge that carries the same has no effect, and rounding in batches of another size makes none
                carries = written.flatten(2).any(2)[..., None]
                for into in ("q", "k"):
                    for layer, found in self._looked_at(into, rows, written).items():
                        edges = slice(rows.start, rows.start + found.shape[1])
                        yield edges, self._columns[_input(layer, into)], found.where(carries[:, : found.shape[1]], 0.0)

    def _n_before(self, layer: int) -> int:
        """Sources that the heads of a layer read."""
        return int(self._graph.n_before[self._columns[_input(layer, "q")].start])

    def _looked_at(
        self, into: Into, rows: slice, written: Float[Tensor, "pair source position d_model"]
    ) -> dict[int, Float[Tensor, "pair source head"]]:
        """Scores by layer, of those sources that it reads, from one pass in which every row has one of them ablated."""
        n_pairs, n_sources = written.shape[:2]
        questions = rows_of(self._questions, self._numbers.repeat(n_sources))
        batch = Batch(questions, slice(0, n_pairs * n_sources), written.device)
        n_read = {layer: min(self._n_before(layer) - rows.start, n_sources) for layer in range(self._graph.n_layers)}
        layers = [layer for layer, n in n_read.items() if n > 0]
        found: dict[int, Tensor] = {}

        def exchanged(activation: Tensor, hook: object) -> Tensor:
            # also of sources that are not before this layer: of their rows nothing is looked at here
            return activation + written.flatten(0, 1)[:, :, None].to(activation.dtype)

        def look_at(layer: int) -> Callable[..., Tensor]:
            def hook(activation: Tensor, hook: object) -> Tensor:
                clean, gradient = self._z[layer], self._gradient[layer]
                now = activation.unflatten(0, (n_pairs, n_sources))[:, : n_read[layer]]
                change = now.to(gradient.dtype) - clean[:, None].to(gradient.dtype)
                found[layer] = einsum(change, gradient, "b s p h e, b p h e -> b s h")
                if layer == layers[-1]:
                    raise _Seen
                return clean.repeat_interleave(n_sources, 0)

            return hook

        hooks = [(_input(layer, into), exchanged) for layer in layers]
        hooks += [(f"blocks.{layer}.attn.hook_z", look_at(layer)) for layer in layers]
        try:
            with torch.no_grad():
                logits_at_answers(self._model, batch, hooks)
        except _Seen:
            pass
        if into == "k":  # query heads that share one of keys are side by side
            found = {layer: scores.unflatten(2, (self._graph.n_kv, -1)).sum(3) for layer, scores in found.items()}
        self._check(into, rows, found)
        return found

    def _check(self, into: Into, rows: slice, found: Mapping[int, Tensor]) -> None:
        if torch.stack([scores.isfinite().all() for scores in found.values()]).all():
            return
        for layer, scores in found.items():
            for pair, source, head in (~scores.isfinite()).nonzero().tolist():
                edge = self._graph.edge(rows.start + source, self._columns[_input(layer, into)].start + head)
                raise ValueError(
                    f"blocks.{layer}.attn.hook_z: with the edge {edge} ablated, the score of pair {self._numbers[pair]}"
                    f" is {scores[pair, source, head].item()}; expected finite"
                )


def _input(layer: int, into: Into) -> str:
    return f"blocks.{layer}.hook_{into}_input"


class _Seen(Exception):  # not an error: the last heads have been looked at, and what follows is not needed
    pass
