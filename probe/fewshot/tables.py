"""Accuracy by operand, in the layout of the accuracies that are published for Pythia."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from probe.fewshot.units import ITEM_COLUMNS, read_items
from probe.measures.shares import wilson
from probe.scaling.published import OPERAND_TYPES

if TYPE_CHECKING:
    from probe.suites import Checkpoint

CONFIDENCE = 0.95

ASKED_TYPES = OPERAND_TYPES | {"low": "float64", "high": "float64", "n_tokens": "int64"}
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
    right, n_items = counts["sum"].to_numpy(dtype=float), counts["count"].to_numpy()
    low, high = wilson(right, n_items, CONFIDENCE)
    first = items.iloc[0]
    table = pd.DataFrame(
        {
            "model": first["model"],
            "n_params": checkpoint.n_params,
            "step": first["step"],
            "n_shot": first["n_shot"],
            "operation": first["operation"],
            "operand": counts.index,
            "accuracy": right / n_items,
            "n_items": n_items,
            "low": low,
            "high": high,
            "n_tokens": [n_tokens[operand] for operand in counts.index],
        }
    )
    return table.astype(ASKED_TYPES)
