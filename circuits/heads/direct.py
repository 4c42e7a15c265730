"""Direct logit attribution: the answer's logits as a sum over all that writes to the residual stream.

1. A forward pass gives the residual stream at the answer position, and what it is the sum of: what enters the first
   block, what each head and each MLP writes, and the biases of attention. That it is their sum is checked, after every
   layer.
2. The final normalization divides by a scale, which is the one that this question has, and so is linear in each of
   these: LayerNorm's mean is taken away from each, its weight multiplies each, and its shift is a part of its own.
3. So is the unembedding, along the answer's direction in it. The parts sum to the metric, which is checked too.

The scale is itself made by all parts: what would become of the metric without one is another question, of ablation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
import xarray as xr
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from circuits.graph import Graph
from circuits.heads.answers import at_answers
from circuits.heads.means import means_over
from circuits.heads.weights import is_centred, norm_weight
from circuits.pairs import Pairs
from circuits.passes import weights_out
from probe.suites.hooked import weights_by_name

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

DirectMetric = Literal["logit_difference", "answer_logit"]
BIASES = ("b_O", "ln_final.b", "b_U")
"""Parts that no node writes: the biases of attention, of all layers; the final normalization's; the unembedding's."""
TOLERANCE = 1e-4
"""Share of the size of what is summed that a sum may miss; more where the model's numbers are rounded to more."""
_SCALE = "ln_final.hook_scale"


@dataclass(frozen=True, eq=False)
class DirectAttribution:
    """What each part of the model adds to the answer's logits, pair by pair.

    Attributes:
        values: [component, pair], in logits; sums to ``total`` over components, which are the sources of ``Graph``, by
            name, and ``BIASES``. MLPs have their own biases in them.
        total: the metric of each pair.
        metric: ``"logit_difference"`` or ``"answer_logit"``.
    """

    values: xr.DataArray
    total: Float[np.ndarray, " pair"]
    metric: str

    def means(self, confidence: float = 0.95) -> xr.Dataset:
        """``mean``, ``low``, ``high`` [component] over pairs, in logits, and ``n``; the interval is Student's.

        Raises:
            ValueError: the confidence is outside (0, 1).
        """
        return means_over(self.values, "pair", confidence)


def direct_logit_attribution(
    model: "HookedModel",
    pairs: Pairs,
    metric: DirectMetric = "logit_difference",
    *,
    batch_size: int | None = None,
) -> DirectAttribution:
    """What each head, MLP and bias adds directly to the answer's logits on the clean questions (nostalgebraist 2020;
    Elhage et al. 2021; Wang et al. 2023, arXiv 2211.00593).

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``: with LayerNorm, RMSNorm or none.
        pairs: of which the clean questions are read, at their answer positions.
        metric: the logit of the right answer less that of the wrong one, or that of the right one alone. An equal
            change of all logits changes the latter, and not what the model answers.
        batch_size: pairs at a time; as many as ``probe`` takes in a capture, if not given. Values do not depend on it.

    Raises:
        ValueError: the batch size is below 1; the metric is unknown, or compares with wrong answers that the pairs do
            not have; the model is in training mode, or does not know the tokens of the pairs; or a sum misses what it
            should be by more than ``TOLERANCE``: the message names where.
    """
    if metric not in get_args(DirectMetric):
        raise ValueError(f"metric: got {metric!r}; expected one of {', '.join(get_args(DirectMetric))}")
    if metric == "logit_difference" and pairs.wrong_answers is None:
        raise ValueError("metric: logit_difference compares two answers; expected pairs that have wrong_answers")
    parts = _Parts(model, Graph.of(model))
    found, totals = [], []
    for examples, seen, logits in at_answers(model, pairs, parts.sites, batch_size):
        wrong = pairs.wrong_answers if metric == "logit_difference" else None
        of_parts, total = parts.of(seen, logits, pairs.answers[examples], None if wrong is None else wrong[examples])
        found.append(of_parts.cpu().numpy())
        totals.append(total.cpu().numpy())
    values = np.concatenate(found, 1)
    coords = {"component": [*parts.graph.source_names, *BIASES], "pair": np.arange(values.shape[1])}
    return DirectAttribution(xr.DataArray(values, coords, tuple(coords)), np.concatenate(totals), metric)


