"""Edge attribution: about how much a metric changes when an edge is changed from clean to corrupted, for all edges.

The input of a node is a sum over the nodes before it. Changing the edge from u to v to what it is on the corrupted
question moves that input by (u on the corrupted question - u on the clean one), and to first order the metric by that
times the metric's gradient at the input. So one backward pass scores all edges.

1. A forward pass on the corrupted questions gives what every source writes there, one on the clean ones what it writes
   here; the difference is a row [position, d_model] for each source.
2. A backward pass from the metric on the clean questions goes by every input: the gradient there is contracted with the
   rows of all sources before it, over positions and d_model.

``eap``                  this: the derivative of the metric with respect to a mask on each edge, at no mask
``eap_ig``               the gradient is averaged between clean and corrupted input embeddings
``eap_ig_activations``   the gradient is averaged while one layer's heads, or one MLP, go from clean to corrupted
``eap_qk``               as ``eap``, with attention recomputed for the edges into queries and keys

All have one signature and give ``EdgeScores``. The graph has no positions: a score is summed over them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import einsum
from torch import Tensor

from circuits.ablation import Ablated
from circuits.attention_exact import OutputGradients, RecomputedAttention
from circuits.checking import check_finite, check_fit, check_sums, summed_sites
from circuits.differences import Differences
from circuits.graph import Graph
from circuits.metrics import Asked, Metric
from circuits.pairs import Pairs
from circuits.passes import Pass, Receiver, backward, forward, ready, weights_out
from circuits.scores import EdgeScores
from probe.activations.forward import Batch

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

BATCH_NUMBERS = {"cpu": 1 << 24, "cuda": 1 << 28}
"""Numbers that the inputs of all destinations may be in a batch of pairs, if nobody says how many pairs; a pass keeps
several times as many for its gradient. A GPU needs more to be busy."""
SOURCE_NUMBERS = 1 << 26
"""Numbers that the differences of sources may be at a time, if nobody says how many sources."""


def eap(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    *,
    ablation: str = "corrupted",
    per_example: bool = False,
    batch_size: int | None = None,
    sources_at_once: int | None = None,
) -> EdgeScores:
    """Edge attribution patching (Syed et al. 2023, arXiv 2310.10348).

    A forward pass on the corrupted questions, and a forward and a backward pass on the clean ones.

    Beside what the model takes for a pass in which every head has its inputs to itself, the memory is ``sources_at_once
    x batch_size x positions x d_model`` numbers for the differences that are expanded at a time, ``batch_size x
    positions x d_model`` for each site that sources write at, in either pass (two or three a layer), and ``batch_size x
    n_sources x n_destinations`` for the scores; with ``per_example`` these of all pairs.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        pairs: clean and corrupted questions.
        metric: what is attributed, a number for each pair.
        ablation: what edges are changed to: ``"corrupted"``, ``"resample"``, ``"mean"`` or ``"zero"``
            (``circuits.ablation``); what is said of corrupted questions above is then said of that.
        per_example: whether to keep the scores of each pair.
        batch_size: pairs at a time; as many as fit ``BATCH_NUMBERS``, if not given. Scores do not depend on it.
        sources_at_once: sources whose differences are expanded at a time; as many as fit ``SOURCE_NUMBERS``, if not
            given. If these are not all, they are expanded again for each input, which takes longer.

    Raises:
        ValueError: the model is in training mode, is no decoder with a residual stream that is a sum, or does not know
            the tokens of the pairs; an activation or a gradient is not finite (the message names the site and the
            pair); or the metric has no gradient, at all or on clean questions.
    """

    def score(contrast: "_Contrast") -> None:
        done = contrast.read_clean(root=contrast.graph.source_sites[0][0])
        contrast.attribute(done, contrast.clean_values, weight=1.0)

    return _attributed(model, pairs, metric, "eap", 1, score, ablation, per_example, batch_size, sources_at_once)


def eap_ig(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    *,
    steps: int = 5,
    ablation: str = "corrupted",
    per_example: bool = False,
    batch_size: int | None = None,
    sources_at_once: int | None = None,
) -> EdgeScores:
    """Edge attribution patching with integrated gradients of the inputs (Hanna et al. 2024, arXiv 2403.17806).

    As ``eap``, but the gradient at each input is the mean of those on questions whose embeddings are corrupted + k /
    ``steps`` (clean - corrupted), k = 1..steps. With one step it is ``eap``. It is of use where gradients saturate, and
    where they are 0 on clean questions, as with ``kl_from_clean``.

    Completeness: the scores of all edges out of ``embed`` sum to the metric on the corrupted question less that on the
    clean one as steps grow, with an error of 1 / steps. Other sums of edges are not complete in general: those into the
    logits are, at any number of steps, where the metric is linear in what is read there, without a final normalization.

    Takes two forward passes, and ``steps`` forward and backward passes. Memory, further arguments and errors are those
    of ``eap``.

    Args:
        model, pairs, metric, ablation, per_example, batch_size, sources_at_once: as of ``eap``.
        steps: points at which the gradient is taken, at least 1.
    """

    def score(contrast: "_Contrast") -> None:
        contrast.read_clean()
        contrast.attribute_along(contrast.graph.source_sites[0][0], steps)

    return _attributed(
        model, pairs, metric, "eap-ig-inputs", steps, score, ablation, per_example, batch_size, sources_at_once
    )


def eap_ig_activations(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    *,
    steps: int = 5,
    ablation: str = "corrupted",
    per_example: bool = False,
    batch_size: int | None = None,
    sources_at_once: int | None = None,
) -> EdgeScores:
    """Edge attribution patching with integrated gradients of the activations (after Hanna et al. 2024).

    The edges out of a source are scored on runs in which what it writes, and nothing before it, goes from corrupted to
    clean as the embeddings do in ``eap_ig``; the heads of a layer go together. With one step it is ``eap``.

    Completeness: the scores of all edges out of ``embed``, of all heads of a layer, or of an MLP, each sum to what
    replacing all that these write by what they write on the corrupted question does to the metric, as steps grow.

    Takes two forward passes, and ``steps`` forward and backward passes for each of the ``2 n_layers + 1`` groups of
    sources, the later ones short. Memory, further arguments and errors are those of ``eap``.

    Args:
        model, pairs, metric, ablation, per_example, batch_size, sources_at_once: as of ``eap``.
        steps: points at which the gradient is taken for each group, at least 1.
    """

    def score(contrast: "_Contrast") -> None:
        contrast.read_clean()
        for site, rows in contrast.graph.source_sites:
            contrast.attribute_along(site, steps, rows)

    return _attributed(
        model, pairs, metric, "eap-ig-activations", steps, score, ablation, per_example, batch_size, sources_at_once
    )


def eap_qk(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    *,
    ablation: str = "corrupted",
    per_example: bool = False,
    batch_size: int | None = None,
    sources_at_once: int | None = None,
) -> EdgeScores:
    """Edge attribution patching with attention recomputed, the QK fix of Kramár et al. 2024 (arXiv 2403.00745).

    As ``eap``, but the score of an edge into queries or keys is what its head writes with that edge ablated less what
    it writes now, times the gradient there (``circuits.attention_exact``): of use where attention is so hard that its
    gradient is all but 0. It is exactly what ablating the edge does to the metric where that is linear in what the head
    writes, as into the last layer of a model without MLPs and normalization. In random models of three layers whose
    keys are scaled by 1, 4 and 16, the rank correlation of these scores with what ablating each edge does is .98, .97
    and .95, of those by ``eap`` .90, .84 and .72, by ``eap_ig`` .73, .66 and .64.

    Other saturation remains, and ``eap_ig`` is for that: an MLP whose neurons are beyond their thresholds, and edges
    that act through a later head that attends hard, are scored by a gradient as before.

    Takes the passes of ``eap`` and two forward passes for each source before the last layer, many of them as rows of
    one batch. Beside what ``eap`` keeps, there is a gradient for each site that sources write at. Further arguments and
    errors are those of ``eap``.

    Args:
        model, pairs, metric, ablation, per_example, batch_size, sources_at_once: as of ``eap``.
    """

    def score(contrast: "_Contrast") -> None:
        gradients = OutputGradients(contrast.graph, contrast.scores.dtype)
        done = contrast.read_clean(root=contrast.graph.source_sites[0][0])
        contrast.attribute(done, contrast.clean_values, weight=1.0, also=gradients.add)
        contrast.recompute_attention(gradients)

    return _attributed(model, pairs, metric, "eap-qk", 1, score, ablation, per_example, batch_size, sources_at_once)


class _Contrast:
    """Some pairs on a model: what was read of them, and the scores of their edges so far."""

    def __init__(
        self,
        model: "HookedModel",
        graph: Graph,
        pairs: Pairs,
        metric: Metric,
        examples: slice,
        ablated: Ablated,
        W_O: list[Tensor],
        at_once: int,
    ) -> None:
        self.model, self.graph, self.metric = model, graph, metric
        self._pairs, self._examples, self._ablated = pairs, examples, ablated
        self._W_O, self._at_once = W_O, at_once
        device = W_O[0].device
        self._numbers = range(examples.start, examples.stop)
        self._clean_batch, corrupted_batch = (
            Batch(pairs.inputs(corrupted=corrupted), examples, device) for corrupted in (False, True)
        )
        self._columns = dict(graph.destination_sites)
        self._keep = {site for site, _ in graph.source_sites} | set(summed_sites(graph))
        self._corrupted = forward(model, graph, corrupted_batch, keep=self._keep)
        check_finite(graph, self._corrupted.kept, self._numbers, "corrupted")
        dtype = torch.promote_types(W_O[0].dtype, torch.float32)
        self.scores = torch.zeros(
            (len(self._numbers), graph.n_sources, graph.n_destinations), dtype=dtype, device=device
        )

    def read_clean(self, root: str | None = None) -> Pass:
        """Read the clean questions, from which all else is taken; with a gradient back to ``root`` if one is given."""
        done = forward(self.model, self.graph, self._clean_batch, keep=self._keep, root=root)
        check_finite(self.graph, done.kept, self._numbers, "clean")
        self._clean = {site: done.kept[site] for site, _ in self.graph.source_sites}
        corrupted = self._corrupted.kept
        if self._ablated.ablation == "corrupted":
            self._instead = {site: corrupted[site] for site in self._clean}
        else:
            # zeros and means need not add up to what is read, so it is the corrupted questions that are looked at
            check_sums(self.graph, Differences(self.graph, self._clean, corrupted, self._W_O, 1), done.kept, corrupted)
            self._instead = self._ablated.of(self._examples, self._clean, self._clean_batch.tokens.shape[1])
        self._differences = Differences(self.graph, self._clean, self._instead, self._W_O, self._at_once)
        if self._ablated.ablation == "corrupted":
            check_sums(self.graph, self._differences, done.kept, corrupted)
        self._asked = Asked.of(self._pairs, self._examples, done.logits)
        self.clean_values = self.metric(done.logits, self._asked)
        self.corrupted_values = self.metric(self._corrupted.logits, self._asked)
        return done

    def attribute(
        self, done: Pass, values: Tensor, weight: float, rows: slice | None = None, also: Receiver | None = None
    ) -> None:
        """Add to the scores of the edges out of some sources, by default all, what a pass says of them.

        ``also`` is shown the gradients as well.
        """

        def receive(site: str, gradient: Tensor) -> None:
            columns = self._columns[site]
            check_finite(self.graph, {site: gradient}, self._numbers, "gradient")
            if also is not None:
                also(site, gradient)
            gradient = gradient if gradient.ndim == 4 else gradient[:, :, None]
            n_before = int(self.graph.n_before[columns.start])
            # where some sources are asked for, the pass has its root there, and only inputs after them have a gradient
            first, end = (0, n_before) if rows is None else (rows.start, rows.stop)
            for part, difference in self._differences.parts(first, end):
                found = einsum(difference, gradient.to(difference.dtype), "b s p d, b p k d -> b s k")
                self.scores[:, part, columns] += weight * found

        backward(done, values, receive)

    def attribute_along(self, site: str, steps: int, rows: slice | None = None) -> None:
        """Attribute at points from the ablated activation of a source site, which is left out, to the clean one."""
        for k in range(1, steps + 1):
            between = torch.lerp(self._instead[site], self._clean[site], k / steps)
            done = forward(self.model, self.graph, self._clean_batch, root=site, replaced={site: between})
            self.attribute(done, self.metric(done.logits, self._asked), 1 / steps, rows)

    def recompute_attention(self, gradients: OutputGradients) -> None:
        """Score the edges into queries and keys anew, by what their heads write with each one ablated."""
        given = (self.model, self.graph, self._pairs, self._examples, self._clean, self._W_O, gradients)
        for rows, columns, found in RecomputedAttention(*given).scores(self._differences):
            self.scores[:, rows, columns] = found


def _attributed(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    method: str,
    steps: int,
    score: Callable[[_Contrast], None],
    ablation: str,
    per_example: bool,
    batch_size: int | None,
    sources_at_once: int | None,
) -> EdgeScores:
    for name, number in (("steps", steps), ("batch_size", batch_size), ("sources_at_once", sources_at_once)):
        if number is not None and number < 1:
            raise ValueError(f"{name}: got {number}; expected at least 1")
    if metric.flat_at_clean and steps == 1:
        raise ValueError(
            f"metric: the gradient of {metric.name} on clean questions is 0, so {method} at this one point would score"
            " every edge 0; expected eap_ig with several steps"
        )
    graph = Graph.of(model)
    check_fit(model, pairs)
    W_O = weights_out(model, graph)
    numbers = pairs.clean.shape[1] * model.cfg.d_model  # of a source or a destination of a pair
    budget = BATCH_NUMBERS["cuda" if W_O[0].is_cuda else "cpu"]
    size = batch_size or max(1, budget // (graph.n_destinations * numbers))
    size = min(size, len(pairs))
    at_once = min(sources_at_once or max(1, SOURCE_NUMBERS // (size * numbers)), graph.n_sources)

    total = np.zeros(graph.mask.shape)
    each, clean, corrupted = [], [], []
    with ready(model, graph):
        ablated = Ablated(model, graph, pairs, ablation)
        for start in range(0, len(pairs), size):
            examples = slice(start, min(start + size, len(pairs)))
            contrast = _Contrast(model, graph, pairs, metric, examples, ablated, W_O, at_once)
            score(contrast)
            total += contrast.scores.double().sum(0).cpu().numpy()
            clean.append(contrast.clean_values.detach().cpu().numpy())
            corrupted.append(contrast.corrupted_values.detach().cpu().numpy())
            if per_example:
                each.append(contrast.scores.cpu().numpy())
            del contrast  # before there is another
    return EdgeScores(
        graph,
        total / len(pairs),
        np.concatenate(each) if per_example else None,
        np.concatenate(clean),
        np.concatenate(corrupted),
        metric.name,
        metric.direction,
        method,
        ablation,
    )
