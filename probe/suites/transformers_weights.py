"""State dicts of GPT-NeoX and GPT-2 under transformers' own names, which a transformers config makes into a model.

Names may lack the prefix that the whole model has (``gpt_neox.``, ``transformer.``), and an unembedding that is tied to
the embedding may be left out.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from probe.suites import bridges

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from probe.suites.hooked import HookedModel

_UNEMBEDDINGS = ("lm_head.weight", "embed_out.weight")
"""What the unembedding is called: that of GPT-NeoX was renamed between versions of transformers."""
_NAME = "state-dict"
"""What a hooked model is called; names of published models mean something to TransformerLens."""
_BUFFER = re.compile(r".*(\.attn\.(bias|masked_bias)|\.attention\.(bias|masked_bias)|rotary_emb\.\w*inv_freq)")


@dataclass(frozen=True)
class Kind:
    """What is particular to one kind of model.

    Attributes:
        model_type: what its config calls it.
        prefix: of all its weights but the unembedding.
        telling: a weight that no other kind has, without the prefix.
        embedding: the weight of the token embedding.
    """

    model_type: str
    prefix: str
    telling: str
    embedding: str


KINDS = {
    "gpt-neox": Kind("gpt_neox", "gpt_neox.", "layers.0.attention.query_key_value.weight", "gpt_neox.embed_in.weight"),
    "gpt2": Kind("gpt2", "transformer.", "h.0.attn.c_attn.weight", "transformer.wte.weight"),
}


@dataclass(frozen=True)
class TransformersWeights:
    """How the tensors of a state dict are the weights of a model that transformers knows.

    Attributes:
        layout: which of ``KINDS``.
        fields: its config, with ``model_type``.
    """

    layout: str
    fields: Mapping[str, Any]

    def __post_init__(self) -> None:
        model_type = self.fields.get("model_type")
        if model_type != self._kind.model_type:
            raise ValueError(
                f"config.model_type: got {model_type!r}; expected {self._kind.model_type!r} for mapping"
                f" {self.layout!r}. Give the model's config.json: shapes do not say how many heads there are"
            )

    @property
    def notes(self) -> list[str]:
        """How the tensors were taken, a line each."""
        return [f"mapping {self.layout!r}"]

    @property
    def n_params(self) -> int:
        return bridges.count_parameters(self._outline)[0]

    @property
    def n_params_without_embeddings(self) -> int:
        return bridges.count_parameters(self._outline)[1]

    @property
    def n_ctx(self) -> int:
        return int(self._config.max_position_embeddings)

    @property
    def d_vocab(self) -> int:
        return int(self._config.vocab_size)

    @cached_property
    def stored(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes that the state dict should hold, but for an unembedding that is tied."""
        shapes = {name: tuple(weight.shape) for name, weight in self._outline.state_dict().items()}
        if self._config.tie_word_embeddings:
            del shapes[self._unembedding]
        return shapes

    def named(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors by the whole model's names, without buffers and without what only repeats the embedding."""
        prefix, inner = self._kind.prefix, {name.removeprefix(self._kind.prefix) for name in self.stored}
        named = {}
        for name, tensor in tensors.items():
            if name in _UNEMBEDDINGS:
                named[self._unembedding] = tensor
            elif not _BUFFER.fullmatch(name):
                named[prefix + name if name in inner else name] = tensor
        if self._config.tie_word_embeddings and self._unembedding in named:
            embedding = named.get(self._kind.embedding)
            if embedding is not None and torch.equal(embedding, named[self._unembedding]):
                del named[self._unembedding]
        return named

    def hint(self, name: str, shape: tuple[int, ...]) -> str:
        """What may be the reason why a tensor does not fit; empty if nothing is known."""
        if name == self._unembedding and self._config.tie_word_embeddings:
            return "it is not the embedding, to which the config ties it: tie_word_embeddings"
        return ""

    def inside(self, name: str) -> bool:
        """Whether a name is that of a part of the model."""
        return name == self._unembedding or name.startswith((self._kind.prefix, *self._parts))

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The model's weights from tensors of the expected names and shapes."""
        return {name: tensors[name].contiguous() for name in self.stored}

    def load(self, weights: Mapping[str, Tensor], device: str, dtype: torch.dtype | None) -> "HookedModel":
        """The hooked model with these weights, in evaluation mode."""
        return bridges.hooked(bridges.with_weights(self._config, weights, _NAME, device, dtype), _NAME, device=device)

    def skeleton(self) -> "HookedModel":
        """A model with the same hook points and shapes and no values."""
        from transformers import AutoModelForCausalLM

        return bridges.hooked(AutoModelForCausalLM.from_config(self._config), _NAME)

    @property
    def _kind(self) -> Kind:
        return KINDS[self.layout]

    @cached_property
    def _config(self) -> "PretrainedConfig":
        from transformers import AutoConfig

        try:
            return AutoConfig.for_model(**self.fields)
        except Exception as error:  # each field has its own kind of error
            raise ValueError(f"config: transformers cannot make a {self._kind.model_type} of it: {error}") from error

    @cached_property
    def _outline(self) -> "PreTrainedModel":
        return bridges.outline(self._config)

    @cached_property
    def _unembedding(self) -> str:
        return next(name for name in self._outline.state_dict() if name in _UNEMBEDDINGS)

    @property
    def _parts(self) -> tuple[str, ...]:
        """First words of the names without the prefix."""
        return tuple({name.removeprefix(self._kind.prefix).split(".")[0] + "." for name in self.stored})


def transformers_layout(names: Collection[str]) -> str | None:
    """Which of ``KINDS`` a state dict with these names is of; None if of none."""
    for layout, kind in KINDS.items():
        if kind.telling in names or kind.prefix + kind.telling in names:
            return layout
    return None
