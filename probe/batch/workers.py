"""Where jobs run: in this process, or in local processes that do not oversubscribe the cores.

Both are ``concurrent.futures.Executor``s, as is the one that a Dask client gives.
"""

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc gives arrays of some MiB back after each use, and the kernel clears them again for the next: keeping them
    # made training 1.1 and measuring 1.3 times as fast.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}


class SerialExecutor(Executor):
    """Runs a job where and when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def default_workers() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def local_executor(workers: int) -> Iterator[Executor]:
    """An executor with this many processes of one torch thread each; with one worker, jobs run in this process.

    On the way out by an exception (Ctrl-C among them) worker processes are killed at once: whatever they write is
    written atomically.
    """
    if workers == 1:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield SerialExecutor()
        finally:
            torch.set_num_threads(threads)
        return

    from joblib.externals.loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(
        max_workers=workers, initializer=_end_with, initargs=(os.getpid(),), env=_ENVIRONMENT
    )
    with warnings.catch_warnings():
        # A worker whose memory has grown is replaced by a fresh one, which is no news to the user.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor")
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=True, kill_workers=True)
            raise
        executor.shutdown(wait=True)


def _end_with(parent: int) -> None:
    """End this worker when its parent is gone: killed outright, the parent cannot say so itself."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
