"""Loss and accuracy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from probe.activations.sites import LOGITS
from probe.measures.performance import accuracy, cross_entropy, subset_mean
from probe.probes.base import Observation, Probe, Row


@dataclass(frozen=True)
class Performance(Probe):
    """Mean loss (nats) and accuracy on every subset of the task; the loss is over the tokens that can be an answer."""

    name: ClassVar[str] = "performance"
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)

    def measure(self, observation: Observation) -> Iterator[Row]:
        by_metric = {
            "loss": cross_entropy(observation.logits, observation.answers),
            "accuracy": accuracy(observation.logits, observation.answers),
        }
        for metric, values in by_metric.items():
            for subset, mask in observation.task.subsets.items():
                yield Row(metric, subset_mean(values, torch.as_tensor(mask)).item(), LOGITS, subset)
