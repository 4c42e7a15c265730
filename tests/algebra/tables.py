"""Cayley tables that have no name in ``probe.algebra``, made without it."""

import itertools

import numpy as np


def of_matrices(generators):
    """The group that some matrices generate, the identity first."""
    elements = [np.eye(len(generators[0]))]
    for element in elements:
        for generator in generators:
            product = element @ generator
            if not any(np.allclose(product, known) for known in elements):
                elements.append(product)
    stacked = np.stack(elements)
    products = stacked[:, None] @ stacked
    return np.abs(products[:, :, None] - stacked).max(axis=(-2, -1)).argmin(axis=2)


QI, QJ, QK = (np.array(m) for m in ([[1j, 0], [0, -1j]], [[0, 1], [-1, 0]], [[0, 1j], [1j, 0]]))
Q8 = of_matrices([QI, QJ])
Q16 = of_matrices([np.diag([np.exp(1j * np.pi / 4), np.exp(-1j * np.pi / 4)]), QJ])
SL23 = of_matrices([QI, QJ, -(np.eye(2) + QI + QJ + QK) / 2])


def product(first, second):
    """Of two tables; the element (a, b) is a * n + b."""
    m, n = len(first), len(second)
    pairs = list(itertools.product(range(m), range(n)))
    return np.array([[first[a][c] * n + second[b][d] for c, d in pairs] for a, b in pairs])


def doubled(table):
    """Chein's loop of a group with identity 0.

    Of a non-abelian one it is no group, though any two of its elements generate one.
    """
    n = len(table)
    inverse = np.argmin(table, axis=1)
    g = np.arange(n)
    return np.block(
        [
            [table, n + table.T],  # g (h u) = (h g) u
            [n + table[g[:, None], inverse], table[inverse, g[:, None]]],  # (g u) h = (g h^-1) u, (g u)(h u) = h^-1 g
        ]
    )


def renamed(table, new_name):
    """Element t is called new_name[t]."""
    old_name = np.argsort(new_name)
    return np.asarray(new_name)[np.asarray(table)[old_name[:, None], old_name]]
