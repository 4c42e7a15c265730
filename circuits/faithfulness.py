"""How good a circuit is: whether it does alone what the model does, whether it is all that does, and with what edges.

With m(C) the mean of a metric over pairs with all edges ablated but those of C, N all edges, and 0 none:

``faithfulness``   F(C) = (m(C) - m(0)) / (m(N) - m(0)): 1 if the circuit alone does what the model does
``completeness``   1 - F(N - C): 1 if nothing is left of the behaviour without it (Marks et al. 2024, arXiv 2403.19647)
                   (``circuits.incompleteness`` asks for more: that it be as the model is without any of its edges)
``agreement``      share of pairs on which the circuit alone gives the answer that the model gives, right or wrong
``minimality``     F(C) - F(C - e) for each edge e: 0 for an edge that the circuit does not need
``curve``          F over the number of edges: CPR, the area under it, and CMD, the area between it and 1
                   (Mueller et al. 2025, arXiv 2504.13151)

All depend on what ablated edges carry (``circuits.ablation``), so that every result names it. Random circuits of the
same number of edges are the control.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from circuits.ablated_runs import EdgeAblation
from circuits.circuit import Circuit
from circuits.discovery.eliminating import check_graph
from circuits.metrics import Metric, agreement
from circuits.pairs import Pairs
from probe.measures.ratios import Ratio, ratio_of_means
from probe.measures.shares import wilson

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """A metric of each pair with some edges ablated; what that says of a circuit.

    Attributes:
        whole: m(N), nothing ablated.
        none: m(0), all edges ablated.
        circuit: m(C), all but the circuit's.
        without: m(N - C), the circuit's edges alone.
        random: m of circuits of as many edges, drawn among all edges of the model.
        agrees: 1 where the circuit alone gives the answer that the model gives, else 0.
        n_edges: of the circuit.
        n_all: of the model.
        metric: name of the metric.
        direction: 1 if a larger value of it means that the behaviour is there, -1 if a smaller one does.
        ablation: what ablated edges carry.
    """

    whole: Float[np.ndarray, " pair"]
    none: Float[np.ndarray, " pair"]
    circuit: Float[np.ndarray, " pair"]
    without: Float[np.ndarray, " pair"]
    random: Float[np.ndarray, "draw pair"]
    agrees: Float[np.ndarray, " pair"]
    n_edges: int
    n_all: int
    metric: str
    direction: int
    ablation: str

    def faithfulness(self, confidence: float = 0.95) -> Ratio:
        """F(C), with Fieller's interval over pairs. It may be above 1, or below 0."""
        return ratio_of_means(self.circuit - self.none, self.whole - self.none, confidence)

    def completeness(self, confidence: float = 0.95) -> Ratio:
        """1 - F(N - C), with Fieller's interval over pairs."""
        return ratio_of_means(self.whole - self.without, self.whole - self.none, confidence)

    def control(self, confidence: float = 0.95) -> Ratio:
        """F of each random circuit."""
        return ratio_of_means(self.random - self.none, self.whole - self.none, confidence)

    def agreement(self, confidence: float = 0.95) -> tuple[float, float, float]:
        """Share of pairs on which the circuit alone answers as the model does, with Wilson's interval."""
        low, high = wilson(self.agrees.sum(), len(self.agrees), confidence)
        return float(self.agrees.mean()), float(low), float(high)

    def to_frame(self) -> pd.DataFrame:
        """A row for each number: ``measure``, ``value``, ``low``, ``high``, ``metric``, ``ablation``, ``n_edges``.

        ``faithfulness of random circuits`` is the mean over those drawn; its ends are the least and the largest.
        """
        faithful, complete, control = self.faithfulness(), self.completeness(), self.control().estimate
        rows = [
            ("faithfulness", float(faithful.estimate), float(faithful.low), float(faithful.high)),
            ("completeness", float(complete.estimate), float(complete.low), float(complete.high)),
            ("agreement", *self.agreement()),
        ]
        if len(control):
            rows.append(("faithfulness of random circuits", control.mean(), control.min(), control.max()))
        frame = pd.DataFrame(rows, columns=["measure", "value", "low", "high"])
        return frame.assign(metric=self.metric, ablation=self.ablation, n_edges=self.n_edges)

    def text(self) -> str:
        """The same in words, a line each."""
        lines = [f"{self.n_edges:,} of {self.n_all:,} edges, ablation: {self.ablation}, {len(self.whole):,} pairs"]
        for row in self.to_frame().itertuples():
            between = "least and largest" if "random" in str(row.measure) else "95 % over pairs"
            lines.append(f"  {row.measure}: {row.value:.3f} [{row.low:.3f}, {row.high:.3f}] ({between})")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()


