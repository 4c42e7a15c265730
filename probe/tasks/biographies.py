"""Biographies of made-up people, and questions about them: what is extracted from memory, and what only recited.

After the synthetic biographies (bioS) of Allen-Zhu & Li 2023 (Physics of Language Models 3.1, arXiv 2309.14316).
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int

from probe.tasks.frequency import Frequency, Uniform, declared_exposures, held_out_mask
from probe.tasks.names import drawn_names, n_names
from probe.tasks.splits import check_seed
from probe.tasks.task import NOT_SCORED, Task

PADDING = 0
MAX_WAYS = 2**63


@dataclass(frozen=True)
class Biographies(Task):
    """``n`` people with ``attributes`` each, drawn at random; biographies that tell them, questions that ask for them.

    A biography is the person's first and last name and a sentence per attribute: a word that says attribute and
    phrasing, and the value, one of ``values``, which is predicted. So a biography has ``attributes`` answers. A
    question is a word that says the attribute, and the names; the value is the next token. Values are drawn
    independently of all else. No two people have the same pair of names; most share either name with others.

    Every person has ``biographies`` + 1 biographies, no two the same, and a question per attribute. Some people are
    never shown. Of the others all biographies but the last are; some of them are also asked all questions in training.
    A model that knows the others' attributes, and not only what comes next in their biographies, answers the questions
    about them, which were never asked. Questions compare with biographies by the share of values that are right
    (``token_accuracy``): exactly right is a biography only with all of them.

    Examples are the biographies, row-major in (person, telling), then the questions, in (person, attribute).

    Args:
        n: people.
        attributes: of each person: sentences in a biography.
        values: what each attribute can be: chance is 1 / values for each token.
        phrasings: ways to say each attribute. Each sentence's is drawn.
        biographies: how many of each person are shown. 1 is the paper's "single", 5 its "multi5".
        order: ``"drawn"``: each biography has its sentences in an order of its own; the paper's "permute".
            ``"fixed"``: all have them in the same.
        asked: share of the people shown, at every frequency, who are asked about in training.
        frequency: how often each person is shown in one pass over the training data, in each of their biographies. Of
            those who are asked about each question is shown as often as their biographies together, so that questions
            are the same share of a pass whatever ``biographies`` is.
        held_out: share of the people, at every frequency, who are never shown in any form.
        seed: of names, values and all else that is drawn.

    Raises:
        ValueError: a field is outside what is said above, or there are too few ways to tell a biography; the message
            names it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    n: int = 500
    attributes: int = 4
    values: int = 16
    phrasings: int = 8
    biographies: int = 1
    order: Literal["fixed", "drawn"] = "fixed"
    asked: float = 0.5
    frequency: Frequency = field(default_factory=Uniform)
    held_out: float = 0.1
    seed: int = 0
    family: Literal["biographies"] = field(default="biographies", kw_only=True)

    def __post_init__(self) -> None:
        for name, least in (("n", 3), ("attributes", 1), ("values", 2), ("phrasings", 1), ("biographies", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: got {getattr(self, name)}; expected {least} or more")
        if self.order not in ("fixed", "drawn"):
            raise ValueError(f"order: got {self.order!r}; expected 'fixed' or 'drawn'")
        ways = math.prod(self._choices)
        if self.biographies >= ways:
            raise ValueError(
                f"biographies: got {self.biographies}; expected fewer than the {ways} ways to tell one (phrasings ="
                f" {self.phrasings}, order = {self.order!r}), so that one is left that is never shown"
            )
        if ways >= MAX_WAYS:
            raise ValueError(
                f"phrasings: got {self.phrasings}; expected fewer, or fewer attributes than {self.attributes}: there"
                f" are {ways:.2g} ways to tell a biography, and less than {MAX_WAYS:.2g} can be drawn from"
            )
        check_seed(self.seed)
        _ = self.person_asked  # refuses a frequency that shows nothing, and shares that leave nobody

    @property
    def _choices(self) -> tuple[int, ...]:
        """What there is to choose from: a phrasing per attribute, and which attribute is told first, next, ..."""
        orders = range(self.attributes, 0, -1) if self.order == "drawn" else ()
        return (self.phrasings,) * self.attributes + tuple(orders)

    @property
    def n_names(self) -> int:
        """First names there are, and as many last names."""
        return n_names(self.n)

    @property
    def n_tellings(self) -> int:
        """Biographies of each person: those that are shown, and one that is not."""
        return self.biographies + 1

    @cached_property
    def value(self) -> Int[np.ndarray, "person attribute"]:
        """The attributes of each person, 0 to values - 1."""
        return np.random.default_rng((self.seed, 3)).integers(self.values, size=(self.n, self.attributes))

    @cached_property
    def _told(self) -> tuple[Int[np.ndarray, "person telling sentence"], Int[np.ndarray, "person telling sentence"]]:
        """Attribute and phrasing of every sentence. The biographies of a person are drawn without replacement."""
        rng, ways = np.random.default_rng((self.seed, 4)), math.prod(self._choices)
        drawn = np.full((self.n, self.n_tellings), -1)
        # Floyd's algorithm (Bentley & Floyd 1987), for all people at once; every set is equally likely, not every order
        for telling, last in enumerate(range(ways - self.n_tellings, ways)):
            one = rng.integers(last + 1, size=self.n)
            drawn[:, telling] = np.where((drawn == one[:, None]).any(1), last, one)
        chosen = np.unravel_index(rng.permuted(drawn, axis=1), self._choices)
        attribute = np.broadcast_to(np.arange(self.attributes), (*drawn.shape, self.attributes)).copy()
        for place, further in enumerate(chosen[self.attributes :]):  # a Fisher-Yates shuffle
            swapped = (place + further)[..., None]
            here = attribute[..., place : place + 1].copy()
            attribute[..., place : place + 1] = np.take_along_axis(attribute, swapped, -1)
            np.put_along_axis(attribute, swapped, here, -1)
        phrasing = np.stack(chosen[: self.attributes], axis=-1)
        return attribute, phrasing

    @cached_property
    def person(self) -> Int[np.ndarray, " example"]:
        """Whom each example is about."""
        people = np.arange(self.n)
        return np.concatenate([np.repeat(people, self.n_tellings), np.repeat(people, self.attributes)])

    @cached_property
    def is_question(self) -> Bool[np.ndarray, " example"]:
        return np.arange(len(self.person)) >= self.n * self.n_tellings

    @cached_property
    def _declared(self) -> Int[np.ndarray, " person"]:
        people = np.arange(self.n)
        return declared_exposures(self.frequency, people[:, None], people, self.seed)

    @cached_property
    def person_shown(self) -> Bool[np.ndarray, " person"]:
        """Who has biographies that are shown."""
        held_out = held_out_mask(self._declared, np.arange(self.n), self.held_out, self.seed)
        return ~held_out & (self._declared > 0)

    @cached_property
    def person_asked(self) -> Bool[np.ndarray, " person"]:
        """Who is asked about in training."""
        asked, shown = np.zeros(self.n, dtype=bool), self.person_shown
        try:
            chosen = held_out_mask(self._declared[shown], np.arange(shown.sum()), self.asked, self.seed + 1)
        except ValueError as error:
            raise ValueError(
                f"asked: got {self.asked}; expected a share above 0 and below 1 that is one or more of the"
                f" {shown.sum()} people shown, and leaves one: what is extracted is asked of the others"
            ) from error
        asked[shown] = chosen
        return asked

    @cached_property
    def declared(self) -> Int[np.ndarray, " example"]:
        """Exposures per pass as declared, of what is not trained on those that it would have had."""
        times = self._declared[self.person]
        return np.where(self.is_question, self.biographies * times, times)

    @cached_property
    def exposures(self) -> Int[np.ndarray, " example"]:
        telling = np.arange(self.n * self.n_tellings) % self.n_tellings
        shown = np.repeat(self.person_shown, self.n_tellings) & (telling < self.biographies)
        return np.where(np.concatenate([shown, np.repeat(self.person_asked, self.attributes)]), self.declared, 0)

    @property
    def train_mask(self) -> Bool[np.ndarray, " example"]:
        return self.exposures > 0

    @cached_property
    def subsets(self) -> dict[str, Bool[np.ndarray, " example"]]:
        """What was shown, what only follows from it, and what does not; biographies and questions apart.

        ``train``: all that is shown, which is ``recited`` (biographies) and ``asked`` (questions). ``retold``: the
        biographies never shown of people who are; ``extracted``: the questions about those who are shown and were never
        asked about. ``test``: all about people never shown, the control: ``test_biographies`` is that of ``recited``
        and ``retold``, ``test_questions`` that of ``asked`` and ``extracted``. ``all``.
        """
        known, asked = self.person_shown[self.person], self.person_asked[self.person]
        return {
            "train": self.train_mask,
            "recited": self.train_mask & ~self.is_question,
            "retold": known & ~self.train_mask & ~self.is_question,
            "asked": asked & self.is_question,
            "extracted": known & ~asked & self.is_question,
            "test": ~known,
            "test_biographies": ~known & ~self.is_question,
            "test_questions": ~known & self.is_question,
            "all": np.ones(len(known), dtype=bool),
        }

    @property
    def d_vocab(self) -> int:
        """Values of each attribute, first names, last names, a word per attribute and phrasing, one per question."""
        return self.attributes * (self.values + self.phrasings + 1) + 2 * self.n_names

    @property
    def answer_tokens(self) -> Int[np.ndarray, " answer"]:
        """The values of all attributes."""
        return np.arange(self.attributes * self.values)

    @cached_property
    def _rows(self) -> Int[np.ndarray, "example token"]:
        """Every example with all of its answer."""
        names = self.attributes * self.values
        first, last = drawn_names(self.n, self.seed)
        first, last = names + first, names + self.n_names + last
        words = names + 2 * self.n_names
        value = np.arange(self.attributes) * self.values + self.value
        attribute, phrasing = self._told
        rows = np.full((len(self.person), 2 + 2 * self.attributes), PADDING)
        told, asking = rows[~self.is_question], rows[self.is_question]
        told[:, :2] = np.stack([first, last], axis=1).repeat(self.n_tellings, axis=0)
        told[:, 2::2] = (words + attribute * self.phrasings + phrasing).reshape(-1, self.attributes)
        told[:, 3::2] = np.take_along_axis(value[:, None], attribute, -1).reshape(-1, self.attributes)
        asking[:, 0] = np.tile(words + self.attributes * self.phrasings + np.arange(self.attributes), self.n)
        asking[:, 1:3] = np.stack([first, last], axis=1).repeat(self.attributes, axis=0)
        asking[:, 3] = value.ravel()
        return np.concatenate([told, asking])

    @cached_property
    def tokens(self) -> Int[np.ndarray, "example position"]:
        read = self._rows[:, :-1].copy()
        read[self.is_question, 3:] = PADDING
        return read

    @cached_property
    def targets(self) -> Int[np.ndarray, "example position"]:
        targets = self._rows[:, 1:].copy()
        targets[:, [0, 1, *range(3, targets.shape[1], 2)]] = NOT_SCORED
        targets[self.is_question, 3:] = NOT_SCORED
        return targets
