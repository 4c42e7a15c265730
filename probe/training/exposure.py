"""How often each example has been shown by a step of training: exactly, from the order in which they are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from probe.tasks import Task


@dataclass(frozen=True)
class Phase:
    """Passes over the training data in each of which the same is shown.

    Attributes:
        first_pass, first_step: with which it begins, counted from 0.
        exposures: how often each example is shown in one pass.
        steps_per_pass: optimizer steps that a pass takes.
    """

    first_pass: int
    first_step: int
    exposures: Int[np.ndarray, " example"]
    steps_per_pass: int


def phases_of(task: Task, batch_size: int | None) -> tuple[Phase, ...]:
    """The phase in which the task's special batch is shown with the rest, if it has one, and that of the rest alone.

    Args:
        task: what is trained on.
        batch_size: None for the full batch.
    """

    def steps_per_pass(exposures: Int[np.ndarray, " example"]) -> int:
        return 1 if batch_size is None else int(exposures.sum()) // batch_size

    per_pass = steps_per_pass(task.exposures)
    if not task.special_passes:
        return (Phase(0, 0, task.exposures, per_pass),)
    together = task.exposures + task.special_exposures
    first = Phase(0, 0, together, steps_per_pass(together))
    return first, Phase(task.special_passes, task.special_passes * first.steps_per_pass, task.exposures, per_pass)


def examples_by(task: Task, batch_size: int | None, step: int) -> int:
    """Training examples shown in the first ``step`` steps, repeats counted; arguments as of ``exposures_by``."""
    if batch_size is not None:
        return step * batch_size
    return step * int(task.exposures.sum()) + min(step, task.special_passes) * int(task.special_exposures.sum())


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
    at = np.asarray(steps, dtype=np.int64)
    counts = np.zeros((len(at), len(task.exposures)), dtype=np.int64)
    phases = phases_of(task, batch_size)
    for phase, following in zip(phases, [*phases[1:], None], strict=True):
        until = at if following is None else np.minimum(at, following.first_step)
        counts += _in_phase(phase, batch_size, seed, np.maximum(until - phase.first_step, 0))
    return counts


def _in_phase(
    phase: Phase, batch_size: int | None, seed: int, steps: Int[np.ndarray, " step"]
) -> Int[np.ndarray, "step example"]:
    """How often each example has been shown in so many steps of a phase."""
    if batch_size is None:
        return steps[:, None] * phase.exposures
    of = np.repeat(np.arange(len(phase.exposures)), phase.exposures)
    per_pass = phase.steps_per_pass
    counts = np.zeros((len(steps), len(phase.exposures)), dtype=np.int64)
    done, passes_done = np.zeros(len(phase.exposures), dtype=np.int64), 0
    for i in np.argsort(steps, kind="stable"):
        whole, rest = divmod(int(steps[i]), per_pass)
        if len(of) == per_pass * batch_size:
            done = done + (whole - passes_done) * phase.exposures
        else:
            for number in range(passes_done, whole):
                shown = shown_in_pass(len(of), batch_size, seed, phase.first_pass + number)
                done = done + np.bincount(of[shown], minlength=len(done))
        passes_done = whole
        counts[i] = done
        if rest:
            shown = shown_in_pass(len(of), batch_size, seed, phase.first_pass + whole)[: rest * batch_size]
            counts[i] += np.bincount(of[shown], minlength=len(done))
    return counts
