"""What each head attends to, on a task's own questions, at every checkpoint. Registered as ``head_roles``.

1. Which queries count, and which keys, is told by the tokens: a key is a copy of the query's token, or what follows
   one. In tasks that are learned in context only what is asked is a query, and only what was asked before its copy: a
   head that finds an answer need not do so after an answer, where nothing is to be predicted.
2. The control asks of the same patterns for the keys that another question would name. A head that goes by position
   scores there as it does here; what is beyond that is due to the tokens of the question.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr

from circuits.graph import Node
from circuits.heads import head_scores
from circuits.heads.attention import REPEATS
from circuits.heads.means import means_over
from probe.activations.inputs import Inputs
from probe.probes import Array, Observation, Probe, Row
from probe.probes.base import check_argument
from probe.tasks import InContext, Task
from probe.tasks.task import NOT_SCORED


@dataclass(frozen=True)
class HeadRoles(Probe):
    """How much of each head's attention goes where a previous-token head, an induction head and so on would look.

    Rows, of each score of ``circuits.heads.head_scores`` that the questions have: the mean over questions with its
    95 % interval (``induction``, ``induction_low``, ``induction_high``), by head (``L1.H0``), and what attention to all
    that is seen alike would score (``uniform``). Of ``induction`` and ``duplicate_token`` also the control by head,
    ``induction_elsewhere``: the attention to the keys that another question of the same length would name; and
    ``induction_gain``, how much more it is to one's own, with its interval over questions. Induction is the
    prefix-matching score (Olsson et al. 2022, arXiv 2209.11895).

    Args:
        n: questions, evenly spaced among those of the subset; all, if there are no more.
        subset: of the task.
    """

    name: ClassVar[str] = "head_roles"

    n: int = 256
    subset: str = "all"

    def __post_init__(self) -> None:
        check_argument(self.n >= 2, "n", self.n, "2 or more, for an interval")

    def check(self, task: Task) -> None:
        check_argument(self.subset in task.subsets, "subset", repr(self.subset), f"one of {', '.join(task.subsets)}")

    def measure(self, observation: Observation) -> Iterator[Row | Array]:
        task, model = observation.task, observation.model
        members = np.flatnonzero(task.subsets[self.subset])
        if len(members) > self.n:
            members = members[np.linspace(0, len(members) - 1, self.n).round().astype(int)]
        inputs, places = Inputs(task.tokens[members], task.lengths[members]), _places(task, members)
        own = head_scores(model, inputs, places=places, max_offset=0)
        means = own.means()
        for score in means["score"].values.tolist():
            of_score = means.sel(score=score)
            if not of_score["n"].any():
                continue  # such as copies, where no token occurs twice
            yield Row(score, of_score["uniform"].item(), "", "uniform")
            yield from _by_head(score, of_score)
        has, other = _others(inputs.lengths)
        if not len(has):
            return
        asked, at = Inputs(inputs.tokens[has], inputs.lengths[has]), Inputs(places.tokens[other], inputs.lengths[other])
        elsewhere = head_scores(model, asked, places=at, max_offset=0).values.assign_coords(example=has)
        gain = own.values - elsewhere  # of each that has another
        for score in REPEATS:
            for name, values in (("elsewhere", elsewhere), ("gain", gain)):
                means = means_over(values.sel(score=score), "example")
                if means["n"].any():
                    yield from _by_head(f"{score}_{name}", means)


def _by_head(metric: str, means: xr.Dataset) -> Iterator[Row]:
    for end, name in (("", "mean"), ("_low", "low"), ("_high", "high")):
        for (layer, head), value in np.ndenumerate(means[name].transpose("layer", "head").values):
            yield Row(f"{metric}{end}", float(value), "", str(Node("head", layer, head)))


def _places(task: Task, members: np.ndarray) -> Inputs:
    """The tokens that say what is a copy of what: of a task that is learned in context, no answer is one."""
    tokens = task.tokens[members].copy()
    if isinstance(task, InContext):
        told = task.targets[members] == NOT_SCORED
        tokens[told] = task.d_vocab + np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)[told]
    return Inputs(tokens, task.lengths[members])


def _others(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which questions have others of their length, and for each of these the next one, round to the first."""
    has, other = [], []
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length)
        if len(alike) > 1:
            has.append(alike)
            other.append(np.roll(alike, -1))
    return (np.concatenate(has), np.concatenate(other)) if has else (np.array([], int), np.array([], int))
