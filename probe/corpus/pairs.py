"""Pairs of occurrences that are close to each other."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64


def close_pairs(
    place: Int64[np.ndarray, "occurrence"], window: int, n_old: int = 0
) -> Iterator[tuple[Int64[np.ndarray, "pair"], Int64[np.ndarray, "pair"]]]:
    """All pairs of occurrences at most ``window - 1`` places apart: earlier ones and later ones, some at a time.

    Each two occurrences are one pair, also at the same place. Time grows with the number of pairs, memory does not.

    Args:
        place: ascending.
        window: places that a pair may span, both ends counted.
        n_old: of the first so many, pairs among themselves are left out.
    """
    earlier = np.arange(len(place))
    apart = 0
    while len(earlier):
        apart += 1
        earlier = earlier[: np.searchsorted(earlier, len(place) - apart)]
        # who has none so many on has none further on
        earlier = earlier[place[earlier + apart] - place[earlier] < window]
        new = earlier[np.searchsorted(earlier, n_old - apart) :]
        if len(new):
            yield new, new + apart
