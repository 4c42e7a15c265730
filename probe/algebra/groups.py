"""A finite group by its Cayley table, and what follows from the table alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from probe.algebra.decomposition import decomposed
from probe.algebra.irreps import Irrep

MAX_ORDER = 1024
"""Largest order of a group. Tables, irreps and their bases take order^2 numbers each (8 MB at the limit), the numerical
decomposition order^3 steps (seconds), and the cube of logits that a model of the group has order^3 numbers (8 GB)."""


class Step(NamedTuple):
    """``targets[i] == prefixes[i] * generator``, the generator given by its position among the generators."""

    targets: Int[np.ndarray, " n"]
    prefixes: Int[np.ndarray, " n"]
    generator: int


@dataclass(frozen=True, eq=False)
class Group:
    """A finite group. Elements are numbers 0..order-1; the arrays are shared and cannot be written to.

    ``probe.algebra.group`` makes one by name, ``probe.algebra.group_from_table`` from any Cayley table.

    Attributes:
        table: ``table[a, b]`` is the product a * b. In groups made by name element 0 is the identity; in any group
            ``identity`` says which it is.
        elements: labels for pictures, such as ``"(0 1 2)"``, ``"r3 s"``, ``"5"``.
        closed_form: makes the irreps where formulas for them are known; otherwise they are found numerically.
    """

    name: str
    table: Int[np.ndarray, "order order"] = field(repr=False)
    elements: tuple[str, ...] = field(repr=False)
    closed_form: Callable[[Group], Iterable[Irrep]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.table.setflags(write=False)

    @property
    def order(self) -> int:
        """How many elements there are."""
        return len(self.table)

    @cached_property
    def identity(self) -> int:
        """The element e with e * a = a."""
        return int(np.flatnonzero(self.table[:, 0] == 0)[0])

    @cached_property
    def inverse(self) -> Int[np.ndarray, " order"]:
        """``table[a, inverse[a]]`` is the identity."""
        return _read_only(np.argmax(self.table == self.identity, axis=1))

    @cached_property
    def is_abelian(self) -> bool:
        """Whether a * b = b * a for all a, b."""
        return bool((self.table == self.table.T).all())

    @cached_property
    def element_orders(self) -> Int[np.ndarray, " order"]:
        """The smallest m > 0 for which a^m is the identity."""
        t = np.arange(self.order)
        orders, power = np.zeros_like(t), np.full_like(t, self.identity)
        for m in range(1, self.order + 1):
            power = self.table[power, t]
            orders[(power == self.identity) & (orders == 0)] = m
        return _read_only(orders)

    @cached_property
    def class_of(self) -> Int[np.ndarray, " order"]:
        """Which conjugacy class an element is in: an index into ``conjugacy_classes``."""
        t = np.arange(self.order)
        conjugates = self.table[self.table, self.inverse[:, None]]  # [h, g] = h g h^-1
        return _read_only(np.unique(conjugates.min(axis=0), return_inverse=True)[1].reshape(t.shape))

    @cached_property
    def conjugacy_classes(self) -> tuple[tuple[int, ...], ...]:
        """Elements that are conjugate to each other, ascending; classes by their smallest element."""
        n_classes = int(self.class_of.max()) + 1
        return tuple(tuple(np.flatnonzero(self.class_of == c).tolist()) for c in range(n_classes))

    @cached_property
    def generators(self) -> tuple[int, ...]:
        """Elements of which all others are products.

        Each is the first element that those before it do not generate: 1 in C_n; r and s in D_n; in S_n the
        transpositions of neighbours, last ones first.
        """
        return self._words[0]

    @cached_property
    def irreps(self) -> Mapping[str, Irrep]:
        """The real irreducible representations by name, each equivalence class once; found at the first look.

        ``cyclic_irreps`` (C_n), ``dihedral_irreps`` (D_n), ``symmetric_irreps`` (S_n) and ``decomposed`` (all others)
        say what they are called and in which order they come.
        """
        irreps = decomposed(self) if self.closed_form is None else self.closed_form(self)
        return {irrep.name: irrep for irrep in irreps}

    def products(self, images: Float[np.ndarray, "generator *batch d d"]) -> Float[np.ndarray, "order *batch d d"]:
        """The matrices of all elements of a representation, given those of ``generators``."""
        matrices = np.empty((self.order, *images.shape[1:]))
        matrices[self.identity] = np.eye(images.shape[-1])
        for step in self._words[1]:
            matrices[step.targets] = matrices[step.prefixes] @ images[step.generator]
        return matrices

    @cached_property
    def _words(self) -> tuple[tuple[int, ...], list[Step]]:
        return _generators_and_words(self.table, self.identity)


@dataclass(frozen=True, eq=False)
class GroupForm:
    """An operation on tokens as the product of a group: ``operation(a[i], b[j]) == c[group.table[i, j]]``.

    ``a``, ``b`` and ``c`` list the tokens of the elements as first operand, second operand and answer.
    """

    group: Group
    a: Int[np.ndarray, " order"]
    b: Int[np.ndarray, " order"]
    c: Int[np.ndarray, " order"]


def group_from_table(table: Any, name: str) -> Group:
    """The group with this Cayley table: ``table[a, b]`` is the product a * b of elements 0..order-1.

    Elements keep their numbers, which are also their labels, so the identity is where the table has it
    (``Group.identity``). That it is a group is checked exactly: rows and columns are permutations, there is an
    identity, products are associative.

    Raises:
        ValueError: the table is no group's, or has more than ``MAX_ORDER`` elements.
    """
    try:
        array = np.asarray(table)
    except ValueError as error:
        raise ValueError(f"table: rows of different lengths given, expected [order, order] ({error})") from error
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
        raise ValueError(f"table: shape {array.shape} given, expected [order, order]")
    order = len(array)
    if order > MAX_ORDER:
        raise ValueError(f"table: {order} elements given, expected at most {MAX_ORDER}")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"table: entries of type {array.dtype} given, expected whole numbers")
    array = array.astype(np.int64)
    t = np.arange(order)
    for axis, line in ((1, "row"), (0, "column")):
        wrong = (np.sort(array, axis=axis) != np.expand_dims(t, 1 - axis)).any(axis=axis)
        if wrong.any():
            raise ValueError(
                f"table: {line} {np.argmax(wrong)} is not a permutation of 0..{order - 1}, as a group's is"
            )
    identities = np.flatnonzero((array == t).all(axis=1) & (array == t[:, None]).all(axis=0))
    if not len(identities):
        raise ValueError("table: no element e has e * a = a * e = a for all a, as a group's identity has")
    # Those s for which (x s) y = x (s y) for all x, y are closed under products (Light's test), so generators suffice.
    for s in _generators_and_words(array, int(identities[0]))[0]:
        differs = array[array[:, s]] != array[:, array[s]]
        if differs.any():
            x, y = np.argwhere(differs)[0]
            raise ValueError(f"table: not associative: ({x} * {s}) * {y} is not {x} * ({s} * {y})")
    return Group(name, array, tuple(map(str, t)))


def _generators_and_words(table: Int[np.ndarray, "order order"], identity: int) -> tuple[tuple[int, ...], list[Step]]:
    """``Group.generators``, and how each element but the identity is a shorter product of them times one of them."""
    generators: list[int] = []
    known, steps = _words_in(table, identity, generators)
    while not known.all():
        generators.append(int(np.argmin(known)))
        known, steps = _words_in(table, identity, generators)
    return tuple(generators), steps


def _words_in(
    table: Int[np.ndarray, "order order"], identity: int, generators: list[int]
) -> tuple[Bool[np.ndarray, " order"], list[Step]]:
    """The elements that are products of the generators, shortest products first."""
    known = np.arange(len(table)) == identity
    steps: list[Step] = []
    last = np.array([identity])
    while len(last):
        found = []
        for position, generator in enumerate(generators):
            targets = table[last, generator]
            new = ~known[targets]
            known[targets] = True
            steps.append(Step(targets[new], last[new], position))
            found.append(targets[new])
        last = np.concatenate(found) if found else last[:0]
    return known, steps


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
