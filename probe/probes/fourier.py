"""Progress measures on the logits (Nanda et al. 2023, arXiv 2301.05217, section 5).

The key frequencies are chosen once, on a model's last checkpoint, and held fixed along its trajectory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from probe.activations.sites import LOGITS
from probe.measures import progress
from probe.measures.key_frequencies import key_frequencies_by_logits
from probe.measures.performance import subset_mean
from probe.probes.base import Observation, Probe, Row, check_cyclic
from probe.tasks import Task


def keys_of(observation: Observation) -> tuple[int, ...]:
    """The key frequencies of the model's last checkpoint."""
    return tuple(int(row.key) for row in observation.of_model["key_frequencies"] if row.metric == "is_key")


@dataclass(frozen=True)
class KeyFrequencies(Probe):
    """Frequencies whose logit cosine is above ``threshold`` and above that of noise, on the last checkpoint."""

    threshold: float = 0.005

    name: ClassVar[str] = "key_frequencies"
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)
    per: ClassVar[Literal["checkpoint", "model"]] = "model"

    def check(self, task: Task) -> None:
        check_cyclic(task)

    def measure(self, observation: Observation) -> Iterator[Row]:
        found = key_frequencies_by_logits(observation.cube, self.threshold)
        for k, cosine in enumerate(found.scores.tolist(), start=1):
            yield Row("logit_cosine", cosine, LOGITS, str(k))
        for k in found.frequencies:
            yield Row("is_key", 1.0, LOGITS, str(k))
        yield Row("null_quantile", found.null_quantile, LOGITS)


@dataclass(frozen=True)
class FourierProgress(Probe):
    """Explained variance of the logits by the key frequencies, and the loss with only them and without them.

    A model without key frequencies has only the frequency-free ``sum_fve``.
    """

    name: ClassVar[str] = "fourier_progress"
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)
    needs: ClassVar[tuple[str, ...]] = ("key_frequencies",)

    def check(self, task: Task) -> None:
        check_cyclic(task)

    def measure(self, observation: Observation) -> Iterator[Row]:
        cube, keys = observation.cube, keys_of(observation)
        yield Row("sum_fve", progress.sum_fve(cube).item(), LOGITS)
        if not keys:
            return
        yield Row("logit_fve_cube", progress.logit_fve_cube(cube, keys).item(), LOGITS)
        yield Row("logit_fve_directions", progress.logit_fve_directions(cube, keys).item(), LOGITS)

        on_pairs = {
            name: observation.on_pairs(torch.as_tensor(mask)) for name, mask in observation.task.subsets.items()
        }
        restricted = progress.restricted_loss(cube, keys)
        for subset in ("train", "test", "all"):
            if subset in on_pairs and on_pairs[subset].any():
                loss = subset_mean(restricted.flatten(), on_pairs[subset].flatten()).item()
                yield Row("restricted_loss", loss, LOGITS, subset)
        train = on_pairs["train"]
        if not train.any():  # of a product, all that is trained on may be products with zero
            return
        yield Row("excluded_loss", progress.excluded_loss(cube, keys, train).item(), LOGITS, "all keys")
        for k, loss in zip(keys, progress.excluded_loss_each(cube, keys, train).tolist(), strict=True):
            yield Row("excluded_loss", loss, LOGITS, f"k={k}")
