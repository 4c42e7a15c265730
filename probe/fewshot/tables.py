"""Accuracy by operand, in the layout of the accuracies that are published for Pythia."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from probe.fewshot.units import ITEM_COLUMNS, read_items

if TYPE_CHECKING:
    from probe.suites import Checkpoint

CONFIDENCE = 0.95

OPERAND_COLUMNS = {
    "model": "str",
    "n_params": "int64",
    "step": "int64",
    "n_shot": "int64",
    "operation": "str",
    "operand": "int64",
    "accuracy": "float64",
    "n_items": "int64",
    "low": "float64",
    "high": "float64",
    "n_tokens": "int64",
}
"""Of the table by operand: columns and their types."""


@dataclass(frozen=True, eq=False)
class FewShot:
    """What models answered.

    Attributes:
        by_operand: a row per model, step, number of examples and operand: ``accuracy`` over the ``n_items`` questions
            in which it is the first operand, the ``{a}`` of the template; Wilson's 95 % interval over items, ``low`` to
            ``high``; and ``n_tokens``, the tokens of the operand as it stands in the question.
        parts: the items of each unit, or where they are on the disk.
    """

    by_operand: pd.DataFrame
    parts: tuple[pd.DataFrame | str, ...]

    @cached_property
    def items(self) -> pd.DataFrame:
        """A row per question: model, step, n_shot, operation, a, b, ``prompt`` (the start of the SHA-256 of its text),
        ``answer`` (as text, up to a line end) and whether it is ``right``. Read when it is first asked for.

        Raises:
            ValueError: a file is damaged.
        """
        tables = [read_items(part) if isinstance(part, str) else part for part in self.parts]
        return pd.concat(tables, ignore_index=True).astype(ITEM_COLUMNS)


def by_operand(items: pd.DataFrame, checkpoint: "Checkpoint", n_tokens: Mapping[int, int]) -> pd.DataFrame:
    """The rows of one unit, operands ascending.

    Args:
        items: of the unit.
        checkpoint: who was asked.
        n_tokens: of each operand.
    """
    counts = items.groupby("a")["right"].agg(["sum", "count"])
    ends = [_wilson(int(right), int(n)) for right, n in counts.to_numpy()]
    first = items.iloc[0]
    table = pd.DataFrame(
        {
            "model": first["model"],
            "n_params": checkpoint.n_params,
            "step": first["step"],
            "n_shot": first["n_shot"],
            "operation": first["operation"],
            "operand": counts.index,
            "accuracy": (counts["sum"] / counts["count"]).to_numpy(),
            "n_items": counts["count"].to_numpy(),
            "low": [low for low, _ in ends],
            "high": [high for _, high in ends],
            "n_tokens": [n_tokens[operand] for operand in counts.index],
        }
    )
    return table.astype(OPERAND_COLUMNS)


@lru_cache
def _wilson(right: int, n: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(right, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(np.clip(found.low, 0, right / n)), float(np.clip(found.high, right / n, 1))
