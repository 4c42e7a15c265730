"""All of it: every model at every step asked in words, unit by unit, and the table at the end."""

import weakref
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from probe import storage
from probe.activations.forward import default_batch_size, give_back
from probe.device import device_here
from probe.fewshot.decoding import greedy_answers
from probe.fewshot.planning import Asked, plan
from probe.fewshot.questions import Questions
from probe.fewshot.tables import FewShot, by_operand
from probe.fewshot.units import Unit, UnitFiles, read_items
from probe.progress import progress_shown
from probe.suites import Suite, open_suite

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from probe.suites.hooked import HookedModel


def few_shot(
    suite: Suite | str | Path,
    operation: str = "multiplication",
    operands: str | Sequence[int] = "0-99",
    partners: str | Sequence[int] = "1-50",
    shots: int | Sequence[int] = (0, 2, 4, 8, 16),
    template: str | None = None,
    *,
    models: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    max_new_tokens: int = 16,
    out: str | Path | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    device: str | None = None,
    progress: bool = True,
) -> FewShot:
    """Accuracy of arithmetic asked in words, by operand, of published models at every size and step.

    Every operand is asked with every partner, with so many worked examples before the question; the answer is decoded
    greedily, and is the first whole number before a line end. Examples are drawn for each question from the other
    facts, never itself nor its mirror, the same for every model and step. So ask Razeghi et al. 2022 (arXiv
    2202.07206); the evaluation of Pythia whose results are published writes an example as
    ``template="Q: What is {a} times {b}? A:{answer}\\n\\n"``.

    Numbers that a tokenizer splits otherwise than most of as many digits are warned about: of these a difference to
    others is not only one of frequency.

    Interrupted in any way, the same call with ``out`` goes on: a model at a step with so many examples that is there is
    not asked again.

    Args:
        suite: of models in transformers' format, with a tokenizer; or its address, as ``open_suite`` takes it.
        operation: ``"multiplication"``, ``"addition"`` or ``"subtraction"``.
        operands: the first operands, the ``{a}`` of the template: ``"0-99"``, or a sequence of whole numbers.
        partners: the second operands, ``{b}``.
        shots: how many worked examples are shown; one or more numbers.
        template: of a question, with ``{a}`` and ``{b}``; ``"Q: What is {a} times {b}? A:"``, with ``plus`` or
            ``minus`` of the other operations, if not given. An example is the question, a space, the answer and a line
            end, unless ``{answer}`` and what follows it say how it is written.
        models: names; all, if not given.
        steps: training steps; all that a model has, if not given.
        max_new_tokens: of an answer, at most.
        out: local folder or fsspec URL for the answers, a Parquet file per unit in ``items/``, and the table as
            ``<operation>.csv``; in memory, if not given.
        seed: of which examples are shown.
        batch_size: questions in a forward pass; about 2,000 tokens (16,000 on a GPU), if not given. Answers do not
            depend on it.
        device: where the models run; a GPU where there is one, if not given.
        progress: whether progress and time left are shown on the error stream.

    Raises:
        ValueError: an argument is not what is said above, a model has no tokenizer, its context is too short, or its
            logits are nan; the message names it.
    """
    questions = Questions(operation, operands, partners, shots, template, seed)
    for field, value in (("max_new_tokens", max_new_tokens), ("batch_size", batch_size)):
        if (value is not None or field == "max_new_tokens") and (type(value) is not int or value < 1):
            raise ValueError(f"{field}: got {value!r}; expected a whole number, at least 1")
    device = device_here(device)
    opened = suite if isinstance(suite, Suite) else open_suite(suite)
    asked = plan(list(opened.checkpoints(models, steps)), questions, max_new_tokens)
    files = None if out is None else UnitFiles(str(out).rstrip("/"))
    done = [unit for one in asked for unit in one.units if files is not None and files.has(unit)]
    total = sum(unit.work for one in asked for unit in one.units)
    n_units = sum(len(one.units) for one in asked)
    what = (
        f"asking {len(questions.facts):,} questions of {len(asked)} checkpoint(s) with"
        f" {', '.join(map(str, questions.shots))} examples: {n_units - len(done)} of {n_units} units are to be asked"
    )
    tables: list[pd.DataFrame] = []
    parts: list[pd.DataFrame | str] = []
    with progress_shown(what, sum(unit.work for unit in done), total, progress) as advance:
        for one in asked:
            # when it is closed the model goes, whatever has happened
            with closing(_items_of(one, questions, files, max_new_tokens, batch_size, device, advance)) as found:
                for unit, items in zip(one.units, found, strict=True):
                    tables.append(by_operand(items, unit.checkpoint, one.n_tokens))
                    parts.append(items if files is None else files.path(unit))
    table = pd.concat(tables, ignore_index=True)
    if out is not None:
        storage.write_atomically(f"{str(out).rstrip('/')}/{operation}.csv", table.to_csv(index=False).encode())
    return FewShot(table, tuple(parts))


def _items_of(
    one: Asked,
    questions: Questions,
    files: UnitFiles | None,
    max_new_tokens: int,
    batch_size: int | None,
    device: str,
    advance: Callable[[int, str], None],
) -> Generator[pd.DataFrame, None, None]:
    """The items of each unit of a checkpoint, whose model is loaded if one of them is not there."""
    checkpoint = one.checkpoint
    model: HookedModel | None = None
    try:
        for unit in one.units:
            if files is not None and files.has(unit):
                yield read_items(files.path(unit))
                continue
            if model is None:
                model = checkpoint.load(device)
            size = batch_size or default_batch_size(
                unit.prompts.longest + max_new_tokens, checkpoint.model.d_vocab, device, to_logits=False
            )
            answers = _answers(model, one.tokenizer, unit, size, max_new_tokens, advance)
            items = unit.items(questions, answers)
            if files is not None:
                files.write(unit, items)
            yield items
    finally:
        if model is not None:
            held = weakref.ref(model)
            del model
            give_back(held, device)
            checkpoint.model.release(checkpoint.step)


def _answers(
    model: "HookedModel",
    tokenizer: "PreTrainedTokenizerBase",
    unit: Unit,
    size: int,
    max_new_tokens: int,
    advance: Callable[[int, str], None],
) -> list[str]:
    """The answers to all prompts, in their order; asked in batches of about equal length, the longest first."""
    rows, name, step = unit.prompts.rows, unit.checkpoint.model.name, unit.checkpoint.step
    order = np.argsort(-unit.prompts.lengths, kind="stable")
    answers = [""] * len(rows)
    for start in range(0, len(rows), size):
        chosen = order[start : start + size]
        found = greedy_answers(model, tokenizer, [rows[i] for i in chosen], max_new_tokens, unit.checkpoint.location)
        for i, answer in zip(chosen, found, strict=True):
            answers[i] = answer
        tokens = int(unit.prompts.lengths[chosen].sum())
        advance(tokens * unit.checkpoint.n_params, f"{name} at step {step:,}, {unit.n_shot} examples")
    return answers
