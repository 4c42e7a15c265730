"""Arithmetic modulo p: the task on which grokking was found (Power et al. 2022, arXiv 2201.02177)."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int

from probe.algebra import MAX_ORDER, GroupForm, cyclic, group
from probe.tasks.splits import check_split, check_trained, drawn_by_orbit, scored_apart
from probe.tasks.task import Task, one_token_targets

Operation = Literal["a+b", "a-b", "a*b", "a/b", "a^2+b^2", "a^2+ab+b^2", "a^3+ab"]
Split = Literal["unordered", "ordered", "ordered-python", "ordered-torch"]

_VALUE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "a+b": lambda a, b: a + b,
    "a-b": lambda a, b: a - b,
    "a*b": lambda a, b: a * b,
    "a^2+b^2": lambda a, b: a**2 + b**2,
    "a^2+ab+b^2": lambda a, b: a**2 + a * b + b**2,
    "a^3+ab": lambda a, b: a**3 + a * b,
}
OPERATIONS = ("a+b", "a-b", "a*b", "a/b", "a^2+b^2", "a^2+ab+b^2", "a^3+ab")
SPLITS = ("unordered", "ordered", "ordered-python", "ordered-torch")


@dataclass(frozen=True)
class ModularArithmetic(Task):
    """``a operation b`` mod p, asked as the three tokens ``a b =`` and answered at ``=``.

    Examples are all pairs of operands for which the operation is defined, row-major in (a, b).

    Args:
        p: modulus, at least 2. Tokens 0..p-1 are the residues, token p is ``=``.
        operation: one of ``OPERATIONS``. ``a/b`` needs a prime p and leaves b = 0 out.
        train_fraction: share of the examples that is trained on, in (0, 1].
        split: which examples those are.
            ``"unordered"`` (default): (a, b) and its mirror (b, a) are on the same side, so a test example is never
            answered by looking up its mirror. ``"ordered"``: every ordered pair by itself.
            ``"ordered-python"`` and ``"ordered-torch"`` are the ordered splits of published runs, pair by pair:
            ``random.seed(seed); random.shuffle(pairs)`` (Nanda et al. 2023) and ``torch.manual_seed(seed);
            torch.randperm(p * p)`` (Chughtai et al. 2023).
        seed: of the split.

    Raises:
        ValueError: a field is outside what is said above; the message names it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    p: int
    operation: Operation = "a+b"
    train_fraction: float = 0.3
    split: Split = "unordered"
    seed: int = 0
    family: Literal["modular"] = field(default="modular", kw_only=True)

    def __post_init__(self) -> None:
        if self.p < 2:
            raise ValueError(f"p: got {self.p}; expected a modulus of at least 2")
        if self.operation not in OPERATIONS:
            raise ValueError(f"operation: got {self.operation!r}; expected one of {', '.join(OPERATIONS)}")
        check_split(self.split, SPLITS, self.train_fraction, self.seed)
        if self.operation == "a/b" and not _is_prime(self.p):
            raise ValueError(
                f"operation: a/b is not defined modulo p = {self.p}, which is not prime (some b have no inverse);"
                f" the nearest prime is {_nearest_prime(self.p)}"
            )
        if self.split.startswith("ordered-") and self.operation == "a/b":
            raise ValueError(f"split: {self.split!r} shuffles all p * p pairs, and a/b leaves b = 0 out; use 'ordered'")
        check_trained(self.train_mask, self.train_fraction)

    @property
    def d_vocab(self) -> int:
        """Residues and the ``=`` token."""
        return self.p + 1

    @property
    def answer_tokens(self) -> Int[np.ndarray, " answer"]:
        """Residues."""
        return np.arange(self.p)

    @cached_property
    def operands(self) -> Int[np.ndarray, "example 2"]:
        first_b = 1 if self.operation == "a/b" else 0
        a, b = np.mgrid[0 : self.p, first_b : self.p]
        return np.stack([a.ravel(), b.ravel()], axis=1)

    @cached_property
    def tokens(self) -> Int[np.ndarray, "example position"]:
        equals = np.full((len(self.operands), 1), self.p)
        return np.concatenate([self.operands, equals], axis=1)

    @cached_property
    def answers(self) -> Int[np.ndarray, " example"]:
        a, b = self.operands.T
        if self.operation == "a/b":
            inverse = np.array([0] + [pow(t, -1, self.p) for t in range(1, self.p)])
            return a * inverse[b] % self.p
        return _VALUE[self.operation](a, b) % self.p

    @cached_property
    def targets(self) -> Int[np.ndarray, "example position"]:
        return one_token_targets(self.tokens, self.answers)

    @cached_property
    def train_mask(self) -> Bool[np.ndarray, " example"]:
        n = len(self.operands)
        if self.split == "unordered":
            low, high = np.sort(self.operands, axis=1).T
            _, orbit = np.unique(low * self.p + high, return_inverse=True)
            return drawn_by_orbit(orbit, self.train_fraction, self.seed)
        mask = np.zeros(n, dtype=bool)
        n_train = int(self.train_fraction * n)
        mask[self._shuffled(n)[:n_train]] = True
        return mask

    def _shuffled(self, n: int) -> Int[np.ndarray, " example"]:
        if self.split == "ordered-python":
            indices = list(range(n))
            random.Random(self.seed).shuffle(indices)
            return np.array(indices)
        if self.split == "ordered-torch":
            import torch

            return torch.randperm(n, generator=torch.Generator().manual_seed(self.seed)).numpy()
        return np.random.default_rng(self.seed).permutation(n)

    @cached_property
    def exposures(self) -> Int[np.ndarray, " example"]:
        """How often each example is shown per pass over the training data: once if trained on, else never."""
        return self.train_mask.astype(np.int64)

    @cached_property
    def subsets(self) -> dict[str, Bool[np.ndarray, " example"]]:
        """Sets of examples that are scored apart; an empty one is left out.

        ``test_nonmirror`` leaves out test examples whose mirror (b, a) was trained on: with an ordered split a model
        that only memorizes answers those by lookup.
        """
        grid = np.zeros((self.p, self.p), dtype=bool)
        a, b = self.operands.T
        grid[a, b] = self.train_mask
        return scored_apart(self.train_mask, grid[b, a])

    @cached_property
    def cyclic_form(self) -> cyclic.CyclicForm | None:
        """The operation as an addition in Z_n, or None where it is none: polynomials, products modulo a composite.

        Nor is it one where the group is trivial: products modulo 2.
        """
        if self.operation == "a+b":
            return cyclic.addition(self.p)
        if self.operation == "a-b":
            return cyclic.subtraction(self.p)
        if self.operation == "a*b" and self.p > 2 and _is_prime(self.p):
            return cyclic.multiplication(self.p)
        if self.operation == "a/b" and self.p > 2:
            return cyclic.division(self.p)
        return None

    @property
    def group_form(self) -> GroupForm | None:
        """The same as the product of the group C_n; None also where n is above ``probe.algebra.MAX_ORDER``."""
        form = self.cyclic_form
        if form is None or form.order > MAX_ORDER:
            return None
        return GroupForm(group(f"C{form.order}"), form.a, form.b, form.c)


def _is_prime(n: int) -> bool:
    from sympy import isprime

    return bool(isprime(n))


def _nearest_prime(n: int) -> int:
    from sympy import nextprime, prevprime

    below = int(prevprime(n)) if n > 2 else 2
    above = int(nextprime(n))
    return below if n - below <= above - n else above
