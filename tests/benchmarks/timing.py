"""Several contenders timed in turn, so that what else the machine does hits all of them alike."""

import time
from collections.abc import Callable, Mapping
from statistics import median


def seconds(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each contender over rounds in which all take turns, after one round that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for a_round in range(rounds + 1):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender()
            if a_round:
                taken[name].append(time.perf_counter() - start)
    return {name: median(times) for name, times in taken.items()}
