"""Models of transformers: their parameters, their weights filled in, their hooks."""

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
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    if dtype is None:  # what the config says was that of training
        dtype = max(filter(Tensor.is_floating_point, weights.values()), key=Tensor.numel, default=torch.empty(0)).dtype
    try:
        with _no_progress_bars():
            model, report = kind.from_pretrained(
                None, config=config, state_dict=dict(weights), dtype=dtype, output_loading_info=True
            )
    except RuntimeError as error:
        raise DamagedCheckpointError(f"{name}: the weights do not fit config.json: {error}") from error
    if report["missing_keys"]:  # which transformers has drawn at random
        missing = ", ".join(sorted(report["missing_keys"]))
        raise DamagedCheckpointError(f"{name} lacks weights of the model in config.json: {missing}")
    return model.to(device)


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
def _no_progress_bars() -> Iterator[None]:
    """Keep transformers from showing one for each of the many checkpoints of a sweep."""
    from transformers.utils import logging

    if not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
