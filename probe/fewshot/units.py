"""A unit of work: one model at one step with so many examples; and the answers of finished ones on the disk."""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from probe import storage
from probe.fewshot.answers import RULE, number_in
from probe.fewshot.questions import Questions
from probe.fewshot.reading import Prompts

if TYPE_CHECKING:
    from probe.suites import Checkpoint

ITEM_COLUMNS = {
    "model": "str",
    "step": "int64",
    "n_shot": "int64",
    "operation": "str",
    "a": "int64",
    "b": "int64",
    "prompt": "str",
    "answer": "str",
    "right": "bool",
}
"""Of the table of items: columns and their types. ``prompt`` is the start of the SHA-256 of its text."""


@dataclass(frozen=True, eq=False)
class Unit:
    """One model at one step, asked all questions with so many examples before each.

    Attributes:
        checkpoint: who is asked.
        n_shot: how many examples are shown.
        prompts: as the model reads them.
        fingerprint: of everything that decides the answers.
    """

    checkpoint: "Checkpoint"
    n_shot: int
    prompts: Prompts
    fingerprint: str

    @classmethod
    def of(
        cls, checkpoint: "Checkpoint", n_shot: int, prompts: Prompts, questions: Questions, max_new_tokens: int
    ) -> "Unit":
        decides = {
            "rule": RULE,
            "model": checkpoint.model.name,
            "step": checkpoint.step,
            "weights": checkpoint.digest,
            "n_shot": n_shot,
            "operation": questions.operation,
            "facts": hashlib.sha256(questions.facts.tobytes()).hexdigest(),
            "prompts": prompts.digest,  # and so the template, the seed and the tokenizer
            "max_new_tokens": max_new_tokens,
        }
        fingerprint = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:32]
        return cls(checkpoint, n_shot, prompts, fingerprint)

    @property
    def work(self) -> int:
        """About how long it takes, in no particular unit: tokens times parameters."""
        return int(self.prompts.lengths.sum()) * self.checkpoint.n_params

    def items(self, questions: Questions, answers: Sequence[str]) -> pd.DataFrame:
        """The table of items, a row per question."""
        a, b = questions.facts.T
        right = [number_in(text) == result for text, result in zip(answers, questions.results.tolist(), strict=True)]
        return pd.DataFrame(
            {
                "model": self.checkpoint.model.name,
                "step": self.checkpoint.step,
                "n_shot": self.n_shot,
                "operation": questions.operation,
                "a": a,
                "b": b,
                "prompt": self.prompts.texts,
                "answer": list(answers),
                "right": right,
            }
        ).astype(ITEM_COLUMNS)


class UnitFiles:
    """Finished units in a folder, a Parquet file each: what is there is whole, and is done."""

    def __init__(self, folder: str) -> None:
        self._folder = f"{folder}/items"
        self._there = set(storage.list_files(self._folder, ".parquet"))

    def has(self, unit: Unit) -> bool:
        """Whether a unit was finished when the folder was first looked at."""
        return self._name(unit) in self._there

    def path(self, unit: Unit) -> str:
        """Where a unit is, or will be."""
        return f"{self._folder}/{self._name(unit)}"

    def write(self, unit: Unit, items: pd.DataFrame) -> None:
        """Keep the items of a unit."""
        storage.write_atomically(self.path(unit), items.to_parquet(index=False))

    @staticmethod
    def _name(unit: Unit) -> str:
        return f"{unit.fingerprint}.parquet"


def read_items(path: str) -> pd.DataFrame:
    """The items of a finished unit.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        return pd.read_parquet(io.BytesIO(storage.read_bytes(path)))[list(ITEM_COLUMNS)].astype(ITEM_COLUMNS)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise ValueError(f"out: {path} is damaged ({error}); delete it, and the same call asks again") from error
