"""What becomes of a metric when edges are ablated: any set of them, many sets at a time, every pair's value kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.ablation import Ablated, rows_of
from circuits.checking import check_finite, check_fit
from circuits.exchange import Exchange
from circuits.graph import Graph
from circuits.metrics import Asked, Metric
from circuits.pairs import Pairs
from circuits.passes import forward, ready, weights_out
from probe.activations.forward import Batch

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

ROW_NUMBERS = {"cpu": 1 << 23, "cuda": 1 << 28}
"""Numbers [row, source, position, d_model] that may be in a forward pass in which every row has edges of its own."""
HELD_NUMBERS = 1 << 27
"""Numbers that sources write of all pairs, up to which they are held between calls and not computed again."""


@dataclass
class _Known:
    """What is known of some pairs before any edge is taken.

    Attributes:
        examples: which they are.
        instead: what ablated edges carry, by source site.
        asked: what metrics are told of them.
    """

    examples: slice
    instead: dict[str, Tensor]
    asked: Asked


class EdgeAblation:
    """Metrics of a model with edges ablated.

    One forward pass holds as many rows, a pair with a set of edges each, as ``ROW_NUMBERS`` allow. What the sources
    write on the questions is computed once and held, if it is no more than ``HELD_NUMBERS``.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        pairs: the contrast.
        metrics: what is read, one or several.
        ablation: what ablated edges carry: ``"corrupted"``, ``"resample"``, ``"mean"`` or ``"zero"``.
        batch_size: pairs at a time; as many as fit, if not given. Values do not depend on it.
        seed: of the pairs that ``"resample"`` draws.

    Raises:
        ValueError: the model is in training mode or no decoder of this kind, does not know the tokens of the pairs, or
            there is no such ablation.
    """

    def __init__(
        self,
        model: "HookedModel",
        pairs: Pairs,
        metrics: Metric | Sequence[Metric],
        *,
        ablation: str = "corrupted",
        batch_size: int | None = None,
        seed: int = 0,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size: got {batch_size}; expected at least 1")
        self.model, self.pairs = model, pairs
        self.metrics = (metrics,) if isinstance(metrics, Metric) else tuple(metrics)
        self.graph = Graph.of(model)
        check_fit(model, pairs)
        with ready(model, self.graph):
            self._ablated = Ablated(model, self.graph, pairs, ablation, seed)
        self.W_O = weights_out(model, self.graph)
        self._clean = pairs.inputs(corrupted=False)
        n_positions = pairs.clean.shape[1]
        numbers = self.graph.n_sources * n_positions * model.cfg.d_model
        self.rows_at_once = max(1, ROW_NUMBERS["cuda" if self.W_O[0].is_cuda else "cpu"] // numbers)
        size = min(len(pairs), batch_size or self.rows_at_once)
        self._batches = [slice(start, min(start + size, len(pairs))) for start in range(0, len(pairs), size)]
        per_layer = self.graph.n_heads * int(self.W_O[0].shape[1]) + model.cfg.d_model * self.graph.mlps
        written = len(pairs) * n_positions * (model.cfg.d_model + self.graph.n_layers * per_layer)
        self._held: dict[int, _Known] | None = {} if written <= HELD_NUMBERS else None

    @property
    def ablation(self) -> str:
        return self._ablated.ablation

    def values(self, ablated: Bool[np.ndarray, "*set source destination"]) -> Float[np.ndarray, "metric *set pair"]:
        """Each metric, of each pair, with each set of edges ablated.

        Args:
            ablated: which edges are; sets may have any axes, or none.

        Raises:
            ValueError: the masks have another shape than the graph's, or hold where there is no edge; or a metric or an
                activation is not finite.
        """
        masks = np.asarray(ablated)
        if masks.dtype != bool or masks.shape[-2:] != self.graph.mask.shape:
            raise ValueError(
                f"ablated: got {masks.dtype} of shape {masks.shape}; expected booleans [..., {self.graph.n_sources},"
                f" {self.graph.n_destinations}]"
            )
        if (masks & ~self.graph.mask).any():
            raise ValueError("ablated: it holds where there is no edge; expected it within graph.mask")
        axes = masks.shape[:-2]
        masks = masks.reshape(-1, *self.graph.mask.shape)
        found = np.empty((len(self.metrics), len(masks), len(self.pairs)))
        with ready(self.model, self.graph):
            for known in self._known():
                n = known.examples.stop - known.examples.start
                at_once = max(1, self.rows_at_once // n)
                for start in range(0, len(masks), at_once):
                    some = slice(start, min(start + at_once, len(masks)))
                    found[:, some, known.examples] = self._read(known, masks[some])
        return found.reshape(len(self.metrics), *axes, len(self.pairs))

    def _known(self) -> Iterator[_Known]:
        for number, examples in enumerate(self._batches):
            if self._held is not None and number in self._held:
                yield self._held[number]
                continue
            known = self._look(examples)
            if self._held is not None:
                self._held[number] = known
            yield known

    def _look(self, examples: slice) -> _Known:
        device = self.W_O[0].device
        batch = Batch(self._clean, examples, device)
        done = forward(self.model, self.graph, batch, keep=[site for site, _ in self.graph.source_sites])
        numbers = range(examples.start, examples.stop)
        check_finite(self.graph, done.kept, numbers, "clean")
        instead = self._ablated.of(examples, done.kept, batch.tokens.shape[1])
        return _Known(examples, instead, Asked.of(self.pairs, examples, done.logits))

    def _read(
        self, known: _Known, masks: Bool[np.ndarray, "set source destination"]
    ) -> Float[np.ndarray, "metric set pair"]:
        n, n_sets, device = known.examples.stop - known.examples.start, len(masks), self.W_O[0].device
        chosen = np.tile(np.arange(known.examples.start, known.examples.stop), n_sets)
        batch = Batch(rows_of(self._clean, chosen), slice(0, len(chosen)), device)
        taken = torch.as_tensor(masks, device=device)
        taken = taken if n_sets == 1 else taken.repeat_interleave(n, 0)
        instead = {site: written.repeat(n_sets, *[1] * (written.ndim - 1)) for site, written in known.instead.items()}
        exchange = Exchange(self.graph, self.W_O, taken, instead)
        done = forward(self.model, self.graph, batch, exchange=exchange)
        by_set = done.logits.unflatten(0, (n_sets, n))
        return np.stack(
            [np.stack([metric(logits, known.asked).cpu().numpy() for logits in by_set]) for metric in self.metrics]
        )
