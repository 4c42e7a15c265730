"""Fourier structure of what a network computes, for operations that are an addition in Z_n after renaming.

The key frequencies are chosen once, on a model's last checkpoint, and held fixed along its trajectory. A checkpoint
whose logits are not finite, or do not depend on the question, has no such structure and yields nothing. Source: Nanda
et al. 2023, arXiv 2301.05217, sections 4 and 5.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
import xarray as xr
from sympy import isprime

from probe.activations.sites import LOGITS, match_sites
from probe.algebra import CyclicForm, cyclic
from probe.measures import fourier
from probe.measures.fourier.significance import SINGLE_FREQUENCY
from probe.probes.base import Array, Observation, Probe, Row, check_argument, check_cyclic
from probe.tasks import ModularArithmetic, Task


def keys_of(observation: Observation) -> tuple[int, ...]:
    """The key frequencies of the model's last checkpoint; none where they were not looked for."""
    return tuple(int(row.key) for row in observation.of_model.get("key_frequencies", ()) if row.metric == "is_key")


@dataclass(frozen=True)
class KeyFrequencies(Probe):
    """Frequencies whose logit cosine is above ``threshold`` and above that of noise, on the last checkpoint."""

    threshold: float = 0.005

    name: ClassVar[str] = "key_frequencies"
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)
    per: ClassVar[Literal["checkpoint", "model"]] = "model"

    def __post_init__(self) -> None:
        check_argument(0 <= self.threshold < 1, "threshold", self.threshold, "a cosine: at least 0 and below 1")

    def check(self, task: Task) -> None:
        check_cyclic(task)

    def measure(self, observation: Observation) -> Iterator[Row]:
        if not observation.says_something:
            return
        found = fourier.by_logits(observation.cube, self.threshold)
        for k, cosine in enumerate(found.scores.tolist(), start=1):
            yield Row("logit_cosine", cosine, LOGITS, str(k))
        for k in found.frequencies:
            yield Row("is_key", 1.0, LOGITS, str(k))
        yield Row("null_quantile", found.null_quantile, LOGITS)


@dataclass(frozen=True)
class FourierProgress(Probe):
    """Explained variance of the logits by the key frequencies, and the loss with only them and without them.

    ``surviving``: of what is answered rightly, the share that still is without them (``_low``, ``_high``); of trained
    pairs it is known without them, a lower bound of what is known by heart; of others it is the control.

    A model without key frequencies has only the frequency-free ``sum_fve``.
    """

    name: ClassVar[str] = "fourier_progress"
    version: ClassVar[int] = 3
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)
    needs: ClassVar[tuple[str, ...]] = ("key_frequencies",)

    def check(self, task: Task) -> None:
        check_cyclic(task)

    def measure(self, observation: Observation) -> Iterator[Row]:
        if not observation.says_something:
            return
        keys = keys_of(observation)
        if not keys:
            yield Row("sum_fve", fourier.sum_fve(observation.cube), LOGITS)
            return
        train = observation.on_pairs(torch.as_tensor(observation.task.train_mask))
        found = fourier.progress_of_sums(observation.cube, train, keys)
        yield Row("sum_fve", found.fve_any_key, LOGITS)
        yield Row("logit_fve", found.fve, LOGITS)
        yield Row("logit_fve_directions", found.fve_directions, LOGITS)
        losses = {
            ("restricted_loss", "all"): found.restricted_loss,
            ("restricted_loss", "train"): found.restricted_loss_train,
            ("restricted_loss", "test"): found.restricted_loss_test,
            ("trig_loss", "all"): found.algorithm_loss,
            ("trig_loss", "train"): found.algorithm_loss_train,
            ("trig_loss", "test"): found.algorithm_loss_test,
            ("excluded_loss", "all keys"): found.excluded_loss,
            **{("excluded_loss", f"k={k}"): loss for k, loss in found.excluded_loss_each.items()},
        }
        for (metric, key), loss in losses.items():
            if not np.isnan(loss):  # all may be trained on, or, of a product, only products with zero
                yield Row(metric, loss, LOGITS, key)
        yield from surviving_rows(found)


