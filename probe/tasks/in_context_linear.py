"""Linear regression in context, over Z_p: what z is at a new x can be inferred from other x, if one can compute."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int

from probe.tasks.in_context import InContext
from probe.tasks.splits import check_seed


@dataclass(frozen=True)
class InContextLinear(InContext):
    """Sequences ``x1 z1 x2 z2 .. xP`` with z = a x + b mod p, each with an (a, b) of its own (after He et al. 2024,
    arXiv 2406.02550, "Learning to grok: emergence of in-context learning and skill composition in modular arithmetic").

    Two different x determine a and b, one determines what z is at the same x: so a model may look up, which is right
    where an x recurs, or infer, which is right of all after two. Regression over real numbers, as in Garg et al. 2022
    (arXiv 2208.01066), is not offered: the questions of tasks here are tokens, and can be enumerated.

    Some of the p^2 pairs (a, b) are never trained on; sequences of these are the ``test`` set. New sequences of pairs
    that are trained on, ``seen_rule``, are answered as well by whoever has memorized the rules and recognizes which one
    it is. All sequences differ.

    Tokens are the numbers 0 to p - 1.

    Args:
        n: sequences; at most half of those that there are.
        p: a prime.
        examples: in a sequence, P, at least 2.
        held_out: share of the pairs (a, b) that is never trained on, in (0, 1).
        train_fraction: share of the sequences of the other pairs that is trained on, in (0, 1].
        seed: of all that is drawn.

    Raises:
        ValueError: a field is outside what is said above; the message names it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    n: int = 8192
    p: int = 7
    examples: int = 8
    held_out: float = 0.25
    train_fraction: float = 0.9
    seed: int = 0
    family: Literal["in_context_linear"] = field(default="in_context_linear", kw_only=True)

    def __post_init__(self) -> None:
        if self.p < 2 or any(self.p % k == 0 for k in range(2, int(self.p**0.5) + 1)):
            raise ValueError(f"p: got {self.p}; expected a prime, such as 7")
        if self.examples < 2:
            raise ValueError(f"examples: got {self.examples}; expected 2 or more")
        most = self.p ** (2 + self.examples) // 2
        if not 1 <= self.n <= most:
            raise ValueError(
                f"n: got {self.n}; expected 1 to {most}, half of the sequences of {self.examples} that are"
            )
        if not 0 < round(self.held_out * self.p**2) < self.p**2:
            raise ValueError(
                f"held_out: got {self.held_out}; expected a share of the {self.p**2} pairs (a, b) that is one at least,"
                " and not all"
            )
        if not 0 < self.train_fraction <= 1:
            raise ValueError(f"train_fraction: got {self.train_fraction}; expected a share above 0 and at most 1")
        check_seed(self.seed)
        if not self.train_mask.any():
            raise ValueError(f"n: got {self.n}; none of so few sequences is trained on, expected more")

    @cached_property
    def _drawn(self) -> Int[np.ndarray, "example number"]:
        """a, b and every x; all rows differ."""
        drawn = np.random.default_rng((self.seed, 0))
        rows = drawn.integers(self.p, size=(self.n, 2 + self.examples))
        while True:
            _, first = np.unique(rows, axis=0, return_index=True)
            again = np.delete(np.arange(self.n), first)
            if not len(again):
                return rows
            rows[again] = drawn.integers(self.p, size=(len(again), rows.shape[1]))

    @property
    def coefficients(self) -> Int[np.ndarray, "example 2"]:
        """a and b of each sequence."""
        return self._drawn[:, :2]

    @property
    def asked(self) -> Int[np.ndarray, "example place"]:
        return self._drawn[:, 2:]

    @cached_property
    def told(self) -> Int[np.ndarray, "example place"]:
        a, b = self.coefficients.T[..., None]
        return (a * self.asked + b) % self.p

    @cached_property
    def shown(self) -> Int[np.ndarray, "example place"]:
        """All before it."""
        return np.broadcast_to(np.arange(self.examples), self.told.shape)

    def ceiling(self, shown: int) -> float:
        """1 once two x differ; while they are one and the same, right at that x, and a guess elsewhere."""
        if not shown:
            return 1 / self.p
        one = self.p ** float(1 - shown)  # that all x so far are the same
        return 1 - one + one * (1 / self.p + (1 - 1 / self.p) / self.p)

    @property
    def d_vocab(self) -> int:
        """The numbers."""
        return self.p

    @property
    def answer_tokens(self) -> Int[np.ndarray, " answer"]:
        """All of them."""
        return np.arange(self.p)

    @cached_property
    def rule_held_out(self) -> Bool[np.ndarray, " example"]:
        """Whether the (a, b) of a sequence is never trained on."""
        order = np.random.default_rng((self.seed, 1)).permutation(self.p**2)
        a, b = self.coefficients.T
        return order[self.p * a + b] < round(self.held_out * self.p**2)

    @cached_property
    def train_mask(self) -> Bool[np.ndarray, " example"]:
        seen = np.flatnonzero(~self.rule_held_out)
        order = np.random.default_rng((self.seed, 2)).permutation(seen)
        mask = np.zeros(self.n, dtype=bool)
        mask[order[: round(self.train_fraction * len(seen))]] = True
        return mask

    @cached_property
    def exposures(self) -> Int[np.ndarray, " example"]:
        """Once per pass if trained on, else never."""
        return self.train_mask.astype(np.int64)

    @cached_property
    def subsets(self) -> dict[str, Bool[np.ndarray, " example"]]:
        """``train``; ``test``: rules that are never trained on; ``seen_rule``: new sequences of the others; ``all``. An
        empty one is left out."""
        named = {
            "train": self.train_mask,
            "test": self.rule_held_out,
            "seen_rule": ~self.train_mask & ~self.rule_held_out,
            "all": np.ones(self.n, dtype=bool),
        }
        return {name: mask for name, mask in named.items() if mask.any()}
