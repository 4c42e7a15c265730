"""How many items it takes to see that an ability is not nothing.

Of n items a share p shows no right answer with probability (1 - p)^n. So that at least one is right with the given
confidence takes log(1 - confidence) / log(1 - p) items; and n of which none is right leave a share of up to
1 - (1 - confidence)^(1 / n), the "rule of three". An ability that seems to be absent below a threshold, and would be
seen with more items, is a matter of resolution (Schaeffer et al. 2023, arXiv 2304.15004, section 4).

Above a chance level one right answer says nothing: there items are needed until the exact binomial test tells the share
from chance with the given power.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.special import ndtri

from probe.measures.intervals import check_confidence
from probe.measures.shares import clopper_pearson


@dataclass(frozen=True)
class Resolution:
    """What so many items could have shown, for each size.

    Attributes:
        seen: share that was right.
        at_most: share that may be right all the same, one-sided, at the given confidence.
        needed: items to see the expected share, by ``items_needed``; inf where that is chance or less.
        enough: whether as many were asked.
        compatible: whether what was seen may be of the expected share (exact, two-sided, at the given confidence).
    """

    seen: Float[np.ndarray, " size"]
    at_most: Float[np.ndarray, " size"]
    needed: Float[np.ndarray, " size"]
    enough: Float[np.ndarray, " size"]
    compatible: Float[np.ndarray, " size"]


def items_needed(share: Any, chance: float = 0.0, confidence: float = 0.95, power: float = 0.95) -> Any:
    """Items to tell a share from a chance level; inf where it is not above it.

    At a chance level of 0 one right answer does, and comes with probability ``power``. Above it the one-sided test at
    ``confidence`` has that power (Fleiss et al. 2003, section 2.2, with the correction for continuity).

    Args:
        share: expected to be right, 0 to 1; of any shape.
        chance: level of guessing.
        confidence: of the test.
        power: probability that it tells.

    Raises:
        ValueError: a share or chance level that is none, or a confidence or power that is none.
    """
    p = np.asarray(share, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"share: {share} given, expected shares, 0 to 1")
    if not 0 <= chance < 1:
        raise ValueError(f"chance: {chance} given, expected the level of guessing, from 0 to below 1")
    check_confidence(confidence)
    check_confidence(power)
    with np.errstate(divide="ignore", invalid="ignore"):
        if chance == 0:
            n = np.log1p(-power) / np.log1p(-p)
        else:
            gap = p - chance
            root = ndtri(confidence) * np.sqrt(chance * (1 - chance)) + ndtri(power) * np.sqrt(p * (1 - p))
            plain = (root / gap) ** 2
            n = plain / 4 * (1 + np.sqrt(1 + 2 / (plain * gap))) ** 2
    found = np.where(p > chance, np.maximum(np.ceil(n), 1), np.inf)
    return float(found) if found.ndim == 0 else found


def resolution(n_right: Any, n_items: Any, expected: Any, chance: float = 0.0, confidence: float = 0.95) -> Resolution:
    """Whether items were enough to see what a smooth metric says is there.

    Args:
        n_right: items that were right, one number per size.
        n_items: items asked, one per size or one for all.
        expected: share that is expected, one per size: of an answer of L tokens that are right with probability q each,
            q^L (``expected_exact_match``).
        chance: level of guessing.
        confidence: of the bounds and tests; also the power of ``needed``.

    Raises:
        ValueError: counts that are none, more right than asked, or shares that are none.
    """
    right = np.atleast_1d(np.asarray(n_right, dtype=np.float64))
    asked = np.broadcast_to(np.asarray(n_items, dtype=np.float64), right.shape)
    share = np.broadcast_to(np.asarray(expected, dtype=np.float64), right.shape)
    if not ((right >= 0) & (right <= asked) & (asked >= 1)).all():
        raise ValueError(f"n_right: {n_right} of {n_items} given, expected counts from 0 to the items asked")
    needed = np.atleast_1d(items_needed(share, chance, confidence, confidence))
    at_most = clopper_pearson(right, asked, 2 * confidence - 1 if confidence > 0.5 else confidence)[1]
    p = [stats.binomtest(int(k), int(n), s).pvalue for k, n, s in zip(right, asked, share, strict=True)]
    return Resolution(right / asked, at_most, needed, asked >= needed, np.array(p) >= 1 - confidence)


def expected_exact_match(token_log_likelihood: Any, n_tokens: Any) -> Float[np.ndarray, "*batch"]:
    """Share of answers that is right if every token is so with the geometric mean of its probabilities.

    Args:
        token_log_likelihood: mean over items of the log probability of a token of the answer, in nats, at most 0.
        n_tokens: of an answer.
    """
    each = np.asarray(token_log_likelihood, dtype=np.float64)
    if not (each <= 0).all():
        raise ValueError(f"token_log_likelihood: {token_log_likelihood} given, expected log probabilities, at most 0")
    return np.asarray(np.exp(each * np.asarray(n_tokens, dtype=np.float64)))
