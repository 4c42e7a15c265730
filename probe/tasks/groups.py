"""Composition in a finite group: the task of Chughtai et al. 2023 (arXiv 2302.03025)."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int

from probe.algebra import CyclicForm, Group, GroupForm
from probe.algebra import group as group_by_name
from probe.tasks.splits import check_split, check_trained, drawn_by_orbit, scored_apart
from probe.tasks.task import Task, one_token_targets

GroupSplit = Literal["unordered", "ordered"]
SPLITS = ("unordered", "ordered")


@dataclass(frozen=True)
class GroupComposition(Task):
    """The product a * b of two elements, asked as the three tokens ``a b =`` and answered at ``=``.

    Examples are all pairs of elements, row-major in (a, b).

    Args:
        group: a name as ``probe.algebra.group`` takes it, such as ``"S5"``. Tokens 0..order-1 are its elements, token
            order is ``=``.
        train_fraction: share of the examples that is trained on, in (0, 1].
        split: which examples those are.
            ``"unordered"`` (default): (a, b) and (b, a) are on the same side where a and b commute, so that a test
            example is never answered by looking up its mirror. Where they do not commute the mirror has another answer,
            looking it up gives a wrong one, and each of the two is drawn by itself. So it matters most in an abelian
            group, and little in S5, where 7 of 120 pairs commute.
            ``"ordered"``: every ordered pair by itself.
        seed: of the split.

    Raises:
        ValueError: a field is outside what is said above; the message names it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    group: str
    train_fraction: float = 0.3
    split: GroupSplit = "unordered"
    seed: int = 0
    family: Literal["group"] = field(default="group", kw_only=True)

    def __post_init__(self) -> None:
        try:
            group_by_name(self.group)
        except ValueError as error:
            raise ValueError(str(error).replace("name:", "group:", 1)) from error
        check_split(self.split, SPLITS, self.train_fraction, self.seed)
        check_trained(self.train_mask, self.train_fraction)

    @property
    def _group(self) -> Group:
        # not kept: tasks are sent to workers, and the group is found again by its name
        return group_by_name(self.group)

    @property
    def d_vocab(self) -> int:
        """Elements and the ``=`` token."""
        return self._group.order + 1

    @property
    def answer_tokens(self) -> Int[np.ndarray, " answer"]:
        """Elements."""
        return np.arange(self._group.order)

    @cached_property
    def operands(self) -> Int[np.ndarray, "example 2"]:
        a, b = np.mgrid[0 : self._group.order, 0 : self._group.order]
        return np.stack([a.ravel(), b.ravel()], axis=1)

    @cached_property
    def tokens(self) -> Int[np.ndarray, "example position"]:
        equals = np.full((len(self.operands), 1), self._group.order)
        return np.concatenate([self.operands, equals], axis=1)

    @cached_property
    def answers(self) -> Int[np.ndarray, " example"]:
        a, b = self.operands.T
        return self._group.table[a, b]

    @cached_property
    def targets(self) -> Int[np.ndarray, "example position"]:
        return one_token_targets(self.tokens, self.answers)

    @cached_property
    def train_mask(self) -> Bool[np.ndarray, " example"]:
        example = np.arange(len(self.operands))
        if self.split == "ordered":
            drawn = np.random.default_rng(self.seed).permutation(len(example))
            return np.isin(example, drawn[: int(self.train_fraction * len(example))])
        a, b = self.operands.T
        mirror = b * self._group.order + a
        first_of_orbit = np.where(self._commuting, np.minimum(example, mirror), example)
        _, orbit = np.unique(first_of_orbit, return_inverse=True)
        return drawn_by_orbit(orbit, self.train_fraction, self.seed)

    @property
    def _commuting(self) -> Bool[np.ndarray, " example"]:
        """Whether a * b = b * a."""
        return (self._group.table == self._group.table.T).ravel()

    @cached_property
    def exposures(self) -> Int[np.ndarray, " example"]:
        """How often each example is shown per pass over the training data: once if trained on, else never."""
        return self.train_mask.astype(np.int64)

    @cached_property
    def subsets(self) -> dict[str, Bool[np.ndarray, " example"]]:
        """Sets of examples that are scored apart; an empty one is left out.

        ``test_nonmirror`` leaves out test examples whose mirror (b, a) was trained on and has the same answer: with an
        ordered split a model that only memorizes answers those by lookup.
        """
        a, b = self.operands.T
        mirror_trained = self.train_mask[b * self._group.order + a]
        return scored_apart(self.train_mask, mirror_trained & self._commuting)

    @cached_property
    def cyclic_form(self) -> CyclicForm | None:
        """The product as an addition in Z_n, by powers of the first element of order n; None if there is none.

        So it is there for C_n, and for groups that are cyclic by another name, such as C2xC3 and A3.
        """
        n = self._group.order
        whole = np.flatnonzero(self._group.element_orders == n)
        if not len(whole):
            return None
        powers = np.full(n, self._group.identity)
        for i in range(1, n):
            powers[i] = self._group.table[powers[i - 1], whole[0]]
        return CyclicForm(n, powers, powers, powers)

    @property
    def group_form(self) -> GroupForm:
        """The product itself: tokens are elements."""
        t = np.arange(self._group.order)
        return GroupForm(self._group, t, t, t)
