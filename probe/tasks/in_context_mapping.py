"""Random mappings that a sequence shows pair by pair: what stands for a key can only be known once it was shown."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int

from probe.tasks.in_context import InContext
from probe.tasks.splits import check_seed, check_trained


@dataclass(frozen=True)
class InContextMapping(InContext):
    """Sequences ``k1 v1 k2 v2 .. kP``, each with a mapping from keys to values that no other sequence has.

    After every key its value is to be predicted. Keys are drawn anew at each place, so they recur; of one that was not
    shown yet nothing can be known, and of one that was, all: an ideal learner is right about it. Mappings are drawn
    from the ``n_values ** n_keys`` that there are, none twice, so that those of the sequences that are not trained on
    are new as a whole. (Single pairs are not: a model may know that key 3 often stands for value 5 if mappings that are
    trained on are few; ``ceiling`` is about a learner that knows no such thing.)

    Tokens are keys, 0 to n_keys - 1, then values.

    Args:
        n: sequences, at most half as many as there are mappings.
        n_keys, n_values: at least 2 each.
        pairs: in a sequence, at least 2.
        train_fraction: share of the sequences that is trained on, in (0, 1].
        seed: of all that is drawn.

    Raises:
        ValueError: a field is outside what is said above; the message names it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    n: int = 4096
    n_keys: int = 6
    n_values: int = 8
    pairs: int = 16
    train_fraction: float = 0.75
    seed: int = 0
    family: Literal["in_context_mapping"] = field(default="in_context_mapping", kw_only=True)

    def __post_init__(self) -> None:
        for name in ("n_keys", "n_values", "pairs"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}: got {getattr(self, name)}; expected 2 or more")
        most = self.n_values**self.n_keys // 2
        if not 1 <= self.n <= most:
            raise ValueError(
                f"n: got {self.n}; expected 1 to {most}, half of the mappings of {self.n_keys} keys to"
                f" {self.n_values} values"
            )
        if not 0 < self.train_fraction <= 1:
            raise ValueError(f"train_fraction: got {self.train_fraction}; expected a share above 0 and at most 1")
        check_seed(self.seed)
        check_trained(self.train_mask, self.train_fraction)

    @cached_property
    def mappings(self) -> Int[np.ndarray, "example key"]:
        """Which value each key stands for, 0 to n_values - 1; all rows differ."""
        drawn = np.random.default_rng((self.seed, 0))
        mappings = drawn.integers(self.n_values, size=(self.n, self.n_keys))
        while True:
            _, first = np.unique(mappings, axis=0, return_index=True)
            again = np.delete(np.arange(self.n), first)
            if not len(again):
                return mappings
            mappings[again] = drawn.integers(self.n_values, size=(len(again), self.n_keys))

    @cached_property
    def asked(self) -> Int[np.ndarray, "example place"]:
        return np.random.default_rng((self.seed, 1)).integers(self.n_keys, size=(self.n, self.pairs))

    @cached_property
    def told(self) -> Int[np.ndarray, "example place"]:
        return self.n_keys + np.take_along_axis(self.mappings, self.asked, axis=1)

    @cached_property
    def shown(self) -> Int[np.ndarray, "example place"]:
        """How often the key was shown before."""
        same = self.asked[:, :, None] == self.asked[:, None, :]
        return np.tril(same, -1).sum(2)

    def ceiling(self, shown: int) -> float:
        return 1.0 if shown else 1 / self.n_values

    @property
    def d_vocab(self) -> int:
        """Keys and values."""
        return self.n_keys + self.n_values

    @property
    def answer_tokens(self) -> Int[np.ndarray, " answer"]:
        """The values."""
        return np.arange(self.n_keys, self.d_vocab)

    @cached_property
    def train_mask(self) -> Bool[np.ndarray, " example"]:
        order = np.random.default_rng((self.seed, 2)).permutation(self.n)
        return order < round(self.train_fraction * self.n)

    @cached_property
    def exposures(self) -> Int[np.ndarray, " example"]:
        """Once per pass if trained on, else never."""
        return self.train_mask.astype(np.int64)

    @cached_property
    def subsets(self) -> dict[str, Bool[np.ndarray, " example"]]:
        """``train``; ``test``: mappings that are never shown; ``all``. An empty one is left out."""
        named = {"train": self.train_mask, "test": ~self.train_mask, "all": np.ones(self.n, dtype=bool)}
        return {name: mask for name, mask in named.items() if mask.any()}
