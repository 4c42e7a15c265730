"""An operation on tokens, written as addition in a cyclic group.

Fourier measures are stated for ``a + b`` mod n. Subtraction, and multiplication and division on the units of a
prime, are the same operation after renaming the operands, so each measure is written once and the renaming is
done here.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True, eq=False)
class CyclicForm:
    """``operation(a[i], b[j]) == c[(i + j) % order]`` for all i, j in 0..order-1.

    ``a``, ``b`` and ``c`` list tokens (first operand, second operand, answer) in the order that makes the
    operation an addition.
    """

    order: int
    a: Int[np.ndarray, " n"]
    b: Int[np.ndarray, " n"]
    c: Int[np.ndarray, " n"]


def addition(p: int) -> CyclicForm:
    """``a + b`` mod p: nothing to rename."""
    t = np.arange(p)
    return CyclicForm(p, t, t, t)


def subtraction(p: int) -> CyclicForm:
    """``a - b`` mod p: the second operand is counted backwards."""
    t = np.arange(p)
    return CyclicForm(p, t, -t % p, t)


def multiplication(p: int) -> CyclicForm:
    """``a * b`` on the units of a prime p: powers of a primitive root, p - 1 of them."""
    powers = _powers_of_primitive_root(p)
    return CyclicForm(p - 1, powers, powers, powers)


def division(p: int) -> CyclicForm:
    """``a / b`` on the units of a prime p: the discrete logarithm of b is counted backwards."""
    powers = _powers_of_primitive_root(p)
    return CyclicForm(p - 1, powers, powers[-np.arange(p - 1) % (p - 1)], powers)


def _powers_of_primitive_root(p: int) -> Int[np.ndarray, " n"]:
    """g^0, g^1, ..., g^(p-2) mod p for the smallest primitive root g of the prime p."""
    from sympy import primitive_root

    g = int(primitive_root(p))
    powers = np.ones(p - 1, dtype=np.int64)
    for i in range(1, p - 1):
        powers[i] = powers[i - 1] * g % p
    return powers
