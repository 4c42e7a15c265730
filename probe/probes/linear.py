"""Linear probes of the residual stream at the answer position."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from probe.activations.sites import match_sites
from probe.measures.controls import with_controls
from probe.measures.folds import N_FOLDS, assign_folds, difference
from probe.measures.fourier import fourier_targets
from probe.measures.linear import ridge
from probe.measures.moments import accumulate
from probe.probes.base import Observation, Probe, Row, check_argument, check_cyclic
from probe.tasks import Task


@dataclass(frozen=True)
class FourierProbe(Probe):
    """Held-out R2 of ridge probes for the cosine and sine of the answer at each frequency, after each block.

    (i, j) and (j, i) are held out together. The control gives each answer the cosine and sine of another answer, at
    random; selectivity is what R2 is above it. What the untrained model gives is the row of step 0.
    """

    n_shuffles: int = 1

    name: ClassVar[str] = "fourier_probe"
    sites: ClassVar[tuple[str, ...]] = ("blocks.*.hook_resid_post",)

    def __post_init__(self) -> None:
        check_argument(self.n_shuffles >= 1, "n_shuffles", self.n_shuffles, "at least 1")

    def check(self, task: Task) -> None:
        check_cyclic(task)
        assert task.cyclic_form is not None
        n = task.cyclic_form.order
        if n * (n + 1) // 2 < N_FOLDS:
            raise ValueError(
                f"the task's operation is an addition of {n} elements, of which there are fewer pairs than the"
                f" {N_FOLDS} parts that are held out in turn"
            )

    def measure(self, observation: Observation) -> Iterator[Row]:
        example = observation.example_of_pair
        n = len(example)
        i, j = (index.flatten() for index in torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij"))
        c = (i + j) % n
        targets = fourier_targets(c, n)
        controls = with_controls(targets.values, self.n_shuffles, types=c)
        fold = assign_folds(n * n, groups=torch.minimum(i, j) * n + torch.maximum(i, j))
        for site in match_sites(self.sites, observation.activations):
            x = observation.activations[site][example.flatten()]
            held_out = ridge(accumulate([(x, controls.Y, fold)]), alpha_groups=controls.labels()).held_out
            mine, shuffled = (part.grouped(targets.frequencies) for part in controls.split(held_out))
            for metric, estimate in (("r2", mine.score()), ("selectivity", difference(mine, shuffled))):
                for part in ("value", "low", "high"):
                    name = metric if part == "value" else f"{metric}_{part}"
                    for k, value in enumerate(getattr(estimate, part).tolist(), start=1):
                        yield Row(name, value, site, str(k))
