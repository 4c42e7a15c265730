"""Circuits from edge scores: attribute, then choose."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from circuits.attribution import eap_ig
from circuits.circuit import Circuit
from circuits.discovery.budget import Budget
from circuits.discovery.ranking import Rule, greedy, largest
from circuits.metrics import Metric
from circuits.pairs import Pairs
from circuits.scores import EdgeScores

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

Attribution = Callable[..., EdgeScores]
"""``eap``, ``eap_qk``, ``eap_ig``, ``eap_ig_activations``, or ``partial`` of one: (model, pairs, metric, ablation=)."""


def top_edges(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    *,
    ablation: str = "corrupted",
    budget: Budget,
    attribution: Attribution = eap_ig,
    model_digest: str | None = None,
    step: int | None = None,
) -> Circuit:
    """The edges with the largest absolute scores, or all above a threshold; of these, those with an effect.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        pairs: the contrast.
        metric: what is attributed.
        ablation: what an edge that is taken away carries: ``"corrupted"``, ``"resample"``, ``"mean"`` or ``"zero"``.
        budget: a number of edges, a share of all, or the least score.
        attribution: how edges are scored.
        model_digest, step: of the model, for the circuit's record.

    Raises:
        ValueError: as of the attribution; or there are fewer edges than the budget's.
    """
    scores = attribution(model, pairs, metric, ablation=ablation)
    return chosen_by(scores, largest, budget, model_digest=model_digest, step=step)


def greedy_edges(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    *,
    ablation: str = "corrupted",
    budget: Budget,
    attribution: Attribution = eap_ig,
    model_digest: str | None = None,
    step: int | None = None,
) -> Circuit:
    """From the logits back, ever the edge with the largest absolute score into a node that is read already.

    Args, Raises: as of ``top_edges``. See ``circuits.discovery.ranking.greedy``.
    """
    scores = attribution(model, pairs, metric, ablation=ablation)
    return chosen_by(scores, greedy, budget, model_digest=model_digest, step=step)


def chosen_by(
    scores: EdgeScores, rule: Rule, budget: Budget, *, model_digest: str | None = None, step: int | None = None
) -> Circuit:
    """The circuit that a rule chooses from scores that are there, with no further pass through the model.

    Args:
        scores: of all edges.
        rule: ``largest`` or ``greedy``.
        budget: how large the circuit may be.
        model_digest, step: of the model, for the circuit's record.

    Raises:
        ValueError: there are fewer edges than the budget's.
    """
    mask = rule(scores.graph, scores.values, budget, scores.ablation)
    found = scores.circuit(mask, model_digest=model_digest, step=step)
    return replace(found, method=f"{scores.method}, {rule.__name__}")
