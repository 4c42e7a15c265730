"""How a question is put into words, and how one that is answered is shown before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from string import Formatter

EXAMPLE = "Q: What is {a} times {b}? A:"
"""What messages give as an example of a template."""


@dataclass(frozen=True)
class Template:
    """A question with ``{a}`` and ``{b}`` where the operands stand.

    Args:
        text: the question. A worked example is the question, a space, the answer and a line end; a template with
            ``{answer}`` says it itself, and the question is what comes before it.

    Raises:
        ValueError: ``{a}`` or ``{b}`` is missing, or there is another field.
    """

    text: str

    def __post_init__(self) -> None:
        fields = [field for _, field in self._pieces if field is not None]
        wrong = [f"{{{field}}}" for field in fields if field not in ("a", "b", "answer")]
        missing = [f"{{{field}}}" for field in ("a", "b") if field not in fields]
        problem = f"it has {', '.join(wrong)}" if wrong else f"it lacks {' and '.join(missing)}" if missing else ""
        if not problem and "answer" in fields and (fields.index("answer") < len(fields) - 1):
            problem = "{answer} is not the last field"
        if problem:
            raise ValueError(
                f"template: got {self.text!r}, but {problem}; expected {{a}} and {{b}}, such as {EXAMPLE!r}, and after"
                " them {answer} or nothing"
            )

    def question(self, a: int, b: int) -> str:
        """What is asked: it ends where the answer begins."""
        return self._written(self._question, {"a": a, "b": b})

    def example(self, a: int, b: int, answer: int) -> str:
        """The question with its answer, and what separates it from the next."""
        if len(self._question) == len(self._pieces):
            question = self.question(a, b)
            return f"{question}{'' if question[-1].isspace() else ' '}{answer}\n"
        return self._written(self._pieces, {"a": a, "b": b, "answer": answer})

    def span(self, a: int, b: int, place: str) -> tuple[int, int]:
        """From where to where in the question the operand at ``place``, ``"a"`` or ``"b"``, first stands."""
        values = {"a": a, "b": b}
        until = next(i for i, (_, field) in enumerate(self._question) if field == place) + 1
        end = len(self._written(self._question[:until], values))
        return end - len(str(values[place])), end

    @cached_property
    def _pieces(self) -> list[tuple[str, str | None]]:
        """Literal text and the field after it, in order; the last may have none."""
        try:
            parsed = list(Formatter().parse(self.text))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"template: got {self.text!r} ({error}); expected such as {EXAMPLE!r}") from error
        # a format or a conversion is shown as part of the field, which is then none that is known
        return [
            (literal, field if not (spec or how) else f"{field}{f'!{how}' if how else ''}{f':{spec}' if spec else ''}")
            for literal, field, spec, how in parsed
        ]

    @cached_property
    def _question(self) -> list[tuple[str, str | None]]:
        """The pieces up to the answer; all, if the template does not say where it stands."""
        for i, (literal, field) in enumerate(self._pieces):
            if field == "answer":
                return [*self._pieces[:i], (literal, None)]
        return self._pieces

    @staticmethod
    def _written(pieces: list[tuple[str, str | None]], values: Mapping[str, int]) -> str:
        return "".join(literal + ("" if field is None else str(values[field])) for literal, field in pieces)
