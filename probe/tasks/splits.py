"""How examples are split: checks; of operations on two operands, which are trained on and which are scored apart."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int


def check_split(split: str, allowed: Sequence[str], train_fraction: float, seed: int) -> None:
    """Raise ValueError, naming the field, unless a split can be drawn so."""
    if split not in allowed:
        raise ValueError(f"split: got {split!r}; expected one of {', '.join(allowed)}")
    if not 0 < train_fraction <= 1:
        raise ValueError(f"train_fraction: got {train_fraction}; expected a share above 0 and at most 1")
    check_seed(seed)


def check_seed(seed: int) -> None:
    """Raise ValueError if it is negative."""
    if seed < 0:
        raise ValueError(f"seed: got {seed}; expected 0 or more")


def check_trained(train_mask: Bool[np.ndarray, " example"], train_fraction: float) -> None:
    """Raise ValueError if the share is less than one example."""
    if not train_mask.any():
        n = len(train_mask)
        raise ValueError(f"train_fraction: {train_fraction} of {n} examples is none; expected at least {1 / n:.2g}")


def scored_apart(
    train_mask: Bool[np.ndarray, " example"], trained_mirror: Bool[np.ndarray, " example"]
) -> dict[str, Bool[np.ndarray, " example"]]:
    """Sets of examples that are scored apart; an empty one is left out.

    ``trained_mirror``: examples (a, b) that a model which memorized (b, a) answers by lookup. ``test_nonmirror`` leaves
    them out.
    """
    named = {
        "train": train_mask,
        "test": ~train_mask,
        "test_nonmirror": ~train_mask & ~trained_mirror,
        "all": np.ones(len(train_mask), dtype=bool),
    }
    return {name: mask for name, mask in named.items() if mask.any()}


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
