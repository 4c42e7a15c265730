"""Verdicts with intervals on 500 curves, 100,000 rows in all: how long they take.

The curves are shares of 200 items at 12 sizes, logistics that begin anywhere; each model was evaluated at many steps,
and counts at its last.
"""

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

from probe.scaling import shape_table
from probe.scaling.tidy import tidy_table

Row = tuple[str, str, str]

CURVES, SIZES, STEPS, ITEMS = 500, 12, 17, 200


def rows() -> Iterator[Row]:
    """What was measured, and what it has to be. One process; the second core is free."""
    table = tidy_table(results())
    started = time.perf_counter()
    found = shape_table(table, progress=False)
    took = time.perf_counter() - started
    assert len(found) == CURVES
    told = float((found["kind"] != "undecided").mean())
    yield f"shape verdicts of {CURVES} curves, {len(table):,} rows, one core", f"{took:.0f} s", "under 60 s"
    yield "the same, share of curves with a verdict", f"{told:.2f}", ""


def results() -> pd.DataFrame:
    """Accuracy by task, model and step."""
    rng = np.random.default_rng(0)
    u = np.linspace(0, 1, SIZES)
    middle, width, top = (rng.uniform(*ends, size=(CURVES, 1)) for ends in ((0.2, 1.2), (0.02, 0.3), (0.1, 0.9)))
    grown = np.linspace(0.3, 1, STEPS)
    share = top[..., None] / (1 + np.exp((middle - u)[..., None] / width[..., None])) * grown
    value = rng.binomial(ITEMS, share) / ITEMS
    task, size, step = (axis.ravel() for axis in np.indices(value.shape))
    columns = {"model": size.astype(str), "n_params": 10 ** (7 + 5 * u[size]), "step": 1000 * (step + 1)}
    columns |= {"task": task.astype(str), "metric": "accuracy", "value": value.ravel()}
    return pd.DataFrame(columns).assign(n_items=ITEMS, chance=0.0)
