"""What is shown to a model: a task's questions, token ids, or texts; padded on the right, and padding known as such."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int

from probe.tasks import Task

if TYPE_CHECKING:
    from probe.suites.suite import Model

PADDING = 0
"""Token id at padded positions. Any id will do: they are masked, and nothing of them is kept."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Examples as token ids; content begins at position 0 of each, and what follows it is padding.

    Attributes:
        tokens: [example, position]; padded on the right.
        lengths: tokens of content in each example, at least 1.
        answers: the right token after each example's answer position; None where there is no such thing.
        answer_positions: at which position each example's answer begins; None where there is no such thing.
        vocabulary: text of each token that occurs, where a tokenizer tells it.
    """

    tokens: Int[np.ndarray, "example position"]
    lengths: Int[np.ndarray, " example"]
    answers: Int[np.ndarray, " example"] | None = None
    answer_positions: Int[np.ndarray, " example"] | None = None
    vocabulary: Mapping[int, str] | None = None

    @classmethod
    def of(cls, given: Any, model: "Model | None" = None) -> "Inputs":
        """Inputs for a model from whatever was given.

        Args:
            given: a ``Task``; a text or several; token ids, [example, position] or a list of lists of unequal length;
                or what a tokenizer returns, ``input_ids`` and ``attention_mask``, padded on either side.
            model: whose tokenizer turns texts into tokens, and whose context and vocabulary the tokens have to fit;
                None to check neither, of token ids and tasks.

        Raises:
            ValueError: there is no tokenizer, an example is empty or longer than the context, or a token is not in the
                vocabulary; the message names the example. Or the model knows another number of tokens than the task
                has; it may know more where it has a tokenizer, which is for texts of all kinds.
        """
        if hasattr(given, "tolist") and getattr(getattr(given, "dtype", None), "kind", None) in ("O", "U", "S", "T"):
            given = given.tolist()  # an array or a series of texts
        if isinstance(given, Inputs):
            inputs = given
        elif isinstance(given, Task):
            if model is not None:
                _check_vocabulary(given, model)
            first = given.targets[np.arange(len(given.targets)), given.answer_positions]
            inputs = cls(given.tokens, given.lengths, first, given.answer_positions)
        elif isinstance(given, str) or _are(given, str):
            inputs = cls._of_texts([given] if isinstance(given, str) else given, model)
        elif isinstance(given, Mapping):
            inputs = cls._of_encoding(given)
        elif isinstance(given, Iterable):
            inputs = cls._padded([np.asarray(example) for example in given])
        else:
            raise ValueError(f"inputs: got {given!r}; expected a Task, texts, or token ids")
        if model is not None:
            inputs._check(model)
        return inputs

    @classmethod
    def _of_texts(cls, texts: Sequence[str], model: "Model | None") -> "Inputs":
        if model is None:
            raise ValueError("inputs: got texts where no model says how to read them; expected token ids or a Task")
        tokenizer = model.tokenizer()
        if tokenizer is None:
            raise ValueError(
                f"inputs: {model.name} has no tokenizer, so texts cannot be read; give token ids, a task,"
                " or put the tokenizer's files beside the weights"
            )
        encoded = [np.asarray(ids, dtype=np.int64) for ids in tokenizer(list(texts))["input_ids"]]
        inputs = cls._padded(encoded)
        occurring = np.unique(np.concatenate(encoded))
        words = {int(token): str(tokenizer.decode([int(token)])) for token in occurring}
        return cls(inputs.tokens, inputs.lengths, vocabulary=words)

    @classmethod
    def _of_encoding(cls, given: Mapping[str, Any]) -> "Inputs":
        if "input_ids" not in given:
            raise ValueError(f"inputs: got a mapping of {', '.join(given)}; expected input_ids and attention_mask")
        tokens = [np.asarray(ids) for ids in given["input_ids"]]
        mask = given.get("attention_mask")
        content = [np.asarray(row, bool) for row in (map(np.ones_like, tokens) if mask is None else mask)]
        if [row.shape for row in content] != [ids.shape for ids in tokens]:
            raise ValueError("inputs: attention_mask has another shape than input_ids; expected the same")
        for i, row in enumerate(content):
            if (np.diff(np.flatnonzero(row)) != 1).any():
                raise ValueError(f"inputs: attention_mask of example {i} has a hole; expected padding at the ends only")
        return cls._padded([ids[row] for ids, row in zip(tokens, content, strict=True)])

    @classmethod
    def _padded(cls, examples: Sequence[np.ndarray]) -> "Inputs":
        if not examples:
            raise ValueError("inputs: got no examples; expected at least one")
        for i, example in enumerate(examples):
            if example.ndim != 1 or (example.size and not np.issubdtype(example.dtype, np.integer)):
                raise ValueError(
                    f"inputs: example {i} is {example.dtype} of shape {example.shape}; expected a row of token ids, a"
                    " text, a Task, or a mapping with input_ids and attention_mask"
                )
        lengths = np.array([len(example) for example in examples])
        tokens = np.full((len(examples), lengths.max()), PADDING, dtype=np.int64)
        tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = np.concatenate(examples)
        return cls(tokens, lengths)

    def _check(self, model: "Model") -> None:
        if not self.lengths.all():
            raise ValueError(f"inputs: example {np.argmin(self.lengths)} is empty; expected at least one token")
        if self.lengths.max() > model.n_ctx:
            raise ValueError(
                f"inputs: example {np.argmax(self.lengths)} has {self.lengths.max():,} tokens; {model.name} reads at"
                f" most {model.n_ctx:,}; shorten it"
            )
        out = ((self.tokens < 0) | (self.tokens >= model.d_vocab)) & self.mask
        if out.any():
            example, position = np.argwhere(out)[0]
            raise ValueError(
                f"inputs: example {example} has token {self.tokens[example, position]} at position {position};"
                f" {model.name} knows tokens 0 to {model.d_vocab - 1}"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def mask(self) -> Bool[np.ndarray, "example position"]:
        """Where there is content."""
        return np.arange(self.tokens.shape[1]) < self.lengths[:, None]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what decides the activations: the tokens, and which of them are content."""
        total = hashlib.sha256(np.asarray(self.tokens.shape, np.int64).tobytes())
        for array in (np.where(self.mask, self.tokens, PADDING), self.lengths):
            total.update(np.ascontiguousarray(array, np.int64).tobytes())
        return total.hexdigest()

    @property
    def answers_digest(self) -> str:
        """SHA-256 of what decides the loss besides: the right answers, and where they are given."""
        total = hashlib.sha256()
        for array in (self.answers, self.answer_positions):
            total.update(b"none" if array is None else np.ascontiguousarray(array, np.int64).tobytes())
        return total.hexdigest()


def _check_vocabulary(task: Task, model: "Model") -> None:
    """See that the tokens are those of the task, and not those of another, whose "=" is a number here."""
    if task.d_vocab != model.d_vocab and (task.d_vocab > model.d_vocab or model.tokenizer() is None):
        raise ValueError(
            f"inputs: got a task of {task.d_vocab:,} tokens; expected {model.d_vocab:,}, as many as {model.name} knows"
        )


def _are(given: object, kind: type) -> bool:
    return isinstance(given, list | tuple) and len(given) > 0 and all(isinstance(entry, kind) for entry in given)
