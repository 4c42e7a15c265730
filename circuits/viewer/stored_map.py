"""Questions over steps, as a run recorded them with the probe ``recall``: what was remembered when."""

import numpy as np
from jaxtyping import Int

from circuits.viewer.messages import Map
from circuits.viewer.opened import Seen
from circuits.viewer.questions import questions_of, thinned
from circuits.viewer.wording import shown_by
from probe.activations.store import read_array
from probe.probes.recall import Recall
from probe.tasks import NOT_SCORED, Text

MOST_ROWS = 500
"""Questions that are shown; of more so many, evenly spaced in their order by exposures."""

MOST_SAID = 8
"""Tokens of an answer up to which it is told what the model said."""


def records_recall(seen: Seen) -> bool:
    """Whether the run's batch records what became of every question."""
    return seen.run is not None and any(isinstance(spec.build(), Recall) for spec in seen.run.batch.probes)


def steps_map(seen: Seen, name: str, step: int) -> Map:
    """Questions in rows, those shown most often first, and the steps of the model in columns.

    Args:
        seen: the run.
        name: of the model.
        step: that is looked at; all are told.

    Raises:
        ValueError: nothing is recorded of single questions.
    """
    model = seen.model(name)
    steps = [at for at in seen.steps_of[name] if _recorded(seen, name, at, "exact") is not None]
    if model.task is None or not steps:
        yet = "not measured yet" if records_recall(seen) else "not recorded; add the probe recall to the batch"
        raise ValueError(f"model: what became of single questions of {name} is {yet}")
    task, questions, show = model.task, questions_of(model.task), shown_by(model)
    chosen = _most_shown_first(len(task.tokens), _recorded(seen, name, steps[-1], "exposures"))

    def over_steps(what: str) -> np.ndarray | None:
        """[question, step, ...]"""
        found = [array[chosen] for at in steps if (array := _recorded(seen, name, at, what)) is not None]
        return np.stack(found, 1) if len(found) == len(steps) else None

    log_prob, exact, predicted = (over_steps(what) for what in ("log_prob", "exact", "predicted"))
    assert log_prob is not None
    assert exact is not None
    assert predicted is not None
    exposures = over_steps("exposures")
    between = "" if isinstance(task, Text) else " "  # tokens of texts have their own spaces

    def said(tokens: Int[np.ndarray, " token"]) -> str:
        return between.join(show(task.answer_tokens[tokens[tokens != NOT_SCORED]]))

    of_all = f" of {len(task.tokens):,}" if len(chosen) < len(task.tokens) else ""
    return Map(
        model=name,
        step=step,
        kind="steps",
        row_title=f"{len(chosen):,}{of_all} questions" + ("" if exposures is None else ", most shown first"),
        column_title="training step",
        rows=[between.join(show(questions.tokens[row, : questions.lengths[row]])) for row in chosen.tolist()],
        columns=[str(at) for at in steps],
        right=np.exp(log_prob).tolist(),
        answer=None if predicted.shape[-1] > MOST_SAID else [[said(tokens) for tokens in row] for row in predicted],
        correct=(exact == 1).tolist(),
        held_out=np.repeat(~task.train_mask[chosen][:, None], len(steps), 1).tolist(),
        exposures=None if exposures is None else exposures.tolist(),
    )


def _recorded(seen: Seen, model: str, step: int, what: str) -> np.ndarray | None:
    """What ``recall`` stored of all questions at a step."""
    if seen.run is None:
        return None
    found = read_array(seen.run.folder, model, (step,), f"recall_{what}")
    return None if found is None else found.to_numpy()[0]


def _most_shown_first(n: int, exposures: Int[np.ndarray, " question"] | None) -> Int[np.ndarray, " row"]:
    order = np.arange(n) if exposures is None else np.argsort(-exposures, kind="stable")
    return order[thinned(n, MOST_ROWS)]
