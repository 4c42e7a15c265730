"""How much of random facts a model holds, in bits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe.activations.sites import LOGITS
from probe.measures.memorization import recovered_bits
from probe.probes.base import Observation, Probe, Row
from probe.tasks import Facts, Task


@dataclass(frozen=True)
class Capacity(Probe):
    """Bits recovered of the facts that are shown to the end, and of those never shown, which is none on average.

    Of a fact that is shown in several phrasings it is the mean of its log-probabilities in these. ``bits`` with the
    interval ``bits_low``, ``bits_high`` is the sum over the facts, ``bits_total`` the information in them.
    """

    name: ClassVar[str] = "capacity"
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)

    def check(self, task: Task) -> None:
        if not isinstance(task, Facts):
            raise ValueError(
                f"got a task of the family {task.family}; expected facts: answers that are not drawn at random have no"
                " bits, and those of a biography's sentences are not counted"
            )

    def measure(self, observation: Observation) -> Iterator[Row]:
        task, log_probs = observation.task, observation.outcomes.log_probs.sum(-1)
        assert isinstance(task, Facts)
        if not log_probs.isfinite().all():  # of a model that diverged
            return
        for subset in ("train", "test"):
            of_facts = _mean_by_fact(task, log_probs, torch.as_tensor(task.subsets[subset]))
            if len(of_facts) < 2:
                continue
            found = recovered_bits(of_facts, task.values)
            yield Row("bits", found.bits, LOGITS, subset)
            yield Row("bits_low", found.low, LOGITS, subset)
            yield Row("bits_high", found.high, LOGITS, subset)
            yield Row("bits_total", found.total, LOGITS, subset)


def _mean_by_fact(
    task: Facts, values: Float[Tensor, " example"], mask: Bool[Tensor, " example"]
) -> Float[Tensor, " fact"]:
    """Mean over the examples of each fact that are in the mask; facts with none are left out."""
    fact = torch.as_tensor(task.fact)[mask]
    count = torch.bincount(fact, minlength=task.n_facts)
    total = torch.bincount(fact, values[mask], minlength=task.n_facts)
    return (total / count)[count > 0]
