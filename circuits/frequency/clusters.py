"""Neurons and heads by frequency: the best one of each, and its share of the variance over all questions.

A neuron whose share is above a threshold is in the cluster of its frequency, one below it is in none. Heads are told
by what they attend to, and by what they write. Source: Nanda et al. 2023, arXiv 2301.05217, section 4.2.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.frequency.asking import Answered, Questions, answered
from circuits.frequency.figures import clusters_figure
from probe.measures.fourier import by_logits, degree2_fit, frequency_power_2d
from probe.measures.fourier.basis import read_frequencies
from probe.measures.fourier.significance import SINGLE_FREQUENCY
from probe.suites.hooked import weights_by_name
from probe.tasks import Task

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from probe.suites.hooked import HookedModel


@dataclass(frozen=True, eq=False)
class FrequencyClusters:
    """Frequencies of neurons and heads.

    Attributes:
        n: of the task's operation as an addition in Z_n; frequencies are 1 to n // 2.
        threshold: share above which a neuron is in a cluster.
        frequency, share: of each neuron, the best frequency and its share of the neuron's variance over all questions
            (``degree2_fit``); both 0 of a neuron that is constant.
        attention_frequency, attention_share: the same of each head's attention from the answer position to the first
            operand.
        output_frequency, output_share: of all that each head writes at the answer position, all d_model numbers
            together; both 0 where that is the same on all questions.
    """

    n: int
    threshold: float
    frequency: Int[np.ndarray, "layer neuron"]
    share: Float[np.ndarray, "layer neuron"]
    attention_frequency: Int[np.ndarray, "layer head"]
    attention_share: Float[np.ndarray, "layer head"]
    output_frequency: Int[np.ndarray, "layer head"]
    output_share: Float[np.ndarray, "layer head"]

    @property
    def cluster(self) -> Int[np.ndarray, "layer neuron"]:
        """The frequency whose cluster each neuron is in; 0 for none."""
        return np.where(self.share > self.threshold, self.frequency, 0)

    @property
    def sizes(self) -> dict[int, int]:
        """Neurons in each cluster, of all layers, by frequency; of those that have one."""
        frequencies, counts = np.unique(self.cluster[self.cluster > 0], return_counts=True)
        return dict(zip(frequencies.tolist(), counts.tolist(), strict=True))

    def members(self, frequencies: Iterable[int]) -> Bool[np.ndarray, "layer neuron"]:
        """Which neurons are in the clusters of any of these."""
        return np.isin(self.cluster, read_frequencies(frequencies, self.n))

    def to_frame(self) -> pd.DataFrame:
        """A row for each neuron: ``layer``, ``neuron``, ``frequency``, ``share``, and ``cluster``, 0 for none."""
        layer, neuron = (index.ravel() for index in np.indices(self.frequency.shape))
        columns = {"frequency": self.frequency, "share": self.share, "cluster": self.cluster}
        found = {name: values.ravel() for name, values in columns.items()}
        return pd.DataFrame({"layer": layer, "neuron": neuron, **found})

    def heads_to_frame(self) -> pd.DataFrame:
        """A row for each head: ``layer``, ``head``, and the frequency and the share of its attention and its output."""
        layer, head = (index.ravel() for index in np.indices(self.attention_frequency.shape))
        names = ("attention_frequency", "attention_share", "output_frequency", "output_share")
        return pd.DataFrame({"layer": layer, "head": head, **{name: getattr(self, name).ravel() for name in names}})

    def figure(self) -> "go.Figure":
        """A dot for each neuron: its best frequency, its share, and the threshold."""
        return clusters_figure(self)


def frequency_clusters(model: "HookedModel", task: Task, *, threshold: float = SINGLE_FREQUENCY) -> FrequencyClusters:
    """Frequencies of a model's neurons and heads, from one forward pass over all questions.

    The best frequency of a unit is the one in which a fit of degree 2 in cos and sin of w_k i and w_k j has the largest
    share of its variance, where the task's operation is i + j in Z_n.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        task: whose operation is an addition in Z_n after renaming (``task.cyclic_form``).
        threshold: share of a neuron's variance above which it is in the cluster of its frequency.

    Raises:
        ValueError: the task has no cyclic form; the model is in training mode, has no MLP, or does not know the task's
            tokens; an activation is not finite; or the threshold is no share.
    """
    questions = Questions.of(model, task)
    return clusters_of(model, questions, answered(model, questions, sites_of_units(model)), threshold)


def sites_of_units(model: "HookedModel") -> list[str]:
    """Where the neurons are, what heads attend to, and what they write."""
    ends = (".mlp.hook_post", ".attn.hook_pattern", ".attn.hook_z")
    return [site for site in model.hook_dict if site.endswith(ends)]


def clusters_of(model: "HookedModel", questions: Questions, found: Answered, threshold: float) -> FrequencyClusters:
    """From what the model did at the sites of its units.

    Raises:
        ValueError: the threshold is no share.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold: got {threshold}; expected a share of the variance, at least 0 and below 1")
    neurons = degree2_fit(torch.stack([found.kept[site] for site in questions.neuron_sites]))
    attention = degree2_fit(attention_to_first(found))
    written = variance_shares(heads_write(model, found)).max(-1)
    return FrequencyClusters(
        questions.n,
        threshold,
        *(part.numpy() for part in (*neurons, *attention, written.indices, written.values)),
    )


