"""Which worked examples are shown before a question."""

import numpy as np
from jaxtyping import Int

Facts = Int[np.ndarray, "fact 2"]


def mirrors(facts: Facts) -> Int[np.ndarray, " fact"]:
    """Which fact is (b, a) of each (a, b): itself where a = b, and -1 where it is not among them."""
    place = {(a, b): i for i, (a, b) in enumerate(facts.tolist())}
    return np.array([place.get((b, a), -1) for a, b in facts.tolist()], dtype=np.int64)


def n_others(facts: Facts) -> int:
    """How many facts can be shown before any of them: all but itself and its mirror, where that is another."""
    other = mirrors(facts)
    return len(facts) - 1 - int(np.any((other >= 0) & (other != np.arange(len(facts)))))


def draw_examples(facts: Facts, n_examples: int, seed: int) -> Int[np.ndarray, "fact example"]:
    """Which facts are shown before each of them, in order: never itself nor its mirror (b, a), and none twice.

    Each is drawn with equal chances from those that are left, and the first k are the same however many are drawn: what
    16 examples do beside 8 is not that they are others.

    Args:
        facts: distinct pairs of operands.
        n_examples: before each, at most ``n_others``.
        seed: of what is drawn.
    """
    n = len(facts)
    own, other = np.arange(n), mirrors(facts)
    other = np.where(other == own, -1, other)
    # What must not be shown, ascending; n, at which no fact is, stands for a mirror that there is not.
    taken = np.sort(np.stack([own, np.where(other < 0, n, other)], axis=1), axis=1)
    left = n - 1 - (other >= 0)
    generator = np.random.default_rng(seed)
    drawn = np.empty((n, n_examples), dtype=np.int64)
    for i in range(n_examples):
        rank = generator.integers(0, left - i)
        for place in taken.T:  # the fact of that rank among those that are not taken
            rank += rank >= place
        drawn[:, i] = rank
        taken = np.sort(np.concatenate([taken, rank[:, None]], axis=1), axis=1)
    return drawn
