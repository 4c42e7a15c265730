"""Which positions of each example are kept."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from probe.activations.inputs import Inputs

ABSENT = -1
"""Where an example has no position to keep, as others have."""


@dataclass(frozen=True, eq=False)
class Positions:
    """Positions kept of each example.

    Attributes:
        index: [example, kept]; ``ABSENT`` after the last of an example that has fewer than others.
        single: whether it is one of each example by construction, so that arrays need no dimension for it.
        name: how they were asked for, in words that tell any two apart.
    """

    index: Int[np.ndarray, "example kept"]
    single: bool
    name: str

    @classmethod
    def of(cls, asked: Any, inputs: Inputs) -> "Positions":
        """
        Args:
            asked: ``"all"``; ``"answer"``, at which a task is answered; ``"last"``, of the content; an index, from the
                end if negative; a slice; or a mask [example, position]. All of them count content only.

        Raises:
            ValueError: it is none of these, or an example has no such position.
        """
        n, length = inputs.tokens.shape
        if isinstance(asked, str):
            if asked == "all":
                return cls._ragged(inputs.mask, asked)
            if asked == "last":
                return cls((inputs.lengths - 1)[:, None], True, asked)
            if asked == "answer" and inputs.answer_positions is not None:
                return cls(inputs.answer_positions[:, None], True, asked)
            if asked == "answer":
                raise ValueError("positions: 'answer' asked of inputs without an answer position; a Task has one")
            raise ValueError(f"positions: got {asked!r}; expected 'all', 'answer', 'last', an index, slice or mask")
        if isinstance(asked, int | np.integer) and not isinstance(asked, bool):
            index = np.where(asked >= 0, asked, inputs.lengths + asked)
            outside = (index < 0) | (index >= inputs.lengths)
            if outside.any():
                example = int(np.argmax(outside))
                raise ValueError(
                    f"positions: got {asked}; example {example} has {inputs.lengths[example]} tokens,"
                    f" so expected {-inputs.lengths.min()} to {inputs.lengths.min() - 1}"
                )
            return cls(index[:, None], True, str(int(asked)))
        if isinstance(asked, slice):
            parts = (asked.start, asked.stop, asked.step)
            if not all(part is None or isinstance(part, int | np.integer) for part in parts) or (asked.step or 1) < 1:
                raise ValueError(f"positions: got {asked}; expected a slice of whole numbers with a step above 0")
            kept = np.zeros((n, length), bool)
            for row, tokens in zip(kept, inputs.lengths, strict=True):
                row[: int(tokens)][asked] = True
            return cls._ragged(kept, f"{asked.start}:{asked.stop}:{asked.step}")
        if isinstance(asked, list | tuple) and not any(isinstance(part, list | tuple | np.ndarray) for part in asked):
            raise ValueError(f"positions: got {asked!r}; to keep several positions, give a slice or a mask of bools")
        mask = np.asarray(asked)
        if mask.dtype != bool or mask.shape != (n, length):
            raise ValueError(
                f"positions: got {mask.dtype} of shape {mask.shape}; expected 'all', 'answer', 'last', an index, a"
                f" slice, or a mask of bools of shape {(n, length)}"
            )
        if (mask & ~inputs.mask).any():
            example, position = np.argwhere(mask & ~inputs.mask)[0]
            raise ValueError(f"positions: the mask keeps position {position} of example {example}, which is padding")
        return cls._ragged(mask, f"mask {_digest(mask)}")

    @classmethod
    def _ragged(cls, kept: np.ndarray, name: str) -> "Positions":
        """Those that are kept, moved to the front of their row."""
        if not kept.any():
            raise ValueError(f"positions: {name} keeps none of any example")
        counts = kept.sum(1)
        index = np.full((len(kept), counts.max()), ABSENT)
        index[np.arange(counts.max()) < counts[:, None]] = np.nonzero(kept)[1]
        return cls(index, False, name)

    @property
    def n_kept(self) -> int:
        """Positions kept of the example with most of them."""
        return self.index.shape[1]


def _digest(mask: np.ndarray) -> str:
    return hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16]
