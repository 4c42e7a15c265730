"""Names of made-up people: a first and a last one each, of which no two have the same pair."""

import math

import numpy as np
from jaxtyping import Int


def n_names(n: int) -> int:
    """First names that there are for ``n`` people, and as many last names: about twice as many pairs as people."""
    return math.ceil(math.sqrt(2 * n))


def drawn_names(n: int, seed: int) -> tuple[Int[np.ndarray, " person"], Int[np.ndarray, " person"]]:
    """First and last name of each of ``n`` people, numbered from 0."""
    pairs = np.random.default_rng((seed, 5)).permutation(n_names(n) ** 2)[:n]
    first, last = np.divmod(pairs, n_names(n))
    return first, last
