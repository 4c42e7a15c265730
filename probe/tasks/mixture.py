"""Tasks blended into one training stream in declared proportions: a scarce task diluted in much else."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int
from pydantic import Field

from probe.tasks.arithmetic import Addition, Multiplication, Subtraction
from probe.tasks.biographies import Biographies
from probe.tasks.facts import Facts
from probe.tasks.frequency import allotted
from probe.tasks.groups import GroupComposition
from probe.tasks.modular import ModularArithmetic
from probe.tasks.splits import check_seed
from probe.tasks.task import NOT_SCORED, Task

PADDING = 0
_Blended = ModularArithmetic | GroupComposition | Multiplication | Addition | Subtraction | Facts | Biographies


@dataclass(frozen=True)
class Part:
    """One task of a mixture.

    Args:
        name: what its subsets are called by, as in ``"rare/test"``.
        task: the task; what it says of exposures is what its share is divided by.
        share: of the exposures of a pass, in any unit: the shares of all parts are divided by their sum.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    task: Annotated[_Blended, Field(discriminator="family")]
    share: float

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(f"name: got {self.name!r}; expected a word without '/'")
        if not (np.isfinite(self.share) and self.share > 0):
            raise ValueError(f"share: got {self.share} of {self.name}; expected a number above 0")


@dataclass(frozen=True)
class Mixture(Task):
    """Tasks with one vocabulary, in which each has a block of its own, and one stream of exposures.

    Examples are those of the parts in their order; shorter ones are padded on the right, where nothing sees it. Loss
    and accuracy are over the tokens that can be part of an answer to any of the tasks.

    Args:
        parts: two or more, with different names and without a special batch, which has no passes of its own here.
        total: exposures per pass. Each part gets its share of it, to one exposure; that is divided among its trained
            examples as its own exposures are, to one exposure, and is at least as much as one pass over the part.
        seed: added to that of every part.

    Raises:
        ValueError: a field is outside what is said above; the message names it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    parts: tuple[Part, ...]
    total: int
    seed: int = 0
    family: Literal["mixture"] = field(default="mixture", kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        names = [part.name for part in self.parts]
        if len(names) < 2:
            raise ValueError(f"parts: got {len(names)}; expected two or more")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"parts: two are called {twice!r}; expected different names")
        for part in self.parts:
            if part.task.special_passes:
                raise ValueError(
                    f"parts: {part.name!r} has a special batch, shown in its first {part.task.special_passes} passes;"
                    " expected parts of which all is shown in every pass of the mixture (special: 0, special_passes: 0)"
                )
        check_seed(self.seed)
        shares = np.array([part.share for part in self.parts])
        passes = np.array([task.exposures.sum() for task in self.tasks.values()])
        needed = int(np.ceil((passes / shares).max() * shares.sum()))
        if self.total < needed:
            scarcest = names[int(np.argmax(passes / shares))]
            raise ValueError(
                f"total: got {self.total}; expected at least {needed}, so that the share of {scarcest!r} shows each of"
                " its trained examples as often as it says"
            )

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The tasks of the parts, drawn with the mixture's seed, by name."""
        return {part.name: replace(part.task, seed=part.task.seed + self.seed) for part in self.parts}

    @cached_property
    def first_token(self) -> dict[str, int]:
        """Where each part's block of the vocabulary begins."""
        sizes = [task.d_vocab for task in self.tasks.values()]
        return dict(zip(self.tasks, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))

    @cached_property
    def examples(self) -> dict[str, slice]:
        """Which examples are those of each part."""
        ends = np.cumsum([0, *(len(task.tokens) for task in self.tasks.values())]).tolist()
        return {name: slice(first, end) for name, first, end in zip(self.tasks, ends, ends[1:], strict=False)}

    @property
    def d_vocab(self) -> int:
        return sum(task.d_vocab for task in self.tasks.values())

    @cached_property
    def answer_tokens(self) -> Int[np.ndarray, " answer"]:
        """Those of all parts."""
        return np.concatenate([task.answer_tokens + self.first_token[name] for name, task in self.tasks.items()])

    @cached_property
    def tokens(self) -> Int[np.ndarray, "example position"]:
        return self._joined({name: task.tokens + self.first_token[name] for name, task in self.tasks.items()}, PADDING)

    @cached_property
    def targets(self) -> Int[np.ndarray, "example position"]:
        moved = {
            name: np.where(task.targets == NOT_SCORED, NOT_SCORED, task.targets + self.first_token[name])
            for name, task in self.tasks.items()
        }
        return self._joined(moved, NOT_SCORED)

    def _joined(
        self, rows: dict[str, Int[np.ndarray, "example position"]], padding: int
    ) -> Int[np.ndarray, "example position"]:
        n_ctx = max(task.n_ctx for task in self.tasks.values())
        padded = [np.pad(of, ((0, 0), (0, n_ctx - of.shape[1])), constant_values=padding) for of in rows.values()]
        return np.concatenate(padded)

    @cached_property
    def exposures(self) -> Int[np.ndarray, " example"]:
        shares = np.array([part.share for part in self.parts])
        totals = allotted(shares, np.arange(len(shares)), self.total)
        of_parts = []
        for task, total in zip(self.tasks.values(), totals.tolist(), strict=True):
            shown = np.flatnonzero(task.exposures)
            exposures = np.zeros(len(task.exposures), dtype=np.int64)
            exposures[shown] = allotted(task.exposures[shown].astype(float), np.arange(len(shown)), total)
            of_parts.append(exposures)
        return np.concatenate(of_parts)

    @property
    def train_mask(self) -> Bool[np.ndarray, " example"]:
        return self.exposures > 0

    @cached_property
    def subsets(self) -> dict[str, Bool[np.ndarray, " example"]]:
        """Those of each part, as ``"<part>/<subset>"``, and ``train``, ``test`` and ``all`` of all parts together."""
        found: dict[str, Bool[np.ndarray, " example"]] = {}
        for name, task in self.tasks.items():
            for subset, mask in task.subsets.items():
                found[f"{name}/{subset}"] = np.zeros(len(self.tokens), dtype=bool)
                found[f"{name}/{subset}"][self.examples[name]] = mask
        tests = [mask for subset, mask in found.items() if subset.endswith("/test")]
        together = {"train": self.train_mask, "all": np.ones(len(self.tokens), dtype=bool)}
        if tests:
            together["test"] = np.any(tests, axis=0)
        return together | found
