"""The questions as a model reads them: their tokens, and whether they are tokens that it can read."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from probe.suites.suite import Model


@dataclass(frozen=True, eq=False)
class Prompts:
    """The prompts of all questions, with so many examples each, as one tokenizer reads them.

    Attributes:
        texts: SHA-256 of each prompt's text, 16 digits of it.
        tokens: of all prompts, one after the other.
        lengths: tokens of each.
    """

    texts: tuple[str, ...]
    tokens: Int[np.ndarray, " token"]
    lengths: Int[np.ndarray, " fact"]

    @classmethod
    def of(cls, texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase") -> "Prompts":
        ends = {tokenizer.eos_token_id} - {None}
        rows = [np.asarray(ids, dtype=np.int32) for ids in tokenizer(list(texts))["input_ids"]]
        # where a tokenizer ends every text with the end of text, the model would be asked nothing
        rows = [row[:-1] if row[-1:].tolist() and int(row[-1]) in ends else row for row in rows]
        digests = tuple(hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts)
        return cls(digests, np.concatenate(rows), np.array([len(row) for row in rows]))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest."""
        return int(self.lengths.max())

    @cached_property
    def rows(self) -> list[Int[np.ndarray, " token"]]:
        """The tokens of each."""
        return np.split(self.tokens, np.cumsum(self.lengths)[:-1])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what is read, and of the texts that it comes from."""
        total = hashlib.sha256("".join(self.texts).encode())
        for array in (self.tokens, self.lengths):
            total.update(np.ascontiguousarray(array, np.int64).tobytes())
        return total.hexdigest()


def tokenizer_of(model: "Model") -> "PreTrainedTokenizerBase":
    """
    Raises:
        ValueError: the model has no tokenizer.
    """
    tokenizer = model.tokenizer()
    if tokenizer is None:
        raise ValueError(
            f"tokenizer: {model.name} has none, so it cannot be asked in words; expected a model in transformers'"
            " format with the tokenizer's files beside its weights"
        )
    return tokenizer


def check_fit(found: Mapping[int, Prompts], model: "Model", max_new_tokens: int) -> None:
    """See that a model can read all prompts, by how many examples they show.

    Raises:
        ValueError: a prompt and its answer are longer than the model's context, or it does not know a token.
    """
    fit = [n for n, prompts in found.items() if prompts.longest + max_new_tokens <= model.n_ctx]
    for n, prompts in found.items():
        if n not in fit:
            raise ValueError(
                f"shots: with {n} the longest prompt has {prompts.longest:,} tokens, and its answer up to"
                f" {max_new_tokens}; {model.name} reads at most n_ctx = {model.n_ctx:,}; expected fewer"
                f" ({f'of those asked for {fit[-1]} fit' if fit else 'none of those asked for fits'})"
            )
        if int(prompts.tokens.max()) >= model.d_vocab:
            raise ValueError(
                f"tokenizer: that of {model.name} gives token {prompts.tokens.max()}; the model knows tokens 0 to"
                f" {model.d_vocab - 1}"
            )
