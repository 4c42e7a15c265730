"""Which steps are missing among those of a model, where the others are evenly spaced."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise


def missing_steps(steps: Sequence[int]) -> dict[int, list[int]]:
    """Steps that one would expect between those that there are, by the step that they are missing before.

    The grid is the commonest distance between neighbours for which, from the first two at that distance on, every step
    but perhaps the last is on the grid. It counts if these are at least five steps, or all; if they are two thirds of
    the grid's points; and, where it is finer than 10 steps, if they are nine tenths and the last two distances are
    those of the grid, since log-spaced steps are dense at first and then thin out. Doubling powers of two at the
    beginning, as in 0, 1, 2, 4, ..., 512, 1000, 2000, are not looked at.

    Args:
        steps: ascending.
    """
    late = _after_doubling(steps)
    distances = Counter(later - earlier for earlier, later in pairwise(late))
    for grid in sorted(distances, key=lambda distance: (-distances[distance], distance)):
        first = next(earlier for earlier, later in pairwise(late) if later - earlier == grid)
        regular = [step for step in late if step >= first]
        if (regular[-1] - first) % grid:
            regular.pop()
        points = range(first, regular[-1] + 1, grid)
        dense = 0.9 if grid < 10 else 2 / 3
        goes_on = grid >= 10 or regular[-3:] == list(points[-3:])
        many = len(regular) >= min(5, len(late))
        if all(step in points for step in regular) and many and goes_on and len(regular) >= dense * len(points):
            return {
                later: list(range(earlier + grid, later, grid))
                for earlier, later in pairwise(regular)
                if later - earlier > grid
            }
    return {}


def _after_doubling(steps: Sequence[int]) -> Sequence[int]:
    """Steps without at least three powers of two at their beginning, each twice the one before; 0 may come before."""
    late = steps[1:] if steps and steps[0] == 0 else steps
    n = 0
    while n < len(late) and late[n] == late[0] << n:
        n += 1
    return late[n:] if n >= 3 and late[0].bit_count() == 1 else steps