def faithfulness_of(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    circuit: Circuit,
    *,
    ablation: str | None = None,
    n_random: int = 20,
    seed: int = 0,
    batch_size: int | None = None,
) -> Faithfulness:
    """How faithful and complete a circuit is on some pairs; best on others than it was found on.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        pairs: the contrast.
        metric: what is read.
        circuit: of this model.
        ablation: what ablated edges carry; that of the circuit, if not given.
        n_random: random circuits, each with as many edges.
        seed: of these, and of the pairs that ``"resample"`` draws.
        batch_size: pairs at a time; as many as fit, if not given.

    Raises:
        ValueError: as of ``EdgeAblation``; the circuit is of a model with another graph; or ``n_random`` is negative.
    """
    runs = EdgeAblation(
        model, pairs, (metric, agreement), ablation=ablation or circuit.ablation, seed=seed, batch_size=batch_size
    )
    check_graph(runs.graph, circuit)
    return faithfulness_of_masks(runs, [(circuit.mask, n_random)], seed)[0]


def faithfulness_of_masks(
    runs: EdgeAblation, circuits: Sequence[tuple[Bool[np.ndarray, "source destination"], int]], seed: int = 0
) -> list[Faithfulness]:
    """The same of several circuits on the same pairs, in the forward passes of one.

    Args:
        runs: of the model on the pairs, with two metrics: what is read, and ``agreement``.
        circuits: which edges each has, and how many random circuits are drawn beside it.
        seed: of these.

    Raises:
        ValueError: as of ``EdgeAblation.values``; or a number of random circuits is negative.
    """
    every, metric = runs.graph.mask, runs.metrics[0]
    kept = [every, np.zeros_like(every)]
    for mask, n_random in circuits:
        if n_random < 0:
            raise ValueError(f"n_random: got {n_random}; expected at least 0")
        kept += [mask, every & ~mask, *random_masks(every, int(mask.sum()), n_random, seed)]
    values, agrees = runs.values(every & ~np.stack(kept))
    found, at = [], 2
    for mask, n_random in circuits:
        found.append(
            Faithfulness(
                whole=values[0],
                none=values[1],
                circuit=values[at],
                without=values[at + 1],
                random=values[at + 2 : at + 2 + n_random],
                agrees=agrees[at],
                n_edges=int(mask.sum()),
                n_all=runs.graph.n_edges,
                metric=metric.name,
                direction=metric.direction,
                ablation=runs.ablation,
            )
        )
        at += 2 + n_random
    return found


def random_masks(
    every: Bool[np.ndarray, "source destination"], n_edges: int, n: int, seed: int
) -> Bool[np.ndarray, "draw source destination"]:
    """Circuits of so many edges each, drawn among all edges without replacement."""
    places = np.flatnonzero(every)
    drawn = np.random.default_rng(seed)
    masks = np.zeros((n, every.size), dtype=bool)
    for mask in masks:
        mask[drawn.choice(places, n_edges, replace=False)] = True
    return masks.reshape(n, *every.shape)


def minimality(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    circuit: Circuit,
    *,
    ablation: str | None = None,
    batch_size: int | None = None,
) -> pd.DataFrame:
    """What each edge of a circuit adds: F(C) - F(C without it), on its own (after Wang et al. 2023, arXiv 2211.00593).

    Two edges that can stand in for each other both add little: that one is not needed does not say that both are not.
    ``circuits.pruned`` takes edges away one after the other.

    Args:
        model, pairs, metric, circuit, ablation, batch_size: as of ``faithfulness_of``.

    Returns:
        A row for each edge, the one that adds most first: ``edge``, ``score``, ``adds``, ``low``, ``high`` (Fieller's
        interval over pairs, of this edge by itself), ``metric``, ``ablation``.

    Raises:
        ValueError: as of ``faithfulness_of``.
    """
    runs = EdgeAblation(model, pairs, metric, ablation=ablation or circuit.ablation, batch_size=batch_size)
    check_graph(runs.graph, circuit)
    every, kept = runs.graph.mask, circuit.mask
    whole, none, alone = runs.values(every & ~np.stack([every, np.zeros_like(every), kept]))[0]
    without = np.repeat(kept[None], circuit.n_edges, axis=0)
    rows, columns = np.divmod(circuit.index, runs.graph.n_destinations)
    without[np.arange(circuit.n_edges), rows, columns] = False
    adds = ratio_of_means(alone - runs.values(every & ~without)[0], whole - none)
    frame = pd.DataFrame(
        {
            "edge": [
                str(runs.graph.edge(*divmod(index, runs.graph.n_destinations))) for index in circuit.index.tolist()
            ],
            "score": circuit.scores,
            "adds": adds.estimate,
            "low": adds.low,
            "high": adds.high,
        }
    ).assign(metric=metric.name, ablation=runs.ablation)
    return frame.sort_values("adds", ascending=False, kind="stable", ignore_index=True)
