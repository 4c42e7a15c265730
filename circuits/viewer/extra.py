"""Packages that only some doors of the viewer need, and how to get them."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def of_extra(name: str) -> Iterator[None]:
    """Within it, packages are imported that come with an extra of this distribution.

    Raises:
        ImportError: one is not installed; the message says how it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("circuits", "probe"):
            raise
        raise ImportError(f"{error.name} is not installed; pip install 'grokscope[{name}]'", name=error.name) from error