class _Parts:
    """How a model's residual stream at the answer is taken apart."""

    def __init__(self, model: "HookedModel", graph: Graph) -> None:
        self.graph = graph
        weights = weights_by_name(model)
        self._W_U = weights["unembed.W_U"]
        self.device, dtype = self._W_U.device, self._W_U.dtype
        self._tolerance = max(TOLERANCE, 10 * torch.finfo(dtype).eps)
        nothing = torch.zeros(model.cfg.d_model, device=self.device)
        self._W_O = [matrix.double() for matrix in weights_out(model, graph)]
        self._b_O = [weights.get(f"blocks.{layer}.attn.b_O", nothing).double() for layer in range(graph.n_layers)]
        self._b_U = weights.get("unembed.b_U", torch.zeros(self._W_U.shape[1], device=self.device)).double()
        self._shift = weights.get("ln_final.b", nothing).double()
        weight = norm_weight(model, weights, "ln_final")
        self._weight = torch.ones_like(self._shift) if weight is None else weight.double()
        self._centred = is_centred(model)
        self._outputs = [f"blocks.{layer}.hook_attn_out" for layer in range(graph.n_layers)]
        self._streams = [f"blocks.{layer}.hook_resid_post" for layer in range(graph.n_layers)]
        written = [site for site, _ in graph.source_sites]
        normed = [_SCALE] if _SCALE in model.hook_dict else []
        self.sites = [*written, *self._outputs, *self._streams, *normed]

    def of(
        self, seen: Mapping[str, Tensor], logits: Tensor, answers: np.ndarray, wrong: np.ndarray | None
    ) -> tuple[Float[Tensor, "component pair"], Float[Tensor, " pair"]]:
        """What each part adds to the metric, and the metric."""
        seen = {site: activation.double() for site, activation in seen.items()}
        logits = logits.double()
        self._check_stream(seen)
        right = torch.as_tensor(answers, device=self.device)
        direction, bias = self._W_U.T[right].double(), self._b_U[right]
        total = logits.gather(1, right[:, None])[:, 0]
        if wrong is not None:
            other = torch.as_tensor(wrong, device=self.device)
            direction, bias = direction - self._W_U.T[other].double(), bias - self._b_U[other]
            total = total - logits.gather(1, other[:, None])[:, 0]
        read = direction * self._weight
        if self._centred:
            read = read - read.mean(-1, keepdim=True)
        read = read / seen.get(_SCALE, torch.ones_like(read[:, :1]))
        found = []
        for site, _ in self.graph.source_sites:
            if seen[site].ndim == 3:
                W_O = self._W_O[int(site.split(".")[1])]
                found.append(einsum(seen[site], W_O, read, "p h e, h e d, p d -> h p"))
            else:
                found.append((seen[site] * read).sum(-1)[None])
        b_O = torch.stack(self._b_O).sum(0)
        values = torch.cat([*found, torch.stack([read @ b_O, direction @ self._shift, bias])])
        self._check(
            "the metric",
            values.sum(0)[:, None],
            total[:, None],
            values.abs().sum(0),
            "the final normalization or the unembedding is more than a scale, a weight, a shift and a matrix, such as a"
            " cap on logits",
        )
        return values, total

    def _check_stream(self, seen: Mapping[str, Tensor]) -> None:
        """See that heads and biases sum to what attention writes, and all to the residual stream after each layer."""
        stream = seen[self.graph.source_sites[0][0]]
        for layer in range(self.graph.n_layers):
            heads = einsum(seen[f"blocks.{layer}.attn.hook_z"], self._W_O[layer], "p h e, h e d -> p d")
            there = seen[self._outputs[layer]]
            of_heads = heads + self._b_O[layer]
            self._check(
                self._outputs[layer],
                of_heads,
                there,
                there.norm(dim=-1),
                f"another part of attention {layer} than heads and b_O writes, or a norm or a factor comes after it",
            )
            stream = stream + of_heads
            mlp = f"blocks.{layer}.hook_mlp_out"
            if self.graph.mlps:
                stream = stream + seen[mlp]
            after = seen[self._streams[layer]]
            self._check(
                self._streams[layer],
                stream,
                after,
                after.norm(dim=-1),
                f"another part of layer {layer} than heads and MLP writes, or a norm or a factor comes after these",
            )

    def _check(self, where: str, parts: Tensor, there: Tensor, size: Tensor, why: str) -> None:
        missed = (parts - there).norm(dim=-1)
        if not bool((missed <= self._tolerance * size.clamp(min=1)).all()):
            raise ValueError(
                f"model: what the parts write sums to {where} but for {float(missed.max()):.2g} (expected at most"
                f" {self._tolerance:.2g} of its size): {why}"
            )
