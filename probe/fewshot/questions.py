"""What is asked: an operation on every pair of operands, with so many worked examples before it."""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int

from probe.fewshot.examples import draw_examples, n_others
from probe.fewshot.template import Template
from probe.tasks.arithmetic import number_list

OPERATIONS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "addition": ("plus", operator.add),
    "subtraction": ("minus", operator.sub),
    "multiplication": ("times", operator.mul),
}
"""Operations by name: the word that asks for each, and what it is."""

LARGEST = 1 << 31
"""Operands are below it, so that products are exact in 64 bits."""


@dataclass(frozen=True, eq=False)
class Questions:
    """The questions that every model is asked at every step.

    Args:
        operation: ``"addition"``, ``"subtraction"`` or ``"multiplication"``.
        operands: the numbers a, as ``"0-99"``, or a sequence of them.
        partners: the numbers b; every a is asked with every b.
        shots: how many worked examples are shown, one or more numbers.
        template: of a question, as ``Template``; ``"Q: What is {a} times {b}? A:"`` with the word for the operation, if
            not given.
        seed: of which examples are shown.

    Raises:
        ValueError: a field is outside what is said above; the message names it.
    """

    operation: str
    operands: Any
    partners: Any
    shots: Any
    template: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise ValueError(f"operation: got {self.operation!r}; expected one of {', '.join(OPERATIONS)}")
        for field in ("operands", "partners"):
            object.__setattr__(self, field, _numbers(field, getattr(self, field)))
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise ValueError(f"seed: got {self.seed!r}; expected a whole number, 0 or more")
        if self.template is None:
            object.__setattr__(self, "template", f"Q: What is {{a}} {OPERATIONS[self.operation][0]} {{b}}? A:")
        _ = self.wording
        object.__setattr__(self, "shots", self._checked_shots())

    @cached_property
    def wording(self) -> Template:
        """How the questions are put."""
        return Template(str(self.template))

    @cached_property
    def facts(self) -> Int[np.ndarray, "fact 2"]:
        """a and b of every question, row-major."""
        a, b = np.meshgrid(np.array(self.operands), np.array(self.partners), indexing="ij")
        return np.stack([a.ravel(), b.ravel()], axis=1)

    @cached_property
    def results(self) -> Int[np.ndarray, " fact"]:
        """The right answers."""
        results: np.ndarray = OPERATIONS[self.operation][1](*self.facts.T)
        return results

    def prompts(self, n_shot: int) -> list[str]:
        """Every question as text, with its examples before it."""
        triples = [*zip(*self.facts.T.tolist(), self.results.tolist(), strict=True)]
        shown = [self.wording.example(a, b, result) for a, b, result in triples]
        return [
            "".join(shown[i] for i in before) + self.wording.question(a, b)
            for before, (a, b, _) in zip(self._drawn[:, :n_shot].tolist(), triples, strict=True)
        ]

    @cached_property
    def _drawn(self) -> Int[np.ndarray, "fact example"]:
        return draw_examples(self.facts, max(self.shots), self.seed)

    def _checked_shots(self) -> tuple[int, ...]:
        given = self.shots if isinstance(self.shots, Iterable) and not isinstance(self.shots, str) else [self.shots]
        most = n_others(self.facts)
        shots = list(given)
        for n in shots:
            if not isinstance(n, int | np.integer) or isinstance(n, bool) or not 0 <= n <= most:
                raise ValueError(
                    f"shots: got {n!r}; expected whole numbers from 0 to {most}: there are {len(self.facts):,} facts,"
                    " of which neither the one asked nor its mirror is shown"
                )
        if not shots:
            raise ValueError("shots: got none; expected one or more numbers, such as (0, 4)")
        return tuple(sorted({int(n) for n in shots}))


def _numbers(field: str, given: Any) -> tuple[int, ...]:
    """Operands, ascending, each once."""
    if isinstance(given, str):
        try:
            numbers = number_list(given)
        except ValueError as error:
            raise ValueError(str(error).replace("operands:", f"{field}:", 1)) from error
    else:
        numbers = list(given) if isinstance(given, Iterable) else [given]
    for n in numbers:
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or not 0 <= n < LARGEST:
            raise ValueError(f"{field}: got {n!r}; expected whole numbers from 0 to {LARGEST - 1}, or such as '0-99'")
    if not numbers:
        raise ValueError(f"{field}: got none; expected one or more numbers, such as '0-99'")
    return tuple(sorted({int(n) for n in numbers}))
