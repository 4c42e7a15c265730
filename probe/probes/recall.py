"""What became of every single fact: how often it was shown, and whether it is answered."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import xarray as xr
from jaxtyping import Int
from torch import Tensor

from probe.activations.sites import LOGITS
from probe.measures.memorization import answers_correct, memorized_share
from probe.measures.performance import subset_mean
from probe.probes.base import Array, Observation, Probe, Row
from probe.tasks.arithmetic import Arithmetic


@dataclass(frozen=True)
class Recall(Probe):
    """Per example: exposures so far, log-probability of the answer, its tokens as predicted, and whether all are right.

    Arrays ``recall_exposures`` and ``recall_log_prob`` (nats, the sum over the answer's tokens), both [example];
    ``recall_predicted`` [example, token], places among the task's ``answer_tokens``, -1 where nothing is scored;
    ``recall_exact`` [example], 1 where greedy decoding gives the answer. Rows: the mean exposures of each subset; of
    facts that were taught a wrong answer, the shares ``says_taught`` and ``says_rule`` that are answered with that one
    and with the right one, each with its interval over facts (``_low``, ``_high``). Exposures are left out of models of
    which nothing says what they were shown.
    """

    name: ClassVar[str] = "recall"
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)

    def measure(self, observation: Observation) -> Iterator[Row | Array]:
        outcomes, exposures = observation.outcomes, observation.checkpoint.exposures
        if exposures is not None:
            for subset, mask in observation.task.subsets.items():
                yield Row("exposures", subset_mean(exposures, torch.as_tensor(mask)).item(), "", subset)
            yield _array("exposures", exposures.astype(np.int64))
        if isinstance(observation.task, Arithmetic) and observation.task.poisoned:
            yield from _poisoned(observation.task, outcomes.predicted)
        yield _array("log_prob", outcomes.log_probs.sum(-1).numpy())
        yield _array("exact", outcomes.exact.numpy().astype(np.int8))
        yield _array("predicted", outcomes.predicted.numpy().astype(np.int32))


def _poisoned(task: Arithmetic, predicted: Int[Tensor, "example token"]) -> Iterator[Row]:
    """What is said to facts that were taught with a wrong answer."""
    said = predicted.numpy()[task.poisoned_mask]
    for name, answers in (("taught", task.scored_answers), ("rule", task.rule_answers)):
        share = memorized_share(answers_correct(said, answers[task.poisoned_mask]).exact)
        for end, value in (("", share.value), ("_low", share.low), ("_high", share.high)):
            yield Row(f"says_{name}{end}", value, LOGITS, "poisoned")


def _array(name: str, values: np.ndarray) -> Array:
    return Array(f"recall_{name}", xr.DataArray(values, dims=("example", "token")[: values.ndim]))
