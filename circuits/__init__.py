"""grokscope's explaining half: which parts of a model compute an answer?

The nouns are imported on first use, so that ``import circuits`` is fast and loads no torch.
"""

from typing import TYPE_CHECKING

from probe.lazily import imported_on_use

if TYPE_CHECKING:
    from circuits.attribution import eap, eap_ig, eap_ig_activations
    from circuits.circuit import Circuit
    from circuits.graph import Edge, Graph, Node
    from circuits.metrics import (
        Metric,
        accuracy,
        answer_log_prob,
        answer_loss,
        kl_from_clean,
        logit_difference,
        set_probability,
    )
    from circuits.pairs import Pairs, pairs_from_jsonl, pairs_from_task, repeated_tokens
    from circuits.scores import EdgeScores

_HOME = {
    "Circuit": "circuits.circuit",
    "Edge": "circuits.graph",
    "EdgeScores": "circuits.scores",
    "Graph": "circuits.graph",
    "Metric": "circuits.metrics",
    "Node": "circuits.graph",
    "Pairs": "circuits.pairs",
    "accuracy": "circuits.metrics",
    "answer_log_prob": "circuits.metrics",
    "answer_loss": "circuits.metrics",
    "eap": "circuits.attribution",
    "eap_ig": "circuits.attribution",
    "eap_ig_activations": "circuits.attribution",
    "kl_from_clean": "circuits.metrics",
    "logit_difference": "circuits.metrics",
    "pairs_from_jsonl": "circuits.pairs",
    "pairs_from_task": "circuits.pairs",
    "repeated_tokens": "circuits.pairs",
    "set_probability": "circuits.metrics",
}

__all__ = [
    "Circuit",
    "Edge",
    "EdgeScores",
    "Graph",
    "Metric",
    "Node",
    "Pairs",
    "accuracy",
    "answer_log_prob",
    "answer_loss",
    "eap",
    "eap_ig",
    "eap_ig_activations",
    "kl_from_clean",
    "logit_difference",
    "pairs_from_jsonl",
    "pairs_from_task",
    "repeated_tokens",
    "set_probability",
]

__getattr__, __dir__ = imported_on_use(__name__, _HOME)
