"""The neurons of one frequency ablated: what the answer loses, beside what was to be expected and what chance loses.

1. The neurons of a cluster are replaced, at the answer position, by 0 or by their mean over all questions, and all
   questions are asked again.
2. Beside it is the prediction: the loss of the logits as they are without all that is cos or sin of w_k(i + j) in them,
   the excluded loss (``probe.measures.fourier``). The two are equal where a frequency in the logits comes from the
   cluster of that frequency alone, and the cluster makes nothing else.
3. As controls, as many neurons drawn at random: from the clusters of other frequencies, and from all neurons. The
   first may lose more than the cluster does, where the others are of frequencies that matter more.

The same is done with the neurons of all key frequencies, and with all neurons but these, whose prediction is the
restricted loss. Source: Nanda et al. 2023, arXiv 2301.05217, sections 4.4 and 5.1.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.frequency.asking import Questions, Replaced, answered
from circuits.frequency.clusters import FrequencyClusters, clusters_of, keys_among, sites_of_units
from circuits.frequency.figures import ablation_figure
from probe.measures.fourier.losses import progress_of_sums
from probe.measures.fourier.significance import SINGLE_FREQUENCY
from probe.measures.intervals import check_confidence, t_interval
from probe.measures.performance import accuracy, cross_entropy
from probe.tasks import Task

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from probe.suites.hooked import HookedModel

Replacement = Literal["mean", "zero"]
ALL_KEYS, ALL_BUT_KEYS = "all keys", "all but keys"
"""What is ablated, where it is not the cluster of one frequency, which is ``k=1`` and so on."""


@dataclass(frozen=True, eq=False)
class FrequencyAblation:
    """Loss and accuracy with neurons ablated.

    Attributes:
        replacement: what ablated neurons are: ``"mean"``, of each over all questions, or ``"zero"``.
        keys: the key frequencies.
        clusters: of the neurons.
        draws: random sets of neurons of each control.
        confidence: of the intervals over draws.
        table: ``replacement``; ``ablated``: ``"none"``, ``"k=1"`` and so on for the cluster of one key frequency,
            ``"all keys"``, ``"all but keys"``; ``of``: ``"cluster"`` for these neurons, ``"prediction"`` for the
            excluded or restricted loss, ``"other clusters"`` and ``"any neurons"`` for as many random ones;
            ``neurons``, how many; ``subset``, train or test; ``loss`` in nats and ``accuracy`` over the n answers, of
            controls the mean over draws, with ``_low`` and ``_high`` its interval, nan elsewhere. Predictions have no
            accuracy. A control is left out where there are no more neurons to draw from, or none is ablated.
    """

    replacement: Replacement
    keys: tuple[int, ...]
    clusters: FrequencyClusters
    draws: int
    confidence: float
    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """The table."""
        return self.table.copy()

    def rises(self, subset: str = "train") -> pd.DataFrame:
        """By how much the loss rises with each cluster ablated, in nats: a row for each key frequency.

        ``frequency``, ``neurons``, ``cluster``, ``prediction``, ``ratio`` of the two, and of the controls
        ``other clusters`` and ``any neurons``, nan where there is none.

        Raises:
            ValueError: no question is in the subset.
        """
        known = list(self.table["subset"].unique())
        if subset not in known:
            raise ValueError(f"subset: got {subset!r}; expected one of {', '.join(known)}")
        of_subset = self.table[self.table["subset"] == subset]
        loss, neurons = (of_subset.pivot(index="ablated", columns="of", values=name) for name in ("loss", "neurons"))
        names = [f"k={k}" for k in self.keys]
        rise = loss - loss.loc["none", "cluster"]
        found = rise.reindex(index=names, columns=["cluster", "prediction", *_CONTROLS])
        found.insert(0, "frequency", self.keys)
        found.insert(1, "neurons", neurons["cluster"].reindex(names).astype(int))
        found.insert(4, "ratio", found["cluster"] / found["prediction"])
        return found.reset_index(drop=True).rename_axis(columns=None)

    def figure(self, subset: str = "test") -> "go.Figure":
        """The loss with each cluster ablated, its prediction, and the controls with their intervals.

        Raises:
            ValueError: no question is in the subset.
        """
        return ablation_figure(self, subset)


_CONTROLS = ("other clusters", "any neurons")


def ablate_frequencies(
    model: "HookedModel",
    task: Task,
    *,
    frequencies: Iterable[int] | None = None,
    replacement: Replacement = "mean",
    threshold: float = SINGLE_FREQUENCY,
    draws: int = 20,
    confidence: float = 0.95,
    seed: int = 0,
) -> FrequencyAblation:
    """Ablate the neurons of each key frequency, of all, and all but these; each a forward pass over all questions.

    Takes one pass, ``2 draws + 1`` for each key frequency, and ``2 (draws + 1)`` for all together. Losses are over the
    n answers of the operation as an addition: of a product modulo p, questions with a 0 and the answer 0 are left out.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        task: whose operation is an addition in Z_n after renaming (``task.cyclic_form``).
        frequencies: which are key; by the logits (``by_logits``), if not given.
        replacement: what ablated neurons are: ``"mean"``, which leaves what is the same on all questions, or
            ``"zero"``.
        threshold: share of a neuron's variance above which it is in the cluster of its frequency.
        draws: random sets of neurons of each control, at least 2.
        confidence: of the intervals over draws.
        seed: of the draws.

    Raises:
        ValueError: as of ``frequency_clusters``; a frequency is none; there is no such replacement; fewer than two
            draws; a confidence outside (0, 1); or the logits are the same for all questions.
    """
    if replacement not in get_args(Replacement):
        raise ValueError(f"replacement: got {replacement!r}; expected one of {', '.join(get_args(Replacement))}")
    if draws < 2:
        raise ValueError(f"draws: got {draws}; expected at least 2, for an interval")
    check_confidence(confidence)
    questions = Questions.of(model, task)
    found = answered(model, questions, sites_of_units(model))
    clusters = clusters_of(model, questions, found, threshold)
    keys = keys_among(found.cube, frequencies)
    neurons = torch.stack([found.kept[site].double().mean((0, 1)) for site in questions.neuron_sites])
    values = neurons if replacement == "mean" else torch.zeros_like(neurons)
    generator = np.random.default_rng(seed)

    def scores(ablated: Bool[np.ndarray, "layer neuron"]) -> Float[np.ndarray, "subset number"]:
        return _scores(answered(model, questions, replaced=Replaced(torch.as_tensor(ablated), values)).cube, questions)

    rows = [_row("none", "cluster", 0, _scores(found.cube, questions))]
    for what, ablated, drawn_from in _ablations(clusters, keys):
        n = int(ablated.sum())
        rows.append(_row(what, "cluster", n, scores(ablated)))
        rows.append(_row(what, "prediction", n, _prediction(what, found.cube, questions, keys)))
        for of, pool in drawn_from.items():
            if 0 < n < pool.sum():
                drawn = np.stack([scores(_drawn(pool, n, generator)) for _ in range(draws)])
                rows.append(_row(what, of, n, drawn, confidence))
    subsets = list(questions.subsets)
    table = pd.DataFrame([{**row, "subset": name, **of[i]} for row, of in rows for i, name in enumerate(subsets)])
    table.insert(0, "replacement", replacement)
    return FrequencyAblation(replacement, keys, clusters, draws, confidence, table)


def _ablations(
    clusters: FrequencyClusters, keys: tuple[int, ...]
) -> Iterator[tuple[str, Bool[np.ndarray, "layer neuron"], dict[str, Bool[np.ndarray, "layer neuron"]]]]:
    """What is ablated, which neurons these are, and from where as many are drawn."""
    everything = np.ones_like(clusters.cluster, dtype=bool)
    for k in keys:
        others = (clusters.cluster > 0) & (clusters.cluster != k)
        yield f"k={k}", clusters.members([k]), dict(zip(_CONTROLS, (others, everything), strict=True))
    if keys:
        yield ALL_KEYS, clusters.members(keys), {_CONTROLS[1]: everything}
        yield ALL_BUT_KEYS, ~clusters.members(keys), {_CONTROLS[1]: everything}


def _drawn(
    pool: Bool[np.ndarray, "layer neuron"], n: int, generator: np.random.Generator
) -> Bool[np.ndarray, "layer neuron"]:
    chosen = np.zeros_like(pool)
    chosen.flat[generator.choice(np.flatnonzero(pool), n, replace=False)] = True
    return chosen


def _scores(cube: Float[Tensor, "n n n"], questions: Questions) -> Float[np.ndarray, "subset number"]:
    """Mean loss and accuracy on each subset."""
    logits = cube.flatten(0, 1)
    each = torch.stack([score(logits, questions.answers) for score in (cross_entropy, accuracy)])
    return torch.stack([each[:, mask].mean(1) for mask in questions.subsets.values()]).numpy()


def _prediction(
    what: str, cube: Float[Tensor, "n n n"], questions: Questions, keys: tuple[int, ...]
) -> Float[np.ndarray, "subset number"]:
    """Excluded or restricted loss on each subset, and no accuracy."""
    chosen = keys if what in (ALL_KEYS, ALL_BUT_KEYS) else [int(what.removeprefix("k="))]
    found = progress_of_sums(cube, questions.train, chosen)
    losses = {"train": found.excluded_loss, "test": found.excluded_loss_test}
    if what == ALL_BUT_KEYS:
        losses = {"train": found.restricted_loss_train, "test": found.restricted_loss_test}
    return np.array([[losses[name], np.nan] for name in questions.subsets])


def _row(
    ablated: str, of: str, n: int, scores: Float[np.ndarray, "*draw subset number"], confidence: float | None = None
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """What was ablated, and of each subset the numbers: exact ones, or the means of draws with their intervals."""
    found = []
    for subset in np.moveaxis(np.atleast_3d(scores.T), 1, 0):  # [number, draw] of a subset
        numbers: dict[str, float] = {}
        for name, values in zip(("loss", "accuracy"), subset, strict=True):
            if confidence is None:
                ends = (float(values[0]), np.nan, np.nan)
            else:
                interval = t_interval(torch.as_tensor(values), confidence)
                ends = (interval.estimate, interval.low, interval.high)
            numbers |= {f"{name}{end}": value for end, value in zip(("", "_low", "_high"), ends, strict=True)}
        found.append(numbers)
    return {"ablated": ablated, "of": of, "neurons": n}, found
