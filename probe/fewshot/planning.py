"""What every checkpoint is asked, before any weights are read: its prompts, and the units of work."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probe.fewshot.questions import Questions
from probe.fewshot.reading import Prompts, check_fit, tokenizer_of
from probe.fewshot.splits import Split, splits_of, warn_of_uneven
from probe.fewshot.units import Unit
from probe.suites.integrity import earlier_twin, twin_warning

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from probe.suites import Checkpoint


@dataclass(frozen=True, eq=False)
class Asked:
    """One checkpoint and what it is asked.

    Attributes:
        checkpoint: who is asked.
        tokenizer: what reads the questions and writes the answers.
        n_tokens: of every operand.
        units: one for each number of examples.
    """

    checkpoint: "Checkpoint"
    tokenizer: "PreTrainedTokenizerBase"
    n_tokens: Mapping[int, int]
    units: tuple[Unit, ...]


@dataclass(frozen=True, eq=False)
class _Reading:
    """The questions as one tokenizer reads them, whichever models it is that of."""

    tokenizer: "PreTrainedTokenizerBase"
    splits: Sequence[Mapping[int, Split]]
    prompts: Mapping[int, Prompts]
    models: list[str]


def plan(checkpoints: Sequence["Checkpoint"], questions: Questions, max_new_tokens: int) -> list[Asked]:
    """What each checkpoint is asked. What is odd about tokenizers and weights is warned about.

    Raises:
        ValueError: there is no checkpoint; or a model has no tokenizer, or cannot read the questions.
    """
    if not checkpoints:
        raise ValueError("steps: the suite has no checkpoint to ask")
    readings: dict[str, _Reading] = {}
    by_model: dict[str, _Reading] = {}
    seen: dict[str, dict[str, int]] = {}
    asked = []
    for checkpoint in checkpoints:
        model = checkpoint.model
        if model.name not in by_model:
            tokenizer = tokenizer_of(model)
            key = _key(tokenizer, model.name)
            if key not in readings:
                splits = [splits_of(questions, tokenizer, place, model.name) for place in ("a", "b")]
                prompts = {n: Prompts.of(questions.prompts(n), tokenizer) for n in questions.shots}
                readings[key] = _Reading(tokenizer, splits, prompts, [])
            check_fit(readings[key].prompts, model, max_new_tokens)
            readings[key].models.append(model.name)
            by_model[model.name] = readings[key]
        reading = by_model[model.name]
        twin = earlier_twin(checkpoint, seen.setdefault(model.name, {}))
        if twin is not None:
            warnings.warn(twin_warning(model.name, checkpoint.step, twin), stacklevel=3)
        units = tuple(Unit.of(checkpoint, n, reading.prompts[n], questions, max_new_tokens) for n in questions.shots)
        n_tokens = {n: len(split) for n, split in reading.splits[0].items()}
        asked.append(Asked(checkpoint, reading.tokenizer, n_tokens, units))
    for reading in readings.values():
        warn_of_uneven(reading.splits, reading.models)
    return asked


def _key(tokenizer: "PreTrainedTokenizerBase", name: str) -> str:
    """The same for tokenizers that read alike; one that does not say all of itself is that of its model only."""
    if not tokenizer.is_fast:
        return name
    said = tokenizer.backend_tokenizer.to_str()
    return hashlib.sha256(f"{said} {tokenizer.eos_token_id} {tokenizer.unk_token_id}".encode()).hexdigest()
