"""Losses of every example that was shown beside those of examples never shown, by size and step."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from probe.scaling.frequency import Arrays
from probe.scaling.transitions import size_label
from probe.tasks import Facts, Mixture, Task, Text
from probe.tasks.arithmetic import Arithmetic
from probe.tasks.biographies import Biographies

QUANTILES = {"q10": 0.1, "median": 0.5, "q90": 0.9}


def loss_table(results: pd.DataFrame, arrays: Arrays, tasks: Mapping[str, Task]) -> pd.DataFrame:
    """Quantiles of the losses of examples, and how well a loss tells whether its example was shown; smallest first.

    A row per model and step; of a mixture one for each of its parts, of biographies one for what they tell and one for
    questions. Columns: ``model``, ``size``, ``n_params``, ``part`` ("" where there is one), ``step``; ``shown_q10``,
    ``shown_median``, ``shown_q90`` and ``unseen_q10``, ``unseen_median``, ``unseen_q90`` (nats, the sum over an
    answer's tokens); ``auc`` (probability that an example that was shown has a lower loss than one that was not), with
    its interval ``auc_low``, ``auc_high`` over examples, those that are shown or not together as one.

    Left out are models without examples that were never shown, and evaluations at which a loss is not finite; of
    examples those taught with a wrong answer, asked in words that were not trained on, or not meant to be shown at all.

    Args:
        results: tidy results table; its rows of the probe ``recall`` say which models there are.
        arrays: reads a stored array by model and name; None if there is none.
        tasks: what each model was trained on.
    """
    from probe.measures.memorization import loss_separation

    rows = []
    models = results.loc[results["probe"] == "recall", ["model", "n_params"]].drop_duplicates()
    for model, n_params in models.sort_values(["n_params", "model"]).itertuples(index=False):
        log_prob = arrays(model, "recall_log_prob")
        if log_prob is None or model not in tasks:
            continue
        for kind in _kinds(tasks[model]):
            values = -log_prob.values[:, kind.examples]
            finite = np.isfinite(values).all(1)
            if not finite.any():
                continue
            found = loss_separation(values[finite], kind.shown, kind.together, tuple(QUANTILES.values()))
            columns = {"step": log_prob["step"].values[finite]}
            for name, quantiles in (("shown", found.shown), ("unseen", found.unseen)):
                columns |= {f"{name}_{q}": quantiles[:, i].numpy() for i, q in enumerate(QUANTILES)}
            columns |= {"auc": found.auc.value, "auc_low": found.auc.low, "auc_high": found.auc.high}
            rows.append(
                pd.DataFrame(columns).assign(model=model, size=size_label(model), n_params=n_params, part=kind.part)
            )
    named = [f"{kind}_{q}" for kind in ("shown", "unseen") for q in QUANTILES]
    order = ["model", "size", "n_params", "part", "step", *named, "auc", "auc_low", "auc_high"]
    return pd.concat(rows, ignore_index=True)[order] if rows else pd.DataFrame(columns=order)


class _Kind(NamedTuple):
    """Examples of one kind.

    Attributes:
        part: of a mixture, or of what is told and asked; "" where there is one.
        examples: which they are.
        shown: which of them were.
        together: the same for examples that are shown or not together.
    """

    part: str
    examples: Int[np.ndarray, " fact"]
    shown: Bool[np.ndarray, " fact"]
    together: Int[np.ndarray, " fact"]


def _kinds(task: Task) -> Iterator[_Kind]:
    """The examples that were to be shown, those held out of them among these, by kind."""
    if isinstance(task, Mixture):
        for name, of_part in task.tasks.items():
            first = task.examples[name].start
            for kind in _kinds(of_part):
                yield kind._replace(part=f"{name}/{kind.part}".rstrip("/"), examples=kind.examples + first)
        return
    pairs = {"": ("train", "test")}
    if isinstance(task, Biographies):  # of a person's attributes all are answered, or one
        pairs = {"biographies": ("recited", "test_biographies"), "questions": ("asked", "test_questions")}
    declared = task.declared if isinstance(task, Arithmetic | Facts | Text | Biographies) else 1
    for part, (shown, unseen) in pairs.items():
        control = task.subsets.get(unseen, np.zeros(len(task.tokens), dtype=bool)) & (declared > 0)
        examples = np.flatnonzero(task.subsets[shown] | control)
        if control.any():
            yield _Kind(part, examples, ~control[examples], _together(task)[examples])


def _together(task: Task) -> Int[np.ndarray, " example"]:
    if isinstance(task, Facts):
        return task.fact
    if isinstance(task, Biographies):
        return task.person
    # facts that mirror each other, and texts that are there twice; of others, each by itself
    questions = task.facts if isinstance(task, Arithmetic) else task.tokens
    return np.unique(np.sort(questions, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
