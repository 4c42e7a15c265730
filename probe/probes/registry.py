"""Probes by name: those that installed distributions register, and any ``module:Name``."""

import difflib
import importlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

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
    try:
        if ":" in name:
            module, _, attribute = name.partition(":")
            found: Any = getattr(importlib.import_module(module), attribute)
        else:
            found = registered()[name].load()
    except KeyError as error:
        near = difflib.get_close_matches(name, registered(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"no probe is called {name!r}{hint} There are {', '.join(registered())}; or give module:Name"
        ) from error
    except (ImportError, AttributeError) as error:
        raise ValueError(f"probe {name!r} cannot be imported: {error}") from error
    needed = ("name", "version", "sites", "per", "needs", "check", "measure")
    missing = [field for field in needed if not hasattr(found, field)]
    if missing:
        raise ValueError(f"{name!r} is not a probe: it lacks {', '.join(missing)} (see probe.probes.Probe)")
    return found
