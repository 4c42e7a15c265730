"""Irreps of the symmetric groups by Young's orthogonal form.

Source: James and Kerber, The Representation Theory of the Symmetric Group (1981), chapter 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from probe.algebra.irreps import Irrep

if TYPE_CHECKING:
    from probe.algebra.groups import Group

Tableau = tuple[int, ...]
"""A standard Young tableau by the row that each of 0..n-1 is in."""


def symmetric_irreps(group: Group) -> list[Irrep]:
    """S_n by partition, from [n] down to [1, ..., 1] in reverse lexicographic order, all of real kind.

    [n] is named ``"trivial"``, [1, ..., 1] ``"sign"`` and [n-1, 1] ``"standard"`` (in this precedence); the others by
    their partition: ``"[3,2]"``, ``"[3,1,1]"``, ...
    """
    n = int(group.name[1:])
    # Elements are in lexicographic order: the first that moves more than the last k points exchanges the point before
    # them with the first of them. So the group's generators are (n-2 n-1), (n-3 n-2), ..., (0 1).
    neighbours = range(n - 2, -1, -1)
    irreps = []
    for partition in partitions(n):
        tableaux = list(standard_tableaux(partition))
        images = np.stack([transposition(tableaux, i) for i in neighbours])
        irreps.append(Irrep(_name(partition), group.products(images)))
    return irreps


def partitions(n: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    """All partitions of n in reverse lexicographic order, with no part above ``largest``."""
    if n == 0:
        yield ()
    for first in range(min(n, n if largest is None else largest), 0, -1):
        for rest in partitions(n - first, first):
            yield (first, *rest)


def standard_tableaux(partition: tuple[int, ...]) -> Iterator[Tableau]:
    """All fillings of the partition's rows with 0..n-1 in which rows and columns ascend."""
    if not any(partition):
        yield ()
    for row, length in enumerate(partition):
        # the last number stands at the end of a row, with nothing below it
        if length > (partition[row + 1] if row + 1 < len(partition) else 0):
            smaller = (*partition[:row], length - 1, *partition[row + 1 :])
            for tableau in standard_tableaux(smaller):
                yield (*tableau, row)


def transposition(tableaux: list[Tableau], i: int) -> Float[np.ndarray, "dim dim"]:
    """The matrix of (i i+1), with respect to all standard tableaux of a partition.

    With the axial distance r = content(i+1) - content(i), content = column - row, a tableau goes to 1/r of itself and
    sqrt(1 - 1/r^2) of the tableau with i and i+1 exchanged.
    """
    matrix = np.zeros((len(tableaux), len(tableaux)))
    position = {tableau: at for at, tableau in enumerate(tableaux)}
    for tableau, at in position.items():
        r = _content(tableau, i + 1) - _content(tableau, i)
        matrix[at, at] = 1 / r
        if abs(r) > 1:  # otherwise they stand side by side, and exchanged they would not ascend
            exchanged = (*tableau[:i], tableau[i + 1], tableau[i], *tableau[i + 2 :])
            matrix[position[exchanged], at] = (1 - 1 / r**2) ** 0.5
    return matrix


def _content(tableau: Tableau, number: int) -> int:
    row = tableau[number]
    return tableau[:number].count(row) - row


def _name(partition: tuple[int, ...]) -> str:
    if len(partition) == 1:
        return "trivial"
    if partition[0] == 1:
        return "sign"
    if partition[1:] == (1,):
        return "standard"
    return f"[{','.join(map(str, partition))}]"
