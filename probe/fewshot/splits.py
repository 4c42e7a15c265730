"""How a tokenizer splits the operands: a number that it splits otherwise than others differs in more than frequency.

Accuracy by operand is compared between numbers such as 24 and 23. Where one of the two is a token and the other is
split, that is a second reason for a difference.
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from probe.fewshot.questions import Questions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMED = 20
"""How many numbers a warning names."""

Split = tuple[int, ...]
"""Characters of a number in each of its tokens; 0 where a tokenizer does not tell which."""


def splits_of(questions: Questions, tokenizer: "PreTrainedTokenizerBase", place: str, name: str) -> dict[int, Split]:
    """How every operand at a place is split, as it stands in a question.

    Args:
        questions: that are asked.
        tokenizer: what splits.
        place: ``"a"`` for operands, ``"b"`` for their partners.
        name: of the model, for messages.

    Raises:
        ValueError: there is no token for a number.
    """
    field, numbers = ("operands", questions.operands) if place == "a" else ("partners", questions.partners)
    pairs = [(n, questions.partners[0]) if place == "a" else (questions.operands[0], n) for n in numbers]
    texts = [questions.wording.question(*pair) for pair in pairs]
    spans = [questions.wording.span(*pair, place) for pair in pairs]
    if tokenizer.is_fast:
        read = tokenizer(texts, return_offsets_mapping=True)
        parts = [
            [
                (min(stop, end) - max(start, first), token)
                for token, (start, stop) in zip(tokens, offsets, strict=True)
                if start < end and stop > first
            ]
            for tokens, offsets, (first, end) in zip(read["input_ids"], read["offset_mapping"], spans, strict=True)
        ]
    else:  # it does not say which token is where: those that the number adds to the text before it are its own
        before, after = (
            tokenizer([text[: span[i]] for text, span in zip(texts, spans, strict=True)], add_special_tokens=False)
            for i in (0, 1)
        )
        ids = zip(before["input_ids"], after["input_ids"], strict=True)
        parts = [[(0, token) for token in _added(*pair)] for pair in ids]
    unknown = [
        n
        for n, found in zip(numbers, parts, strict=True)
        if not found or any(token == tokenizer.unk_token_id for _, token in found)
    ]
    if unknown:
        raise ValueError(
            f"{field}: the tokenizer of {name} has no tokens for {_listed(unknown)}; expected numbers that it can write"
        )
    return {n: tuple(size for size, _ in found) for n, found in zip(numbers, parts, strict=True)}


def uneven(splits: Mapping[int, Split]) -> dict[int, Split]:
    """Numbers that are split otherwise than most of those with as many digits, and how most of these are split.

    Of several ways that are equally common the one with the fewest tokens counts as that of most.
    """
    by_digits: dict[int, Counter[Split]] = defaultdict(Counter)
    for n, split in splits.items():
        by_digits[len(str(n))][split] += 1
    usual = {
        digits: min(ways, key=lambda split: (-ways[split], len(split), split)) for digits, ways in by_digits.items()
    }
    return {n: usual[len(str(n))] for n, split in splits.items() if split != usual[len(str(n))]}


def warn_of_uneven(splits: Iterable[Mapping[int, Split]], names: Iterable[str]) -> None:
    """Warn, once for the models that share a tokenizer, of numbers that it splits otherwise than their neighbours.

    Args:
        splits: of the operands, and of their partners.
        names: of the models.
    """
    found: dict[int, tuple[Split, Split]] = {}
    for of_place in splits:
        found |= {n: (of_place[n], usual) for n, usual in uneven(of_place).items() if n not in found}
    if not found:
        return
    n, (split, usual) = next(iter(found.items()))
    warnings.warn(
        f"operands: the tokenizer of {', '.join(names)} splits {_listed(sorted(found))} otherwise than most numbers of"
        f" as many digits ({n} into {_told(split)}, most into {_told(usual)}): of these accuracy is not only about how"
        " often they were seen; the table has n_tokens",
        stacklevel=3,
    )


def _added(before: list[int], after: list[int]) -> list[int]:
    """The tokens that a text has behind those that it shares with its beginning."""
    same = next((i for i, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), len(before))
    return after[same:]


def _told(split: Split) -> str:
    """How a number is split, in words: ``2 tokens of 1 + 1 digits``."""
    tokens = f"{len(split)} token{'s' if len(split) > 1 else ''}"
    return tokens if 0 in split or len(split) == 1 else f"{tokens} of {' + '.join(map(str, split))} digits"


def _listed(numbers: list[int]) -> str:
    more = f" and {len(numbers) - NAMED:,} more" if len(numbers) > NAMED else ""
    return f"{', '.join(map(str, numbers[:NAMED]))}{more}"
