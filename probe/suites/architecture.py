"""Sizes and options of our compact decoder transformer, and its parameters by their TransformerLens names."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from probe.tasks import Task

LN_EPS = 1e-5
"""Added to the variance in LayerNorm."""


@dataclass(frozen=True)
class Shape:
    """Sizes and options of a model, whatever it reads; the defaults are Nanda et al. 2023 (arXiv 2301.05217).

    Args:
        d_model: width of the residual stream.
        n_layers: transformer blocks, at least 1.
        n_heads: attention heads per block.
        d_head: width of a head; d_model / n_heads if not given.
        d_mlp: neurons per block; 4 * d_model if not given, and None where there are no MLPs.
        activation: ``"relu"`` or ``"gelu"`` (exact, not the tanh approximation).
        normalization: ``None`` or ``"LN"`` (LayerNorm before attention, MLP and unembedding, with scale and shift).
        biases: whether attention, MLP and unembedding have biases.
        attn_only: whether blocks are attention alone, without an MLP (Elhage et al. 2021).

    Raises:
        ValueError: a field is outside what is said above; the message names it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    d_model: int = 128
    n_layers: int = 1
    n_heads: int = 4
    d_head: int | None = None
    d_mlp: int | None = None
    activation: Literal["relu", "gelu"] = "relu"
    normalization: Literal["LN"] | None = None
    biases: bool = False
    attn_only: bool = False

    def __post_init__(self) -> None:
        for field, value in asdict(self).items():
            if type(value) is int and value < 1:
                raise ValueError(f"{field}: got {value}; expected at least 1")
        if self.activation not in ("relu", "gelu"):
            raise ValueError(f"activation: got {self.activation!r}; expected 'relu' or 'gelu'")
        if self.normalization not in (None, "LN"):
            raise ValueError(f"normalization: got {self.normalization!r}; expected null or 'LN'")
        if self.d_head is None:
            if self.d_model % self.n_heads:
                nearest = max(1, round(self.d_model / self.n_heads)) * self.n_heads
                raise ValueError(
                    f"d_model: got {self.d_model}, which is not divisible by n_heads = {self.n_heads};"
                    f" the nearest that is is {nearest}, or give d_head"
                )
            object.__setattr__(self, "d_head", self.d_model // self.n_heads)
        if self.attn_only and self.d_mlp is not None:
            raise ValueError(f"d_mlp: got {self.d_mlp}; expected none with attn_only, as blocks have no MLP then")
        if self.d_mlp is None and not self.attn_only:
            object.__setattr__(self, "d_mlp", 4 * self.d_model)


@dataclass(frozen=True, kw_only=True)
class Architecture(Shape):
    """A decoder-only transformer with learned positions: a shape, and what it reads and answers.

    Args:
        d_vocab: tokens that can be read; the task says how many.
        n_ctx: positions.
        d_vocab_out: logits; d_vocab if not given, as in the published runs (measures drop those that no answer has).
        causal: whether a position sees only itself and those before it. Models trained here all are.
        attention_coefficient: c in [0, 1]; a head's pattern is c * softmax + (1 - c) on the positions that it sees, so
            that 0 is attention that is constant (Zhong et al. 2023, arXiv 2306.17844). 1 in models trained here.

    Raises:
        ValueError: a field is outside what is said above; the message names it.
    """

    d_vocab: int
    n_ctx: int
    d_vocab_out: int | None = None
    causal: bool = True
    attention_coefficient: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "attention_coefficient", float(self.attention_coefficient))
        super().__post_init__()
        if not 0 <= self.attention_coefficient <= 1:
            raise ValueError(f"attention_coefficient: got {self.attention_coefficient}; expected 0 to 1")
        if self.d_vocab_out is None:
            object.__setattr__(self, "d_vocab_out", self.d_vocab)

    @classmethod
    def of(cls, shape: Shape, task: Task) -> "Architecture":
        """A model of this shape for this task."""
        return cls(**asdict(shape), d_vocab=task.d_vocab, n_ctx=task.n_ctx)

    def to_dict(self) -> dict[str, Any]:
        """Its fields, from which ``Architecture(**fields)`` makes it again.

        How attention is done, and that blocks have MLPs, is left out where it is the usual way: so files that were
        written before there was a choice are equal to those written since.
        """
        usual = {"causal": True, "attention_coefficient": 1.0, "attn_only": False}
        return {field: value for field, value in asdict(self).items() if usual.get(field) != value}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, in the order in which they are drawn and stored."""
        d, h, dh, f = self.d_model, self.n_heads, self.d_head, self.d_mlp
        assert dh is not None
        assert self.d_vocab_out is not None
        shapes: dict[str, tuple[int, ...]] = {"embed.W_E": (self.d_vocab, d), "pos_embed.W_pos": (self.n_ctx, d)}
        for layer in range(self.n_layers):
            block: dict[str, tuple[int, ...]] = {}
            if self.normalization:
                block |= {"ln1.w": (d,), "ln1.b": (d,)}
            block |= {"attn.W_Q": (h, d, dh), "attn.W_K": (h, d, dh), "attn.W_V": (h, d, dh), "attn.W_O": (h, dh, d)}
            if self.biases:
                block |= {"attn.b_Q": (h, dh), "attn.b_K": (h, dh), "attn.b_V": (h, dh), "attn.b_O": (d,)}
            if f is not None:
                if self.normalization:
                    block |= {"ln2.w": (d,), "ln2.b": (d,)}
                block |= {"mlp.W_in": (d, f), "mlp.W_out": (f, d)}
                if self.biases:
                    block |= {"mlp.b_in": (f,), "mlp.b_out": (d,)}
            shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
        if self.normalization:
            shapes |= {"ln_final.w": (d,), "ln_final.b": (d,)}
        shapes["unembed.W_U"] = (d, self.d_vocab_out)
        if self.biases:
            shapes["unembed.b_U"] = (self.d_vocab_out,)
        return shapes

    @property
    def n_params(self) -> int:
        """Parameters, all of them."""
        return sum(torch.Size(shape).numel() for shape in self.shapes.values())

    @property
    def n_params_without_embeddings(self) -> int:
        """Parameters but those of the token embedding, the positions and the unembedding."""
        return sum(
            torch.Size(shape).numel() for name, shape in self.shapes.items() if name.startswith(("blocks", "ln_final"))
        )

    def initial_weights(self, seed: int) -> dict[str, Tensor]:
        """Float32 weights drawn on the CPU, the same for a seed on any device.

        Matrices are randn / sqrt(d_model), W_U randn / sqrt(d_vocab) (Nanda et al. 2023), biases 0, LayerNorm scale 1.
        """
        generator = torch.Generator().manual_seed(seed)
        weights = {}
        for name, shape in self.shapes.items():
            if name.endswith("ln1.w") or name.endswith("ln2.w") or name == "ln_final.w":
                weights[name] = torch.ones(shape)
            elif name.split(".")[-1].startswith("b"):
                weights[name] = torch.zeros(shape)
            else:
                fan = self.d_vocab if name == "unembed.W_U" else self.d_model
                weights[name] = torch.randn(shape, generator=generator) / fan**0.5
        return weights
