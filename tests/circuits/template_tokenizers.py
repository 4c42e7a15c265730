"""Tokenizers for which the words of the templates, or some of them, are single tokens."""

import re
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from circuits.pairs import words

TEXTS = tuple(
    re.sub(r"\{\w+\}", "", text) for text in (*words.INDIRECT_OBJECT, *words.LASTED, *words.BESIDE, *words.TOLD_OF)
)
WORDS = (
    *(*words.FEMALE_NAMES, *words.MALE_NAMES, *words.PLACES, *words.THINGS, *words.EVENTS, *words.CENTURIES),
    *(*(noun for pair in words.NOUNS for noun in pair), *words.VERBS, *words.PRONOUNS),
)
END = "<|endoftext|>"
PARTS = r" ?\p{L}+| ?\d{2}| ?[^\s\p{L}\p{N}]+|\s+"
"""A year is its first and its last two digits."""


def byte_level(without: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """A byte-level BPE as GPT-2's, for which some words are several tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PARTS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=5000,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    left_out = set(without)
    single = " ".join(word for word in WORDS if word not in left_out)
    digits = ["".join((" 17", f"{year:02}")) for year in range(100) if f"{year:02}" not in left_out]
    bpe.train_from_iterator([f"The {single}", *digits, *TEXTS] * 2, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, bos_token=END, unk_token=END)


def word_level(without: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """A token a word, and one for all that are not known; it begins every text with a token, and forgets spaces."""
    left_out = set(without)
    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(PARTS), "isolated")])
    years = [f"{year:02}" for year in range(100)]
    read = [word for text in (*TEXTS, *WORDS, *years) for word, _ in split.pre_tokenize_str(text)]
    listed = dict.fromkeys(word for word in read if word not in left_out)
    vocabulary = {word: i for i, word in enumerate(["?", END, *listed])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = split
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?", bos_token=END)
