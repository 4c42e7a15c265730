"""Fourier spectra of the weights over the tokens of a task, and the embedding's circles.

Where the task's operation is an addition in Z_n after renaming the tokens (``task.cyclic_form``), tokens are taken in
that order; else in their own, which is the additive spectrum.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from probe.measures.fourier import circle, circle_circularity, fourier_norms, frequency_power, gini
from probe.probes.base import Array, Observation, Probe, Row, check_cyclic
from probe.probes.fourier import keys_of
from probe.tasks import Task


@dataclass(frozen=True)
class EmbeddingSpectrum(Probe):
    """Share of the embedding's power at each frequency, and the Gini coefficient of its Fourier norms."""

    name: ClassVar[str] = "embedding_spectrum"

    def measure(self, observation: Observation) -> Iterator[Row]:
        yield from _spectrum(_embedding(observation), "embed.W_E")


@dataclass(frozen=True)
class NeuronLogitSpectrum(Probe):
    """Share of power at each frequency of the neuron-logit map W_out W_U over the answers, and its Gini."""

    name: ClassVar[str] = "neuron_logit_spectrum"

    def measure(self, observation: Observation) -> Iterator[Row]:
        last = max(int(name.split(".")[1]) for name in observation.weights if name.startswith("blocks."))
        if f"blocks.{last}.mlp.W_out" not in observation.weights:
            raise ValueError("the model has no MLPs, so there is no neuron-logit map; leave the probe out of the batch")
        w_out = observation.weights[f"blocks.{last}.mlp.W_out"].double()
        neuron_logit = w_out @ observation.weights["unembed.W_U"].double()
        form = observation.task.cyclic_form
        order = np.arange(observation.task.n_answers) if form is None else form.c
        yield from _spectrum(neuron_logit[:, torch.as_tensor(order)].T, "neuron_logit_map")


@dataclass(frozen=True)
class EmbeddingCircle(Probe):
    """Where the tokens lie in the plane of each key frequency of the embedding, and how nearly on a circle."""

    name: ClassVar[str] = "embedding_circle"
    version: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("key_frequencies",)

    def check(self, task: Task) -> None:
        check_cyclic(task)

    def measure(self, observation: Observation) -> Iterator[Row | Array]:
        keys, embedding = keys_of(observation), _embedding(observation)
        if not keys or not embedding.isfinite().all():
            return
        for k in keys:
            yield Row("circularity", circle_circularity(embedding, k), "embed.W_E", str(k))
        planes = torch.stack([circle(embedding, k) for k in keys]).numpy().astype(np.float32)
        form = observation.task.cyclic_form
        assert form is not None
        yield Array(
            self.name,
            xr.DataArray(
                planes, dims=("frequency", "token", "axis"), coords={"frequency": list(keys), "token": form.a}
            ),
        )


def _embedding(observation: Observation) -> Float[Tensor, "n d_model"]:
    """Embeddings of the first operand's tokens, in the order in which the operation is an addition."""
    form = observation.task.cyclic_form
    order = np.arange(observation.task.n_answers) if form is None else form.a
    return observation.weights["embed.W_E"].double()[torch.as_tensor(order)]


def _spectrum(matrix: Float[Tensor, "n d"], site: str) -> Iterator[Row]:
    if not matrix.isfinite().all() or not matrix.any():  # of a model that diverged, or starts from zeros
        return
    for k, share in enumerate(frequency_power(matrix).tolist()):
        yield Row("power_share", share, site, str(k))
    yield Row("gini", gini(fourier_norms(matrix)), site)
