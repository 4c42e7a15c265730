"""A corpus of text, tokenized and packed into sequences, each of which is a fact that may be memorized."""

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from probe.corpus.readers import Faults
from probe.corpus.shards import Reading, Shard, UnreadableError, find_shards, parts_of
from probe.tasks.frequency import Frequency, Uniform, declared_exposures, held_out_mask
from probe.tasks.splits import check_seed
from probe.tasks.task import Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END = "<|endoftext|>"
"""The token after each document; its id is 0."""
N_BYTES = 256


@dataclass(frozen=True)
class Text(Task):
    """Predict the next token of a real corpus, at every position.

    Documents (lines of text, lines of JSONL, rows of Parquet) are tokenized by a byte-level BPE trained on the corpus,
    joined in their order with an end-of-text token after each, and cut into sequences of ``length`` + 1 tokens, of
    which the last is the first of the next one; what is left at the end is dropped. A sequence is an example. All of
    the corpus is in memory; a file that cannot be read to its end is left out with a warning.

    Args:
        corpus: files, folders or globs, local or as fsspec URLs, compressed or not.
        length: tokens that are read, and predicted, in a sequence.
        n_tokens: of the vocabulary, at most: a small corpus has fewer that are worth one. At least 257, the bytes and
            the end of a document.
        text_field: JSONL field or Parquet column of the text.
        frequency: how often each sequence is shown in one pass over the training data.
        held_out: share of the sequences, at every frequency, that is never shown.
        seed: of what is drawn.
        digest: SHA-256 of the documents: found if not given, else checked, so that a run goes on with the same text.

    Raises:
        ValueError: a field is outside what is said above, there are fewer than two sequences, or the corpus is not the
            one of ``digest``.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    corpus: str | tuple[str, ...]
    length: int = 64
    n_tokens: int = 1024
    text_field: str = "text"
    frequency: Frequency = field(default_factory=Uniform)
    held_out: float = 0.1
    seed: int = 0
    digest: str = ""
    family: Literal["text"] = field(default="text", kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.corpus, str):
            object.__setattr__(self, "corpus", tuple(map(str, self.corpus)))
        if self.length < 1:
            raise ValueError(f"length: got {self.length}; expected 1 or more")
        if self.n_tokens < N_BYTES + 1:
            raise ValueError(f"n_tokens: got {self.n_tokens}; expected at least {N_BYTES + 1}: bytes, and the end")
        check_seed(self.seed)
        n = len(self._sequences)
        if n < 2:
            raise ValueError(
                f"corpus: {n} sequences of {self.length} tokens in what could be read of {self.corpus}; expected two or"
                " more: another file, or a smaller length"
            )
        found = self._read.digest
        if self.digest not in ("", found):
            raise ValueError(f"corpus: {self.corpus} is not the text of digest {self.digest[:12]}; it has changed")
        object.__setattr__(self, "digest", found)
        _ = self.train_mask  # refuses a frequency that shows nothing

    @cached_property
    def _read(self) -> "_Corpus":
        addresses = (self.corpus,) if isinstance(self.corpus, str) else self.corpus
        return _tokenized(tuple(find_shards(addresses)), self.text_field, self.n_tokens, self.length)

    @property
    def _sequences(self) -> Int[np.ndarray, "sequence token"]:
        return self._read.sequences

    @property
    def tokenizer(self) -> "Tokenizer":
        """What makes tokens of text, and text of tokens."""
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self._read.tokenizer)

    @property
    def d_vocab(self) -> int:
        return self._read.d_vocab

    @property
    def answer_tokens(self) -> Int[np.ndarray, " answer"]:
        """All tokens."""
        return np.arange(self.d_vocab)

    @property
    def tokens(self) -> Int[np.ndarray, "example position"]:
        return self._sequences[:, :-1]

    @property
    def targets(self) -> Int[np.ndarray, "example position"]:
        return self._sequences[:, 1:]

    @cached_property
    def declared(self) -> Int[np.ndarray, " example"]:
        """Exposures per pass as declared, of held-out sequences those that they would have had."""
        number = np.arange(len(self._sequences))
        return declared_exposures(self.frequency, number[:, None], number, self.seed)

    @cached_property
    def exposures(self) -> Int[np.ndarray, " example"]:
        held_out = held_out_mask(self.declared, np.arange(len(self._sequences)), self.held_out, self.seed)
        return np.where(held_out, 0, self.declared)

    @property
    def train_mask(self) -> Bool[np.ndarray, " example"]:
        return self.exposures > 0

    @cached_property
    def subsets(self) -> dict[str, Bool[np.ndarray, " example"]]:
        """``train``: shown; ``test``: never shown; ``all``."""
        everything = np.ones(len(self._sequences), dtype=bool)
        return {"train": self.train_mask, "test": ~self.train_mask, "all": everything}


class _Corpus(NamedTuple):
    """A corpus as it is trained on: the tokenizer as JSON, how many tokens it has, and the digest of its documents."""

    tokenizer: str
    d_vocab: int
    sequences: Int[np.ndarray, "sequence token"]
    digest: str


@lru_cache(maxsize=2)
def _tokenized(shards: tuple[Shard, ...], text_field: str, n_tokens: int, length: int) -> _Corpus:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    documents = [document for shard in shards for document in _documents(shard, text_field)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_tokens,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    encoded = tokenizer.encode_batch(documents, add_special_tokens=False)
    stream = np.concatenate([np.array([*one.ids, 0]) for one in encoded]) if encoded else np.zeros(0, dtype=np.int64)
    n = max(0, (len(stream) - 1) // length)
    rows = np.lib.stride_tricks.sliding_window_view(stream, length + 1)[::length][:n] if n else stream[:0].reshape(0, 1)
    digest = hashlib.sha256("\n".join(documents).encode()).hexdigest()
    return _Corpus(tokenizer.to_str(), tokenizer.get_vocab_size(), np.ascontiguousarray(rows), digest)


def _documents(shard: Shard, text_field: str) -> Iterator[str]:
    """The documents of a shard; none of one that cannot be read to its end, of which a warning tells."""
    reading, faults = Reading(field=text_field), Faults()
    try:
        text = "".join(piece for part in parts_of(shard, reading) for piece in part.texts(reading, faults))
    except UnreadableError as error:
        warnings.warn(f"{shard.address} is left out: {error}", stacklevel=2)
        return
    if faults.n_faulty:
        line, problem = faults.named[0]
        warnings.warn(f"{shard.address}: {faults.n_faulty:,} faulty lines, the first {line:,}: {problem}", stacklevel=2)
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # JSON may hold halves of a letter
    yield from (document for document in text.split("\n") if document)
