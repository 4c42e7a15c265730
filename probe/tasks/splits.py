"""Which examples are trained on, where some of them belong together."""

import numpy as np
from jaxtyping import Bool, Int


def drawn_by_orbit(
    orbit: Int[np.ndarray, " example"], train_fraction: float, seed: int
) -> Bool[np.ndarray, " example"]:
    """A share of the examples, drawn so that those with the same ``orbit`` (0, 1, ...) are on one side.

    The share is that of ``train_fraction`` up to the size of an orbit.
    """
    sizes = np.bincount(orbit)
    order = np.random.default_rng(seed).permutation(len(sizes))
    trained_before = np.concatenate([[0], np.cumsum(sizes[order])[:-1]])
    taken = np.zeros(len(sizes), dtype=bool)
    taken[order] = trained_before < round(train_fraction * len(orbit))
    return taken[orbit]
