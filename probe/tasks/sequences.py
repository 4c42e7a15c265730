"""Repeated random sequences: what comes next can only be told from what came before (Olsson et al. 2022)."""

from dataclasses import dataclass, field
from functools import cached_property
from math import perm
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int

from probe.tasks.splits import check_seed, check_trained
from probe.tasks.task import NOT_SCORED, Task

PADDING = 0


@dataclass(frozen=True)
class RepeatedTokens(Task):
    """Random sequences r1 .. rL that are repeated; the tokens of the second copy but its first are to be predicted.

    An example is ``x .. x r1 .. rL r1 .. rL-1``: after the second r1 comes r2, and so on to rL (arXiv 2209.11895). The
    tokens of a sequence all differ, so there is one place to copy from. Each sequence has a length L of its own, drawn
    between ``shortest`` and ``longest``, and begins at a place of its own, drawn among those at which two copies of the
    longest would still fit; what is before it, x, are random tokens that are not among its own. So it cannot be told
    where a copy begins: its first token is not scored, and a head that looks back by a fixed number of positions, which
    solves the task where all lengths are one, is right only about sequences of one length. What solves it is to find
    the earlier copy of a token, and what followed it.

    All sequences differ, so those that are not trained on are new.

    Args:
        n: sequences; at most half of the sequences of the shortest length that there are.
        n_tokens: of which sequences are made, more than ``longest``; tokens 0 to n_tokens - 1.
        shortest, longest: tokens in a sequence, L, at least 2.
        bos: whether each example begins with a token of its own, n_tokens.
        train_fraction: share of the sequences that is trained on, in (0, 1].
        seed: of all that is drawn.

    Raises:
        ValueError: a field is outside what is said above; the message names it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    n: int = 4096
    n_tokens: int = 24
    shortest: int = 4
    longest: int = 10
    bos: bool = False
    train_fraction: float = 0.75
    seed: int = 0
    family: Literal["repeated"] = field(default="repeated", kw_only=True)

    def __post_init__(self) -> None:
        if self.shortest < 2:
            raise ValueError(f"shortest: got {self.shortest}; expected 2 or more")
        if self.longest < self.shortest:
            raise ValueError(f"longest: got {self.longest}; expected at least shortest, {self.shortest}")
        if self.n_tokens <= self.longest:
            raise ValueError(f"n_tokens: got {self.n_tokens}; expected more than longest, {self.longest}")
        most = perm(self.n_tokens, self.shortest) // 2
        if not 1 <= self.n <= most:
            raise ValueError(
                f"n: got {self.n}; expected 1 to {most}, half of the sequences of {self.shortest} of"
                f" {self.n_tokens} tokens"
            )
        if not 0 < self.train_fraction <= 1:
            raise ValueError(f"train_fraction: got {self.train_fraction}; expected a share above 0 and at most 1")
        check_seed(self.seed)
        check_trained(self.train_mask, self.train_fraction)

    @cached_property
    def sequence_lengths(self) -> Int[np.ndarray, " example"]:
        """L of each."""
        return np.random.default_rng((self.seed, 0)).integers(self.shortest, self.longest + 1, size=self.n)

    @cached_property
    def sequences(self) -> Int[np.ndarray, "example longest"]:
        """Each sequence once; -1 after its end."""
        return self._without_ends(self._orders)

    @cached_property
    def _orders(self) -> Int[np.ndarray, "example token"]:
        """All tokens in a drawn order, of which the first L are a sequence, and the others what may be before it."""
        drawn = np.random.default_rng((self.seed, 1))
        orders = drawn.permuted(np.tile(np.arange(self.n_tokens), (self.n, 1)), axis=1)
        while True:
            _, first = np.unique(self._without_ends(orders), axis=0, return_index=True)
            if len(first) == self.n:
                return orders
            again = np.delete(np.arange(self.n), first)
            orders[again] = drawn.permuted(orders[again], axis=1)

    def _without_ends(self, orders: Int[np.ndarray, "example token"]) -> Int[np.ndarray, "example longest"]:
        inside = np.arange(self.longest) < self.sequence_lengths[:, None]
        return np.where(inside, orders[:, : self.longest], -1)

    @property
    def d_vocab(self) -> int:
        """Those of the sequences, and the one that examples begin with if there is one."""
        return self.n_tokens + self.bos

    @property
    def answer_tokens(self) -> Int[np.ndarray, " answer"]:
        """Those of the sequences."""
        return np.arange(self.n_tokens)

    @cached_property
    def _places(self) -> Int[np.ndarray, "example position"]:
        """How far into the two copies each position is; negative before them, 2 L - 1 or more after them."""
        start = np.random.default_rng((self.seed, 4)).integers(2 * (self.longest - self.sequence_lengths) + 1)
        return np.arange(2 * self.longest - 1) - start[:, None]

    @cached_property
    def tokens(self) -> Int[np.ndarray, "example position"]:
        length, places = self.sequence_lengths[:, None], self._places
        drawn = np.random.default_rng((self.seed, 2))
        before = length + drawn.integers(self.n_tokens - length, size=places.shape)
        tokens = np.take_along_axis(self._orders, np.where(places < 0, before, places % length), axis=1)
        tokens = np.where(places > 2 * length - 2, PADDING, tokens)
        return np.insert(tokens, 0, self.n_tokens, axis=1) if self.bos else tokens

    @cached_property
    def targets(self) -> Int[np.ndarray, "example position"]:
        length, places = self.sequence_lengths[:, None], self._places
        following = np.take_along_axis(self._orders, (places + 1) % length, axis=1)
        targets = np.where((places < length) | (places > 2 * length - 2), NOT_SCORED, following)
        return np.insert(targets, 0, NOT_SCORED, axis=1) if self.bos else targets

    @cached_property
    def train_mask(self) -> Bool[np.ndarray, " example"]:
        order = np.random.default_rng((self.seed, 3)).permutation(self.n)
        return order < round(self.train_fraction * self.n)

    @cached_property
    def exposures(self) -> Int[np.ndarray, " example"]:
        """Once per pass if trained on, else never."""
        return self.train_mask.astype(np.int64)

    @cached_property
    def subsets(self) -> dict[str, Bool[np.ndarray, " example"]]:
        """``train``; ``test``: sequences that are never shown; ``all``. An empty one is left out."""
        named = {"train": self.train_mask, "test": ~self.train_mask, "all": np.ones(self.n, dtype=bool)}
        return {name: mask for name, mask in named.items() if mask.any()}
