"""What a pickle asks its reader for, told from its opcodes. Nothing in it is run."""

import pickletools
import re
from collections.abc import Iterator
from typing import IO, Any
from zipfile import ZipFile, is_zipfile

_FOR_TENSORS = re.compile(r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.(storage\.)?\w*Storage")
"""What state dicts are made of."""
_STRINGS = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_GETS = ("GET", "BINGET", "LONG_BINGET")
_PUTS = ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT")
_OLDER = 4
"""Pickles with which torch's older format begins: magic number, version, system, and what was saved."""


def asked_for(file: IO[bytes]) -> str | None:
    """The first class or function, ``module.name``, that a file asks for and that no state dict needs; None if none.

    Args:
        file: a pickle, or what ``torch.save`` wrote: an archive that holds one, or, in the older format, several in a
            row.

    Raises:
        Exception: of any kind, where it is none of these.
    """
    if is_zipfile(file):
        archive = ZipFile(file)
        pickles = [archive.open(next(path for path in archive.namelist() if path.endswith("/data.pkl")))]
    else:
        file.seek(0)
        pickles = [file] * _OLDER
    names = (name for pickle in pickles for name in _names(pickle))
    return next((name for name in names if not _FOR_TENSORS.fullmatch(name)), None)


def _names(file: IO[bytes]) -> Iterator[str]:
    """Classes and functions that one pickle asks for.

    Until protocol 3 an opcode holds the name. Since then the name is the two values before one, each of them a string
    that stands there, or one that stood before and was given a number.
    """
    values: list[str | None] = []
    numbered: dict[int, str | None] = {}
    argument: Any  # a string or number, as the opcode has it
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in _PUTS:
            numbered[len(numbered) if argument is None else argument] = values[-1]
            continue
        if opcode.name == "GLOBAL":
            yield argument.replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(map(str, values[-2:]))
        values.append(numbered[argument] if opcode.name in _GETS else argument if opcode.name in _STRINGS else None)
