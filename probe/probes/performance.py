"""Loss and accuracy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from probe.activations.sites import LOGITS
from probe.measures.performance import subset_mean
from probe.probes.base import Observation, Probe, Row


@dataclass(frozen=True)
class Performance(Probe):
    """Mean loss (nats per token) and accuracy on every subset of the task.

    The loss is over the tokens that can be part of an answer. Accuracy is that of whole answers; where they have
    several tokens, ``token_accuracy`` is that of each token given those before it.
    """

    name: ClassVar[str] = "performance"
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)

    def measure(self, observation: Observation) -> Iterator[Row]:
        outcomes = observation.outcomes
        by_metric = {"loss": outcomes.loss, "accuracy": outcomes.exact}
        if outcomes.scored.shape[1] > 1:
            by_metric["token_accuracy"] = outcomes.token_accuracy
        for metric, values in by_metric.items():
            for subset, mask in observation.task.subsets.items():
                yield Row(metric, subset_mean(values, torch.as_tensor(mask)).item(), LOGITS, subset)
