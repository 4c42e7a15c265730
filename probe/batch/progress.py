"""How far a run is and how long it will still take, read off its folder.

Because only files are looked at, this is the same wherever the work is done.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from probe import storage
from probe.batch.plan import Run
from probe.batch.schema import TrainedSuite
from probe.progress import PRINT_EVERY_S, time_left
from probe.suites import format as suite_format
from probe.training.ensemble import examples_per_step

LOOK_EVERY_S = 1.0
CUBE_FLOPS = 1e4
"""Rough cost of measuring, in floating-point operations per logit of the task; only the time left depends on it."""


class Work:
    """What a run has done and has to do, in rough floating-point operations, so that both kinds can be added up."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.training: dict[str, float] = {}
        self.steps = 0
        suite = run.batch.suite
        if isinstance(suite, TrainedSuite):
            self.steps = suite.training.steps
            for architecture, members in suite.ensembles():
                for member in members:
                    per_step = 6.0 * architecture.n_params * examples_per_step(member.task, suite.training)
                    self.training[member.name] = per_step * self.steps
        # Results of other weights or other probes, which an earlier state of the run has left.
        self.n_stale = run.n_results() - sum(map(run.is_done, run.units_so_far()))
        tasks = run.batch.tasks()
        self.per_unit = sum(CUBE_FLOPS * len(task.answers) * task.n_answers for task in tasks) / len(tasks)

    def look(self) -> tuple[float, str]:
        """Share of the work that is done, and in words."""
        done, n_trained, furthest = 0.0, 0, 0
        for model, work in self.training.items():
            last = max(suite_format.steps_present(self.run.suite_folder, model), default=0)
            if storage.exists(suite_format.stopped_path(self.run.suite_folder, model)):
                last = self.steps  # it diverged: there is no more to come
            done += work * last / max(self.steps, 1)
            n_trained += last == self.steps
            furthest = max(furthest, last if last < self.steps else 0)
        n_measured, n_units = self.run.n_results() - self.n_stale, self.run.n_to_measure()
        done += n_measured * self.per_unit
        words = [f"{n_measured:,} of {n_units:,} measured"]
        if self.training:
            training = f" (step {furthest:,} of {self.steps:,})" if furthest else ""
            words.insert(0, f"{n_trained} of {len(self.training)} models trained{training}")
        in_all = sum(self.training.values()) + n_units * self.per_unit
        return min(done / in_all, 1.0) if in_all else 1.0, ", ".join(words)


@contextmanager
def progress_shown(run: Run, stream: TextIO | None) -> Iterator[None]:
    """Within it, progress and time left are shown on a stream: a bar on a terminal, else a line now and then."""
    if stream is None:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_show, args=(Work(run), stream, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _show(work: Work, stream: TextIO, ended: threading.Event) -> None:
    console = Console(file=stream)
    at_start, started, printed = work.look()[0], time.monotonic(), 0.0
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)
        while True:
            last_look = ended.wait(LOOK_EVERY_S)
            share, words = work.look()
            elapsed = time.monotonic() - started
            words += f" · {_time_left(share - at_start, 1 - share, elapsed)}"
            bar.update(task, completed=share, description=words)
            if not console.is_terminal and (last_look or time.monotonic() - printed > PRINT_EVERY_S):
                console.print(f"{share:4.0%}  {words}", highlight=False, soft_wrap=True)
                printed = time.monotonic()
            if last_look:
                return


def _time_left(done: float, left: float, elapsed: float) -> str:
    if left <= 0:
        return f"{elapsed:,.0f} s"
    return time_left(elapsed, done if done >= 0.01 else 0.0, left)  # of less nothing is foretold
