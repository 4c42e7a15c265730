"""The files of a checkpoint in transformers' format: which of them hold the weights, and their hash."""

import hashlib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from probe import storage

CONFIG = "config.json"
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model")
"""Files of which one is there wherever there is a tokenizer."""
_WHOLE = ("model.safetensors", "pytorch_model.bin")
_PART = re.compile(r"(model|pytorch_model)-(\d+)-of-(\d+)\.(safetensors|bin)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def weights_among(names: Collection[str]) -> list[str]:
    """Which of a checkpoint's files hold its weights, safetensors if there are; none unless all parts are there."""
    found = [match for name in sorted(names) if (match := _PART.fullmatch(name))]
    for whole in _WHOLE:
        if whole in names:
            return [whole]
        stem, kind = whole.split(".")
        parts = [match for match in found if (match[1], match[4]) == (stem, kind)]
        if parts and len(parts) == int(parts[0][3]):
            return [match[0] for match in parts]
    return []


def weights_in(folder: Path) -> list[str]:
    """Which files in a folder hold the weights of a checkpoint; none unless it has a configuration and all parts."""
    names = [name for name in os.listdir(folder) if (folder / name).exists()]
    return weights_among(names) if CONFIG in names else []


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer's files are in a folder. From one without, transformers would make up one of two tokens."""
    return any((folder / name).exists() for name in _TOKENIZER)


def digest_of(hashes: Mapping[str, str]) -> str:
    """One SHA-256 for all files with weights, given that of each by name; of a single file, its own."""
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return hashlib.sha256("".join(f"{name} {hashes[name]}\n" for name in sorted(hashes)).encode()).hexdigest()


def sha256(path: Path) -> str:
    """SHA-256 of a file: after which the hub's cache has named it, or else computed."""
    # One hop only: where a cache shares files between models, a second one leads to another kind of hash.
    if path.is_symlink() and _SHA256.fullmatch(named := Path(os.readlink(path)).name):
        return named
    return storage.sha256(str(path))
