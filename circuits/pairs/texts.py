"""Pairs of texts, a JSON object a line."""

import json
from typing import TYPE_CHECKING, Any

from circuits.pairs.contrast import Pairs
from probe import storage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FIELDS = {"clean", "corrupted", "answer", "wrong"}


def pairs_from_jsonl(path: str, tokenizer: "PreTrainedTokenizerBase") -> Pairs:
    """Pairs from a file, such as ``{"clean": "The sun is", "corrupted": "The sea is", "answer": " hot"}`` a line.

    Args:
        path: local path or URL. Each line has ``clean``, ``corrupted`` and ``answer``, and all of them or none
            ``wrong``, an answer that competes. Answers follow the clean text as they are, spaces included.
        tokenizer: of the model, such as ``checkpoint.model.tokenizer()``; with its special tokens as it adds them.

    Raises:
        ValueError: a line is not such an object; its texts have different numbers of tokens; or an answer, read after
            the clean text, is not exactly one more token. The message names the line.
        FileNotFoundError: there is no such file.
    """
    columns: dict[str, list[Any]] = {name: [] for name in sorted(_FIELDS)}
    for number, line in enumerate(storage.read_bytes(str(path)).decode().splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        texts = _texts(line, where)
        clean, corrupted = (_tokens(tokenizer, texts[name]) for name in ("clean", "corrupted"))
        if len(clean) != len(corrupted):
            raise ValueError(
                f"{where}: clean is {len(clean)} tokens and corrupted {len(corrupted)}; expected equally many, as"
                f" positions are compared one by one ({_shown(tokenizer, clean)} and {_shown(tokenizer, corrupted)})"
            )
        columns["clean"].append(clean)
        columns["corrupted"].append(corrupted)
        for name in ("answer", "wrong"):
            if name in texts:
                columns[name].append(_next_token(tokenizer, texts["clean"], clean, texts[name], f"{where}: {name}"))
        if len(columns["wrong"]) not in (0, len(columns["answer"])):
            raise ValueError(f"{where}: wrong is given on some lines and not on others; expected all or none")
        if "wrong" in texts and columns["wrong"][-1] == columns["answer"][-1]:
            raise ValueError(f"{where}: wrong is the same token as answer; expected another")
    if not columns["clean"]:
        raise ValueError(f"{path}: no lines; expected at least one pair")
    return Pairs.of(columns["clean"], columns["corrupted"], columns["answer"], len(tokenizer), columns["wrong"] or None)


def _texts(line: str, where: str) -> dict[str, str]:
    try:
        texts = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({error})") from error
    if not isinstance(texts, dict) or not _FIELDS - {"wrong"} <= set(texts) <= _FIELDS:
        got = ", ".join(sorted(texts)) if isinstance(texts, dict) else repr(texts)
        raise ValueError(f"{where}: got {got}; expected clean, corrupted, answer, and perhaps wrong")
    for name, text in texts.items():
        if not isinstance(text, str) or not text:
            raise ValueError(f"{where}: {name} is {text!r}; expected a text")
    return texts


def _tokens(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    return [int(token) for token in tokenizer(text)["input_ids"]]


def _next_token(tokenizer: "PreTrainedTokenizerBase", before: str, tokens: list[int], answer: str, where: str) -> int:
    """The token by which an answer goes on from a text: as it is read after it, not by itself."""
    both = _tokens(tokenizer, before + answer)
    if len(both) != len(tokens) + 1 or both[:-1] != tokens:
        raise ValueError(
            f"{where}, {answer!r}, is not one token after the clean text: together they are"
            f" {_shown(tokenizer, both)}; expected {_shown(tokenizer, tokens)} and one more. Mind the space before it"
        )
    return both[-1]


def _shown(tokenizer: "PreTrainedTokenizerBase", tokens: list[int]) -> str:
    return "|".join(str(tokenizer.decode([token])) for token in tokens)
