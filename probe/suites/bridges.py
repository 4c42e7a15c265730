"""Models of transformers: their parameters, their weights filled in, their hooks."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from probe.suites.format import DamagedCheckpointError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from probe.suites.hooked import HookedModel


def outline(config: "PretrainedConfig") -> "PreTrainedModel":
    """The model of a config, without values."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def count_parameters(model: "PreTrainedModel") -> tuple[int, int]:
    """Parameters, and those but embeddings and unembedding; a parameter that is used twice counts once."""
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    unembedding = model.get_output_embeddings()
    outside = {id(weight) for table in (*tables, unembedding) if table for weight in table.parameters()}
    weights = {id(weight): weight.numel() for weight in model.parameters()}
    return sum(weights.values()), sum(n for weight, n in weights.items() if weight not in outside)


def with_weights(
    config: "PretrainedConfig", weights: Mapping[str, Tensor], name: str, device: str, dtype: torch.dtype | None
) -> "PreTrainedModel":
    """The model of a config with these weights, in evaluation mode.

    Args:
        config: of a causal language model.
        weights: by the names that transformers stores them under; one that is tied to another may be missing.
        name: what messages call the weights.
        device: where it is put.
        dtype: of the model; that of the largest of the weights, if not given.

    Raises:
        DamagedCheckpointError: weights are missing or have another shape.
    """
    if dtype is None:  # what the config says was that of training
        dtype = max(filter(Tensor.is_floating_point, weights.values()), key=Tensor.numel, default=torch.empty(0)).dtype
    model: Any = _filled(config, weights, name, dtype=dtype)
    return model.to(device)


def check_fit(config: "PretrainedConfig", weights: Mapping[str, Tensor], name: str) -> None:
    """See that weights are those of the model of a config, without the memory for one; arguments as above.

    Warns of weights that are not part of the model.

    Raises:
        DamagedCheckpointError: weights are missing or have another shape.
    """
    _filled(config, weights, name, device_map="meta")


def _filled(config: "PretrainedConfig", weights: Mapping[str, Tensor], name: str, **how: Any) -> "PreTrainedModel":
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    with _quiet():
        model, report = kind.from_pretrained(
            None,
            config=config,
            state_dict=dict(weights),
            ignore_mismatched_sizes=True,  # they are in the report
            output_loading_info=True,
            **how,
        )
    wrong = [f"{weight} is {list(found)}, expected {list(shape)}" for weight, found, shape in report["mismatched_keys"]]
    if report["missing_keys"]:  # which transformers has drawn at random
        wrong.insert(0, f"missing: {', '.join(sorted(report['missing_keys']))}")
    if wrong:
        raise DamagedCheckpointError("\n  ".join([f"{name}: not the weights of the model in config.json:", *wrong]))
    if report["unexpected_keys"]:
        unused = ", ".join(sorted(report["unexpected_keys"]))
        warnings.warn(f"{name}: not part of the model in config.json and not used: {unused}", stacklevel=3)
    return model


def hooked(
    model: "PreTrainedModel", name: str, tokenizer: "PreTrainedTokenizerBase | None" = None, device: str = "cpu"
) -> "HookedModel":
    """The hooked model, in evaluation mode.

    Args:
        model: what is hooked.
        name: what it is called in messages.
        tokenizer: of its texts. Where there is none, the hub is not asked for one.
        device: where it is.
    """
    from transformer_lens.model_bridge import TransformerBridge

    bridge: Any = TransformerBridge.boot_transformers(
        name, hf_model=model, tokenizer=tokenizer or _stand_in(), device=device, dtype=model.dtype
    )
    if tokenizer is None:
        bridge.tokenizer = None
    return bridge.eval()


def _stand_in() -> "PreTrainedTokenizerBase":
    """A tokenizer of one token: without any, a bridge looks for one on the hub."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"?": 0}, unk_token="?")))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from showing a progress bar, and a report, for each of the many checkpoints of a sweep."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