def surviving_rows(found: fourier.Progress) -> Iterator[Row]:
    """What is still answered without the keys, of trained and of other inputs; nothing where accuracy is at chance."""
    for subset, name in (("train", "surviving"), ("test", "surviving_test")):
        for end in ("", "_low", "_high"):
            value = getattr(found, f"{name}{end}")
            if not np.isnan(value):
                yield Row(f"surviving{end}", value, LOGITS, subset)


@dataclass(frozen=True)
class NeuronFrequencies(Probe):
    """Best frequency of every neuron of the last block, and its share of the neuron's variance.

    Rows: the share of neurons above .85, how many of them there are by frequency, and the mean share of those that
    fire at all. Arrays: ``neuron_frequency`` and ``neuron_share``, by neuron.
    """

    name: ClassVar[str] = "neuron_frequencies"
    sites: ClassVar[tuple[str, ...]] = ("blocks.*.mlp.hook_post",)

    def check(self, task: Task) -> None:
        check_cyclic(task)

    def measure(self, observation: Observation) -> Iterator[Row | Array]:
        site = match_sites(self.sites, observation.activations)[-1]
        neurons = observation.activations[site][observation.example_of_pair]
        if not neurons.isfinite().all():
            return
        best, share = fourier.degree2_fit(neurons)
        single = share > SINGLE_FREQUENCY
        yield Row("single_frequency_share", single.double().mean().item(), site)
        if (best > 0).any():
            yield Row("mean_share", share[best > 0].mean().item(), site)
        for k, count in sorted(Counter(best[single].tolist()).items()):
            yield Row("neurons", count, site, str(k))
        yield Array("neuron_frequency", xr.DataArray(best.numpy().astype(np.int32), dims="neuron"))
        yield Array("neuron_share", xr.DataArray(share.numpy().astype(np.float32), dims="neuron"))


@dataclass(frozen=True)
class AttentionFrequencies(Probe):
    """Best frequency of every head's attention from the answer position to the first operand, and its share."""

    name: ClassVar[str] = "attention_frequencies"
    sites: ClassVar[tuple[str, ...]] = ("blocks.*.attn.hook_pattern",)

    def check(self, task: Task) -> None:
        check_cyclic(task)

    def measure(self, observation: Observation) -> Iterator[Row]:
        for site in match_sites(self.sites, observation.activations):
            to_first_operand = observation.activations[site][observation.example_of_pair][..., 0]
            if not to_first_operand.isfinite().all():
                continue
            best, share = fourier.degree2_fit(to_first_operand)
            for head, (k, of_variance) in enumerate(zip(best.tolist(), share.tolist(), strict=True)):
                yield Row("frequency", k, site, f"head {head}")
                yield Row("share", of_variance, site, f"head {head}")


@dataclass(frozen=True)
class LogitSpectrum(Probe):
    """Share of the doubly centred logits' sum of squares at each pair of frequencies of the two operands.

    Row: the share on the diagonal, where functions of a + b lie. Array: ``logit_spectrum_group``. A polynomial has no
    exact change of variable; it is looked at in the order of its tokens (``logit_spectrum_additive``) and, modulo a
    prime, in that of their discrete logarithms (``logit_spectrum_multiplicative``).
    """

    name: ClassVar[str] = "logit_spectrum"
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)

    def check(self, task: Task) -> None:
        if not _orders(task):
            check_cyclic(task)

    def measure(self, observation: Observation) -> Iterator[Row | Array]:
        if not observation.says_something:
            return
        for order, form in _orders(observation.task).items():
            maps = observation.cube_in(form)
            centred = maps - maps.mean(-1, keepdim=True)
            power = fourier.frequency_power_2d(centred - centred.mean((0, 1)))
            yield Row("diagonal_share", power.diagonal()[1:].sum().item(), LOGITS, order)
            values = xr.DataArray(power.numpy().astype(np.float32), dims=("frequency_a", "frequency_b"))
            yield Array(f"logit_spectrum_{order}", values)


def _orders(task: Task) -> dict[str, CyclicForm]:
    """The orders of operands and answers in which the logits are looked at, by name."""
    if task.cyclic_form is not None:
        return {"group": task.cyclic_form}
    if not isinstance(task, ModularArithmetic):
        return {}
    orders = {"additive": cyclic.addition(task.p)}
    return orders | ({"multiplicative": cyclic.multiplication(task.p)} if isprime(task.p) and task.p > 2 else {})
