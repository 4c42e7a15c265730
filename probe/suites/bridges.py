"""A model of transformers as a hooked one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from probe.suites.hooked import HookedModel


def with_weights(
    config: "PretrainedConfig", weights: Mapping[str, Tensor], device: str, dtype: torch.dtype | None
) -> "PreTrainedModel":
    """The model of a config with these weights, all of them by the model's own names, in evaluation mode.

    Args:
        config: of a causal language model.
        weights: by name; one that is tied to another may be missing.
        device: where it is put.
        dtype: of the model; that of the weights, if not given.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING
    from transformers.utils import logging

    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        dtype = dtype or next(iter(weights.values())).dtype
        model = kind.from_pretrained(None, config=config, state_dict=dict(weights), dtype=dtype)
    finally:
        if shown:
            logging.enable_progress_bar()
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
