"""Answers that are computed while something else goes on, as a server's loop or a notebook's cells."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from circuits.viewer.messages import QUESTIONS, Message
from circuits.viewer.workers import Busy, Work, Workers

if TYPE_CHECKING:
    from circuits.viewer.answers import Answers

N_LIVE = 2
"""Answers that take a model, at a time: one computes while another reads its weights."""

N_WAITING = 8
"""Such answers that may wait: a page that asks for more does not cancel what it no longer shows."""

log = logging.getLogger(__name__)


class Answering:
    """Threads that answer questions of one run.

    Args:
        answers: of the run.
        n_live: answers that take a model, at a time.
        n_waiting: such answers that may wait.
    """

    def __init__(self, answers: "Answers", n_live: int = N_LIVE, n_waiting: int = N_WAITING) -> None:
        self._answers = answers
        self._live = Workers(n_live, n_waiting, "live")
        self._read = Workers(4, 256, "read")

    def begin(self, name: str, parameters: Mapping[str, Any]) -> Work[Message]:
        """Have a question answered; ``failure_of`` says what an error is.

        Raises:
            Busy: too many wait.
        """
        is_live = name in QUESTIONS and QUESTIONS[name][2]
        return (self._live if is_live else self._read).begin(
            lambda cancelled: self._answers.answer(name, parameters, cancelled)
        )

    def close(self) -> None:
        """Stop all of them."""
        self._live.close()
        self._read.close()


def failure_of(error: BaseException, name: str) -> tuple[int, str]:
    """What whoever asked is told of an error: the HTTP status and words. A defect is logged, and not told in full."""
    if isinstance(error, Busy):
        return 429, str(error)
    if isinstance(error, ValueError) and not isinstance(error, ValidationError):  # that is of an answer
        return 400, str(error)
    log.error("%s could not be answered", name, exc_info=error)
    return 500, f"{name}: {type(error).__name__} while it was answered; the viewer's log says more"
