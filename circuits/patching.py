"""Activation patching: what changes the answer when it is put from one question's run into the other's?

1. A forward pass on either question of each pair gives the metric without a patch, and all activations of one kind.
2. Then one question is run again with some of these replaced by the other's: at one layer, head, neuron or position at
   a time, or at all of them, as is asked. A batch holds the same pairs several times over, with another patch in each.

The values of the metric after each patch, on each pair, are a ``Patched``.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.ablation import rows_of
from circuits.checking import check_fit
from circuits.metrics import Asked, Metric
from circuits.pairs import Pairs
from circuits.passes import Pass, batches_of, check_evaluating, logits_at_answers
from circuits.patched import Patched, Way, check_way
from probe.activations.forward import Batch, default_batch_size
from probe.activations.sites import position_second

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

KINDS: dict[str, tuple[str, str | None]] = {
    "resid_pre": ("hook_resid_pre", None),
    "resid_mid": ("hook_resid_mid", None),
    "resid_post": ("hook_resid_post", None),
    "attn_out": ("hook_attn_out", None),
    "mlp_out": ("hook_mlp_out", None),
    "mlp_post": ("mlp.hook_post", "neuron"),
    "z": ("attn.hook_z", "head"),
    "q": ("attn.hook_q", "head"),
    "k": ("attn.hook_k", "head"),
    "v": ("attn.hook_v", "head"),
    "pattern": ("attn.hook_pattern", "head"),
}
"""What can be patched: its hook point in each block, and what its activations are of, beside layers and positions."""


def patch_activations(
    model: "HookedModel",
    pairs: Pairs,
    metric: Metric,
    kind: str,
    *,
    apart: Sequence[str],
    way: Way = "denoise",
    layers: Sequence[int] | None = None,
    rows: int | None = None,
) -> Patched:
    """The metric of each pair after each of many patches of one kind (Meng et al. 2022, arXiv 2202.05262; Heimersheim
    and Nanda 2024, arXiv 2404.15255, on what either way shows).

    A patch replaces activations of one kind, in the run on one question of a pair, by those in the run on the other;
    all that is computed from them follows. What is ``apart`` is replaced at one place at a time, and what is not, at
    all places together: of ``z`` with ``("layer", "head")``, one head at all positions.

    ==============================  ==========================  ==================================================
    kind                            apart: layer, position and
    ==============================  ==========================  ==================================================
    resid_pre, resid_mid,                                       residual stream before attention, between attention
    resid_post                                                  and MLP, and after the MLP
    attn_out, mlp_out                                           what attention, or the MLP, adds to it
    mlp_post                        neuron                      neurons after their activation function
    z                               head                        outputs of heads, before they are multiplied by W_O
    q, k, v                         head                        queries, keys, values, without rotary positions; k and
                                                                v by heads of keys and values, where these are fewer
    pattern                         head                        attention patterns; the position is that of the query
    ==============================  ==========================  ==================================================

    A patch that replaces everything by what is there already leaves the metric exactly as it was. Otherwise values are
    those of single passes, one for each patch, up to rounding. Memory is that of a forward pass of ``rows`` questions,
    and two times the activations of the kind on as many of the pairs as are run at a time.

    Args:
        model: a hooked model in evaluation mode, ours or a ``TransformerBridge``.
        pairs: clean and corrupted questions. Those of one pair are equally long; where a pair is shorter than others,
            values at its padded positions are nan.
        metric: a number for each pair, always about the clean question's answer.
        kind: what is patched, as above.
        apart: along which axes patches are apart: any of ``"layer"``, ``"head"`` or ``"neuron"``, and ``"position"``,
            or none. Values have them in this order.
        way: ``"denoise"``: clean activations are put into the corrupted run; ``"noise"``: corrupted ones into the clean
            run.
        layers: blocks that are patched; all, if not given.
        rows: questions in a forward pass: pairs times patches. As many as ``probe`` takes in a capture, by tokens, if
            not given. Values do not depend on it, up to rounding.

    Raises:
        ValueError: the kind, an axis, a layer or the way is unknown; the model is in training mode, has no such hook
            point, or does not know the tokens of the pairs; an activation is not finite (the message names the site
            and the pair), or the metric is not.
    """
    check_way(way)
    check_evaluating(model)
    check_fit(model, pairs)
    chosen = range(model.cfg.n_layers) if layers is None else layers
    sites, unit = _sites(model, kind, chosen)
    axes = _axes(kind, unit, apart)
    device = next(iter(model.named_parameters()))[1].device
    width = pairs.clean.shape[1]
    if rows is None:
        rows = default_batch_size(width, model.cfg.d_vocab_out, str(device), to_logits=True)

    found, clean, corrupted = [], [], []
    for examples in batches_of(len(pairs), rows):
        contrast = Contrast(pairs, metric, way, examples, device, partial(_read, model, sites))
        found.append(_values(model, sites, unit, contrast, axes, width, max(1, rows // contrast.n)))
        clean.append(contrast.clean)
        corrupted.append(contrast.corrupted)
    values = np.concatenate(found, -1)
    if "position" in axes:
        assert pairs.lengths is not None
        values[..., np.arange(width)[:, None] >= pairs.lengths] = np.nan
    coords = {axis: np.arange(size) for axis, size in zip((*axes, "pair"), values.shape, strict=True)}
    if "layer" in axes:
        coords["layer"] = np.array(chosen)
    return Patched(
        xr.DataArray(values, coords, (*axes, "pair")),
        np.concatenate(clean),
        np.concatenate(corrupted),
        metric.name,
        metric.direction,
        kind,
        way,
    )


class Contrast:
    """Some pairs: what a model does on either question without a patch, and batches with the one that is run.

    Args:
        pairs: all there are.
        metric: a number for each pair.
        way: which question is run, and which put in.
        examples: which pairs these are.
        device: of the model.
        read: a forward pass, from a batch and whether it is of the clean or the corrupted questions.
    """

    def __init__(
        self,
        pairs: Pairs,
        metric: Metric,
        way: Way,
        examples: slice,
        device: torch.device,
        read: Callable[[Batch, range, str], Pass],
    ) -> None:
        self.metric, self.n, self._device = metric, examples.stop - examples.start, device
        self._run = rows_of(pairs.inputs(corrupted=way == "denoise"), np.arange(examples.start, examples.stop))
        numbers = range(examples.start, examples.stop)
        clean, corrupted = (
            read(Batch(pairs.inputs(corrupted=corrupted), examples, device), numbers, word)
            for word, corrupted in (("clean", False), ("corrupted", True))
        )
        self._asked = Asked.of(pairs, examples, clean.logits)
        self.clean, self.corrupted = (metric(done.logits, self._asked).cpu().numpy() for done in (clean, corrupted))
        there, put = (corrupted, clean) if way == "denoise" else (clean, corrupted)
        self.there, self.put = there.kept, put.kept
        self.baseline = self.corrupted if way == "denoise" else self.clean

    def times(self, n: int) -> Batch:
        """The questions that are run, all of them n times over: rows are [patch, pair]."""
        return Batch(rows_of(self._run, np.tile(np.arange(self.n), n)), slice(0, n * self.n), self._device)

    def values(
        self, logits: Float[Tensor, "row d_vocab"], touched: Bool[Tensor, "patch pair"]
    ) -> Float[np.ndarray, "patch pair"]:
        """The metric after each patch; the baseline where it replaced everything by what was there.

        That is what it is but for rounding, in which a row may depend on its place in a batch.
        """
        by_patch = logits.unflatten(0, (-1, self.n))
        found = np.stack([self.metric(patched, self._asked).cpu().numpy() for patched in by_patch])
        return np.where(touched.cpu().numpy(), found, self.baseline)


def _sites(model: "HookedModel", kind: str, layers: Sequence[int]) -> tuple[list[str], str | None]:
    """Hook points of a kind in these layers, and what its activations are of beside layers and positions."""
    if kind not in KINDS:
        raise ValueError(f"kind: got {kind!r}; expected one of {', '.join(KINDS)}")
    hook, unit = KINDS[kind]
    n_layers = model.cfg.n_layers
    outside = [layer for layer in layers if not 0 <= layer < n_layers]
    if outside or not len(layers) or len(set(layers)) < len(layers):
        raise ValueError(f"layers: got {list(layers)}; expected some of 0 to {n_layers - 1}, each once")
    sites = [f"blocks.{layer}.{hook}" for layer in layers]
    for site in sites:
        if site not in model.hook_dict:
            raise ValueError(
                f"kind: {kind!r} is patched at {site}, and the model has no such hook point; expected another kind"
                + (
                    ": a block whose MLP reads what its attention reads has nothing between them"
                    * (kind == "resid_mid")
                )
            )
    return sites, unit


def _axes(kind: str, unit: str | None, apart: Sequence[str]) -> tuple[str, ...]:
    """What is apart, in the order of values."""
    known = ("layer", *([unit] if unit else []), "position")
    if isinstance(apart, str) or len(set(apart)) < len(apart) or not set(apart) <= set(known):
        raise ValueError(f"apart: got {apart!r} of {kind}; expected some of {known}, each once, or ()")
    return tuple(axis for axis in known if axis in apart)


def _read(model: "HookedModel", sites: Sequence[str], batch: Batch, pairs: range, what: str) -> Pass:
    """A pass without a patch; activations have the position as second axis."""
    kept: dict[str, Tensor] = {}

    def keep(site: str) -> Callable[..., None]:
        def hook(activation: Tensor, hook: object) -> None:
            kept[site] = position_second(site, activation)

        return hook

    with torch.no_grad():
        logits = logits_at_answers(model, batch, [(site, keep(site)) for site in sites])
    for site in sites:
        if not kept[site].isfinite().all():
            pair, *_ = (~kept[site].isfinite()).nonzero()[0].tolist()
            raise ValueError(f"{site}: the activation on the {what} question of pair {pairs[pair]} is not finite")
    shapes = {kept[site].shape[2:] for site in sites}
    if len(shapes) > 1:
        raise ValueError(
            f"model: activations of its layers have shapes {sorted(map(tuple, shapes))}; expected equal ones"
        )
    return Pass(logits, kept)


def _values(
    model: "HookedModel",
    sites: Sequence[str],
    unit: str | None,
    contrast: Contrast,
    axes: tuple[str, ...],
    width: int,
    at_once: int,
) -> Float[np.ndarray, "*axes pair"]:
    """The metric after every patch, so many of them in a pass; positions that none of the pairs has are left out."""
    like = contrast.put[sites[0]]
    sizes = {"layer": len(sites), "position": like.shape[1], unit: like.shape[2] if unit else 1}
    # [pair, position, unit]: where there is another activation to put in
    differs = {
        site: (contrast.put[site] != contrast.there[site]).reshape(*like.shape[:2], sizes[unit], -1).any(-1)
        for site in sites
    }
    shape = [sizes[axis] for axis in axes]
    found = np.empty((prod(shape), contrast.n))
    for start in range(0, len(found), at_once):
        patches = np.arange(start, min(start + at_once, len(found)))
        places = dict(zip(axes, np.unravel_index(patches, shape), strict=True)) if axes else {}
        chosen = {
            axis: torch.as_tensor(places[axis][:, None] == np.arange(size), device=like.device)
            if axis in places
            else torch.ones(len(patches), size, dtype=torch.bool, device=like.device)
            for axis, size in sizes.items()
        }
        mask = chosen["position"][:, None, :, None] & chosen[unit][:, None, None, :]
        touched = torch.zeros(len(patches), contrast.n, dtype=torch.bool, device=like.device)
        hooks = []
        for site, at in zip(sites, chosen["layer"].T, strict=True):
            here = at.nonzero()[:, 0]
            if len(here):
                touched[here] |= (mask[here] & differs[site]).flatten(2).any(2)
                hooks.append((site, _putting(site, contrast, here, mask[here])))
        with torch.no_grad():
            logits = logits_at_answers(model, contrast.times(len(patches)), hooks)
        found[patches] = contrast.values(logits, touched)
    found = found.reshape(*shape, contrast.n)
    if "position" in axes:
        missing = [(0, 0)] * found.ndim
        missing[-2] = (0, width - sizes["position"])
        found = np.pad(found, missing, constant_values=np.nan)
    return found


def _putting(
    site: str, contrast: Contrast, here: Int[Tensor, " patch"], mask: Bool[Tensor, "patch 1 position unit"]
) -> Callable[..., Tensor]:
    """A hook that puts the other question's activation where the mask holds, in the rows of these patches."""
    put = contrast.put[site]

    def hook(activation: Tensor, hook: object) -> Tensor:
        changed = activation.clone()
        rows = position_second(site, changed).unflatten(0, (-1, contrast.n))
        rows[here] = torch.where(mask if put.ndim == 3 else mask[..., None], put, rows[here])
        return changed

    return hook
