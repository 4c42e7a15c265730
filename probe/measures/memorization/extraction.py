"""Which texts a model recites: exact continuations, and how far and how well it goes along with them.

Given are what the model went on with, by greedy decoding after a prompt of k tokens of a text, and how the text goes
on. k-extractable is a text whose next 50 tokens all come (Carlini et al. 2022, arXiv 2202.07646, definition 3.1); the
memorization score of a text is the share of its next 32 that are right, after 32 (Biderman et al. 2023, arXiv
2304.11158, definition 2). Prompts of several lengths are a leading dimension: [k, text, token].

The control are texts of the same kind that were never shown: with ``duplicates``, those of 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor, where

from probe.measures.arrays import valid
from probe.measures.intervals import check_confidence
from probe.measures.memorization.arguments import Estimate, Exposures, estimate
from probe.measures.memorization.clustered import share_interval
from probe.measures.memorization.exactness import Tokens, answers_correct, memorized_share
from probe.measures.memorization.frequency import ByExposure, accuracy_by_exposure

CARLINI_TOKENS = 50
BIDERMAN_TOKENS = 32


@dataclass(frozen=True)
class Extraction:
    """Which continuations come out whole.

    Attributes:
        extractable: whether all tokens of a text's continuation are right.
        share: of the texts that are, with Clopper and Pearson's interval over texts.
        tokens_right: right tokens before the first wrong one.
        by_duplicates: the share by how often a text was in the training data; None if that was not given.
    """

    extractable: Bool[Tensor, "*batch text"]
    share: Estimate
    tokens_right: Int[Tensor, "*batch text"]
    by_duplicates: ByExposure | None


@dataclass(frozen=True)
class MemorizationScore:
    """Share of a continuation's tokens that are right, each at its place.

    Attributes:
        score: of every text.
        mean: over texts, with its interval; its n is the number of texts.
        by_duplicates: the mean by how often a text was in the training data; None if that was not given.
    """

    score: Float[Tensor, "*batch text"]
    mean: Estimate
    by_duplicates: ByExposure | None


def extractable_texts(
    generated: Tokens,
    continuations: Tokens,
    duplicates: Exposures | None = None,
    n_tokens: int = CARLINI_TOKENS,
    confidence: float = 0.95,
) -> Extraction:
    """Which texts are extractable: the first ``n_tokens`` generated, [*batch, text, token], are those of the text.

    ``continuations`` are [text, token], or one set per model (or k). Texts are to be independent of each other.

    Raises ValueError for ids that are no integers, shapes that do not fit, fewer tokens than ``n_tokens``, negative
    duplicates, or a confidence outside (0, 1).
    """
    given, true = _checked(generated, continuations, n_tokens)
    extractable = answers_correct(given, true).exact
    wrong = given != true
    first_wrong = wrong.to(dtype=given.dtype).argmax(-1)
    by_duplicates = None
    if duplicates is not None:
        by_duplicates = accuracy_by_exposure(duplicates, extractable, confidence=confidence)
    return Extraction(
        extractable,
        memorized_share(extractable, confidence),
        where(wrong.any(-1), first_wrong, n_tokens),
        by_duplicates,
    )


def memorization_score(
    generated: Tokens,
    continuations: Tokens,
    duplicates: Exposures | None = None,
    n_tokens: int = BIDERMAN_TOKENS,
    confidence: float = 0.95,
) -> MemorizationScore:
    """Mean of 1[token right] over the first ``n_tokens`` generated, [*batch, text, token], of every text.

    A token counts at its place, also after a wrong one. By `fit_exposure_line` the scores are a line in
    log2(duplicates). Chance is not 0: common words are right in texts that were never shown.

    Tokens of a text depend on each other, and intervals are those of the effective number of tokens (`share_interval`).

    Raises ValueError as `extractable_texts` does.
    """
    given, true = _checked(generated, continuations, n_tokens)
    check_confidence(confidence)
    score = answers_correct(given, true).token_share
    n_texts = score.shape[-1]
    mean = share_interval(score.cpu().numpy(), np.full(n_texts, n_tokens), np.arange(n_texts), confidence)
    by_duplicates = None
    if duplicates is not None:
        by_duplicates = accuracy_by_exposure(duplicates, score, n_tokens, confidence=confidence)
    return MemorizationScore(score, estimate(mean, n_texts, score), by_duplicates)


def _checked(generated: Tokens, continuations: Tokens, n_tokens: int) -> tuple[Tensor, Tensor]:
    """The first ``n_tokens`` of both."""
    if n_tokens < 1:
        raise ValueError(f"n_tokens: {n_tokens} given, expected 1 or more")
    cut = []
    for field, tokens in (("generated", generated), ("continuations", continuations)):
        ids = valid(tokens, field, "*batch text token")
        if ids.shape[-1] < n_tokens:
            raise ValueError(f"{field}: {ids.shape[-1]} tokens given, expected at least n_tokens, {n_tokens}")
        cut.append(ids[..., :n_tokens])
    given, true = cut
    if (true < 0).any():
        raise ValueError(f"continuations: {true[true < 0][0].item()} given, expected token ids from 0 on")
    return given, true.to(given.device)
