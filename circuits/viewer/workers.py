"""Threads that compute answers: so many at a time, a few more that wait, and none for which nobody waits any more."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event, Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Busy(Exception):
    """As many answers as may wait are waiting already."""


@dataclass(frozen=True)
class Work(Generic[T]):
    """An answer that is being computed, or waits for that."""

    future: Future[T]
    stop: Event

    def cancel(self) -> None:
        """Nobody wants it any more: it does not begin, or ends as soon as it asks whether it should."""
        self.stop.set()
        self.future.cancel()


class Workers:
    """
    Args:
        n_at_once: threads.
        n_waiting: answers that may wait for one.
        name: of the threads.
    """

    def __init__(self, n_at_once: int, n_waiting: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(n_at_once, thread_name_prefix=name)
        self._most = n_at_once + n_waiting
        self._works: set[Event] = set()
        self._lock = Lock()

    def begin(self, compute: Callable[[Callable[[], bool]], T]) -> Work[T]:
        """Have an answer computed.

        Args:
            compute: is given a function that says whether to stop.

        Raises:
            Busy: too many wait.
        """
        stop = Event()
        with self._lock:
            if len(self._works) >= self._most:
                raise Busy(f"{self._most} answers are being computed or wait; ask again in a moment")
            self._works.add(stop)
        future = self._threads.submit(compute, stop.is_set)
        future.add_done_callback(lambda _: self._ended(stop))
        return Work(future, stop)

    def close(self) -> None:
        """Stop all of them."""
        with self._lock:
            for stop in self._works:
                stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self, stop: Event) -> None:
        with self._lock:
            self._works.discard(stop)
