"""All questions with two operands, on the model: a grid of how sure it is of the right answer, and what it says."""

import numpy as np
import torch
from jaxtyping import Int

from circuits.viewer.live.loaded import Loaded
from circuits.viewer.messages import Map
from circuits.viewer.questions import Operands, operands_of, thinned
from probe.activations.forward import Batch, default_batch_size
from probe.activations.inputs import Inputs
from probe.measures.performance import Outcomes, outcomes
from probe.tasks import Task
from probe.tasks.arithmetic import Arithmetic

MOST_OPERANDS = 200
"""Rows and columns of the grid; of more operands so many are shown, evenly spaced."""


def operands_map(at: Loaded) -> Map:
    """
    Raises:
        ValueError: the task's questions have no two operands.
    """
    task = at.checkpoint.task
    operands = operands_of(task)
    if operands is None:
        raise ValueError(f"model: {at.name} was trained on {task.family}, whose questions have no two operands")
    shown = thinned(len(operands.names), MOST_OPERANDS)
    grid = _grid(operands)[np.ix_(shown, shown)]
    there = grid >= 0
    chosen = grid[there]
    found = _outcomes(at, task, chosen)
    exposures = at.checkpoint.exposures

    def on_grid(values: np.ndarray) -> list[list]:
        cells = np.full(grid.shape, None, dtype=object)
        cells[there] = values.tolist()
        return cells.tolist()

    names = [operands.names[place] for place in shown.tolist()]
    fewer = f" ({len(names)} of {len(operands.names)})" if len(names) < len(operands.names) else ""
    said = np.full(grid.shape, "", dtype=object)
    said[there] = _said(at, task, found)
    return Map(
        model=at.name,
        step=at.step,
        kind="operands",
        row_title=f"first operand{fewer}",
        column_title=f"second operand{fewer}",
        rows=names,
        columns=names,
        right=on_grid(found.log_probs.sum(-1).exp().numpy()),
        answer=said.tolist(),
        correct=on_grid(found.right.all(-1).numpy()),
        held_out=on_grid(~task.train_mask[chosen]),
        exposures=None if exposures is None else on_grid(exposures[chosen]),
    )


def _grid(operands: Operands) -> Int[np.ndarray, "first second"]:
    """Which question has which operands; -1 where none has."""
    n = len(operands.names)
    grid = np.full((n, n), -1)
    grid[tuple(operands.places.T)] = np.arange(len(operands.places))
    return grid


def _outcomes(at: Loaded, task: Task, chosen: Int[np.ndarray, " question"]) -> Outcomes:
    """What comes of every token of the answers, among those that answers have; as a batch measures it."""
    device = next(iter(at.model.named_parameters()))[1].device
    inputs = Inputs(task.tokens[chosen], task.lengths[chosen])
    targets, answers = torch.as_tensor(task.scored_answers[chosen]), torch.as_tensor(task.answer_tokens)
    size = default_batch_size(task.n_ctx, at.model.cfg.d_vocab_out, str(device), to_logits=True)
    parts = []
    for start in range(0, len(chosen), size):
        examples = slice(start, start + size)
        with torch.no_grad():
            logits = at.model.run_with_hooks(Batch(inputs, examples, device).tokens)
        parts.append(outcomes(logits[:, list(task.scored)].cpu()[..., answers], targets[examples]))
    return Outcomes.joined(parts)


def _said(at: Loaded, task: Task, found: Outcomes) -> list[str]:
    predicted = found.predicted.numpy()
    if isinstance(task, Arithmetic):
        return task.said(predicted)
    return at.show(task.answer_tokens[predicted[:, 0]])
