"""grokscope's measuring half: what does a model know, and when did it come to know it?

The nouns are imported on first use, so that ``import probe`` is fast and loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.batch.results import arrays, results, status
    from probe.batch.run import run
    from probe.batch.schema import Batch, load_batch
    from probe.suites import Checkpoint, Suite, open_suite
    from probe.tasks import ModularArithmetic

_HOME = {
    "Batch": "probe.batch.schema",
    "Checkpoint": "probe.suites",
    "ModularArithmetic": "probe.tasks",
    "Suite": "probe.suites",
    "arrays": "probe.batch.results",
    "load_batch": "probe.batch.schema",
    "open_suite": "probe.suites",
    "results": "probe.batch.results",
    "run": "probe.batch.run",
    "status": "probe.batch.results",
}

__all__ = [
    "Batch",
    "Checkpoint",
    "ModularArithmetic",
    "Suite",
    "arrays",
    "load_batch",
    "open_suite",
    "results",
    "run",
    "status",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'probe' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
