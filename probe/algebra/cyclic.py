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


def find_cyclic_form(answers: Int[np.ndarray, "p p"]) -> CyclicForm:
    """The operation that a table of answers is, written as addition: ``answers[a, b]`` for tokens 0..p-1.

    Known are ``u a + v b + w`` modulo p for u and v invertible (sums, differences, and the like), and for a prime p
    the product and the quotient on the units; what those say of zero is not looked at.

    Raises ValueError, naming ``answers``, for a table that is none of these.
    """
    answers = np.asarray(answers)
    p = len(answers)
    if answers.shape != (p, p) or p < 2 or not np.array_equal(answers, answers.astype(np.int64)):
        raise ValueError(f"answers: shape {answers.shape} given, expected integers [p, p] with p at least 2")
    answers = answers.astype(np.int64)
    t = np.arange(p)
    w = answers[0, 0]
    u, v = answers[1, 0] - w, answers[0, 1] - w
    if np.gcd(u, p) == np.gcd(v, p) == 1 and np.array_equal(answers, (u * t[:, None] + v * t + w) % p):
        # i = u a + w and j = v b, so that the answer is i + j
        return CyclicForm(p, (t - w) * pow(int(u), -1, p) % p, t * pow(int(v), -1, p) % p, t)
    from sympy import isprime

    if p > 2 and isprime(p):
        for form in (multiplication(p), division(p)):
            i = np.arange(form.order)
            if np.array_equal(answers[form.a[:, None], form.b], form.c[(i[:, None] + i) % form.order]):
                return form
    raise ValueError(
        f"answers: a {p} x {p} table given that is no addition in a cyclic group after renaming; expected"
        " (u a + v b + w) mod p with u and v invertible, or a * b or a / b modulo a prime"
    )
