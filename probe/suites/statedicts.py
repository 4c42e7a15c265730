"""Models that are bare state dicts: a ``.safetensors``, ``.pt`` or ``.pth`` file a step.

A folder holds a file for each step, whose number is in the file's name (``step_100.pt``,
``checkpoint-100.safetensors``, ``epoch_100.pt``, ``100.pth``), and may hold a ``config.json``; a folder of such folders
is several models; and a file may be a model by itself.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from probe import storage
from probe.suites.configs import Config, read_config
from probe.suites.mappings import NameMapping, Weights, fit, read_mapping, renamed, weights_of
from probe.suites.suite import Model
from probe.suites.tensorfiles import SUFFIXES, read_state_dict
from probe.tasks import Task

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

_STEP_WORDS = (
    re.compile(r"(?:step|checkpoint|ckpt|iteration|iter)s?[-_= ]?(\d+)", re.IGNORECASE),
    re.compile(r"epochs?[-_= ]?(\d+)", re.IGNORECASE),
)
_PART_OF_SEVERAL = re.compile(r"-\d+-of-\d+\.")


@dataclass(frozen=True, kw_only=True)
class StateDictModel(Model):
    """A model whose weights at each step are a state dict in a file.

    Attributes:
        files: path or URL of each step's file.
        form: how their tensors are the model's weights; the same at every step.
        names: new names by those in the files, where they are not the ones that ``form`` knows.
        left_out: tensors of the files that are known not to be part of the model.
        notes: what was found in the files and how it was taken, a line each.
    """

    name: str
    files: Mapping[int, str]
    form: Weights
    names: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    task: Task | None = None
    seed: int | None = None
    examples_per_step: float = nan
    tokens_per_step: float = nan

    @property
    def n_params(self) -> int:
        return self.form.n_params

    @property
    def n_params_without_embeddings(self) -> int:
        return self.form.n_params_without_embeddings

    @property
    def n_ctx(self) -> int:
        return self.form.n_ctx

    @property
    def d_vocab(self) -> int:
        return self.form.d_vocab

    def steps(self) -> tuple[int, ...]:
        return tuple(sorted(self.files))

    def location(self, step: int) -> str:
        return self.files[step]

    def digest(self, step: int) -> str:
        return storage.sha256(self.files[step])

    def size(self, step: int) -> int:
        return storage.size(self.files[step])

    def weights(self, step: int) -> dict[str, Tensor]:
        """The weights at a step on the CPU, by TransformerLens name if they are of our architecture, or transformers'.

        Raises:
            DamagedCheckpointError: the file cannot be read.
            ValueError: it is refused, or its tensors are not the weights of the model; the message names all that do
                not fit.
        """
        path = self.files[step]
        tensors, _ = _tensors_in(path, self.names)
        with _said_of(path):
            weights, left_out = fit(self.form, tensors)
        _warn_of_unused(path, [name for name in left_out if name not in self.left_out])
        return weights

    def load(self, step: int, device: str = "cpu", dtype: torch.dtype | None = None) -> "HookedModel":
        return self.form.load(self.weights(step), device, dtype)

    def skeleton(self) -> "HookedModel":
        return self.form.skeleton()


def read_state_dicts(
    address: str,
    *,
    config: Config = None,
    mapping: NameMapping = None,
    step: int | None = None,
    task: Task | None = None,
    tokens_per_step: float | None = None,
) -> list[StateDictModel]:
    """The models at an address whose weights are bare state dicts; none if it is neither a file nor a folder of them.

    Of every model one file is read, to tell how its tensors are the weights of a model. Warns of tensors that are not
    part of it.

    Args:
        address: a file; a folder with a file a step; or a folder of such folders. Local path or fsspec URL.
        config: of every model, instead of the ``config.json`` in its folder (the one beside a file that is opened by
            itself is not read): fields of our ``Architecture`` or TransformerLens', for weights of ours, or a
            transformers config. What it does not give is told from shapes, or is as in the published runs: ReLU,
            causal, attention coefficient 1, LayerNorm where there are weights of one.
        mapping: how the tensors are named and laid out; told from names and shapes if not given. ``mappings`` says
            which there are.
        step: of a file that is opened by itself; if not given, the one in its name, or 0.
        task: what every model is asked.
        tokens_per_step: training tokens in an optimizer step of every model.

    Raises:
        ValueError: files are at the same step, or at none; the config or the mapping is not one for the weights; or
            none of a model's files can be read and fits, and the message says of the first why.
    """
    layout, names = read_mapping(mapping)
    models = []
    for place, files in _models_at(address, step).items():
        beside = f"{place}/config.json"
        given = beside if config is None and storage.exists(beside) else config
        form, left_out, notes = _first_that_fits(files, layout, names, read_config(given))
        models.append(
            StateDictModel(
                name=Path(place).stem if place in files.values() else Path(place).name or Path(place).resolve().name,
                files=files,
                form=form,
                names=names,
                left_out=tuple(left_out),
                notes=tuple(notes),
                task=task,
                tokens_per_step=nan if tokens_per_step is None else tokens_per_step,
            )
        )
    return models


def step_in(name: str, alone: bool = False) -> int | None:
    """The step that the name of a weights file says; None if it says none.

    It is the number after a word for it (``model-59_step_100.pt``), after one for an epoch if there is none for a step,
    or else the only number there is.

    Args:
        name: of the file, without its folder.
        alone: of a file that is not one of several in a folder: what is called ``mod113.pt`` is then at no known step.

    Raises:
        ValueError: there are several numbers, and none of them follows a word for a step.
    """
    stem = Path(name).stem
    for word in _STEP_WORDS:
        after_word = word.findall(stem)
        if len(after_word) == 1:
            return int(after_word[0])
    numbers = re.findall(r"\d+", stem)
    if alone:
        return int(stem) if stem.isdecimal() else None
    if len(numbers) > 1:
        raise ValueError(
            f"step: cannot be told from {name}; expected one number, or one after a word: step_100, epoch_100"
        )
    return int(numbers[0]) if numbers else None


def _models_at(address: str, step: int | None) -> dict[str, dict[int, str]]:
    """Files by step of each model at an address, by the path of its folder, or of the file that it is."""
    if address.endswith(SUFFIXES) and storage.exists(address):
        said = step if step is not None else step_in(Path(address).name, alone=True)
        return {address: {said or 0: address}}
    if step is not None:
        raise ValueError(
            f"step: got {step}, which is for a file that is opened by itself; in a folder names say the step"
        )
    places = [address, *(f"{address}/{name}" for name in storage.list_folders(address))]
    found = {place: files for place in places if (files := _files_by_step(place))}
    unnamed = [name for suffix in (".pt", ".pth") for name in storage.list_files(address, suffix)]
    if unnamed and not found:
        raise ValueError(
            f"step: the names of files in {address} do not say theirs ({', '.join(unnamed)});"
            " open one by itself, or call them step_100.pt"
        )
    return {address: found[address]} if address in found else found


def _files_by_step(folder: str) -> dict[int, str]:
    """Weights files in a folder that say a step, by step."""
    found: dict[int, str] = {}
    for name in (name for suffix in SUFFIXES for name in storage.list_files(folder, suffix)):
        # Parts of a model in transformers' format have numbers that are not steps.
        said = None if _PART_OF_SEVERAL.search(name) else step_in(name)
        if said in found:
            raise ValueError(f"step: {Path(found[said]).name} and {name} in {folder} are both at {said}; expected one")
        if said is not None:
            found[said] = f"{folder}/{name}"
    return dict(sorted(found.items()))


def _first_that_fits(
    files: Mapping[int, str], layout: str | None, names: Mapping[str, str], config: Mapping[str, Any]
) -> tuple[Weights, list[str], list[str]]:
    """How the tensors of a model's files are its weights, names of those that are not, and notes.

    They are those of the first file that can be read and fits: some may be damaged, and the others can still be used.
    """
    failure: ValueError | None = None
    for path in files.values():
        try:
            tensors, entry = _tensors_in(path, names)
            with _said_of(path):
                form = weights_of(tensors, layout, config)
                _, left_out = fit(form, tensors)
        except ValueError as error:
            failure = failure or error
            continue
        _warn_of_unused(path, left_out)
        notes = [f"its state dict is the entry {entry!r}"] if entry else []
        notes += [f"not used: {', '.join(left_out)}"] if left_out else []
        return form, left_out, [*form.notes, *notes]
    assert failure is not None
    raise failure


def _tensors_in(path: str, names: Mapping[str, str]) -> tuple[dict[str, Tensor], str | None]:
    """The tensors of a file by their new names, and the entry that they were found in."""
    tensors, entry = read_state_dict(path)
    with _said_of(path):
        return renamed(tensors, names), entry


@contextmanager
def _said_of(path: str) -> Iterator[None]:
    """Errors say which file they are about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _warn_of_unused(path: str, names: Sequence[str]) -> None:
    if names:
        warnings.warn(f"{path}: not part of the model and not used: {', '.join(names)}", stacklevel=3)
