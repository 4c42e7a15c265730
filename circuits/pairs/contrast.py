"""Pairs of a clean and a corrupted question, as token ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from probe.activations.inputs import PADDING, Inputs


@dataclass(frozen=True, eq=False)
class Pairs:
    """Clean and corrupted questions, pair by pair of one length, and what they are answered by.

    Positions are compared one by one, so both questions of a pair have to have the same number of tokens; different
    pairs may have different ones, and are padded on the right.

    Args:
        clean: token ids [pair, position], padded on the right.
        corrupted: the same for the corrupted questions.
        answers: the token that is right after each clean question.
        d_vocab: tokens there are: ids are 0 to d_vocab - 1.
        wrong_answers: the token that is right after the corrupted question, or another that competes; None where there
            is no such thing.
        lengths: tokens of content in both questions of each pair; all positions, if not given.
        answer_positions: after which position each answer is predicted; the last of each, if not given.

    Raises:
        ValueError: shapes do not fit, or a pair has a token outside the vocabulary, an answer position outside its
            question, or the same right and wrong answer; the message names the field and the pair.
    """

    clean: Int[np.ndarray, "pair position"]
    corrupted: Int[np.ndarray, "pair position"]
    answers: Int[np.ndarray, " pair"]
    d_vocab: int
    wrong_answers: Int[np.ndarray, " pair"] | None = None
    lengths: Int[np.ndarray, " pair"] | None = None
    answer_positions: Int[np.ndarray, " pair"] | None = None

    def __post_init__(self) -> None:
        clean = _integers("clean", self.clean, 2)
        n, width = clean.shape
        if not n or not width:
            raise ValueError(f"clean: got shape {[n, width]}; expected at least one pair and one position")
        if np.shape(self.corrupted) != clean.shape:
            raise ValueError(
                f"corrupted: got shape {list(np.shape(self.corrupted))}; expected that of clean, {[n, width]}"
            )
        set_to: dict[str, Any] = {"clean": clean, "corrupted": _integers("corrupted", self.corrupted, 2)}
        given_lengths = np.full(n, width) if self.lengths is None else self.lengths
        lengths = set_to["lengths"] = _per_pair("lengths", given_lengths, n, 1, width, "the number of positions")
        positions = lengths - 1 if self.answer_positions is None else self.answer_positions
        set_to["answer_positions"] = _per_pair(
            "answer_positions", positions, n, 0, lengths - 1, "the last position of the question"
        )
        last = self.d_vocab - 1
        set_to["answers"] = _per_pair("answers", self.answers, n, 0, last, "the last token of the vocabulary")
        if self.wrong_answers is not None:
            wrong = _per_pair("wrong_answers", self.wrong_answers, n, 0, last, "the last token of the vocabulary")
            same = np.flatnonzero(wrong == set_to["answers"])
            if same.size:
                raise ValueError(
                    f"wrong_answers: pair {same[0]} has its right answer, {wrong[same[0]]}; expected another"
                )
            set_to["wrong_answers"] = wrong
        content = np.arange(width) < lengths[:, None]
        for name in ("clean", "corrupted"):
            tokens = set_to[name]
            outside = content & ((tokens < 0) | (tokens > last))
            if outside.any():
                pair, position = np.argwhere(outside)[0]
                token = tokens[pair, position]
                raise ValueError(f"{name}: pair {pair} has token {token} at position {position}; expected 0 to {last}")
            set_to[name] = np.where(content, tokens, PADDING)
        for name, array in set_to.items():
            object.__setattr__(self, name, array)

    @classmethod
    def of(
        cls,
        clean: Sequence[Sequence[int]],
        corrupted: Sequence[Sequence[int]],
        answers: Sequence[int],
        d_vocab: int,
        wrong_answers: Sequence[int] | None = None,
    ) -> "Pairs":
        """Pairs of questions of any lengths, each answered after its last token.

        Raises:
            ValueError: as of ``Pairs``; or the two questions of a pair have different lengths.
        """
        if len(clean) != len(corrupted):
            raise ValueError(f"corrupted: got {len(corrupted)} questions; expected {len(clean)}, as many as clean")
        for i, (one, other) in enumerate(zip(clean, corrupted, strict=True)):
            if len(one) != len(other):
                raise ValueError(
                    f"corrupted: pair {i} has {len(other)} tokens where the clean question has {len(one)}; expected"
                    " equally many, as positions are compared one by one"
                )
        read, corrupt = Inputs.of(list(clean)), Inputs.of(list(corrupted))  # padded on the right
        wrong = None if wrong_answers is None else np.asarray(wrong_answers)
        return cls(read.tokens, corrupt.tokens, np.asarray(answers), d_vocab, wrong, read.lengths)

    def __len__(self) -> int:
        return len(self.clean)

    def inputs(self, *, corrupted: bool) -> Inputs:
        """The clean or the corrupted questions, as a capture takes them; with the right answers of the clean ones."""
        assert self.lengths is not None
        tokens = self.corrupted if corrupted else self.clean
        return Inputs(tokens, self.lengths, self.answers, self.answer_positions)

    def swapped(self) -> "Pairs":
        """The same with clean and corrupted exchanged, and so right and wrong answers.

        Raises:
            ValueError: there are no wrong answers.
        """
        if self.wrong_answers is None:
            raise ValueError("wrong_answers: these pairs have none; expected some, which would be the right ones")
        answers, wrong = self.wrong_answers, self.answers
        return Pairs(self.corrupted, self.clean, answers, self.d_vocab, wrong, self.lengths, self.answer_positions)


def _integers(name: str, given: Any, n_dims: int) -> np.ndarray:
    array = np.asarray(given)
    if array.ndim != n_dims or array.dtype.kind not in "iu":
        raise ValueError(f"{name}: got {array.dtype} of shape {list(array.shape)}; expected {n_dims} axes of integers")
    return array.astype(np.int64)


def _per_pair(name: str, given: Any, n: int, least: int, most: Any, what: str) -> Int[np.ndarray, " pair"]:
    """An integer for each pair, of at least ``least`` and at most ``most``, which is ``what``."""
    array = _integers(name, given, 1)
    if len(array) != n:
        raise ValueError(f"{name}: got {len(array)}; expected {n}, one for each pair")
    most = np.broadcast_to(most, n)
    outside = np.flatnonzero((array < least) | (array > most))
    if outside.size:
        i = outside[0]
        raise ValueError(f"{name}: pair {i} has {array[i]}; expected {least} to {most[i]}, {what}")
    return array
