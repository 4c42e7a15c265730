"""Random facts about made-up subjects: nothing but memory can answer them (Allen-Zhu & Li 2024, arXiv 2404.05405)."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int

from probe.tasks.frequency import Frequency, Uniform, declared_exposures, held_out_mask
from probe.tasks.names import drawn_names, n_names
from probe.tasks.splits import check_seed
from probe.tasks.task import Task, one_token_targets


@dataclass(frozen=True)
class Facts(Task):
    """``n`` subjects with ``relations`` attributes each, drawn at random, asked in several phrasings.

    A fact is a subject and a relation; its value is one of ``values``, drawn independently of all else. It is asked by
    three tokens: the subject's first and last name, and a word that says relation and phrasing, which comes last in
    phrasings 0, 2, ... and first in 1, 3, ...; the value is the next token. Examples are row-major in (subject,
    relation, phrasing).

    A fact is trained on in ``trained_phrasings`` of its phrasings, drawn fact by fact, so that every phrasing is
    learned from other facts. In the others a model that knows the fact answers, and one that recites does not.

    Some facts may be a special batch, which is shown in the first passes over the training data and never again, while
    training goes on on the rest: how it is forgotten is seen in the subset ``special`` (Tirumala et al. 2022, arXiv
    2205.10770, section 5). It is no part of ``train``, nor of ``exposures``: these are of what is shown to the end.

    Args:
        n: subjects.
        relations: attributes of each subject.
        values: what each attribute can be: chance is 1 / values.
        phrasings: ways to ask for a fact.
        trained_phrasings: in how many of them a fact is trained on.
        frequency: how often each fact is shown in one pass over the training data, in each of its trained phrasings.
        held_out: share of the facts, at every frequency, that is never shown.
        special: share of the other facts, at every frequency, that is the special batch; 0 for none.
        special_passes: in how many passes that batch is shown, 1 or more; 0 where there is none.
        seed: of names, values and all else that is drawn.

    Raises:
        ValueError: a field is outside what is said above; the message names it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    n: int = 1000
    relations: int = 4
    values: int = 16
    phrasings: int = 1
    trained_phrasings: int = 1
    frequency: Frequency = field(default_factory=Uniform)
    held_out: float = 0.1
    special: float = 0.0
    special_passes: int = 0
    seed: int = 0
    family: Literal["facts"] = field(default="facts", kw_only=True)

    def __post_init__(self) -> None:
        for name, least in (("n", 2), ("relations", 1), ("values", 2), ("phrasings", 1), ("trained_phrasings", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: got {getattr(self, name)}; expected {least} or more")
        if self.trained_phrasings > self.phrasings:
            raise ValueError(
                f"trained_phrasings: got {self.trained_phrasings}; expected at most phrasings, {self.phrasings}"
            )
        check_seed(self.seed)
        if not 0 <= self.special < 1:
            raise ValueError(f"special: got {self.special}; expected a share, 0 or more and below 1")
        if self.special_passes < 0 or (self.special_passes > 0) != (self.special > 0):
            expected = "1 or more, in which the special batch is shown" if self.special else "0 without a special batch"
            raise ValueError(f"special_passes: got {self.special_passes}; expected {expected}")
        shown = int((self._times > 0).sum())  # refuses a frequency that shows nothing
        if self.special and not 0 < round(self.special * shown) < shown:
            left = "none" if self.special * shown < 1 else "all"
            raise ValueError(
                f"special: {self.special} of the {shown} facts that are shown is {left}; expected some, not all"
            )

    @property
    def n_facts(self) -> int:
        return self.n * self.relations

    @property
    def n_names(self) -> int:
        """First names there are, and as many last names."""
        return n_names(self.n)

    @cached_property
    def fact(self) -> Int[np.ndarray, " example"]:
        """Which fact each example asks for."""
        return np.repeat(np.arange(self.n_facts), self.phrasings)

    @cached_property
    def phrasing(self) -> Int[np.ndarray, " example"]:
        """In which phrasing each example asks."""
        return np.tile(np.arange(self.phrasings), self.n_facts)

    @cached_property
    def value(self) -> Int[np.ndarray, " fact"]:
        """The value of each fact, 0 to values - 1."""
        return np.random.default_rng((self.seed, 3)).integers(self.values, size=self.n_facts)

    @cached_property
    def declared(self) -> Int[np.ndarray, " example"]:
        """Exposures per pass as declared, of what is not trained on those that it would have had."""
        return self._declared[self.fact]

    @cached_property
    def _declared(self) -> Int[np.ndarray, " fact"]:
        facts = np.arange(self.n_facts)
        return declared_exposures(self.frequency, facts[:, None], facts, self.seed)

    @cached_property
    def _times(self) -> Int[np.ndarray, " fact"]:
        """How often each fact is shown in a pass that shows it; 0 where it is held out."""
        held_out = held_out_mask(self._declared, np.arange(self.n_facts), self.held_out, self.seed)
        return np.where(held_out, 0, self._declared)

    @cached_property
    def _is_special(self) -> Bool[np.ndarray, " fact"]:
        mask = np.zeros(self.n_facts, dtype=bool)
        if self.special:
            shown = np.flatnonzero(self._times)
            # by lot among those that are shown, just as facts are held out
            mask[shown] = held_out_mask(self._times[shown], np.arange(len(shown)), self.special, self.seed)
        return mask

    @cached_property
    def exposures(self) -> Int[np.ndarray, " example"]:
        return self._in_trained_phrasings(np.where(self._is_special, 0, self._times))

    @cached_property
    def special_exposures(self) -> Int[np.ndarray, " example"]:
        return self._in_trained_phrasings(np.where(self._is_special, self._times, 0))

    def _in_trained_phrasings(self, times: Int[np.ndarray, " fact"]) -> Int[np.ndarray, " example"]:
        draw = np.random.default_rng((self.seed, 4)).random((self.n_facts, self.phrasings))
        trained = draw.argsort(1).argsort(1) < self.trained_phrasings
        return np.where(trained, times[:, None], 0).ravel()

    @property
    def train_mask(self) -> Bool[np.ndarray, " example"]:
        return self.exposures > 0

    @cached_property
    def subsets(self) -> dict[str, Bool[np.ndarray, " example"]]:
        """``train``; ``rephrased``: unseen phrasings of these facts; ``special``; ``test``: never shown; ``all``."""
        special, shown = self._is_special[self.fact], self._times[self.fact] > 0
        named = {
            "train": self.train_mask,
            "rephrased": shown & ~special & ~self.train_mask,
            "special": self.special_exposures > 0,
            "test": ~shown,
            "all": np.ones(len(self.fact), dtype=bool),
        }
        return {name: mask for name, mask in named.items() if mask.any()}

    @property
    def d_vocab(self) -> int:
        """Values of each relation, first names, last names, and a word for each relation and phrasing."""
        return self.relations * self.values + 2 * self.n_names + self.relations * self.phrasings

    @property
    def answer_tokens(self) -> Int[np.ndarray, " answer"]:
        """The values of all relations."""
        return np.arange(self.relations * self.values)

    @cached_property
    def tokens(self) -> Int[np.ndarray, "example position"]:
        subject, relation = np.divmod(self.fact, self.relations)
        first, last = (name[subject] for name in drawn_names(self.n, self.seed))
        names = self.relations * self.values
        word = names + 2 * self.n_names + relation * self.phrasings + self.phrasing
        asked_last = np.stack([names + first, names + self.n_names + last, word], axis=1)
        return np.where(self.phrasing[:, None] % 2 == 0, asked_last, np.roll(asked_last, 1, axis=1))

    @cached_property
    def targets(self) -> Int[np.ndarray, "example position"]:
        relation = self.fact % self.relations
        return one_token_targets(self.tokens, relation * self.values + self.value[self.fact])
