"""One answer scored in several ways, from those that jump to those that do not.

``exact_match`` and ``multiple_choice`` are 0 or 1; ``edit_similarity``, ``brier_score`` and ``token_log_likelihood``
give credit for what is nearly right (Schaeffer et al. 2023, arXiv 2304.15004, who name the last three smooth).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float


def exact_match(answers: Sequence[Any], targets: Sequence[Any]) -> Float[np.ndarray, " item"]:
    """1 where an answer, a text or a sequence of tokens, is its target, blanks around it aside."""
    pairs = _pairs(answers, targets)
    return np.array([float(_plain(answer) == _plain(target)) for answer, target in pairs])


def edit_similarity(answers: Sequence[Any], targets: Sequence[Any]) -> Float[np.ndarray, " item"]:
    """1 - Levenshtein's distance over the length of the longer: 1 for the target itself, 0 for nothing in common."""
    pairs = [(_plain(answer), _plain(target)) for answer, target in _pairs(answers, targets)]
    return np.array([1 - edit_distance(a, b) / max(len(a), len(b), 1) for a, b in pairs])


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """Fewest insertions, deletions and substitutions that make one of the other (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]


def token_log_likelihood(log_probs: Sequence[Any]) -> Float[np.ndarray, " item"]:
    """Mean log probability of the tokens of each target, in nats.

    Args:
        log_probs: of each item those of its target's tokens; of any lengths, none empty.
    """
    found = []
    for i, of_item in enumerate(log_probs):
        values = np.asarray(of_item, dtype=np.float64)
        if values.size == 0 or not (values <= 0).all():
            raise ValueError(f"log_probs: {of_item} given for item {i}, expected log probabilities, at most 0")
        found.append(values.mean())
    return np.array(found)


def multiple_choice(log_probs: Any, right: Any) -> Float[np.ndarray, " item"]:
    """1 where the right choice is the likeliest; of k that are equally likely, 1 / k.

    Args:
        log_probs: [item choice], of any scale: what is added to all choices of an item does not matter.
        right: [item], which choice is.
    """
    scores, chosen = _choices(log_probs, right)
    best = scores == scores.max(axis=1, keepdims=True)
    return np.where(best[np.arange(len(scores)), chosen], 1 / best.sum(axis=1), 0.0)


def brier_score(log_probs: Any, right: Any) -> Float[np.ndarray, " item"]:
    """Sum over choices of (probability - 1 if it is right)^2, from 0 to 2; less is better (Brier 1950).

    Args:
        log_probs: [item choice]; probabilities are their softmax.
        right: [item], which choice is.
    """
    scores, chosen = _choices(log_probs, right)
    likely = np.exp(scores - scores.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    likely[np.arange(len(scores)), chosen] -= 1
    return np.asarray((likely**2).sum(axis=1))


def _pairs(answers: Sequence[Any], targets: Sequence[Any]) -> list[tuple[Any, Any]]:
    if len(answers) != len(targets):
        raise ValueError(f"answers: {len(answers)} given, expected one for each of {len(targets)} targets")
    return list(zip(answers, targets, strict=True))


def _plain(answer: Any) -> Any:
    return answer.strip() if isinstance(answer, str) else tuple(answer)


def _choices(log_probs: Any, right: Any) -> tuple[Float[np.ndarray, "item choice"], np.ndarray]:
    scores, chosen = np.asarray(log_probs, dtype=np.float64), np.asarray(right)
    if scores.ndim != 2 or scores.shape[1] < 2 or np.isnan(scores).any() or (scores == np.inf).any():
        raise ValueError(f"log_probs: shape {scores.shape} given, expected [item choice], finite or -inf")
    if chosen.shape != scores.shape[:1] or not ((chosen >= 0) & (chosen < scores.shape[1])).all():
        raise ValueError(f"right: {right} given, expected the number of a choice for each of {len(scores)} items")
    return scores, chosen.astype(int)
