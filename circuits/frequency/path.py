"""The path of each frequency: how much of it there is in the embedding, the heads, the neurons and the logits.

====================  ===========  ====================================================================================
stage                 site         value
====================  ===========  ====================================================================================
``embedding``         ``embed``    share of the power of the first operand's embeddings
``attention``         a head       share of the variance of its attention from the answer position to the first operand
``head output``       a head       share of the variance of what it writes at the answer position
``neurons``           an MLP       share of the variance of all its neurons there
``cluster neurons``   an MLP       number of its neurons in the frequency's cluster
``cluster variance``  an MLP       share of the variance of the cluster's neurons; nan where there are none
``neuron-logit map``  an MLP       share of the power of W_out W_U of the cluster's neurons; nan where there are none
``logits``            ``logits``   share of the logits, centred over answers, along cos w_k(i + j - answer)
====================  ===========  ====================================================================================

Sites are nodes as circuits call them, such as ``L0.H1`` and ``L0.MLP``. Variance is over all questions. The power of an
embedding counts its mean, as ``frequency_power`` does. The neuron-logit map leaves out what normalization before the
unembedding does, and what later layers do. Source: Nanda et al. 2023, arXiv 2301.05217, sections 4.1 to 4.3.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from circuits.frequency.asking import Answered, Questions, answered
from circuits.frequency.clusters import (
    FrequencyClusters,
    attention_to_first,
    clusters_of,
    heads_write,
    keys_among,
    sites_of_units,
    variance_shares,
)
from circuits.frequency.figures import path_figure
from probe.measures.fourier import frequency_power, logit_cosines
from probe.measures.fourier.significance import SINGLE_FREQUENCY
from probe.suites.hooked import weights_by_name
from probe.tasks import Task

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from probe.suites.hooked import HookedModel

_Stage = tuple[str, str, Float[np.ndarray, " frequency"]]


@dataclass(frozen=True, eq=False)
class FrequencyPath:
    """The path of every frequency.

    Attributes:
        n: of the task's operation as an addition in Z_n.
        keys: the key frequencies.
        clusters: of the neurons.
        table: a row for each of 1 to n // 2 at each site of each stage: ``frequency``, ``key`` (whether it is one),
            ``stage``, ``site``, ``value``. Those that are not key are what the key ones are to be held against.
    """

    n: int
    keys: tuple[int, ...]
    clusters: FrequencyClusters
    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """The table."""
        return self.table.copy()

    def figure(self) -> "go.Figure":
        """A heatmap: stages and sites down, key frequencies and the mean of all others across."""
        return path_figure(self)


def frequency_path(
    model: "HookedModel",
    task: Task,
    *,
    frequencies: Iterable[int] | None = None,
    threshold: float = SINGLE_FREQUENCY,
) -> FrequencyPath:
    """How much of each frequency there is at each stage of a model, from its weights and one forward pass.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        task: whose operation is an addition in Z_n after renaming (``task.cyclic_form``).
        frequencies: which are key; by the logits (``by_logits``), if not given. Give those of the last checkpoint to an
            earlier one.
        threshold: share of a neuron's variance above which it is in the cluster of its frequency.

    Raises:
        ValueError: as of ``frequency_clusters``; a frequency is none; or the logits are the same for all questions.
    """
    questions = Questions.of(model, task)
    found = answered(model, questions, sites_of_units(model))
    clusters = clusters_of(model, questions, found, threshold)
    keys = keys_among(found.cube, frequencies)
    k = np.arange(1, questions.n // 2 + 1)
    parts = [
        pd.DataFrame({"frequency": k, "key": np.isin(k, keys), "stage": stage, "site": site, "value": values[1:]})
        for stage, site, values in _stages(model, questions, found, clusters)
    ]
    return FrequencyPath(questions.n, keys, clusters, pd.concat(parts, ignore_index=True))


def _stages(
    model: "HookedModel", questions: Questions, found: Answered, clusters: FrequencyClusters
) -> Iterator[_Stage]:
    """Each stage at each site, its value at every frequency from 0."""
    weights = weights_by_name(model)
    embedding = weights["embed.W_E"].cpu()[torch.as_tensor(questions.form.a)]
    yield "embedding", "embed", frequency_power(embedding).numpy()
    heads = {
        "attention": variance_shares(rearrange(attention_to_first(found), "layer i j head -> layer head i j 1")),
        "head output": variance_shares(heads_write(model, found)),
    }
    for stage, shares in heads.items():
        for layer, of_layer in enumerate(shares.numpy()):
            for head, values in enumerate(of_layer):
                yield stage, f"L{layer}.H{head}", values
    unembedding = weights["unembed.W_U"].cpu()[:, questions.answer_tokens].double()
    for layer, site in enumerate(questions.neuron_sites):
        neurons, name = found.kept[site], f"L{site.split('.')[1]}.MLP"
        map_to_logits = weights[site.replace("hook_post", "W_out")].cpu().double() @ unembedding
        in_cluster = torch.as_tensor(clusters.cluster[layer])
        number = torch.bincount(in_cluster, minlength=questions.n // 2 + 1)
        variance, power = np.full((2, len(number)), np.nan)
        for k in (number[1:].nonzero().flatten() + 1).tolist():
            variance[k] = variance_shares(neurons[..., in_cluster == k])[k]
            power[k] = _power(map_to_logits[in_cluster == k].T, k)
        yield "neurons", name, variance_shares(neurons).numpy()
        yield "cluster neurons", name, number.numpy()
        yield "cluster variance", name, variance
        yield "neuron-logit map", name, power
    yield "logits", "logits", logit_cosines(found.cube).square().numpy()


def _power(matrix: Float[Tensor, "n neuron"], k: int) -> float:
    """Of a map that is not 0; of neurons that write nothing, none."""
    return frequency_power(matrix)[k].item() if matrix.any() else 0.0
