"""A batch run to its end: suites trained, checkpoints measured, report written; in parallel, and resumable.

Nothing but files says what is done, so a run that was interrupted in any way is continued by the same call.
"""

import os
import platform
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import torch

from probe import storage
from probe.activations.inputs import Inputs
from probe.activations.sites import LOGITS, match_sites
from probe.batch.measure import discard_damaged, measure_units
from probe.batch.plan import Run
from probe.batch.progress import progress_shown
from probe.batch.report import write_report_of
from probe.batch.schema import Batch, TrainedSuite, load_batch
from probe.batch.workers import default_workers, local_executor
from probe.suites.architecture import Architecture
from probe.suites.format import DamagedCheckpointError
from probe.suites.integrity import duplicates, twin_warning
from probe.training.ensemble import Member
from probe.training.run import train

UNITS_PER_JOB = 8
RECORDED = ("grokscope", "torch", "transformer-lens", "numpy", "scipy", "pandas", "zarr")


class RunError(RuntimeError):
    """Part of the work of a run failed; the message says which and why. What else there was to do is done."""


def run(
    batch: Batch | str | Path, out: str | Path | None = None, *, workers: int | None = None, progress: bool = True
) -> str:
    """Train what a batch asks for, measure every checkpoint, and write the report. Resumes what is there.

    Args:
        batch: a batch, a batch file, or the name of a bundled batch.
        out: the run's folder (local path or fsspec URL); ``runs/<name of the batch>`` if not given.
        workers: processes, each with one torch thread; one per core if not given. With 1 all runs in this process.
        progress: whether progress and time left are shown on the error stream.

    Returns:
        The run's folder, for ``probe.results``.

    Raises:
        BatchError: the batch is wrong; nothing was done.
        ValueError: the folder holds the run of another batch; nothing was done.
        RunError: some of the work failed; the rest is done, and the same call tries the failed part again.
    """
    if not isinstance(batch, Batch):
        batch = load_batch(batch)
    if workers is not None and workers < 1:
        raise ValueError(f"workers: got {workers}; expected at least 1")
    _check_sites(batch)
    _warn_of_duplicates(batch)
    this = _claim(batch, _folder(f"runs/{batch.name}" if out is None else str(out)))
    n_workers = workers or default_workers()
    versions = {name: version(name) for name in RECORDED} | {"python": platform.python_version()}
    this.record("started", versions=versions, machine=platform.platform(), workers=n_workers)
    if progress:
        for note in _left_out(this):
            print(f"note: {note}", file=sys.stderr)
    try:
        with _terminated_like_interrupted():
            discard_damaged(this)
            with local_executor(n_workers) as executor, progress_shown(this, sys.stderr if progress else None):
                _run_jobs(this, executor)
            write_report_of(this)
    except BaseException as error:
        with suppress(OSError):  # where the disk is full, the log cannot say so
            this.record("interrupted" if isinstance(error, KeyboardInterrupt) else "failed", error=repr(error))
        raise
    this.record("finished")
    return this.folder


def _folder(out: str) -> str:
    folder = (out if "://" in out else os.path.expanduser(out)).rstrip("/")
    if not folder:
        raise ValueError(f"out: got {out!r}; expected a folder for the run")
    return folder


def _check_sites(batch: Batch) -> None:
    """See that every model has the hook points that probes ask for, before hours are spent on training it."""
    patterns = {site for spec in batch.probes for site in spec.build().sites} - {LOGITS}
    if not patterns:  # all models have logits, and to make one of them means to import transformer_lens
        return
    if not isinstance(batch.suite, TrainedSuite):
        from probe.activations.layout import layouts

        for model in batch.suite.opened.by_name.values():
            layouts(model, sorted(patterns), Inputs.of(model.task))
        return
    from probe.suites.hooked import HookedTransformer

    for architecture in {architecture for architecture, _ in batch.suite.ensembles()}:
        with torch.device("meta"):
            match_sites(sorted(patterns), HookedTransformer(architecture).hook_dict)


