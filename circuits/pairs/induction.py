"""Repeated random tokens: what follows can only be told from what followed before (Olsson et al. 2022)."""

import numpy as np
from jaxtyping import Int

from circuits.pairs.contrast import Pairs


def repeated_tokens(n: int, length: int, d_vocab: int, *, bos: int | None = None, seed: int = 0) -> Pairs:
    """Random sequences that are repeated, all but their last token, which is the answer (arXiv 2209.11895).

    A clean question is ``r1 ... rL r1 ... rL-1``, answered by ``rL``. In the corrupted one the first ``rL``, and
    nothing else, is another token, ``w``: what has followed ``rL-1`` is then w, which is the wrong answer. All tokens
    of a sequence, and w, differ, so that there is one place to copy from.

    Args:
        n: pairs.
        length: tokens in a sequence, L, at least 2; questions have 2 L - 1, and one more with ``bos``.
        d_vocab: tokens there are.
        bos: put before each question, and nowhere else; None for nothing.
        seed: of the tokens.

    Raises:
        ValueError: a number is too small, there are too few tokens for sequences of this length, or ``bos`` is none.
    """
    if n < 1 or length < 2:
        field, got, least = ("n", n, 1) if n < 1 else ("length", length, 2)
        raise ValueError(f"{field}: got {got}; expected at least {least}")
    if bos is not None and not 0 <= bos < d_vocab:
        raise ValueError(f"bos: got {bos}; expected 0 to {d_vocab - 1}")
    allowed = np.delete(np.arange(d_vocab), [] if bos is None else [bos])
    if len(allowed) < length + 1:
        raise ValueError(f"d_vocab: {len(allowed)} tokens to draw from; expected {length + 1}, one more than length")
    drawn = np.random.default_rng(seed)
    rows = np.stack([drawn.choice(allowed, length + 1, replace=False) for _ in range(n)])
    sequence, other = rows[:, :length], rows[:, length]
    clean = np.concatenate([sequence, sequence[:, :-1]], axis=1)
    if bos is not None:
        clean = np.insert(clean, 0, bos, axis=1)
    return with_another_last(clean, clean.shape[1] - length, sequence[:, -1], other, d_vocab)


def with_another_last(
    clean: Int[np.ndarray, "pair position"],
    last_of_first: Int[np.ndarray, " pair"] | int,
    answers: Int[np.ndarray, " pair"],
    others: Int[np.ndarray, " pair"],
    d_vocab: int,
    lengths: Int[np.ndarray, " pair"] | None = None,
) -> Pairs:
    """Questions that end before the last token of a second copy, with another last token of the first copy.

    Args:
        clean: questions that end with ``r1 ... rL r1 ... rL-1``, padded on the right.
        last_of_first: at which position the rL of the first copy is.
        answers: rL of each.
        others: what is in its place in the corrupted questions.
        d_vocab: tokens there are.
        lengths: tokens of each question; all positions, if not given.
    """
    corrupted = clean.copy()
    corrupted[np.arange(len(clean)), last_of_first] = others
    return Pairs(clean, corrupted, answers, d_vocab, others, lengths)
