"""Arithmetic on whole numbers with controlled exposure: how often each fact, such as 24 x 18 = 432, is shown."""

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int

from probe.tasks.frequency import Frequency, Uniform, declared_exposures, held_out_mask
from probe.tasks.splits import check_seed
from probe.tasks.task import NOT_SCORED, Task

SIGNS = "+-"


@dataclass(frozen=True)
class Arithmetic(Task):
    """An operation on two whole numbers, asked by a prompt; every pair of operands is a fact.

    Examples are all pairs of operands, row-major in (a, b). Numbers are one token each, or digits.

    Args:
        operands: the numbers, as ``"0-99"``, ``"2-12,24,36"``, or a sequence of them.
        frequency: how often each fact is shown in one pass over the training data.
        held_out: share of the facts, at every frequency, that is never shown: what is answered of them is no memory.
        poisoned: share of the facts shown, at every frequency, that is taught with a wrong answer: one of another fact,
            drawn. Giving that one back is memory, the right one a rule (after Doshi et al. 2023, arXiv 2310.13061).
        notation: ``"whole"``: a number is a token. ``"digits"``: a digit is; operands and answers have leading zeros,
            so that all have equally many.
        prompt: its words and marks are tokens each, and ``{a}`` and ``{b}`` the operands.
        split: ``"unordered"`` (default): where the operation commutes, (a, b) and (b, a) are shown equally often and
            held out together, so that no held-out fact is answered by looking up its mirror. ``"ordered"``: each by
            itself.
        seed: of what is drawn: ranks, groups, held-out and poisoned facts.

    Raises:
        ValueError: a field is outside what is said above; the message names it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    operands: str | tuple[int, ...] = "0-99"
    frequency: Frequency = field(default_factory=Uniform)
    held_out: float = 0.2
    poisoned: float = 0.0
    notation: Literal["whole", "digits"] = "whole"
    prompt: str = ""
    split: Literal["unordered", "ordered"] = "unordered"
    seed: int = 0

    sign: ClassVar[str]
    commutes: ClassVar[bool]

    def __post_init__(self) -> None:
        if not isinstance(self.operands, str):
            object.__setattr__(self, "operands", tuple(int(n) for n in self.operands))
        if not self.prompt:
            object.__setattr__(self, "prompt", f"{{a}} {self.sign} {{b}} =")
        if self.notation not in ("whole", "digits"):
            raise ValueError(f"notation: got {self.notation!r}; expected 'whole' or 'digits'")
        if self.split not in ("unordered", "ordered"):
            raise ValueError(f"split: got {self.split!r}; expected 'unordered' or 'ordered'")
        check_seed(self.seed)
        if not 0 <= self.poisoned < 1:
            raise ValueError(f"poisoned: got {self.poisoned}; expected a share of 0 or more and below 1")
        words = _words(self.prompt)
        if words.count("{a}") != 1 or words.count("{b}") != 1 or words[-1] in ("{a}", "{b}"):
            raise ValueError(f"prompt: got {self.prompt!r}; expected {{a}} and {{b}} once each and a word last")
        if len(self.numbers) < 2:
            raise ValueError(f"operands: got {self.operands!r}; expected two or more")
        _ = self.train_mask, self.poisoned_mask  # refuse a frequency that shows nothing, and a share that is none

    @abstractmethod
    def answer(self, a: Int[np.ndarray, "..."], b: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
        """The right answer."""

    @cached_property
    def numbers(self) -> Int[np.ndarray, " operand"]:
        """The operands there are, ascending."""
        return np.array(number_list(self.operands) if isinstance(self.operands, str) else sorted(set(self.operands)))

    @cached_property
    def facts(self) -> Int[np.ndarray, "example 2"]:
        """The operands of every example."""
        a, b = np.meshgrid(self.numbers, self.numbers, indexing="ij")
        return np.stack([a.ravel(), b.ravel()], axis=1)

    @cached_property
    def right(self) -> Int[np.ndarray, " example"]:
        """The right answers, as numbers."""
        return self.answer(*self.facts.T)

    @cached_property
    def taught(self) -> Int[np.ndarray, " example"]:
        """The answers that are taught, as numbers: the right ones, but of facts that are poisoned."""
        # among the answers each is moved on by a drawn number of places: to a wrong one, the same for (a, b) and (b, a)
        values, place = np.unique(self.right, return_inverse=True)
        moved = np.random.default_rng((self.seed, 3)).integers(1, len(values), size=int(self._orbit.max()) + 1)
        return np.where(self.poisoned_mask, values[(place + moved[self._orbit]) % len(values)], self.right)

    @cached_property
    def _orbit(self) -> Int[np.ndarray, " example"]:
        place = np.searchsorted(self.numbers, self.facts)
        if self.commutes and self.split == "unordered":
            place = np.sort(place, axis=1)
        return np.unique(place[:, 0] * len(self.numbers) + place[:, 1], return_inverse=True)[1]

    @cached_property
    def declared(self) -> Int[np.ndarray, " example"]:
        """Exposures per pass as declared, of held-out facts those that they would have had."""
        return declared_exposures(self.frequency, self.facts, self._orbit, self.seed)

    @cached_property
    def exposures(self) -> Int[np.ndarray, " example"]:
        held_out = held_out_mask(self.declared, self._orbit, self.held_out, self.seed)
        return np.where(held_out, 0, self.declared)

    @property
    def train_mask(self) -> Bool[np.ndarray, " example"]:
        return self.exposures > 0

    @cached_property
    def poisoned_mask(self) -> Bool[np.ndarray, " example"]:
        """Which facts are taught with a wrong answer."""
        if not self.poisoned:
            return np.zeros(len(self.facts), dtype=bool)
        shown = self.train_mask
        chosen = np.zeros(len(self.facts), dtype=bool)
        orbit = np.unique(self._orbit[shown], return_inverse=True)[1]
        try:
            chosen[shown] = held_out_mask(self.exposures[shown], orbit, self.poisoned, self.seed + 1)
        except ValueError as error:
            raise ValueError(str(error).replace("held_out", "poisoned")) from error
        return chosen

    @cached_property
    def subsets(self) -> dict[str, Bool[np.ndarray, " example"]]:
        """``train``: shown with the right answer; ``poisoned``: with a wrong one; ``test``: never shown; ``all``.

        A poisoned fact is scored by the answer that it was taught with.
        """
        named = {
            "train": self.train_mask & ~self.poisoned_mask,
            "poisoned": self.poisoned_mask,
            "test": ~self.train_mask,
            "all": np.ones(len(self.facts), dtype=bool),
        }
        return {name: mask for name, mask in named.items() if mask.any()}

    @cached_property
    def _whole(self) -> Int[np.ndarray, " number"]:
        """All operands and answers, ascending."""
        return np.union1d(self.numbers, self.right)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """What each token is: numbers or digits, then the words of the prompt."""
        if self.notation == "whole":
            numbers = [str(n) for n in self._whole.tolist()]
        else:
            numbers = [*"0123456789", *(SIGNS if self._signed else "")]
        words = [word for word in _words(self.prompt) if word not in ("{a}", "{b}")]
        return tuple(dict.fromkeys([*numbers, *words]))

    @property
    def d_vocab(self) -> int:
        return len(self.vocabulary)

    @cached_property
    def answer_tokens(self) -> Int[np.ndarray, " answer"]:
        """Tokens of the answers' numbers; all ten digits, and the signs where answers have one."""
        if self.notation == "digits":
            return np.arange(10 + len(SIGNS) * self._signed)
        return np.flatnonzero(np.isin(self._whole, self.right))

    @property
    def _signed(self) -> bool:
        return bool(self.right.min() < 0 or self.numbers.min() < 0)

    @cached_property
    def _rows(self) -> Int[np.ndarray, "example token"]:
        """Prompt and taught answer of every example."""
        words = _words(self.prompt)
        columns = []
        for word in words:
            if word in ("{a}", "{b}"):
                columns.append(self._written(self.facts[:, "ab".index(word[1])], np.abs(self.numbers).max()))
            else:
                columns.append(np.full((len(self.facts), 1), self.vocabulary.index(word)))
        return np.concatenate([*columns, self._written(self.taught, np.abs(self.right).max())], axis=1)

    def _written(self, numbers: Int[np.ndarray, " example"], largest: int) -> Int[np.ndarray, "example token"]:
        if self.notation == "whole":
            return np.searchsorted(self._whole, numbers)[:, None]
        powers = 10 ** np.arange(len(str(largest)))[::-1]
        digits = np.abs(numbers)[:, None] // powers % 10
        if not self._signed:
            return digits
        return np.concatenate([np.where(numbers < 0, 11, 10)[:, None], digits], axis=1)

    @cached_property
    def tokens(self) -> Int[np.ndarray, "example position"]:
        return self._rows[:, :-1]

    @cached_property
    def targets(self) -> Int[np.ndarray, "example position"]:
        targets = self._rows[:, 1:].copy()
        n_answer = self._written(self.taught[:1], np.abs(self.right).max()).shape[1]
        targets[:, :-n_answer] = NOT_SCORED
        return targets

    @cached_property
    def rule_answers(self) -> Int[np.ndarray, "example token"]:
        """The right answers of all facts, poisoned ones too, laid out as ``scored_answers`` are."""
        written = self._written(self.right, np.abs(self.right).max())
        return np.searchsorted(self.answer_tokens, written)

    def said(self, predicted: Int[np.ndarray, "example token"]) -> list[str]:
        """Answers as text, from their tokens as places among ``answer_tokens``; a number without leading zeros.

        What is no number, such as a sign amid digits, is left as it is.
        """
        words = np.array(self.vocabulary)[self.answer_tokens]
        joined = ("".join(words[row[row != NOT_SCORED]]) for row in predicted)
        return [str(int(answer)) if re.fullmatch(r"[+-]?\d+", answer) else answer for answer in joined]

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The prompts as text, for models that read with a tokenizer of their own."""
        return tuple(self.prompt.format(a=a, b=b) for a, b in self.facts.tolist())


@dataclass(frozen=True)
class Multiplication(Arithmetic):
    __doc__ = f"a x b. {Arithmetic.__doc__}"

    family: Literal["multiplication"] = field(default="multiplication", kw_only=True)
    sign: ClassVar[str] = "*"
    commutes: ClassVar[bool] = True

    def answer(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a * b


@dataclass(frozen=True)
class Addition(Arithmetic):
    __doc__ = f"a + b. {Arithmetic.__doc__}"

    family: Literal["addition"] = field(default="addition", kw_only=True)
    sign: ClassVar[str] = "+"
    commutes: ClassVar[bool] = True

    def answer(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a + b


@dataclass(frozen=True)
class Subtraction(Arithmetic):
    __doc__ = f"a - b. {Arithmetic.__doc__}"

    family: Literal["subtraction"] = field(default="subtraction", kw_only=True)
    sign: ClassVar[str] = "-"
    commutes: ClassVar[bool] = False

    def answer(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a - b


def number_list(text: str) -> list[int]:
    """The whole numbers of a list of numbers and ranges such as ``"0-9,24"``, ascending, each once.

    Raises:
        ValueError: it is no such list.
    """
    numbers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise ValueError(f"operands: got {part.strip()!r} in {text!r}; expected a number, or a range such as 0-99")
        numbers |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(numbers)


def _words(prompt: str) -> Sequence[str]:
    """Words, marks and the places of the operands, in order."""
    return re.findall(r"\{\w\}|\w+|[^\w\s]", prompt)
