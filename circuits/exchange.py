"""Edges that carry what their source wrote in another run, in an ordinary forward pass.

What enters an input is the residual stream, a sum over the sources before it. Taking an edge away from this run is to
add to that input what the source wrote elsewhere less what it writes here; all other inputs still read the latter. So
one pass serves any set of edges, and a batch may hold the same questions with another set in every row.
"""

from collections.abc import Mapping, Sequence

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.graph import Graph


class Exchange:
    """What is done to the inputs of one forward pass; shown every activation at the sites of the graph, in order.

    Args:
        graph: of the model.
        W_O: of each layer, [head, d_head, d_model].
        taken: which edges carry what is in ``instead``, for each row of the batch; one row stands for all.
        instead: activations by source site, of heads their z; rows are those of the batch. Only the sites of sources of
            which an edge is taken are needed.
    """

    def __init__(
        self,
        graph: Graph,
        W_O: Sequence[Float[Tensor, "head d_head d_model"]],
        taken: Bool[Tensor, "row source destination"],
        instead: Mapping[str, Tensor],
    ) -> None:
        self._dtype = torch.promote_types(W_O[0].dtype, torch.float32)
        self._W_O, self._instead = W_O, instead
        self._taken = taken.to(self._dtype)
        self._anywhere = taken.any(0).cpu()  # looked at for every site: no waiting for a GPU
        self._rows = dict(graph.source_sites)
        self._columns = dict(graph.destination_sites)
        self._written: list[tuple[Tensor, Tensor]] = []

    def at(self, site: str, activation: Tensor) -> Tensor:
        """What the pass goes on with at a site, where it has this activation."""
        if site in self._rows:
            self._write(site, activation)
        return self._read(site, activation) if site in self._columns else activation

    def _write(self, site: str, activation: Tensor) -> None:
        rows = self._rows[site]
        chosen = self._anywhere[rows].any(1).nonzero()[:, 0]
        if not len(chosen):
            return
        difference = self._instead[site].to(self._dtype) - activation.to(self._dtype)
        if difference.ndim == 4:
            W_O = self._W_O[int(site.split(".")[1])][chosen].to(self._dtype)
            difference = einsum(difference[:, :, chosen], W_O, "b p h e, h e d -> b h p d")
        else:
            difference = difference[:, None]
        self._written.append((chosen + rows.start, difference))

    def _read(self, site: str, activation: Tensor) -> Tensor:
        columns = self._columns[site]
        moved: Tensor | None = None
        for sources, difference in self._written:
            # of the sources that have written, those before this input: in a parallel block an MLP reads no head of it
            if not self._anywhere[sources, columns].any():
                continue
            term = einsum(
                self._taken[:, sources, columns].expand(len(activation), -1, -1),
                difference,
                "b s k, b s p d -> b p k d",
            )
            moved = term if moved is None else moved + term
        if moved is None:
            return activation
        return activation + (moved if activation.ndim == 4 else moved[:, :, 0]).to(activation.dtype)
