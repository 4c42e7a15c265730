"""The real irreps of any group, from its Cayley table alone.

1. The group acts on functions on itself: (L_g f)(x) = f(g^-1 x). This contains every real irrep.
2. Convolution with any function w, (W f)(x) = sum_y w(x^-1 y) f(y), commutes with the action, and all that commutes
   is of this form. With w random and w(x) = w(x^-1) it is symmetric, and its eigenspaces are one copy each of an irrep.
3. With w a random class function its traces tell which are copies of the same irrep; the first of them is taken, with
   an orthonormal basis B [order, dim].
4. With w random and w(x) = -w(x^-1), what it does within a copy is an imaginary unit of the complex numbers or the
   quaternions; B is chosen so that the matrices consist of their blocks.
5. The matrix of a generator s is B^T L_s B. All others are products of these.

Nothing has to be refined: the error of an eigenspace enters products of the matrices squared, and their blocks only as
far as it is towards other copies of the same irrep, of which there are at most dim, far apart. After Dixon 1970, Math.
Comp. 24, 707 (there for complex irreps).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from probe.algebra.irreps import Irrep
from probe.algebra.verification import check_irreps

if TYPE_CHECKING:
    from probe.algebra.groups import Group


class _Copy(NamedTuple):
    """One irrep within the functions on the group."""

    vectors: Float[np.ndarray, "order dim"]
    character: Float[np.ndarray, " class"]
    endomorphism_dim: int


def decomposed(group: Group) -> list[Irrep]:
    """The real irreps of a group, computed with a fixed seed and checked.

    ``"trivial"`` is the first. The others come by dimension, then by character (first the one that is larger at the
    first element where they differ), and are named by dimension, with a letter where several have the same: ``"3a"``,
    ``"3b"``, ``"4"``.
    """
    rng = np.random.default_rng(0)
    copies = sorted(_copies(group, rng), key=lambda copy: _rank(group, copy))
    adapted = _adapted(group, copies, rng)
    matrices = _matrices(group, adapted)
    names = _names([vectors.shape[1] for vectors in adapted])
    irreps = [Irrep(name, each) for name, each in zip(names, matrices, strict=True)]
    check_irreps(group, irreps)
    return irreps


def _copies(group: Group, rng: np.random.Generator) -> list[_Copy]:
    """One copy of each irrep, in no particular order."""
    sizes = np.bincount(group.class_of)
    for _ in range(3):
        weights = rng.standard_normal(group.order)
        eigenvalues, vectors = np.linalg.eigh(_convolution(group, weights + weights[group.inverse]))
        starts = _first_of_equals(eigenvalues)
        spaces = np.split(vectors, starts[1:], axis=1)
        central = _convolution(group, rng.standard_normal(len(sizes))[group.class_of])
        marks = np.array([np.vdot(space, central @ space) for space in spaces])
        by_mark = np.argsort(marks)
        found = []
        for same in np.split(by_mark, _first_of_equals(marks[by_mark])[1:]):
            space = spaces[same.min()]
            # The projection P on a copy commutes with the action, so P[x, y] = P[e, x^-1 y], and its character,
            # trace(P L_g), is the sum of P[e, .] over the conjugates y^-1 g y.
            at_identity = space @ space[group.identity]
            character = group.order * np.bincount(group.class_of, at_identity) / sizes
            c = round(float(character**2 @ sizes) / group.order)
            # each irrep is there dim / c times; otherwise two eigenvalues, or marks, were equal by chance
            if c not in (1, 2, 4) or len(same) * c != space.shape[1]:
                break
            found.append(_Copy(space, character, c))
        else:
            return found
    raise ArithmeticError(f"{group.name}: its irreps could not be told apart numerically")


def _first_of_equals(ascending: Float[np.ndarray, " n"]) -> np.ndarray:
    """Where a new value begins; values are equal if they differ by rounding."""
    # seen in groups of order 1024: rounding 1e-15 of the range, the nearest of different values 1e-8 apart
    return np.flatnonzero(np.diff(ascending, prepend=-np.inf) > 1e-12 * max(np.ptp(ascending), 1.0))


def _convolution(group: Group, weights: Float[np.ndarray, " order"]) -> Float[np.ndarray, "order order"]:
    """w(x^-1 y) at row x and column y."""
    return weights[group.table[group.inverse]]


def _rank(group: Group, copy: _Copy) -> tuple[float, ...]:
    """Sorts irreps by dimension, then by character; the largest character of dimension 1 is the trivial one's."""
    return (copy.vectors.shape[1], *np.round(-copy.character[group.class_of], 6))


