"""Probes by name: those that installed distributions register, and any ``module:Name``."""

import difflib
from dataclasses import is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from probe.probes.base import Probe

GROUP = "grokscope.probes"


@cache
def registered() -> dict[str, EntryPoint]:
    """Registered probes by name, in alphabetical order. None is imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def probe_class(name: str) -> type[Probe]:
    """The class of a probe, by its registered name or as ``module:Name``.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    if ":" not in name and name not in registered():
        near = difflib.get_close_matches(name, registered(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"no probe is called {name!r}{hint} There are {', '.join(registered())}; or give module:Name")
    point = EntryPoint(name, name, GROUP) if ":" in name else registered()[name]
    try:
        found: Any = point.load()
    except Exception as error:  # whatever a module of someone else's raises
        raise ValueError(f"probe {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    needed = ("name", "version", "sites", "per", "needs", "check", "needs_for", "measure")
    missing = [field for field in needed if not hasattr(found, field)]
    if missing:
        raise ValueError(f"{name!r} is not a probe: it lacks {', '.join(missing)} (see probe.probes.Probe)")
    if not (isinstance(found, type) and is_dataclass(found)):
        raise ValueError(f"{name!r} is not a probe: it is no dataclass, whose fields are its arguments")
    return cast("type[Probe]", found)
