"""Packages whose names are imported on first use, so that to import them is fast."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def imported_on_use(package: str, home: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Args:
        package: its name.
        home: of each name that it offers, the module that has it.
    """

    def attribute(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it offers {', '.join(home)}")
        return getattr(importlib.import_module(home[name]), name)

    def names() -> list[str]:
        return sorted([*vars(sys.modules[package]), *home])

    return attribute, names
