"""Which words are single tokens for a tokenizer, and pairs of the texts that are made of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuits.pairs.contrast import Pairs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BEFORE = "The"
"""What words are read after: a word at the beginning of a text may be another token."""


class Vocabulary:
    """What a tokenizer makes of words that follow a space, in the middle of a text.

    Args:
        tokenizer: with its special tokens as it adds them.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        self._unknown = tokenizer.unk_token_id
        self._before = self._tokens(_BEFORE)

    def _tokens(self, text: str) -> list[int]:
        return [int(token) for token in self._tokenizer(text)["input_ids"]]

    def token(self, word: str) -> int:
        """The token that a word is, of those that are ``single``."""
        token = self._single(word)
        assert token is not None
        return token

    def _single(self, word: str) -> int | None:
        """The token that a word is; None if it is several, or one that stands for what is not known."""
        return self._one_more(self._before, self._tokens(f"{_BEFORE} {word}"))

    def _one_more(self, before: Sequence[int], tokens: Sequence[int]) -> int | None:
        """The token by which some tokens are more than those before; None if they are not, or it is not known."""
        more = list(tokens[:-1]) == list(before) and tokens[-1] != self._unknown
        return int(tokens[-1]) if more else None

    def single(self, what: str, listed: Sequence[str], at_least: int) -> list[str]:
        """Those of some words that are one token each, and different ones.

        Raises:
            ValueError: they are fewer than needed; the message names them, and what the words are.
        """
        of_token: dict[int, str] = {}
        for word in listed:
            token = self._single(word)
            if token is not None:
                of_token.setdefault(token, word)
        found = list(of_token.values())
        if len(found) < at_least:
            raise ValueError(
                f"tokenizer: {len(found)} of the {what} {', '.join(listed)} are single tokens of it"
                f" ({', '.join(found) or 'none'}); expected at least {at_least}"
            )
        return found

    def readable(self, texts: Sequence[str]) -> list[str]:
        """Those of some templates all of whose words are known, whatever is put into them.

        Raises:
            ValueError: there are none.
        """
        # a tokenizer may put before every text the token that also stands for what is not known
        usual = self._before.count(self._unknown)
        found = [text for text in texts if self._tokens(self._bare(text)).count(self._unknown) <= usual]
        if not found:
            raise ValueError(f"tokenizer: it knows all words of none of the templates, such as {texts[0]!r}")
        return found

    def _bare(self, text: str) -> str:
        """A template without what is put into it."""
        return " ".join(part for part in text.split() if "{" not in part)

    def of_two(self, first: str, lasts: Sequence[str]) -> list[int | None]:
        """Of words the second of their two tokens, where the first is their beginning by itself; None where not."""
        if self._single(first) is None:
            return [None] * len(lasts)
        beginning = self._tokens(f"{_BEFORE} {first}")
        read = self._tokenizer([f"{_BEFORE} {first}{last}" for last in lasts])["input_ids"]
        return [self._one_more(beginning, tokens) for tokens in read]

    def pairs(self, rows: Sequence[tuple[str, str, int, int]]) -> Pairs:
        """Pairs from clean and corrupted texts, answers and wrong answers."""
        clean, corrupted, answers, wrong = zip(*rows, strict=True)
        read, corrupt = ([self._tokens(text) for text in texts] for texts in (clean, corrupted))
        return Pairs.of(read, corrupt, answers, len(self._tokenizer), wrong)
