"""What a measure is given, checked, and how it hands back one number per model."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor


def checked(array: Any, field: str, dims: str) -> Float[Tensor, ...]:
    """``array`` as a float64 tensor, on the device it is on, of the shape that ``dims`` says.

    ``dims`` names the dimensions, such as ``"*batch p p answer"``: those of one name have one size, a number is
    that size, and a first ``*name`` stands for any number of dimensions.

    Raises ValueError, naming ``field``, for another shape, an empty dimension, complex values, nan or infinity.
    """
    return valid(array, field, dims).to(torch.float64)


def valid(array: Any, field: str, dims: str) -> Float[Tensor, ...]:
    """As `checked`, but of the type it is: for arrays too large to be converted at once."""
    tensor = _tensor(array, field)
    names = dims.split()
    named = names[1:] if names[0].startswith("*") else names
    shape = tuple(tensor.shape)
    tail = shape[len(shape) - len(named) :]
    sizes: dict[str, int] = {}
    fits = len(shape) >= len(named) and (len(named) < len(names) or len(shape) == len(named))
    for name, size in zip(named, tail, strict=False):
        fits &= sizes.setdefault(name, int(name) if name.isdigit() else size) == size
    if not fits or 0 in shape:
        empty = ", none of them empty" if fits else ""
        raise ValueError(f"{field}: shape {shape} given, expected [{', '.join(names)}]{empty}")
    if tensor.is_complex():
        raise ValueError(f"{field}: complex numbers given, expected real ones")
    # one pass finds out whether all is well: a sum of finite numbers that overflows is looked at again
    if not tensor.sum().isfinite() and not (finite := tensor.isfinite()).all():
        where = tuple((~finite).nonzero()[0].tolist())
        raise ValueError(f"{field}: {tensor[where].item()} given at {list(where)}, expected finite numbers")
    return tensor


def number(values: Float[Tensor, "*batch"]) -> Any:
    """One number per model as it is handed back: a ``float`` for one model, the tensor for a batch of them."""
    return values.item() if values.ndim == 0 else values


def integers(given: Iterable[SupportsIndex], field: str) -> list[int]:
    """``given`` as ints: of a list, a range, or an array or a tensor of integers.

    Raises ValueError, naming ``field``, for what is no such thing, or a number that is given twice.
    """
    one: Any = given
    found = []
    try:
        for one in given:
            found.append(operator.index(one))
    except TypeError as error:
        expected = "several integers" if one is given else "an integer"
        raise ValueError(f"{field}: {one!r} given, expected {expected}") from error
    if len(set(found)) < len(found):
        raise ValueError(f"{field}: {found} given, expected each number once")
    return found


def unit_scale(values: Float[Tensor, ...], n_dims: int) -> Float[Tensor, ...]:
    """``values`` over the largest of them, by absolute value, in the last dimensions, so that squares are in range."""
    largest = values.abs().amax(tuple(range(-n_dims, 0)), keepdim=True)
    return values / torch.where(largest > 0, largest, 1.0)


def at_first(wrong: Bool[Tensor, "*batch"]) -> str:
    """Which is the first of a batch that is wrong, for a message: " at [1, 2]"; "" for one model alone."""
    return f" at {wrong.nonzero()[0].tolist()}" if wrong.ndim else ""


def _tensor(array: Any, field: str) -> Tensor:
    if isinstance(array, Tensor):
        return array.detach()
    try:
        # torch takes neither negative strides nor, without a warning, arrays that may not be written to
        return torch.as_tensor(np.require(array, requirements=["C", "W"]))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{field}: {type(array).__name__} given, expected an array of numbers ({error})") from error
