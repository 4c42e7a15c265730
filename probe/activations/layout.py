"""Which sites a model has and what shape their activations are, told from its description, without weights."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

# What lets a model of any size be run for its shapes alone. Meta tensors would not do: a bridge reads its own weights.
from torch._subclasses.fake_tensor import FakeTensorMode

from probe.activations.forward import GRADIENT, Batch, reading
from probe.activations.inputs import Inputs
from probe.activations.sites import LOGITS, by_query, match_sites

if TYPE_CHECKING:
    from probe.suites.suite import Model


_NEURONS = re.compile(r"mlp\.(hook_pre|hook_pre_linear|hook_post|(in|gate)\.hook_out|out\.hook_in)$")
_HEADS_IN_RESIDUAL = re.compile(r"hook_result|hook_[qkv]_input|hook_attn_in")


@dataclass(frozen=True)
class Layout:
    """What an activation is beyond [example, position].

    Attributes:
        dims: names of the further axes: ``"head"`` where there are heads (``"kv_head"`` of keys and values, where they
            are fewer); then what each number is of, so that sites of one width share a dimension: ``"unit"`` of the
            residual stream, ``"head_unit"`` of a head, ``"neuron"`` of an MLP, ``"vocab"`` of the logits, ``"key"`` of
            patterns and scores.
        shape: their sizes.
        dtype: as the model computes it.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def has_heads(self) -> bool:
        return "head" in self.dims


def layouts(model: "Model", patterns: Sequence[str], inputs: Inputs, *, gradients: bool = False) -> dict[str, Layout]:
    """Layout of every site that the patterns mean, in model order; with gradients, of those as well.

    Args:
        model: of a suite; its weights are not read.
        patterns: hook names, or patterns over them.
        inputs: how many positions there are decides the keys of an attention pattern.
        gradients: whether the gradient at each site is captured too.

    Raises:
        ValueError: a pattern matches no hook point, or only ones that this architecture never reaches or that do not
            hold an activation of every example and position.
    """
    n_positions = inputs.tokens.shape[1]
    examples = 2 if n_positions != 2 else 3  # so that examples and positions cannot be taken for each other
    fake = Inputs(inputs.tokens[:1].repeat(examples, 0), inputs.lengths[:1].repeat(examples) * 0 + n_positions)
    with FakeTensorMode(allow_non_fake_inputs=True):
        skeleton = model.skeleton()
        # A hook point may bear several names, and a bridge lists those of TransformerLens after its own.
        sites = match_sites(patterns, skeleton.hook_dict)
        if any(site.endswith("hook_q_input") for site in sites):
            # A bridge computes either one input for attention or one each for q, k and v, which say more.
            sites = tuple(site for site in sites if not site.endswith("hook_attn_in"))
        with reading(skeleton, sites) as read:
            found = read(Batch(fake, slice(None), "cpu"))
        fitting = {
            site: _layout(site, found[site], skeleton.cfg)
            for site in sites
            if site in found
            and isinstance(found[site], torch.Tensor)
            and found[site].is_floating_point()
            and found[site].shape[:2] == (examples, n_positions)
            and found[site].ndim in (3, 4)
        }
    for pattern in patterns:
        if not set(match_sites([pattern], sites)) & set(fitting):
            raise ValueError(
                f"sites: {pattern!r} names a hook point of {model.name} at which there is never an activation of every"
                " example and position"
            )
    if gradients:
        fitting |= {f"{site}{GRADIENT}": layout for site, layout in fitting.items()}
    return fitting


def _layout(site: str, activation: torch.Tensor, cfg: Any) -> Layout:
    hook = site.rpartition(".")[2]
    if by_query(site):
        last = "key"
    elif site == LOGITS:
        last = "vocab"
    elif _NEURONS.search(site):
        last = "neuron"
    elif activation.ndim == 4 and not _HEADS_IN_RESIDUAL.fullmatch(hook):
        last = "head_unit"
    elif activation.shape[-1] == cfg.d_model:
        last = "unit"
    else:
        last = f"{hook.removeprefix('hook_')}_unit"  # such as the scale of a LayerNorm, or rotary angles
    if activation.ndim == 3:
        dims: tuple[str, ...] = (last,)
    else:  # where several queries share them, there are fewer heads of keys and values
        dims = ("head" if activation.shape[2] == cfg.n_heads else "kv_head", last)
    return Layout(dims, tuple(activation.shape[2:]), activation.dtype)
