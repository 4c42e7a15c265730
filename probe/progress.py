"""How far long work is and how long it will still take."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PRINT_EVERY_S = 15.0
"""How often a line is printed where the error stream is no terminal."""


@contextmanager
def progress_shown(what: str, done: int, total: int, shown: bool) -> Iterator[Callable[[int, str], None]]:
    """Within it, a function that is told how much more is done, and how far that is in words.

    On the error stream: what will be done, then a bar with the time left on a terminal, else a line now and then.

    Args:
        what: what will be done.
        done: what is done already, such as bytes.
        total: in all.
        shown: whether anything is.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    if shown:
        console.print(what, highlight=False, soft_wrap=True)
    words = TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn(), TextColumn("{task.description}")
    with Progress(BarColumn(), *words, console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task("", completed=done, total=max(total, 1))
        started = printed = time.monotonic()
        n_new = 0

        def advance(more: int, how_far: str) -> None:
            nonlocal n_new, printed
            n_new += more
            bar.update(task, completed=done + n_new, description=how_far)
            now = time.monotonic()
            if shown and not console.is_terminal and now - printed > PRINT_EVERY_S:
                share, left = (done + n_new) / max(total, 1), time_left(now - started, n_new, total - done - n_new)
                console.print(f"{share:4.0%}  {how_far} · {left}", highlight=False, soft_wrap=True)
                printed = now

        yield advance


def time_left(elapsed: float, done: float, left: float) -> str:
    """How long what is left will take, in words, if it goes on as what was done in so many seconds."""
    if done <= 0:
        return f"{elapsed:,.0f} s so far"
    seconds = elapsed * left / done
    return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"
