"""grokscope's measuring half: what does a model know, and when did it come to know it?

The nouns are imported on first use, so that ``import probe`` is fast and loads no torch.
"""

from typing import TYPE_CHECKING

from probe.lazily import imported_on_use

if TYPE_CHECKING:
    from probe.activations.capturing import capture
    from probe.activations.dataset import open_capture
    from probe.activations.streaming import stream
    from probe.batch.results import arrays, results, status
    from probe.batch.run import run
    from probe.batch.schema import Batch, load_batch
    from probe.fewshot.asking import few_shot
    from probe.suites import Checkpoint, Suite, open_suite
    from probe.tasks import (
        Addition,
        Biographies,
        Facts,
        GroupComposition,
        InContextLinear,
        InContextMapping,
        Mixture,
        ModularArithmetic,
        Multiplication,
        RepeatedTokens,
        Subtraction,
        Text,
    )

_HOME = {
    "Addition": "probe.tasks",
    "Batch": "probe.batch.schema",
    "Biographies": "probe.tasks",
    "Checkpoint": "probe.suites",
    "Facts": "probe.tasks",
    "GroupComposition": "probe.tasks",
    "InContextLinear": "probe.tasks",
    "InContextMapping": "probe.tasks",
    "Mixture": "probe.tasks",
    "ModularArithmetic": "probe.tasks",
    "Multiplication": "probe.tasks",
    "RepeatedTokens": "probe.tasks",
    "Subtraction": "probe.tasks",
    "Suite": "probe.suites",
    "Text": "probe.tasks",
    "arrays": "probe.batch.results",
    "capture": "probe.activations.capturing",
    "few_shot": "probe.fewshot.asking",
    "load_batch": "probe.batch.schema",
    "open_capture": "probe.activations.dataset",
    "open_suite": "probe.suites",
    "results": "probe.batch.results",
    "run": "probe.batch.run",
    "status": "probe.batch.results",
    "stream": "probe.activations.streaming",
}

__all__ = [
    "Addition",
    "Batch",
    "Biographies",
    "Checkpoint",
    "Facts",
    "GroupComposition",
    "InContextLinear",
    "InContextMapping",
    "Mixture",
    "ModularArithmetic",
    "Multiplication",
    "RepeatedTokens",
    "Subtraction",
    "Suite",
    "Text",
    "arrays",
    "capture",
    "few_shot",
    "load_batch",
    "open_capture",
    "open_suite",
    "results",
    "run",
    "status",
    "stream",
]

__getattr__, __dir__ = imported_on_use(__name__, _HOME)