def _adapted(group: Group, copies: list[_Copy], rng: np.random.Generator) -> list[Float[np.ndarray, "order dim"]]:
    """Orthonormal bases of the copies, in the order v, i v, (j v, k v) for imaginary units i, j, k = i j.

    They are projections of random functions, so that they do not depend on which basis of an eigenspace was found.
    """
    widest = max(copy.vectors.shape[1] for copy in copies)
    draws = rng.standard_normal((group.order, widest))
    weights = rng.standard_normal((2, group.order))
    antisymmetric = [_convolution(group, each - each[group.inverse]) for each in weights]
    bases = []
    for vectors, _, c in copies:
        dim = vectors.shape[1]
        units = [np.eye(dim)]
        if c > 1:
            units.append(_normalized(vectors.T @ antisymmetric[0] @ vectors))
        if c == 4:
            i, other = units[1], vectors.T @ antisymmetric[1] @ vectors
            j = _normalized(other - np.sum(other * i) / np.sum(i * i) * i)
            units += [j, i @ j]
        projected = vectors.T @ draws[:, : dim // c]
        blocks = np.stack([unit @ projected for unit in units], axis=2).reshape(dim, dim)  # v, i v, ..., w, i w, ...
        # the nearest orthogonal matrix of one that consists of such blocks does so too
        bases.append(vectors @ _orthogonal(blocks))
    return bases


def _normalized(antisymmetric: Float[np.ndarray, "dim dim"]) -> Float[np.ndarray, "dim dim"]:
    """A multiple of an imaginary unit, as the unit: an orthogonal matrix whose square is -1."""
    return antisymmetric * (len(antisymmetric) ** 0.5 / np.linalg.norm(antisymmetric))


def _matrices(group: Group, bases: list[Float[np.ndarray, "order dim"]]) -> list[Float[np.ndarray, "order dim dim"]]:
    """The irreps in these bases. Those of one dimension are multiplied out together."""
    of_dim = defaultdict(list)
    for at, basis in enumerate(bases):
        of_dim[basis.shape[1]].append(at)
    moved = group.table[group.inverse[list(group.generators)]]  # [s, x] = s^-1 x
    found: dict[int, np.ndarray] = {}
    for alike in of_dim.values():
        stacked = np.stack([bases[at] for at in alike])
        images = np.einsum("kxi, ksxj -> skij", stacked, stacked[:, moved], optimize=True)
        matrices = group.products(_orthogonal(images))
        found |= {at: matrices[:, k].copy() for k, at in enumerate(alike)}
    return [found[at] for at in range(len(bases))]


def _orthogonal(matrices: Float[np.ndarray, "*batch dim dim"]) -> Float[np.ndarray, "*batch dim dim"]:
    """The nearest orthogonal matrices."""
    left, _, right = np.linalg.svd(matrices)
    return left @ right


def _names(dims: list[int]) -> list[str]:
    """``"trivial"`` and then dimensions, with letters where there are several of one."""
    others = dims[1:]
    names, seen = ["trivial"], dict.fromkeys(others, 0)
    for dim in others:
        seen[dim] += 1
        names.append(f"{dim}{_letters(seen[dim])}" if others.count(dim) > 1 else str(dim))
    return names


def _letters(number: int) -> str:
    """1, 2, ... as a, b, ..., z, aa, ab, ..."""
    quotient, remainder = divmod(number - 1, 26)
    return (_letters(quotient) if quotient else "") + chr(ord("a") + remainder)
