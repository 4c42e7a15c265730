"""Tensors from a file that somebody else wrote, as safetensors or with ``torch.save``. Nothing in it is ever run."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from probe import storage
from probe.suites.format import DamagedCheckpointError
from probe.suites.pickles import asked_for

SUFFIXES = (".safetensors", ".pt", ".pth")
"""What the names of files of bare state dicts end in."""

_USUAL_ENTRIES = ("model", "model_state_dict", "state_dict")
_WANTED = re.compile(r"(?<=GLOBAL )\S+|(?<=Unsupported class )\S+|(?<=unrecognized function )\S+|TorchScript archives")
"""What torch says that it would have to run."""
_NEWER_PROTOCOL = "Unsupported operand"
"""What torch says of a pickle of protocol 4 or 5, which it reads no further."""


def read_state_dict(path: str) -> tuple[dict[str, Tensor], str | None]:
    """The state dict in a file, on the CPU, in the file's order.

    A file may hold it whole, or as one of its entries (``{"model": state_dict, "optimizer": ...}``).

    Args:
        path: local path or fsspec URL. What does not end in ``.safetensors`` is taken to be of ``torch.save``.

    Returns:
        Tensors by name, and the name of the entry that they were found in: None if the file is the state dict.

    Raises:
        DamagedCheckpointError: the file cannot be read.
        ValueError: the file is refused, because to read it would run code; or it holds no state dict, or several.
    """
    if path.endswith(".safetensors"):
        local = storage.local_path(path)
        try:
            if local is not None:  # which does not take the memory of the whole file beside that of its tensors
                return safetensors.torch.load_file(local), None
            return safetensors.torch.load(storage.read_bytes(path)), None
        except (safetensors.SafetensorError, ValueError) as error:
            raise DamagedCheckpointError(
                f"{path} cannot be read ({error}); delete it, and fetch or save it again"
            ) from error
    return _state_dict_in(path, _load(path))


def _load(path: str) -> Any:
    """What ``torch.save`` wrote, if it is made of tensors and plain Python values."""
    with storage.opened(path) as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file makes the reader stumble over nearly anything
            text = str(error) or "it ends too early"
            found = _WANTED.search(text)
            wanted = found[0] if found else None
            if _NEWER_PROTOCOL in text:
                with suppress(Exception):  # as above
                    wanted = asked_for(file)
            if wanted:
                raise ValueError(
                    f"{path} is refused: it asks for {wanted}, and to read that would run code that the file chooses."
                    " Where you trust it, read it yourself and write its weights again: torch.save(model.state_dict(),"
                    " ...) or safetensors.torch.save_file(model.state_dict(), ...)"
                ) from error
            telling = [line for line in text.splitlines() if line.strip() and "weights_only" not in line]
            reason = telling[-1] if telling else text
            raise DamagedCheckpointError(
                f"{path} cannot be read ({reason}): it is damaged, or was not written by torch.save in its default"
                f" pickle protocol; delete it, and fetch or save it again"
            ) from error


def _state_dict_in(path: str, content: Any) -> tuple[dict[str, Tensor], str | None]:
    """The tensors by name in what a file holds."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds {type(content).__name__}; expected a state dict, or a dict with one as entry")
    inside = {name: tensors for name, value in content.items() if (tensors := _tensors(value))}
    usual = [name for name in _USUAL_ENTRIES if name in inside]
    if len(usual) == 1:
        return inside[usual[0]], usual[0]
    tensors = _tensors(content)
    largest = max(map(len, inside.values()), default=0)
    if len(tensors) > largest:
        return tensors, None
    if len(inside) == 1:
        name = next(iter(inside))
        return inside[name], str(name)
    some = ", ".join(repr(name) for name in list(inside or content)[:6])
    if inside:
        raise ValueError(f"{path} holds several state dicts, {some}; expected one: save it alone")
    raise ValueError(f"{path} holds no state dict: among its entries ({some}) are no tensors by name")


def _tensors(value: Any) -> dict[str, Tensor]:
    """The entries of a dictionary that are tensors; none if it is not a dictionary by name."""
    if not isinstance(value, Mapping):
        return {}
    return {name: part for name, part in value.items() if isinstance(name, str) and isinstance(part, Tensor)}
