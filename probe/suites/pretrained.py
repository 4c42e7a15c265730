"""Models in transformers' format, a folder a step: what ``save_pretrained`` and transformers' trainer write.

A folder has ``config.json``, the weights and, where texts are read, the tokenizer's files.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from probe.suites import bridges
from probe.suites.families import by_step, read_step
from probe.suites.suite import Model
from probe.suites.tensorfiles import read_state_dict
from probe.suites.weight_files import CONFIG, digest_of, has_tokenizer, sha256, weights_among, weights_in
from probe.tasks import Task

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from probe.suites.hooked import HookedModel

_CONTEXT = ("max_position_embeddings", "max_seq_len", "seq_length", "n_ctx")
"""What configurations call the longest sequence, if ``max_position_embeddings`` is no other name for it."""


@dataclass(frozen=True, kw_only=True)
class PretrainedModel(Model):
    """A model in transformers' format, in a local folder a step.

    Attributes:
        places: which folder each step is in.
    """

    name: str
    places: Mapping[int, str]
    task: Task | None = None
    seed: int | None = None
    tokens_per_step: float = nan
    examples_per_step: float = nan

    @cached_property
    def about_folder(self) -> Path:
        """A folder with the configuration, and the tokenizer's files if there are any: those of any step will do."""
        folders = [self.folder(step) for step in self.steps()]
        return next((folder for folder in folders if has_tokenizer(folder)), folders[0])

    @cached_property
    def config(self) -> "PretrainedConfig":
        """The architecture, as ``config.json`` says it.

        Raises:
            ValueError: it is none that transformers knows; code that comes with weights is not run.
        """
        return _read_config(self.about_folder)

    @property
    def n_params(self) -> int:
        return self._counts[0]

    @property
    def n_params_without_embeddings(self) -> int:
        return self._counts[1]

    @property
    def n_ctx(self) -> int:
        """
        Raises:
            ValueError: the configuration does not say it.
        """
        config = self.config.get_text_config()
        for field in _CONTEXT:
            if isinstance(n_ctx := getattr(config, field, None), int):
                return n_ctx
        raise ValueError(f"n_ctx: the {CONFIG} of {self.name} has none of {', '.join(_CONTEXT)}; expected one")

    @property
    def d_vocab(self) -> int:
        return int(self.config.get_text_config().vocab_size)

    def steps(self) -> tuple[int, ...]:
        return tuple(sorted(self.places))

    def tokens_seen(self, step: int) -> float:
        """Training tokens shown up to a step; where only the checkpoint's name says it, as OLMo's, to the billion."""
        said = read_step(Path(self.places[step]).name)
        return super().tokens_seen(step) if said is None or said.tokens is None else said.tokens

    def folder(self, step: int) -> Path:
        """The local folder with the files of a step."""
        return Path(self.places[step])

    def location(self, step: int) -> str:
        return self.places[step]

    def digest(self, step: int) -> str:
        folder = self.folder(step)
        return digest_of({name: sha256(folder / name) for name in weights_in(folder)})

    def size(self, step: int) -> int | None:
        folder = self.folder(step)
        return sum((folder / name).stat().st_size for name in weights_in(folder))

    def weights(self, step: int) -> dict[str, Tensor]:
        """The weights at a step on the CPU, named, laid out and typed as they are stored.

        Raises:
            DamagedCheckpointError: a file cannot be read, or they are not those of the model that ``config.json`` says.
            ValueError: a file is refused, because to read it would run code, or holds no state dict; or the
                configuration cannot be read.
        """
        weights = _read_weights(self.folder(step))
        bridges.check_fit(_read_config(self.folder(step)), weights, self.location(step))
        return weights

    def load(self, step: int, device: str = "cpu", dtype: torch.dtype | None = None) -> "HookedModel":
        """The model that transformers makes of the files of a step, hooked.

        Raises:
            DamagedCheckpointError: as of ``weights``.
            ValueError: as of ``weights``, or the tokenizer cannot be read.
        """
        weights, config = _read_weights(self.folder(step)), _read_config(self.folder(step))
        return self._hooked(bridges.with_weights(config, weights, self.location(step), device, dtype), device)

    def skeleton(self) -> "HookedModel":
        from transformers import AutoModelForCausalLM

        return self._hooked(AutoModelForCausalLM.from_config(self.config), "cpu")

    def tokenizer(self) -> "PreTrainedTokenizerBase | None":
        from transformers import AutoTokenizer

        if not has_tokenizer(self.about_folder):
            return None
        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                str(self.about_folder), local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # of many kinds
            raise ValueError(f"{self.about_folder}: its tokenizer cannot be read: {error!r}") from error
        return tokenizer

    def _hooked(self, model: "PreTrainedModel", device: str) -> "HookedModel":
        return bridges.hooked(model, str(self.about_folder), self.tokenizer(), device)

    @cached_property
    def _counts(self) -> tuple[int, int]:
        return bridges.count_parameters(bridges.outline(self.config))


