"""How a checkpoint is written, named, digested and checked.

A suite is a folder with one folder per model: ``<model>/config.json`` and ``<model>/step_00001000.safetensors``.
Each weights file carries the SHA-256 of its own tensors in its header, so one file can be checked by itself.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from probe import storage

_STEP_FILE = re.compile(r"step_(\d{8})\.safetensors")
_ENTRY = "grokscope"
_LONGEST_HEADER = 100_000_000
"""Bytes: the format's own limit. What says that it is longer is damaged."""
_REMEDY = "Delete the file, and the command that wrote the suite writes it again."


class DamagedCheckpointError(ValueError):
    """A weights file is not what was written: truncated, altered, or not a weights file of ours."""


def config_path(folder: str, model: str) -> str:
    return f"{folder}/{model}/config.json"


def stopped_path(folder: str, model: str) -> str:
    """Where it is noted that training of a model ended early, and why."""
    return f"{folder}/{model}/stopped.json"


def step_path(folder: str, model: str, step: int) -> str:
    return f"{folder}/{model}/step_{step:08d}.safetensors"


def steps_present(folder: str, model: str) -> tuple[int, ...]:
    """Steps for which a model's folder has a weights file, ascending."""
    names = storage.list_files(f"{folder}/{model}", ".safetensors")
    return tuple(sorted(int(match[1]) for name in names if (match := _STEP_FILE.fullmatch(name))))


def write_json(path: str, content: Mapping[str, Any]) -> None:
    storage.write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def read_json(path: str) -> dict[str, Any]:
    """
    Raises:
        ValueError: the file is not JSON; the message names it.
    """
    try:
        return json.loads(storage.read_bytes(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}); delete it, and the same command writes it again") from error


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values, in order of name."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def write_tensors(path: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors with their digest, atomically. ``about`` goes into the header as JSON."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One entry, because safetensors writes several in an arbitrary order and the same weights should be the same bytes.
    header = {_ENTRY: json.dumps({"about": about, "sha256": digest(whole)})}
    storage.write_atomically(path, safetensors.torch.save(whole, metadata=header))


def read_header(path: str) -> tuple[dict[str, Any], str]:
    """What was written as ``about``, and the digest that the tensors should have. Reads no tensors.

    Raises:
        DamagedCheckpointError: the header cannot be read; the message names the file.
    """
    length = int.from_bytes(storage.read_bytes(path, end=8), "little")
    return _parse_header(path, storage.read_bytes(path, end=8 + min(length, _LONGEST_HEADER)))


def read_tensors(path: str) -> dict[str, Tensor]:
    """The tensors of a file, after checking them against their digest.

    Raises:
        DamagedCheckpointError: the file is truncated or altered; the message names it and says what to do.
    """
    data = storage.read_bytes(path)
    _, expected = _parse_header(path, data)
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError) as error:
        raise DamagedCheckpointError(f"{path} cannot be read ({error}). {_REMEDY}") from error
    found = digest(tensors)
    if found != expected:
        raise DamagedCheckpointError(f"{path}: its tensors hash to {found[:12]}, expected {expected[:12]}. {_REMEDY}")
    # safetensors gives another order each time, and with it sums over all weights another last bit.
    return dict(sorted(tensors.items()))


def _parse_header(path: str, data: bytes) -> tuple[dict[str, Any], str]:
    """The safetensors header: eight bytes of length, then JSON with our entries under ``__metadata__``."""
    try:
        length = int.from_bytes(data[:8], "little")
        entry = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_ENTRY])
        return entry["about"], entry["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedCheckpointError(f"{path} is not a whole weights file of a suite. {_REMEDY}") from error
