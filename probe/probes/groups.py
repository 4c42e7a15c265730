"""Structure by irreducible representations, for operations that are the product of a finite group.

The key irreps are chosen once, on a model's last checkpoint. Source: Chughtai et al. 2023, arXiv 2302.03025, sections 4
and 5. For what is not finite, or does not depend on the question, see ``probe.probes.fourier``.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from probe.activations.sites import LOGITS, match_sites
from probe.measures import groups
from probe.measures.fourier.significance import SINGLE_FREQUENCY
from probe.probes.base import Observation, Probe, Row, check_argument, group_form_of
from probe.probes.fourier import surviving_rows
from probe.tasks import Task


@dataclass(frozen=True)
class KeyIrreps(Probe):
    """Irreps whose logit cosine is above ``threshold`` and above that of noise, on the last checkpoint."""

    threshold: float = 0.005

    name: ClassVar[str] = "key_irreps"
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)
    per: ClassVar[Literal["checkpoint", "model"]] = "model"

    def __post_init__(self) -> None:
        check_argument(0 <= self.threshold < 1, "threshold", self.threshold, "a cosine: at least 0 and below 1")

    def check(self, task: Task) -> None:
        group_form_of(task)

    def measure(self, observation: Observation) -> Iterator[Row]:
        if not observation.says_something:
            return
        form = group_form_of(observation.task)
        for name in groups.key_irreps(form.group, observation.cube_in(form), self.threshold):
            yield Row("is_key", 1.0, LOGITS, name)


@dataclass(frozen=True)
class IrrepProgress(Probe):
    """Logit cosines by irrep, explained variance of the logits by the key irreps, and the loss with and without them.

    ``surviving``: of what is answered rightly, the share that still is without them, as in ``FourierProgress``.

    Where everything was trained on, so that there is no test set, only what needs no loss is said.
    """

    name: ClassVar[str] = "irrep_progress"
    version: ClassVar[int] = 2
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)
    needs: ClassVar[tuple[str, ...]] = ("key_irreps",)

    def check(self, task: Task) -> None:
        group_form_of(task)

    def measure(self, observation: Observation) -> Iterator[Row]:
        if not observation.says_something:
            return
        form = group_form_of(observation.task)
        cube = observation.cube_in(form)
        for name, cosine in groups.logit_cosines(form.group, cube).items():
            yield Row("logit_cosine", cosine, LOGITS, name)
        keys = [row.key for row in observation.of_model.get("key_irreps", ()) if row.metric == "is_key"]
        train = torch.as_tensor(observation.task.train_mask)[observation.example_of(form)]
        if train.all() or not train.any():
            yield Row("logit_fve", groups.logit_fve(form.group, cube, keys), LOGITS)
            return
        found = groups.progress(form.group, cube, train, keys)
        yield Row("class_fve", found.fve_any_key, LOGITS)
        if not keys:
            return
        yield Row("logit_fve", found.fve, LOGITS)
        yield Row("logit_fve_directions", found.fve_directions, LOGITS)
        yield Row("restricted_loss", found.restricted_loss, LOGITS, "all")
        yield Row("restricted_loss", found.restricted_loss_train, LOGITS, "train")
        yield Row("restricted_loss", found.restricted_loss_test, LOGITS, "test")
        yield Row("character_loss", found.algorithm_loss, LOGITS, "all")
        yield Row("excluded_loss", found.excluded_loss, LOGITS, "all keys")
        for name, loss in found.excluded_loss_each.items():
            yield Row("excluded_loss", loss, LOGITS, name)
        yield from surviving_rows(found)


@dataclass(frozen=True)
class IrrepPower(Probe):
    """Share of the embedding, and of the last block's neurons, in each irrep's matrix elements.

    Of the neurons' variance: as functions of a (``first``), of b (``second``), and of the product a b, the last being
    what the algorithm needs. Also how many neurons are of one irrep (above .85 of their variance), by irrep.
    """

    name: ClassVar[str] = "irrep_power"
    sites: ClassVar[tuple[str, ...]] = ("blocks.*.mlp.hook_post",)

    def check(self, task: Task) -> None:
        group_form_of(task)

    def measure(self, observation: Observation) -> Iterator[Row]:
        form = group_form_of(observation.task)
        embedding = observation.weights["embed.W_E"].double()[torch.as_tensor(form.a)]
        if embedding.isfinite().all() and embedding.any():
            for name, share in groups.irrep_power(form.group, embedding).items():
                yield Row("power_share", share, "embed.W_E", name)
        site = match_sites(self.sites, observation.activations)[-1]
        neurons = observation.activations[site][observation.example_of(form)]
        if not neurons.isfinite().all() or not (neurons != neurons[0, 0]).any():
            return
        for name, shares in groups.neuron_shares(form.group, neurons).items():
            for part in ("first", "second", "product"):
                yield Row(f"neuron_{part}", getattr(shares, part), site, name)
        best, share = groups.best_irreps(form.group, neurons)
        single = share > SINGLE_FREQUENCY
        yield Row("single_irrep_share", single.double().mean().item(), site)
        for name, count in sorted(Counter(best[single.numpy()].tolist()).items()):
            yield Row("neurons", count, site, name)