def read_pretrained(
    folder: str, tokens_per_step: float | None = None, task: Task | None = None
) -> list[PretrainedModel]:
    """The models in transformers' format in a local folder; none if it holds none.

    It may hold the steps of one model (``step1000/``, ``checkpoint-1000/``), or be a model itself, at the step that its
    name says or else at 0, or hold several folders of either kind, each a model. Steps come before a model that lies
    beside them, which is how transformers' trainer leaves the last one a second time.

    Args:
        folder: local path.
        tokens_per_step: training tokens in an optimizer step of every model.
        task: what every model is asked.

    Raises:
        ValueError: two folders of a model are at the same step.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        return []
    here = _places_in(root)
    found = [(root, here)] if here else [(sub, _places_in(sub)) for sub in sorted(root.iterdir()) if sub.is_dir()]
    return [
        PretrainedModel(
            name=_name(path),
            places=places,
            tokens_per_step=nan if tokens_per_step is None else tokens_per_step,
            task=task,
        )
        for path, places in found
        if places
    ]


def lacking(folder: str) -> str:
    """What keeps a folder, with some of the files of a model in transformers' format, from being one; else empty."""
    root = Path(folder).expanduser()
    weights = weights_among([path.name for path in root.glob("*")])
    try:
        config = json.loads((root / CONFIG).read_bytes())
    except OSError:
        return f"there is no {CONFIG} beside {weights[0]}" if weights else ""
    except ValueError as error:
        return f"its {CONFIG} is not JSON ({error})"
    if not isinstance(config, dict) or "model_type" not in config:
        return f"its {CONFIG} says no model_type" if weights else ""
    return "" if weights else f"beside its {CONFIG} are no weights, or not all parts of them"


def _places_in(folder: Path) -> dict[int, str]:
    """The steps of the one model that a folder holds or is; none if it is none."""
    steps = by_step(sub.name for sub in folder.iterdir() if _is_checkpoint(sub))
    if steps:
        return {step: str(folder / name) for step, name in steps.items()}
    if not _is_checkpoint(folder):
        return {}
    said = read_step(folder.resolve().name)
    return {said.step if said else 0: str(folder)}


def _name(folder: Path) -> str:
    """What a model in a folder is called: as the folder, or as the one around it where its own name says a step."""
    whole = folder.resolve()
    return whole.parent.name if read_step(whole.name) else whole.name


def _is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds a configuration of transformers' and all parts of the weights."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "model_type" in config and bool(weights_in(folder))


def _read_weights(folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for name in weights_in(folder):
        weights |= read_state_dict(str(folder / name))[0]
    return dict(sorted(weights.items()))


def _read_config(folder: Path) -> "PretrainedConfig":
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # each field has its own kind
        raise ValueError(f"{folder / CONFIG} describes no model that transformers knows: {error}") from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ValueError(f"{folder / CONFIG} is that of a {config.model_type}; expected a causal language model")
    return config
