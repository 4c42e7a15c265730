"""Greedy answers to a batch of prompts, by transformers' own ``generate`` with its cache of keys and values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from probe.fewshot.answers import first_line, is_decided

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from probe.suites.hooked import HookedModel

PADDING = 0
"""Token at padded positions. Any will do: they are masked."""


def greedy_answers(
    model: "HookedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Int[np.ndarray, " token"]],
    max_new_tokens: int,
    name: str,
) -> list[str]:
    """What the model goes on with after each prompt, up to a line end.

    Prompts are padded on the left and the padding is masked and not counted in positions, so that an answer does not
    depend on what else is in the batch (but for rounding, which in half precision may decide between two tokens that
    are equally likely). A row ends with its line, with the end of text, or once its number is complete.

    Args:
        model: a bridge; the model of transformers that it holds generates.
        tokenizer: of the model.
        prompts: tokens of each.
        max_new_tokens: where rows end at the latest.
        name: what messages call the model.

    Raises:
        ValueError: logits are nan.
    """
    inner: Any = model.original_model  # type: ignore[attr-defined]  # a model with a tokenizer is a bridge
    device = next(inner.parameters()).device
    width = max(map(len, prompts))
    tokens = torch.full((len(prompts), width), PADDING)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[width - len(prompt) :] = torch.as_tensor(prompt)
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    mask = (torch.arange(width) >= width - lengths[:, None]).long()
    answers = _Answers(len(prompts), width, tokenizer, _end_tokens(inner, tokenizer))
    # What a configuration says of sampling, penalties and beams is not asked for: no defaults but these.
    inner.generation_config = GenerationConfig(pad_token_id=PADDING)
    inner.generate(
        tokens.to(device),
        attention_mask=mask.to(device),
        generation_config=GenerationConfig(
            max_new_tokens=max_new_tokens, do_sample=False, num_beams=1, use_cache=True, pad_token_id=PADDING
        ),
        logits_processor=LogitsProcessorList([_Checked(name)]),
        stopping_criteria=StoppingCriteriaList([answers]),
    )
    return [first_line(text) for text in answers.texts]


class _Answers(StoppingCriteria):
    """Reads what the rows go on with, token by token, and says which of them have ended.

    Attributes:
        texts: of each row so far; it does not change when the row has ended, whatever the model goes on with.
    """

    def __init__(self, n_rows: int, width: int, tokenizer: "PreTrainedTokenizerBase", ends: set[int]) -> None:
        self.texts = [""] * n_rows
        self._ended = [False] * n_rows
        self._width, self._tokenizer, self._ends = width, tokenizer, ends

    def __call__(self, input_ids: Int[Tensor, "row position"], scores: object, **more: Any) -> Bool[Tensor, " row"]:
        new = input_ids[:, self._width :].tolist()
        for i in [i for i, ended in enumerate(self._ended) if not ended]:
            at_end = new[i][-1] in self._ends
            said = new[i][:-1] if at_end else new[i]
            self.texts[i] = str(self._tokenizer.decode(said, clean_up_tokenization_spaces=False))
            self._ended[i] = at_end or is_decided(self.texts[i])
        return torch.tensor(self._ended, device=input_ids.device)


class _Checked(LogitsProcessor):
    """Leaves the logits as they are, if they are numbers."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(
        self, input_ids: Int[Tensor, "row position"], scores: Float[Tensor, "row d_vocab"]
    ) -> Float[Tensor, "row d_vocab"]:
        if scores.isnan().any():
            raise ValueError(
                f"{self._name}: its logits are nan, expected numbers; `probe suite check` looks at weights"
            )
        return scores


def _end_tokens(model: Any, tokenizer: "PreTrainedTokenizerBase") -> set[int]:
    """Tokens that end a text, as the tokenizer or the configuration says."""
    said = getattr(model.config.get_text_config(), "eos_token_id", None)
    return {end for end in [tokenizer.eos_token_id, *(said if isinstance(said, list) else [said])] if end is not None}
