"""grokscope's explaining half: which parts of a model compute an answer?

The nouns are imported on first use, so that ``import circuits`` is fast and loads no torch.
"""

from typing import TYPE_CHECKING

from probe.lazily import imported_on_use

if TYPE_CHECKING:
    from circuits.ablated_runs import EdgeAblation
    from circuits.attribution import eap, eap_ig, eap_ig_activations, eap_qk
    from circuits.circuit import Circuit
    from circuits.curves import FaithfulnessCurve, faithfulness_curve
    from circuits.discovery import (
        Budget,
        Stability,
        acdc,
        chosen_by,
        edge_stability,
        greedy,
        greedy_edges,
        largest,
        pruned,
        smallest_circuit,
        top_edges,
    )
    from circuits.faithfulness import Faithfulness, faithfulness_of, minimality
    from circuits.formation import Formation, formation_of
    from circuits.graph import Edge, Graph, Node
    from circuits.incompleteness import incompleteness_of
    from circuits.metrics import (
        Metric,
        accuracy,
        agreement,
        answer_log_prob,
        answer_loss,
        greater_than,
        key_frequency_loss,
        kl_from_clean,
        logit_difference,
        set_probability,
    )
    from circuits.pairs import (
        Pairs,
        greater_than_pairs,
        indirect_object_pairs,
        number_pairs,
        pairs_from_jsonl,
        pairs_from_task,
        pronoun_pairs,
        repeated_tokens,
        year_tokens,
    )
    from circuits.patched import Patched
    from circuits.patching import patch_activations
    from circuits.path_patching import patch_paths
    from circuits.scores import EdgeScores
    from circuits.viewer.widget import view

_HOME = {
    "Budget": "circuits.discovery",
    "Circuit": "circuits.circuit",
    "Edge": "circuits.graph",
    "EdgeAblation": "circuits.ablated_runs",
    "EdgeScores": "circuits.scores",
    "Faithfulness": "circuits.faithfulness",
    "FaithfulnessCurve": "circuits.curves",
    "Formation": "circuits.formation",
    "Graph": "circuits.graph",
    "Metric": "circuits.metrics",
    "Node": "circuits.graph",
    "Pairs": "circuits.pairs",
    "Patched": "circuits.patched",
    "Stability": "circuits.discovery",
    "accuracy": "circuits.metrics",
    "acdc": "circuits.discovery",
    "agreement": "circuits.metrics",
    "answer_log_prob": "circuits.metrics",
    "answer_loss": "circuits.metrics",
    "chosen_by": "circuits.discovery",
    "eap": "circuits.attribution",
    "eap_ig": "circuits.attribution",
    "eap_ig_activations": "circuits.attribution",
    "eap_qk": "circuits.attribution",
    "edge_stability": "circuits.discovery",
    "faithfulness_curve": "circuits.curves",
    "faithfulness_of": "circuits.faithfulness",
    "formation_of": "circuits.formation",
    "greater_than": "circuits.metrics",
    "greater_than_pairs": "circuits.pairs",
    "greedy": "circuits.discovery",
    "greedy_edges": "circuits.discovery",
    "incompleteness_of": "circuits.incompleteness",
    "indirect_object_pairs": "circuits.pairs",
    "key_frequency_loss": "circuits.metrics",
    "kl_from_clean": "circuits.metrics",
    "largest": "circuits.discovery",
    "logit_difference": "circuits.metrics",
    "minimality": "circuits.faithfulness",
    "number_pairs": "circuits.pairs",
    "pairs_from_jsonl": "circuits.pairs",
    "pairs_from_task": "circuits.pairs",
    "patch_activations": "circuits.patching",
    "patch_paths": "circuits.path_patching",
    "pronoun_pairs": "circuits.pairs",
    "pruned": "circuits.discovery",
    "repeated_tokens": "circuits.pairs",
    "set_probability": "circuits.metrics",
    "smallest_circuit": "circuits.discovery",
    "top_edges": "circuits.discovery",
    "view": "circuits.viewer.widget",
    "year_tokens": "circuits.pairs",
}

__all__ = [
    "Budget",
    "Circuit",
    "Edge",
    "EdgeAblation",
    "EdgeScores",
    "Faithfulness",
    "FaithfulnessCurve",
    "Formation",
    "Graph",
    "Metric",
    "Node",
    "Pairs",
    "Patched",
    "Stability",
    "accuracy",
    "acdc",
    "agreement",
    "answer_log_prob",
    "answer_loss",
    "chosen_by",
    "eap",
    "eap_ig",
    "eap_ig_activations",
    "eap_qk",
    "edge_stability",
    "faithfulness_curve",
    "faithfulness_of",
    "formation_of",
    "greater_than",
    "greater_than_pairs",
    "greedy",
    "greedy_edges",
    "incompleteness_of",
    "indirect_object_pairs",
    "key_frequency_loss",
    "kl_from_clean",
    "largest",
    "logit_difference",
    "minimality",
    "number_pairs",
    "pairs_from_jsonl",
    "pairs_from_task",
    "patch_activations",
    "patch_paths",
    "pronoun_pairs",
    "pruned",
    "repeated_tokens",
    "set_probability",
    "smallest_circuit",
    "top_edges",
    "view",
    "year_tokens",
]

__getattr__, __dir__ = imported_on_use(__name__, _HOME)
