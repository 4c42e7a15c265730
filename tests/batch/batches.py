"""Batches small enough to run in a second or two, for the tests of running one."""

from pathlib import Path
from typing import Any

import yaml

from probe.batch.schema import Batch, bundled_batches, parse_batch


def tiny_batch(**changes: Any) -> Batch:
    """Two models of 11 x 11 questions with all the probes of the demo, trained until they have key frequencies.

    ``changes`` replace parts of the file, which a name such as ``suite__task`` points at.
    """
    demo = yaml.safe_load(bundled_batches()["grokking-demo"].read_text())
    data = {
        "name": "tiny",
        "suite": {
            "task": {"p": 11, "train_fraction": 0.8},
            "shapes": [{"d_model": 8, "n_heads": 2}],
            "vary": {"seed": [0, 1], "learning_rate": [1.0e-2]},
            "training": {"steps": 200, "checkpoints": {"log_until": 0, "every": 50}},
        },
        "probes": demo["probes"],
    }
    for path, value in changes.items():
        *above, last = path.split("__")
        into = data
        for part in above:
            into = into[part]
        into[last] = value
    return parse_batch(yaml.safe_dump(data), "tiny.yaml")


def short_batch(**changes: Any) -> Batch:
    """The same, hardly trained."""
    training = {"steps": 4, "checkpoints": {"log_until": 0, "every": 2}}
    task = {"p": 7, "train_fraction": 0.6}
    return tiny_batch(**{"suite__training": training, "suite__task": task} | changes)


def files_of(folder: str | Path) -> dict[str, tuple[int, int]]:
    """Every file of a run but the log and the report's pages, with the time of its last change and its size."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    kept = [path for path in paths if path.name != "events.jsonl" and path.suffix != ".html"]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in kept}
