"""What a batch runs on a checkpoint to follow a circuit: found on the model's last checkpoint, looked for at each.

Registered as ``final_circuit`` and ``circuit_formation``; ``circuits.formation`` reads what they yield.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import xarray as xr

from circuits.ablated_runs import EdgeAblation
from circuits.ablation import check_ablation
from circuits.attribution import eap_ig
from circuits.discovery import Budget, greedy, smallest_circuit
from circuits.faithfulness import faithfulness_of_masks
from circuits.graph import Edge
from circuits.metrics import NAMED, Metric, agreement
from circuits.pairs import Pairs
from circuits.pairs.tasks import some_pairs_from_task
from circuits.scores import EdgeScores
from probe.probes import Array, Observation, Probe, Row
from probe.probes.base import check_argument
from probe.tasks import Task


@dataclass(frozen=True)
class _OnPairs(Probe):
    """What both probes are asked alike: which pairs, scored by what, and how large a circuit."""

    n_pairs: int = 64
    operand: int = 0
    subset: str = "all"
    metric: str = "logit_difference"
    ablation: str = "corrupted"
    level: float = 0.9
    steps: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_argument(self.n_pairs >= 2, "n_pairs", self.n_pairs, "2 or more, for an interval")
        check_argument(self.metric in NAMED, "metric", repr(self.metric), f"one of {', '.join(NAMED)}")
        check_argument(self.steps >= 1, "steps", self.steps, "1 or more")
        check_argument(0 < self.level <= 1, "level", self.level, "above 0 and at most 1")
        check_ablation(self.ablation)

    def check(self, task: Task) -> None:
        self._pairs(task)

    def _pairs(self, task: Task) -> Pairs:
        return _pairs_of(task, self.n_pairs, self.operand, self.subset, self.seed)

    def _metric(self) -> Metric:
        return NAMED[self.metric]

    def _scores(self, observation: Observation, pairs: Pairs) -> EdgeScores:
        return eap_ig(observation.model, pairs, self._metric(), steps=self.steps, ablation=self.ablation)


@dataclass(frozen=True)
class FinalCircuit(_OnPairs):
    """The circuit of a model's last checkpoint: the fewest edges, chosen greedily by EAP-IG, that are faithful.

    Rows ``edge_score``, by edge as in ``"embed -> L0.H1.q"``: about how much the metric changes when it is ablated.

    Args:
        n_pairs: drawn among the questions that have a partner; all, if there are no more.
        operand: which operand differs between the two questions of a pair.
        subset: of the task, of which both questions are.
        metric: ``"logit_difference"``, ``"answer_log_prob"``, ``"answer_loss"`` or ``"kl_from_clean"``.
        ablation: what ablated edges carry: ``"corrupted"``, ``"resample"``, ``"mean"`` or ``"zero"``.
        level: of faithfulness that the circuit has at least.
        steps: of integrated gradients.
        seed: of the pairs.
    """

    name: ClassVar[str] = "final_circuit"
    per: ClassVar[Literal["checkpoint", "model"]] = "model"

    def measure(self, observation: Observation) -> Iterator[Row | Array]:
        pairs = self._pairs(observation.task)
        scores = self._scores(observation, pairs)
        circuit = smallest_circuit(observation.model, pairs, self._metric(), scores, level=self.level)
        for edge, score in circuit.edges():
            yield Row("edge_score", score, self.metric, str(edge))


@dataclass(frozen=True)
class CircuitFormation(_OnPairs):
    """How much of a model's final circuit is there at a checkpoint, and which circuit would be found there.

    Found are as many edges as the final circuit has, greedily by their scores here, on the same pairs at every step.
    Rows, with ``site`` the metric that the circuit is about:

    ``faithfulness``  of the final circuit (key ``final``), of the one found at this step (``own``), each with its
                      interval over pairs (``_low``, ``_high``), and the mean of random circuits of as many edges as the
                      final one (``random``), the control. nan where the metric with all edges ablated is that of the
                      whole model, so that there is nothing to be faithful to.
    ``completeness``  of the final circuit, with its interval
    ``agreement``     share of pairs that the final circuit alone answers as the whole model does, with its interval
    ``metric``        mean of the metric over pairs: of the ``whole`` model, with all edges ablated (``none``), and of
                      the final circuit alone (``final``)
    ``jaccard``       edges that the two circuits share, of those in either
    ``edge_score``    by edge, of all that are in either circuit
    ``in_circuit``    by edge of these: 1 if it is in the one found at this step, else 0

    The array ``circuit_edge_scores`` [source, destination] has the scores of all edges, in the order of
    ``circuits.Graph.of(model)``.

    Args:
        n_pairs, operand, subset, metric, ablation, level, steps, seed: as of ``final_circuit``; give both the same.
        n_random: random circuits.
    """

    n_random: int = 10

    name: ClassVar[str] = "circuit_formation"
    needs: ClassVar[tuple[str, ...]] = ("final_circuit",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_argument(self.n_random >= 1, "n_random", self.n_random, "1 or more")

    def measure(self, observation: Observation) -> Iterator[Row | Array]:
        pairs = self._pairs(observation.task)
        scores = self._scores(observation, pairs)
        of_model = observation.of_model["final_circuit"]
        final = np.zeros_like(scores.graph.mask)
        for row in of_model:
            final[scores.graph.place(Edge.named(row.key))] = True
        own = greedy(scores.graph, scores.values, Budget(n_edges=len(of_model)), self.ablation)
        runs = EdgeAblation(observation.model, pairs, (self._metric(), agreement), ablation=self.ablation)
        there, here = faithfulness_of_masks(runs, [(final, self.n_random), (own, 0)])
        for key, found in (("final", there), ("own", here)):
            faithful = found.faithfulness()
            yield from self._with_ends("faithfulness", key, faithful.estimate, faithful.low, faithful.high)
        yield Row("faithfulness", float(there.control().estimate.mean()), self.metric, "random")
        complete = there.completeness()
        yield from self._with_ends("completeness", "final", complete.estimate, complete.low, complete.high)
        yield from self._with_ends("agreement", "final", *there.agreement())
        for key, values in (("whole", there.whole), ("none", there.none), ("final", there.circuit)):
            yield Row("metric", float(values.mean()), self.metric, key)
        yield Row("jaccard", (own & final).sum() / (own | final).sum(), self.metric)
        for source, destination in np.argwhere(own | final).tolist():
            edge = str(scores.graph.edge(source, destination))
            yield Row("edge_score", float(scores.values[source, destination]), self.metric, edge)
            yield Row("in_circuit", float(own[source, destination]), self.metric, edge)
        stored = scores.values.astype(np.float32)
        yield Array("circuit_edge_scores", xr.DataArray(stored, dims=("source", "destination")))

    def _with_ends(self, metric: str, key: str, *ends: float | np.ndarray) -> Iterator[Row]:
        for end, value in zip(("", "_low", "_high"), ends, strict=True):
            yield Row(f"{metric}{end}", float(value), self.metric, key)


@lru_cache(maxsize=1)  # the checkpoints of a model are asked one after the other
def _pairs_of(task: Task, n: int, operand: int, subset: str, seed: int) -> Pairs:
    return some_pairs_from_task(task, n, operand=operand, subset=subset, seed=seed)
