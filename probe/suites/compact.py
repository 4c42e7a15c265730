"""State dicts that are weights of our compact transformer, in one of two layouts, and which architecture theirs is.

``transformerlens``  TransformerLens 1 to 3's own: our names and shapes, and buffers beside them
``early``            Nanda et al. 2023 and what was made from its code: the same names, but matrices are [out, in] and
                     the output of the heads is one matrix, [d_model, n_heads * d_head]

Sizes are told from shapes. What shapes cannot say is in a config, or as in the published runs: ReLU, causal, no
LayerNorm where there are no weights of one.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import Tensor

from probe.suites.architecture import Architecture

if TYPE_CHECKING:
    from probe.suites.hooked import HookedTransformer

Shapes = Mapping[str, tuple[int, ...]]

_OUT_IN = ("W_E", "W_Q", "W_K", "W_V", "W_in", "W_out")
"""Matrices that the early layout stores the other way round."""
_BUFFER = re.compile(r"blocks\.\d+\.attn\.(mask|IGNORE)")
_PARTS = ("embed.", "pos_embed.", "blocks.", "ln_final.", "unembed.")
_BIASES = (("b_Q", "b_K", "b_V", "b_O"), ("b_in", "b_out"), ("b_U",))
"""Biases of attention, of the MLP, and of the unembedding: published models have them of some of the three."""


@dataclass(frozen=True)
class CompactWeights:
    """How the tensors of a state dict are the weights of an architecture.

    Attributes:
        layout: ``"transformerlens"`` or ``"early"``.
        arch: the architecture.
        constant: weights that the state dict does not hold, and their value: 0 for biases that the model was trained
            without where it has others, 1 and 0 for scale and shift of a LayerNorm without any.
    """

    layout: str
    arch: Architecture
    constant: Mapping[str, float]

    @classmethod
    def of(cls, layout: str, shapes: Shapes, fields: Mapping[str, Any]) -> "CompactWeights":
        """Those that a state dict with these shapes holds.

        Args:
            layout: ``"transformerlens"`` or ``"early"``.
            shapes: of the tensors, by name.
            fields: of the architecture, as ``configs.compact_fields`` gives them; the others are told from the shapes.

        Raises:
            ValueError: the fields do not make an architecture; the message names one.
        """
        named = {name: shape for name, shape in shapes.items() if name.startswith(_PARTS)}
        ends = {name.rsplit(".", 1)[-1] for name in named}
        told: dict[str, Any] = {
            **_sizes(named),
            "biases": any(bias in ends for family in _BIASES for bias in family),
            "normalization": "LN" if any(".ln" in name or name.startswith("ln_final.") for name in named) else None,
            "attn_only": any(".attn." in name for name in named) and not any(".mlp." in name for name in named),
        }
        told |= fields
        if told["attn_only"] and "d_mlp" not in fields:
            told["d_mlp"] = None
        bare_norm = told["normalization"] == "LNPre"
        arch = Architecture(**told | {"normalization": "LN"} if bare_norm else told)
        absent = [bias for family in _BIASES if ends.isdisjoint(family) for bias in family]
        constant = {name: 0.0 for name in arch.shapes if name.rsplit(".", 1)[-1] in absent}
        if bare_norm:
            norms = [name for name in arch.shapes if re.search(r"\bln(1|2|_final)\.[wb]$", name)]
            constant |= {name: float(name.endswith(".w")) for name in norms}
        return cls(layout, arch, constant)

    @property
    def notes(self) -> list[str]:
        """How the tensors were taken, a line each."""
        set_to = sorted({f"{name.rsplit('.', 1)[-1]} = {value:g}" for name, value in self.constant.items()})
        absent = [f"not in the file, and therefore {', '.join(set_to)}"] if set_to else []
        return [f"mapping {self.layout!r}", *absent]

    @property
    def n_params(self) -> int:
        """Parameters that the state dict holds."""
        return sum(torch.Size(shape).numel() for shape in self.stored.values())

    @property
    def n_params_without_embeddings(self) -> int:
        inner = {name: shape for name, shape in self.stored.items() if name.startswith(("blocks", "ln_final"))}
        return sum(torch.Size(shape).numel() for shape in inner.values())

    @property
    def n_ctx(self) -> int:
        return self.arch.n_ctx

    @property
    def d_vocab(self) -> int:
        return self.arch.d_vocab

    @property
    def stored(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes that the state dict should hold."""
        shapes = self.arch.shapes.items()
        return {name: _stored(self.layout, name, shape) for name, shape in shapes if name not in self.constant}

    def named(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors without buffers, such as the causal mask, which are no weights."""
        return {name: tensor for name, tensor in tensors.items() if not _BUFFER.fullmatch(name)}

    def hint(self, name: str, shape: tuple[int, ...]) -> str:
        """What may be the reason why a tensor does not fit; empty if nothing is known."""
        other = "early" if self.layout == "transformerlens" else "transformerlens"
        if name in self.arch.shapes and shape == _stored(other, name, self.arch.shapes[name]):
            return f"the {other} layout stores it so: mapping={other!r}"
        return ""

    def inside(self, name: str) -> bool:
        """Whether a name is that of a part of the model."""
        return name.startswith(_PARTS)

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our weights from tensors of the expected names and shapes."""
        like = tensors["embed.W_E"]
        return {
            name: like.new_full(shape, self.constant[name])
            if name in self.constant
            else _ours(self.layout, self.arch, name, tensors[name]).contiguous()
            for name, shape in self.arch.shapes.items()
        }

    def load(self, weights: Mapping[str, Tensor], device: str, dtype: torch.dtype | None) -> "HookedTransformer":
        """The hooked model with these weights, in evaluation mode."""
        from probe.suites.hooked import HookedTransformer

        return HookedTransformer.with_weights(self.arch, {n: w.to(device, dtype) for n, w in weights.items()})

    def skeleton(self) -> "HookedTransformer":
        """A model with the same hook points and shapes and no values."""
        from probe.suites.hooked import HookedTransformer

        return HookedTransformer(self.arch).eval()


def compact_layout(shapes: Shapes) -> str | None:
    """The layout that names and shapes are of; None if they are of neither.

    The two differ for certain in the output of the heads, which has three axes or two. (Whether a matrix is transposed
    cannot be seen where it is square.)
    """
    outputs = {len(shape) for name, shape in shapes.items() if re.fullmatch(r"blocks\.\d+\.attn\.W_O", name)}
    if outputs and "embed.W_E" in shapes:
        return "early" if outputs == {2} else "transformerlens"
    return None


def _stored(layout: str, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in which a layout stores a weight of ours."""
    end = name.rsplit(".", 1)[-1]
    if layout == "early" and end in _OUT_IN:
        return (*shape[:-2], shape[-1], shape[-2])
    if layout == "early" and end == "W_O":
        n_heads, d_head, d_model = shape
        return d_model, n_heads * d_head
    return shape


def _ours(layout: str, arch: Architecture, name: str, tensor: Tensor) -> Tensor:
    """A weight of ours from what a layout stores."""
    end = name.rsplit(".", 1)[-1]
    if layout == "early" and end in _OUT_IN:
        return tensor.mT
    if layout == "early" and end == "W_O":
        return rearrange(tensor, "d (h e) -> h e d", h=arch.n_heads)
    return tensor


def _sizes(shapes: Shapes) -> dict[str, int]:
    """Sizes of a model from the shapes of its weights, whichever way round its matrices are; 1 where none tells.

    Every matrix but the output of the heads has the residual stream on one side, so its width is the size that most
    of them have.
    """
    matrices = {name: shape for name, shape in shapes.items() if ".W_" in name and len(shape) >= 2}
    occurs = Counter(size for shape in matrices.values() for size in set(shape[-2:]))
    d_model = occurs.most_common(1)[0][0] if occurs else 1

    def other_side(*ends: str, bias: str = "") -> int:
        for name, (*_, rows, columns) in matrices.items():
            if name.rsplit(".", 1)[-1] in ends:
                return columns if rows == d_model else rows
        return next((shape[-1] for name, shape in shapes.items() if bias and name.endswith(f".{bias}")), 1)

    layers = [int(match[1]) for name in shapes if (match := re.match(r"blocks\.(\d+)\.", name))]
    return {
        "d_model": d_model,
        "n_layers": max(layers, default=0) + 1,
        "n_heads": next((shape[0] for shape in matrices.values() if len(shape) == 3), 1),
        "d_head": other_side("W_Q", "W_K", "W_V", bias="b_Q"),
        "d_mlp": other_side("W_in", "W_out", bias="b_in"),
        "d_vocab": other_side("W_E"),
        "n_ctx": other_side("W_pos"),
        "d_vocab_out": other_side("W_U", bias="b_U"),
    }
