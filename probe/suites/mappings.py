"""From a state dict to a model: how its tensors are named and laid out, and whether all of them fit.

Ready-made mappings, told from names and shapes where they are not given:

``transformerlens``  TransformerLens 1 to 3's own names and shapes
``early``            the code of Nanda et al. 2023, and what was made from it: those names, matrices the other way round
``gpt-neox``         transformers' GPT-NeoX (Pythia), with or without ``gpt_neox.`` before the names
``gpt2``             transformers' GPT-2, with or without ``transformer.`` before the names

A mapping of one's own, ``{name in the file: name}``, renames to the names of one of these; what it does not list keeps
its name.
"""

import difflib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from probe import storage
from probe.suites.compact import CompactWeights, compact_layout
from probe.suites.configs import compact_fields, is_transformers
from probe.suites.transformers_weights import KINDS, TransformersWeights, transformers_layout

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

NameMapping = str | Mapping[str, str] | None
"""A ready-made mapping, or the path of a JSON file with one's own, or that itself; None to tell it from the weights."""

READY_MADE = ("transformerlens", "early", *KINDS)


class Weights(Protocol):
    """How the tensors of a state dict are the weights of a model."""

    @property
    def layout(self) -> str:
        """Which ready-made mapping it is."""

    @property
    def notes(self) -> list[str]:
        """How the tensors were taken, a line each."""

    @property
    def n_params(self) -> int: ...

    @property
    def n_params_without_embeddings(self) -> int: ...

    @property
    def n_ctx(self) -> int: ...

    @property
    def d_vocab(self) -> int: ...

    @property
    def stored(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes that the state dict should hold."""

    def named(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors by the names that are used here, without buffers that are no weights."""

    def hint(self, name: str, shape: tuple[int, ...]) -> str:
        """What may be the reason why a tensor does not fit; empty if nothing is known."""

    def inside(self, name: str) -> bool:
        """Whether a name is that of a part of the model."""

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The model's weights from tensors of the expected names and shapes."""

    def load(self, weights: Mapping[str, Tensor], device: str, dtype: torch.dtype | None) -> "HookedModel":
        """The hooked model with these weights, in evaluation mode."""

    def skeleton(self) -> "HookedModel":
        """A model with the same hook points and shapes and no values."""


def weights_of(tensors: Mapping[str, Tensor], layout: str | None, config: Mapping[str, Any]) -> Weights:
    """How tensors are the weights of a model.

    Args:
        tensors: of a state dict, renamed if they had to be.
        layout: a ready-made mapping; None to tell it from names and shapes.
        config: what they do not say of the model, as ``configs`` has it.

    Raises:
        ValueError: the layout is not known or cannot be told, or the config is not one for it.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    layout = layout or _told(shapes)
    if layout in KINDS:
        return TransformersWeights(layout, config)
    if is_transformers(config):
        raise ValueError(
            f"config: is one of transformers (model_type {config['model_type']!r}), and the mapping is {layout!r};"
            " expected fields of our architecture or TransformerLens'"
        )
    return CompactWeights.of(layout, shapes, compact_fields(config))


def fit(form: Weights, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The model's weights from the tensors of a state dict, each checked for name and shape.

    A matrix that is square is not seen to be transposed.

    Returns:
        The weights, and the names of tensors that are not part of the model and were left out.

    Raises:
        ValueError: tensors are missing, or have another shape, or belong to parts of the model that it does not have;
            the message names all of them.
    """
    named, expected = form.named(tensors), form.stored
    wrong = []
    missing = [name for name in expected if name not in named]
    if missing:
        wrong.append(f"missing: {', '.join(missing)}")
    for name, shape in expected.items():
        if name in named and (found := tuple(named[name].shape)) != shape:
            transposed = len(shape) > 1 and found == (*shape[:-2], shape[-1], shape[-2])
            reasons = ["it looks transposed" if transposed else "", form.hint(name, found)]
            why = "; ".join(filter(None, reasons))
            wrong.append(f"{name} is {list(found)}, expected {list(shape)}" + (f": {why}" if why else ""))
        elif name in named and not named[name].is_floating_point():
            wrong.append(f"{name} holds {named[name].dtype}, expected floating point")
    rest = [name for name in named if name not in expected]
    for name in filter(form.inside, rest):
        hint = form.hint(name, tuple(named[name].shape))
        wrong.append(f"unused: {name}, for which the model has no place" + (f" ({hint})" if hint else ""))
    if wrong:
        raise ValueError("\n  ".join([f"not the weights of the model (mapping {form.layout!r}):", *wrong]))
    return form.weights(named), [name for name in rest if not form.inside(name)]


def read_mapping(mapping: NameMapping) -> tuple[str | None, dict[str, str]]:
    """A mapping as the ready-made one, None where it is to be told, and new names by those in the file.

    Raises:
        ValueError: it is none of the ready-made ones, and no JSON file of names.
    """
    if mapping is None or mapping in READY_MADE:
        return mapping, {}
    if isinstance(mapping, str):
        if not mapping.endswith(".json"):
            near = difflib.get_close_matches(mapping, READY_MADE, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"mapping: got {mapping!r}{hint}; expected {_EXPECTED}")
        try:
            mapping = json.loads(storage.read_bytes(mapping))
        except (OSError, ValueError) as error:
            raise ValueError(f"mapping: {mapping} cannot be read: {error}") from error
    if not isinstance(mapping, Mapping) or not all(isinstance(name, str) for pair in mapping.items() for name in pair):
        raise ValueError(f"mapping: got {mapping!r}; expected {_EXPECTED}")
    return None, dict(mapping)


def renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Tensors by their new names; what is not listed keeps its name.

    Raises:
        ValueError: a listed name is not there, or two tensors would have the same name.
    """
    absent = [name for name in names if name not in tensors]
    if absent:
        raise ValueError(f"mapping: there is no {', '.join(absent)}; there are {some_of(tensors)}")
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        new = names.get(name, name)
        if new in found:
            raise ValueError(f"mapping: two tensors would be called {new}; one of them is {name}")
        found[new] = tensor
    return found


def some_of(names: Mapping[str, Any]) -> str:
    """A few names, for a message."""
    few = list(names)[:6]
    return ", ".join(few) + (f" and {len(names) - len(few)} more" if len(names) > len(few) else "")


_EXPECTED = f"one of {', '.join(READY_MADE)}, or {{name in the file: name in one of these}}"


def _told(shapes: Mapping[str, tuple[int, ...]]) -> str:
    found = [layout for layout in (compact_layout(shapes), transformers_layout(shapes)) if layout]
    if len(found) == 1:
        return found[0]
    why = f"the names are those of {' and of '.join(found)}" if found else "the names are of none that is ready-made"
    raise ValueError(f"mapping: cannot be told: {why} ({some_of(shapes)}); expected {_EXPECTED}")
