"""How much is learned from the examples in a sequence, by how many there are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import xarray as xr
from jaxtyping import Int
from torch import Tensor

from probe.activations.forward import activations_at
from probe.activations.sites import LOGITS
from probe.measures.in_context import icl_score, shot_curve
from probe.measures.intervals import Interval, t_interval
from probe.measures.performance import Outcomes, outcomes
from probe.probes.base import Array, Observation, Probe, Row, check_argument
from probe.tasks import InContext, Task


@dataclass(frozen=True)
class LearnedInContext(Probe):
    """k-shot curves and the ICL score of tasks whose rule is told by the sequence alone, beside sequences that tell
    none.

    Rows, of every subset of the task: ``icl_score`` (nats, loss at the last place less that at the first), by subset;
    ``accuracy`` and ``loss`` by subset and number of examples shown before, ``test/3``. Each with its 95 % interval
    over sequences, ``_low`` and ``_high``. There are two controls, on sequences of the test set: ``uninformed``, with
    random answers in the place of those shown, and ``shuffled``, with those shown dealt anew among the x. ``icl_score``
    of each, ``accuracy`` and ``loss`` of ``uninformed/3``, and of ``shuffled/3`` at the last place alone, before which
    the same answers were shown as often. ``icl_gain``: the score less that of the same sequences ``shuffled``; only
    where it is below 0 is anything learned of what belongs to what, and not just of which answers there are.
    ``ceiling`` by number of examples, ``3``: the accuracy of an ideal learner. Arrays ``in_context_right`` and
    ``in_context_log_prob`` (nats), [example, place].

    Args:
        controls: sequences of the controls, at most.
    """

    name: ClassVar[str] = "in_context"
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)

    controls: int = 512

    def __post_init__(self) -> None:
        check_argument(self.controls >= 2, "controls", self.controls, "2 or more")

    def check(self, task: Task) -> None:
        if not isinstance(task, InContext):
            raise ValueError(
                "the task's rule is not told by the examples of a sequence, so nothing is learned in context"
            )

    def measure(self, observation: Observation) -> Iterator[Row | Array]:
        task, found = observation.task, observation.outcomes
        assert isinstance(task, InContext), "check() refuses other tasks"
        for subset, mask in task.subsets.items():
            yield from _rows(subset, found, np.flatnonzero(mask), task.shown)
        which = np.flatnonzero(task.subsets.get("test", task.subsets["all"]))[: self.controls]
        every, shown = np.arange(len(which)), task.shown[which]
        yield from _rows("uninformed", _asked_again(observation, task.uninformed(), which), every, shown)
        dealt = _asked_again(observation, task.shuffled(), which)
        at_last = np.where(np.arange(shown.shape[1]) == shown.shape[1] - 1, shown, -1)
        yield from _rows("shuffled", dealt, every, at_last)
        if len(which) > 1:  # the loss at the first place, before which nothing is shown, is the same
            more = dealt.log_probs[:, -1] - found.log_probs[which, -1]
            yield from _with_ends("icl_gain", t_interval(more, 0.95), "test")
        for number in np.unique(task.shown).tolist():
            yield Row("ceiling", task.ceiling(number), "", str(number))
        for name, values in (("right", found.right.numpy().astype(np.int8)), ("log_prob", found.log_probs.numpy())):
            yield Array(f"in_context_{name}", xr.DataArray(values, dims=("example", "place")))


def _rows(
    name: str, found: Outcomes, chosen: Int[np.ndarray, " sequence"], shown: Int[np.ndarray, "example place"]
) -> Iterator[Row]:
    loss = -found.log_probs.numpy()[chosen]
    curve = shot_curve(found.right.numpy()[chosen], loss, shown[chosen])
    if len(chosen) > 1:
        yield from _with_ends("icl_score", icl_score(loss), name)
    for number, accuracy, of_loss in zip(curve.shown.tolist(), curve.accuracy, curve.loss, strict=True):
        yield from _with_ends("accuracy", accuracy, f"{name}/{number}")
        yield from _with_ends("loss", of_loss, f"{name}/{number}")


def _with_ends(metric: str, interval: Interval, key: str) -> Iterator[Row]:
    for end, value in (("", interval.estimate), ("_low", interval.low), ("_high", interval.high)):
        yield Row(f"{metric}{end}", value, LOGITS, key)


def _asked_again(
    observation: Observation, tokens: Int[np.ndarray, "example position"], which: Int[np.ndarray, " sequence"]
) -> Outcomes:
    """What the model says to the same questions after other examples."""
    task = observation.task
    assert isinstance(task, InContext), "check() refuses other tasks"
    asked = torch.as_tensor(tokens[which])
    targets, answers = torch.as_tensor(task.scored_answers[which]), torch.as_tensor(task.answer_tokens)
    parts: list[Outcomes] = []

    def score(examples: slice, seen: Mapping[str, Tensor]) -> None:
        parts.append(outcomes(seen[LOGITS][:, list(task.scored)][..., answers], targets[examples]))

    last = torch.full((len(asked),), asked.shape[1] - 1)
    activations_at(observation.model, asked, [LOGITS], last, look=score)
    return Outcomes.joined(parts)
