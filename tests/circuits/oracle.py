"""TransformerLens' own edge attribution, by the names of our nodes and inputs."""

from collections import defaultdict
from typing import Any

import torch
from transformer_lens.tools.analysis.attribution_patching import EdgeAttributionConfig, Node, attribution_patch

from circuits import Pairs


def their_scores(model: Any, pairs: Pairs) -> dict[tuple[str, str], float]:
    """Scores by source and destination, of the logit difference of the first pair's answers, for all pairs.

    Theirs is the mirror image: the gradient is taken on the question that they call corrupt. They are by position,
    which is summed over.
    """
    right, wrong = int(pairs.answers[0]), int(pairs.wrong_answers[0])
    found = attribution_patch(
        model,
        torch.tensor(pairs.corrupted),
        torch.tensor(pairs.clean),
        lambda logits: logits[0, -1, right] - logits[0, -1, wrong],
        EdgeAttributionConfig(granularity="edge"),
    )
    scores: dict[tuple[str, str], float] = defaultdict(float)
    for (source, destination), score in found.edge_scores.items():
        scores[_named(source), _named(destination)] += score
    return dict(scores)


def _named(node: Node) -> str:
    if node.kind in ("embed", "logits"):
        return node.kind
    if node.kind in ("mlp_in", "mlp_out"):
        return f"L{node.layer}.MLP"
    head = f"L{node.layer}.H{node.head}"
    return head if node.kind == "attn_head_out" else f"{head}.{node.kind[0]}"
