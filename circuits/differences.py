"""What the sources write in one pass less what they write in another, expanded a part at a time."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from circuits.graph import Graph


class Differences:
    """What each source writes on the corrupted question less what it writes on the clean one.

    Of heads the differences of z are kept, [pair, position, head, d_head], and multiplied by W_O when they are asked
    for: all heads of a layer take d_model numbers a token, and not n_heads times as many. In float32, or what is finer.

    Args:
        graph: of the model.
        clean, corrupted: activations by source site.
        W_O: of each layer, [head, d_head, d_model].
        at_once: sources that are expanded at a time; if these are all, they are expanded once.
    """

    def __init__(
        self,
        graph: Graph,
        clean: Mapping[str, Tensor],
        corrupted: Mapping[str, Tensor],
        W_O: Sequence[Float[Tensor, "head d_head d_model"]],
        at_once: int,
    ) -> None:
        self.graph, self.at_once = graph, at_once
        self.dtype = torch.promote_types(W_O[0].dtype, torch.float32)
        self._W_O = [of_layer.to(self.dtype) for of_layer in W_O]
        self._raw = {
            site: corrupted[site].to(self.dtype) - clean[site].to(self.dtype) for site, _ in graph.source_sites
        }
        self._all = self._expanded(0, graph.n_sources) if at_once >= graph.n_sources else None

    def parts(self, first: int, end: int) -> Iterator[tuple[slice, Float[Tensor, "pair source position d_model"]]]:
        """Sources ``first`` to ``end - 1``, ``at_once`` at a time, each part with which they are."""
        for start in range(first, end, self.at_once):
            rows = slice(start, min(start + self.at_once, end))
            yield rows, self._expanded(rows.start, rows.stop) if self._all is None else self._all[:, rows]

    def _expanded(self, start: int, stop: int) -> Float[Tensor, "pair source position d_model"]:
        found = []
        for site, rows in self.graph.source_sites:
            first, end = max(start, rows.start), min(stop, rows.stop)
            if first >= end:
                continue
            difference = self._raw[site]
            if difference.ndim == 4:
                heads = slice(first - rows.start, end - rows.start)
                W_O = self._W_O[int(site.split(".")[1])][heads]
                found.append(einsum(difference[:, :, heads], W_O, "b p h e, h e d -> b h p d"))
            else:
                found.append(difference[:, None])
        return torch.cat(found, 1)

    def sums(self) -> Iterator[tuple[int, Float[Tensor, "pair position d_model"]]]:
        """How many sources have been summed, after each source site, and the sum of their differences."""
        total: Tensor | None = None
        for site, rows in self.graph.source_sites:
            written = self._raw[site]
            if written.ndim == 4:
                written = einsum(written, self._W_O[int(site.split(".")[1])], "b p h e, h e d -> b p d")
            total = written if total is None else total + written
            yield rows.stop, total