def _warn_of_duplicates(batch: Batch) -> None:
    """Say so before a checkpoint is measured as another step than the one it is."""
    if isinstance(batch.suite, TrainedSuite):
        return
    suite = batch.suite.opened
    for model in suite.models:
        with suppress(DamagedCheckpointError):  # what cannot be read is told of when it is measured
            for step, same_as in duplicates(suite, model):
                warnings.warn(twin_warning(model, step, same_as), stacklevel=3)


def _left_out(run: Run) -> Iterator[str]:
    """Which probes are not measured on which models, and why."""
    models_of: dict[tuple[str, str], list[str]] = {}
    for model, task in run.tasks().items():
        for probe, reason in run.batch.left_out(task).items() if task is not None else ():
            models_of.setdefault((probe, reason), []).append(model)
    probes_of: dict[tuple[str, ...], list[str]] = {}
    for (probe, reason), models in models_of.items():
        probes_of.setdefault((reason, *models), []).append(probe)
    for (reason, *models), probes in probes_of.items():
        more = f" and {len(models) - 3} more" if len(models) > 3 else ""
        yield f"{', '.join(probes)} left out of {', '.join(models[:3])}{more}: {reason}"


def _claim(batch: Batch, folder: str) -> Run:
    """Make the folder this batch's, or see that it is."""
    path = f"{folder}/batch.yaml"
    if storage.exists(path):
        found = Run.open(folder)
        if found.batch != batch:
            theirs, ours = found.batch.model_dump(mode="json"), batch.model_dump(mode="json")
            differing = [field for field in ours if ours[field] != theirs[field]]
            only_probes = isinstance(batch.suite, TrainedSuite) and "suite" not in differing
            raise ValueError(
                f"out: {folder} holds a run of another batch ({found.batch.name}; it differs in"
                f" {', '.join(differing)}). Choose another folder with --out, or delete this one"
                + (
                    f"; `suite: {{source: folder, path: {found.suite_folder}}}` measures its models"
                    if only_probes
                    else ""
                )
            )
        return found
    storage.write_atomically(path, batch.to_yaml().encode())
    return Run(folder, batch)


@dataclass(frozen=True)
class _Job:
    """Work for an executor, and the jobs that can be done once it is."""

    what: str
    work: Callable[..., None]
    args: tuple[object, ...]
    then: Callable[[], list["_Job"]] = list


def _jobs(run: Run) -> list[_Job]:
    """What can be started at once: training, the most work first; or, of a suite that is there, measuring."""
    suite = run.batch.suite
    if not isinstance(suite, TrainedSuite):
        return [job for model in run.models() for job in _measuring(run, model)]

    def training(architecture: Architecture, members: list[Member]) -> _Job:
        return _Job(
            f"training {', '.join(member.name for member in members)}",
            train,
            (architecture, members, suite.training, run.suite_folder),
            lambda: [job for member in members for job in _measuring(run, member.name)],
        )

    ensembles = sorted(suite.ensembles(), key=lambda ensemble: -ensemble[0].n_params * len(ensemble[1]))
    return [training(*ensemble) for ensemble in ensembles]


def _measuring(run: Run, model: str) -> list[_Job]:
    """Measuring a trained model: what is measured once first, then its checkpoints a few at a time."""
    once, each = run.units(model)
    chunks = [each[i : i + UNITS_PER_JOB] for i in range(0, len(each), UNITS_PER_JOB)]
    jobs = [_Job(f"measuring {model}", measure_units, (run, chunk)) for chunk in chunks]
    return [_Job(f"measuring {model}", measure_units, (run, once), lambda: jobs)] if once else jobs


def _run_jobs(run: Run, executor: Executor) -> None:
    waiting = _jobs(run)
    running: dict[Future, _Job] = {}
    failures: list[str] = []
    while waiting or running:
        running |= {executor.submit(job.work, *job.args): job for job in waiting}
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        waiting = []
        for future in done:
            job = running.pop(future)
            try:
                future.result()
                waiting += job.then()
            except (BrokenProcessPool, OSError) as error:
                raise RunError(f"{job.what}: {error}") from error
            except Exception as error:
                run.record("job failed", job=job.what, error=repr(error))
                failures.append(f"{job.what}: {error}")
    if failures:
        raise RunError("\n".join(failures))


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Within it, SIGTERM ends the run as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