def attention_to_first(found: Answered) -> Float[Tensor, "layer n n head"]:
    """Attention of each head from the answer position to the first operand."""
    return torch.stack([pattern[..., 0] for site, pattern in found.kept.items() if site.endswith("hook_pattern")])


def heads_write(model: "HookedModel", found: Answered) -> Float[Tensor, "layer head n n d_head"]:
    """What each head writes to the residual stream at the answer position, in an orthonormal basis of what it can."""
    weights = weights_by_name(model)
    written = []
    for site, z in found.kept.items():
        if site.endswith("hook_z"):
            W_O = weights[site.replace("hook_z", "W_O")].cpu().double()
            # W_O' = Q R, so that z W_O = (z R') Q', whose rows are orthonormal
            R = torch.linalg.qr(W_O.mT, mode="r").R
            written.append(einsum(z, R.to(z.dtype), "i j head e, head d e -> head i j d"))
    return torch.stack(written)


def variance_shares(maps: Float[Tensor, "*unit n n d"]) -> Float[Tensor, "*unit frequency"]:
    """Share of the variance over all questions that a degree-2 fit of each frequency has, of d numbers together.

    That of ``degree2_fit``, of all frequencies; index = frequency, 0 at the constant. All are 0 where nothing varies
    beyond rounding.
    """
    centred = maps.double() - maps.double().mean((-3, -2), keepdim=True)
    rounding = 4 * torch.finfo(maps.dtype).eps * maps.abs().flatten(-3).amax(-1)
    varies = centred.abs().flatten(-3).amax(-1) > rounding
    shares = torch.zeros(*maps.shape[:-3], maps.shape[-2] // 2 + 1, dtype=torch.float64)
    if varies.any():
        power = frequency_power_2d(centred[varies])
        # k in i alone, in j alone, and in both
        shares[varies] = power[:, :, 0] + power[:, 0] + power.diagonal(dim1=-2, dim2=-1)
        shares[..., 0] = 0
    return shares


def keys_among(cube: Float[Tensor, "n n n"], frequencies: Iterable[int] | None) -> tuple[int, ...]:
    """The frequencies that are given, or the key ones of the logits (``by_logits``).

    Raises:
        ValueError: a frequency is none of 1 to n // 2, or is given twice.
    """
    return by_logits(cube).frequencies if frequencies is None else tuple(read_frequencies(frequencies, len(cube)))
