"""Real irreducible representations, and those of cyclic and dihedral groups by formula.

A real irrep is an orthogonal matrix per element with no invariant subspace. What commutes with all its matrices is the
real numbers, the complex numbers or the quaternions: its kind, of dimension c = 1, 2, 4, which is also <chi, chi>, the
mean square of its character chi. Source: Serre, Linear Representations of Finite Groups, sections 2 and 13.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from probe.algebra.groups import Group

Kind = Literal["real", "complex", "quaternionic"]
_KINDS: dict[int, Kind] = {1: "real", 2: "complex", 4: "quaternionic"}


@dataclass(frozen=True, eq=False)
class Irrep:
    """A real irreducible representation of a group.

    Attributes:
        matrices: one orthogonal matrix per element, ``matrices[a] @ matrices[b] == matrices[table[a, b]]``. Those of a
            complex or quaternionic irrep consist of 2 x 2 or 4 x 4 blocks, each the map x -> x q of complex numbers or
            quaternions for some q, so that every c-th column says all that the matrix says.
    """

    name: str
    matrices: Float[np.ndarray, "order dim dim"] = field(repr=False)

    def __post_init__(self) -> None:
        self.matrices.setflags(write=False)

    @property
    def dim(self) -> int:
        """Of the space that it acts on, as a real one."""
        return self.matrices.shape[-1]

    @cached_property
    def character(self) -> Float[np.ndarray, " order"]:
        """Trace of each matrix."""
        character = np.trace(self.matrices, axis1=1, axis2=2)
        character.setflags(write=False)
        return character

    @property
    def endomorphism_dim(self) -> int:
        """c: 1, 2 or 4, the dimension of what commutes with it, <chi, chi>."""
        return round(float(np.mean(self.character**2)))

    @property
    def kind(self) -> Kind:
        """What commutes with it: the real numbers, the complex numbers or the quaternions."""
        return _KINDS[self.endomorphism_dim]

    @property
    def rank(self) -> int:
        """Dimension of the span of its matrix elements as functions on the group: dim^2 / c."""
        return self.dim**2 // self.endomorphism_dim

    @property
    def faithful(self) -> bool:
        """Whether only the identity has the identity matrix."""
        # an orthogonal matrix of finite order m that is not the identity has a trace of at most dim - 1 + cos(2 pi / m)
        return int(np.sum(self.character > self.dim - 1e-8)) == 1

    @cached_property
    def basis(self) -> Float[np.ndarray, "rank order"]:
        """Orthonormal functions on the group that span its matrix elements.

        The bases of all irreps of a group together are an orthonormal basis of all functions (Peter-Weyl). The
        projection onto one of them, ``basis.T @ basis``, is convolution with dim / c * chi / order.
        """
        columns = self.matrices[:, :, :: self.endomorphism_dim].reshape(len(self.matrices), -1)
        basis = np.ascontiguousarray(columns.T) * (self.dim / len(self.matrices)) ** 0.5
        basis.setflags(write=False)
        return basis


def cyclic_irreps(group: Group) -> list[Irrep]:
    """C_n, by frequency: ``"trivial"``, then ``"k=1"``, ... up to n // 2: element t turns the plane by 2 pi k t / n.

    For even n the last, ``"k=n/2"`` with the number written out, has dimension 1: (-1)^t.
    """
    n = group.order
    turns = _rotations(n)
    irreps = [Irrep("trivial", np.ones((n, 1, 1)))]
    irreps += [Irrep(f"k={k}", turns[k * np.arange(n) % n]) for k in range(1, (n + 1) // 2)]
    if n % 2 == 0:
        irreps.append(Irrep(f"k={n // 2}", _signs(np.arange(n))))
    return irreps


def dihedral_irreps(group: Group) -> list[Irrep]:
    """D_n of elements r^t (numbers 0..n-1) and r^t s (n..2n-1): those of dimension 1, then ``"k=1"``, ...

    ``"trivial"``; ``"sign"`` (reflections to -1); for even n ``"k=n/2+"`` and ``"k=n/2-"``, with the number written
    out, in which r is -1 and s is +1 or -1; and ``"k=..."`` for each 1 <= k < n/2: r turns the plane by 2 pi k / n, s
    keeps its first axis and mirrors the second.
    """
    n = group.order // 2
    t, mirrored = np.tile(np.arange(n), 2), np.repeat([0, 1], n)
    irreps = [Irrep("trivial", np.ones((2 * n, 1, 1))), Irrep("sign", _signs(mirrored))]
    if n % 2 == 0:
        irreps += [Irrep(f"k={n // 2}+", _signs(t)), Irrep(f"k={n // 2}-", _signs(t + mirrored))]
    turns = _rotations(n)
    mirror = np.where(mirrored[:, None, None] == 1, np.diag([1.0, -1.0]), np.eye(2))
    irreps += [Irrep(f"k={k}", turns[k * t % n] @ mirror) for k in range(1, (n + 1) // 2)]
    return irreps


def _rotations(n: int) -> Float[np.ndarray, "n 2 2"]:
    """By 2 pi t / n, for t in 0..n-1."""
    angle = 2 * np.pi * np.arange(n) / n
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)


def _signs(exponents: np.ndarray) -> Float[np.ndarray, "order 1 1"]:
    """(-1)^exponent, as matrices."""
    return (1.0 - 2.0 * (exponents % 2))[:, None, None]
