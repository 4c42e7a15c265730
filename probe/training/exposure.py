"""How often each example has been shown by a step of training: exactly, from the order in which they are drawn."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from probe.tasks import Task


def shown_in_pass(n: int, size: int, seed: int, number: int) -> Int[np.ndarray, " shown"]:
    """Which of ``n`` exposures a pass shows, in order: shuffled, by (seed, pass) alone.

    So the order needs no state to be resumed. What is left at the end of a pass and is less than a batch is skipped.
    """
    return np.random.default_rng((seed, number)).permutation(n)[: n // size * size]


def exposures_by(
    task: Task, batch_size: int | None, seed: int, steps: Sequence[int]
) -> Int[np.ndarray, "step example"]:
    """How often each example of a task has been shown in the first ``steps`` steps.

    With the full batch a step shows every example as often as the task says, as its weight in the loss. With
    mini-batches every exposure is one of a batch, and the draws are made again: 10^6 exposures per pass take about 0.1
    seconds for each pass whose end skips some, or in which a step is asked for.

    Args:
        task: what was trained on.
        batch_size, seed: with which; None for the full batch.
        steps: optimizer steps, in any order.
    """
    if batch_size is None:
        return np.asarray(steps)[:, None] * task.exposures
    of = np.repeat(np.arange(len(task.exposures)), task.exposures)
    per_pass = len(of) // batch_size
    counts = np.zeros((len(steps), len(task.exposures)), dtype=np.int64)
    done, passes_done = np.zeros(len(task.exposures), dtype=np.int64), 0
    for i in np.argsort(steps, kind="stable"):
        whole, rest = divmod(int(steps[i]), per_pass)
        if len(of) == per_pass * batch_size:
            done = done + (whole - passes_done) * task.exposures
        else:
            for number in range(passes_done, whole):
                done = done + _counted(of[shown_in_pass(len(of), batch_size, seed, number)], task)
        passes_done = whole
        counts[i] = done
        if rest:
            counts[i] += _counted(of[shown_in_pass(len(of), batch_size, seed, whole)[: rest * batch_size]], task)
    return counts


def _counted(examples: Int[np.ndarray, " shown"], task: Task) -> Int[np.ndarray, " example"]:
    return np.bincount(examples, minlength=len(task.exposures))
