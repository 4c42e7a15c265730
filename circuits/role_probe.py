"""What each head attends to, on a task's own questions, at every checkpoint. Registered as ``head_roles``."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from circuits.graph import Node
from circuits.heads import head_scores
from probe.activations.inputs import Inputs
from probe.probes import Array, Observation, Probe, Row
from probe.probes.base import check_argument
from probe.tasks import Task


@dataclass(frozen=True)
class HeadRoles(Probe):
    """How much of each head's attention goes where a previous-token head, an induction head and so on would look.

    Rows, of each score of ``circuits.heads.head_scores`` that the questions have: the mean over questions with its
    95 % interval (``induction``, ``induction_low``, ``induction_high``), by head (``L1.H0``), and the control,
    attention to all that is seen alike (``uniform``). Induction is the prefix-matching score (Olsson et al. 2022,
    arXiv 2209.11895).

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
        task = observation.task
        members = np.flatnonzero(task.subsets[self.subset])
        if len(members) > self.n:
            members = members[np.linspace(0, len(members) - 1, self.n).round().astype(int)]
        found = head_scores(observation.model, Inputs(task.tokens[members], task.lengths[members]), max_offset=0)
        means = found.means()
        for score in means["score"].values.tolist():
            of_score = means.sel(score=score)
            if not of_score["n"].any():
                continue  # such as copies, where no token occurs twice
            yield Row(score, of_score["uniform"].item(), "", "uniform")
            for layer in means["layer"].values.tolist():
                for head in means["head"].values.tolist():
                    for end, name in (("", "mean"), ("_low", "low"), ("_high", "high")):
                        value = of_score[name].sel(layer=layer, head=head).item()
                        yield Row(f"{score}{end}", value, "", str(Node("head", layer, head)))
