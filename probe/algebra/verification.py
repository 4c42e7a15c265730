"""Whether representations are what they are said to be: all the real irreps of a group, each once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from probe.algebra.irreps import Irrep

if TYPE_CHECKING:
    from probe.algebra.groups import Group

TOLERANCE = 1e-10
"""Largest deviation of a number that should be equal to another."""


def verify(group: Group) -> None:
    """Check the irreps of a group; returns if all is well.

    Raises:
        ValueError: as ``check_irreps`` does.
    """
    check_irreps(group, group.irreps.values())


def check_irreps(group: Group, irreps: Iterable[Irrep]) -> None:
    """Whether these are the real irreps of the group, each once, to ``TOLERANCE``.

    Of each: it is a homomorphism (checked for all products with a generator, from which the others follow), its
    matrices are orthogonal, and the means of chi(g)^2 and chi(g^2) are 1 and 1, 2 and 0, or 4 and -2 (Frobenius-Schur):
    it is irreducible, of its kind. Of all: the ranks sum to the order, their number is that of classes under
    g ~ h g h^-1 and g ~ g^-1, and their bases are orthonormal (Schur orthogonality of the matrix elements), and so
    complete.

    Raises:
        ValueError: one of this is not so; the message says which, and of which irrep.
    """
    irreps = list(irreps)
    squares = np.diagonal(group.table)
    for irrep in irreps:
        at = f"irreps: {group.name} {irrep.name}"
        generators = list(group.generators)
        products = irrep.matrices[:, None] @ irrep.matrices[generators]
        _check(irrep.matrices[group.table[:, generators]] - products, f"{at}: is not a homomorphism")
        gram = irrep.matrices @ irrep.matrices.transpose(0, 2, 1)
        _check(gram - np.eye(irrep.dim), f"{at}: matrices are not orthogonal")
        norm, indicator = float(np.mean(irrep.character**2)), float(np.mean(irrep.character[squares]))
        kinds = np.array([[1, 1], [2, 0], [4, -2]])
        _check(
            np.abs(kinds - [norm, indicator]).max(axis=1).min(),
            f"{at}: <chi, chi> = {norm:.6g} with mean chi(g^2) = {indicator:.6g}, as no irrep has; deviation",
        )
    ranks = sum(irrep.rank for irrep in irreps)
    if ranks != group.order:
        raise ValueError(f"irreps: {group.name}: ranks dim^2 / c sum to {ranks}, expected the order {group.order}")
    merged = np.minimum(group.class_of, group.class_of[group.inverse])
    if len(irreps) != len(np.unique(merged)):
        raise ValueError(
            f"irreps: {group.name} has {len(irreps)}, expected {len(np.unique(merged))}: one per class of g and g^-1"
        )
    bases = np.concatenate([irrep.basis for irrep in irreps])
    _check(bases @ bases.T - np.eye(group.order), f"irreps: {group.name}: bases are not orthonormal")


def _check(deviations: np.ndarray, message: str) -> None:
    largest = float(np.max(np.abs(deviations), initial=0.0))
    if not largest < TOLERANCE:
        raise ValueError(f"{message} (by {largest:.2g})")
