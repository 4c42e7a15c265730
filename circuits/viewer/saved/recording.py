"""Which answers a saved file holds.

1. What is read from the run: of each model its curves and the scores at the steps chosen, from which the page tells
   the history of any edge or node itself.
2. What is computed on models, the most wanted first, as there may not be room for all: of the last step of each model
   the forward pass of the task's example, the map, the edges in its circuit and every node; then the same of a few
   earlier steps.
3. ``run`` says of which models and steps that is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from circuits.viewer.edge_scores import edge_names, node_names
from circuits.viewer.messages import ModelEntry, Run, Scores

if TYPE_CHECKING:
    from circuits.viewer.answers import Answers

N_EARLIER = 4
"""Steps before the last of which answers are computed."""

Question = tuple[str, Mapping[str, Any]]
"""Name and parameters."""


@dataclass(frozen=True)
class Recording:
    """
    Attributes:
        run: what there is, as far as the file has it.
        read: questions that the run answers.
        live: questions that take a model, the most wanted first.
    """

    run: Run
    read: tuple[Question, ...]
    live: tuple[Question, ...]


def recording_of(
    answers: "Answers", models: Sequence[str] | None = None, n_steps: int | None = None, live: bool = True
) -> Recording:
    """
    Args:
        answers: of the run.
        models: names; all of the run if not given.
        n_steps: at most so many steps of each model, evenly, the last among them; all if not given.
        live: whether answers that take a model are wanted.

    Raises:
        ValueError: the run has no such model, or ``n_steps`` is below 1.
    """
    run = answers.answer("run", {})
    assert isinstance(run, Run)
    if n_steps is not None and n_steps < 1:
        raise ValueError(f"steps: got {n_steps}; expected at least 1")
    names = [entry.name for entry in run.models]
    for name in models or ():
        if name not in names:
            raise ValueError(f"models: got {name!r}; expected one of {', '.join(names)}")
    entries = [_narrowed_entry(entry, n_steps) for entry in run.models if models is None or entry.name in models]
    read: list[Question] = [("curves", {"model": entry.name}) for entry in entries]
    read += [("scores", {"model": entry.name, "step": step}) for entry in entries for step in entry.scored]
    wanted = _live(answers, run, entries) if live and run.live else ()
    told = {"models": entries, "stored": True, "live": False, "running": False}
    return Recording(run.model_copy(update=told), tuple(read), tuple(wanted))


def spread(steps: Sequence[int], n: int | None) -> list[int]:
    """At most ``n`` of them, as even as can be in their order: the last, and with two or more the first."""
    if n is None or len(steps) <= n:
        return list(steps)
    if n == 1:
        return [steps[-1]]
    return [steps[round(i * (len(steps) - 1) / (n - 1))] for i in range(n)]


def _narrowed_entry(entry: ModelEntry, n_steps: int | None) -> ModelEntry:
    """A model with the steps that are kept: of those with scores, or where there are none, of all."""
    kept = spread(entry.scored or entry.steps, n_steps)
    return entry.model_copy(update={"steps": kept, "scored": kept if entry.scored else []})


def _circuit(answers: "Answers", entry: ModelEntry) -> list[str]:
    """The edges of the circuit at the last step."""
    if entry.graph is None or not entry.scored:
        return []
    scores = answers.answer("scores", {"model": entry.name, "step": entry.scored[-1]})
    assert isinstance(scores, Scores)
    if scores.inside is None:
        return []
    return [name for name, inside in zip(edge_names(entry.graph), scores.inside, strict=True) if inside]


def _live(answers: "Answers", run: Run, entries: Sequence[ModelEntry]) -> Iterator[Question]:
    circuits = {entry.name: _circuit(answers, entry) for entry in entries}
    turns = {entry.name: [*entry.steps[-1:], *reversed(spread(entry.steps[:-1], N_EARLIER))] for entry in entries}
    for turn in range(1 + N_EARLIER):
        for entry in entries:
            for step in turns[entry.name][turn : turn + 1]:
                at = {"model": entry.name, "step": step}
                if run.task is not None:
                    yield "forward", at | {"tokens": run.task.example}
                    if run.task.mapped:
                        yield "map", at
                for edge in circuits[entry.name]:
                    yield "edge", at | {"edge": edge}
                if entry.graph is not None:
                    for node in node_names(entry.graph):
                        yield "node", at | {"node": node}
