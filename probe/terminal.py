"""What the commands have in common in a terminal: errors in words, tables."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@contextlib.contextmanager
def errors_in_words(
    interrupted: str = "the same command goes on from here", also: type[Exception] = OSError
) -> Iterator[None]:
    """What went wrong, without a traceback, for errors that a person can do something about.

    Args:
        interrupted: what is said of the work after Ctrl-C.
        also: a kind of error that is such, beside those of a wrong value and of the system.
    """
    try:
        yield
    except BrokenPipeError:
        # Whoever read the output has enough; what Python would still flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, also) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        typer.echo(f"interrupted; {interrupted}", err=True)
        raise typer.Exit(130) from error


@contextlib.contextmanager
def notes_shown() -> Iterator[None]:
    """Within it, warnings are lines on the error stream that a person may read, when they come."""

    said: set[str] = set()

    def show(message: Warning | str, *where: object, **more: object) -> None:
        if str(message) not in said:
            typer.echo(f"note: {message}", err=True)
        said.add(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def console() -> "Console":
    """The standard output, as wide as the terminal; 120 characters where it is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120)


def new_table(*columns: str, text: tuple[str, ...] = ()) -> "Table":
    """An empty table, whose first column and ``text`` columns are aligned to the left.

    In a narrow terminal entries go on in the next line: names that are cut short could not be told apart.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i == 0 or name in text else "right", overflow="fold")
    return table
