"""Groups by name: cyclic, dihedral, symmetric, alternating, and their products."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache, reduce
from itertools import permutations, product

import numpy as np

from probe.algebra.groups import MAX_ORDER, Group
from probe.algebra.irreps import cyclic_irreps, dihedral_irreps
from probe.algebra.symmetric import symmetric_irreps


def group(name: str) -> Group:
    """The group of this name; element 0 is the identity, and the same object is given for the same name.

    ``"C113"``: cyclic, t is t times the generator.
    ``"D59"``: dihedral, the symmetries of the 59-gon, of order 118: r^t at t, r^t s at 59 + t; s r = r^-1 s.
    ``"S5"``, ``"A5"``: symmetric and alternating, (even) permutations of 0..4 in lexicographic order of their images.
    In a product the right one acts first: (a * b)(x) = a(b(x)).
    ``"C2xC4"``, ``"S3xC2xC2"``: products, row by row: the last factor runs fastest.

    Raises:
        ValueError: there is no such name, or its order is above ``MAX_ORDER``.
    """
    if not isinstance(name, str):
        raise ValueError(f"name: got {name!r}; expected {_NAMES}")
    return _named(name)


_NAMES = (
    "a name such as C113 (cyclic), D59 (dihedral, of order 118), S5 (symmetric), A5 (alternating), or a product such "
    f"as C2xC4; C, D and S from 2, A from 3, of an order of at most {MAX_ORDER}"
)
_OTHER_SPELLINGS = str.maketrans({"\u00d7": "x", "*": "x", "X": "x", "Z": "C", "_": None, " ": None})
_FACTOR = re.compile(r"([CDSA])([1-9][0-9]{0,3})", re.ASCII)
_SMALLEST = {"C": 2, "D": 2, "S": 2, "A": 3}
_ORDER: dict[str, Callable[[int], int]] = {
    "C": lambda n: n,
    "D": lambda n: 2 * n,
    "S": math.factorial,
    "A": lambda n: math.factorial(n) // 2,
}


@lru_cache(maxsize=64)
def _named(name: str) -> Group:
    factors = _factors(name)
    if factors is None:
        respelled = name.upper().translate(_OTHER_SPELLINGS)
        hint = f" (did you mean {respelled!r}?)" if _factors(respelled) else ""
        raise ValueError(f"name: got {name!r}; expected {_NAMES}{hint}")
    if math.prod(_ORDER[family](n) for family, n in factors) > MAX_ORDER:
        raise ValueError(f"name: got {name!r}, whose order is above {MAX_ORDER}; expected {_NAMES}")
    groups = [_FAMILY[family](n) for family, n in factors]
    return groups[0] if len(groups) == 1 else _product(name, groups)


def _factors(name: str) -> list[tuple[str, int]] | None:
    """Family and number of each factor; None if it is no name."""
    found = [_FACTOR.fullmatch(factor) for factor in name.split("x")]
    factors = [(each[1], int(each[2])) for each in found if each]
    if len(factors) < len(found) or any(n < _SMALLEST[family] for family, n in factors):
        return None
    return factors


def _cyclic(n: int) -> Group:
    t = np.arange(n)
    return Group(f"C{n}", (t[:, None] + t) % n, tuple(map(str, t)), cyclic_irreps)


def _dihedral(n: int) -> Group:
    """r^a s^x r^b s^y = r^(a + b) s^y, or r^(a - b) s^(1 + y) if x = 1."""
    t, mirrored = np.tile(np.arange(n), 2), np.repeat([0, 1], n)
    turned = (t[:, None] + np.where(mirrored, -1, 1)[:, None] * t) % n
    rotations = ["e", "r", *(f"r{k}" for k in range(2, n))]
    reflections = ["s", *(f"{rotation} s" for rotation in rotations[1:])]
    table = turned + n * (mirrored[:, None] ^ mirrored)
    return Group(f"D{n}", table, (*rotations, *reflections), dihedral_irreps)


def _symmetric(n: int) -> Group:
    return Group(f"S{n}", *_permutations(np.array(list(permutations(range(n))))), symmetric_irreps)


def _alternating(n: int) -> Group:
    images = np.array(list(permutations(range(n))))
    before, after = np.triu_indices(n, 1)
    inversions = (images[:, before] > images[:, after]).sum(axis=1)
    return Group(f"A{n}", *_permutations(images[inversions % 2 == 0]))


def _permutations(images: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Table and labels of permutations [order, n] that are in lexicographic order."""
    n = images.shape[1]
    place_values = n ** np.arange(n - 1, -1, -1)
    composed = images[:, images]  # [a, b, x] = a(b(x))
    table = np.searchsorted(images @ place_values, composed @ place_values)
    return table, tuple(_cycles(each) for each in images.tolist())


def _cycles(image: list[int]) -> str:
    """As a product of cycles: (0 1 2) takes 0 to 1, 1 to 2 and 2 to 0."""
    seen: set[int] = set()
    text = ""
    for start in range(len(image)):
        cycle, at = [], start
        while at not in seen:
            seen.add(at)
            cycle.append(at)
            at = image[at]
        if len(cycle) > 1:
            text += f"({' '.join(map(str, cycle))})"
    return text or "()"


def _product(name: str, groups: list[Group]) -> Group:
    labels = product(*(each.elements for each in groups))
    table = reduce(_product_table, (each.table for each in groups))
    return Group(name, table, tuple(f"({', '.join(label)})" for label in labels))


def _product_table(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    m, n = len(first), len(second)
    return (first[:, None, :, None] * n + second[None, :, None, :]).reshape(m * n, m * n)


_FAMILY: dict[str, Callable[[int], Group]] = {
    "C": _cyclic,
    "D": _dihedral,
    "S": _symmetric,
    "A": _alternating,
}
