"""What tasks have in common whose rule is another in each sequence, and is told by nothing but the examples in it."""

from abc import abstractmethod
from functools import cached_property

import numpy as np
from jaxtyping import Int

from probe.tasks.task import NOT_SCORED, Task


class InContext(Task):
    """A task that can be solved only by learning from the examples that a sequence shows.

    A sequence is ``x1 z1 x2 z2 .. xP``: after each x its z is to be predicted, by a rule that is the sequence's own.
    Where nothing was shown yet, nothing can be known, and the loss there is that of guessing; so the loss falls along
    the sequence, and by how much says how much is learned in context (Olsson et al. 2022, arXiv 2209.11895).
    """

    @property
    @abstractmethod
    def asked(self) -> Int[np.ndarray, "example place"]:
        """The x of each place, as a token."""

    @property
    @abstractmethod
    def told(self) -> Int[np.ndarray, "example place"]:
        """The z of each place, as a token."""

    @property
    @abstractmethod
    def shown(self) -> Int[np.ndarray, "example place"]:
        """How many examples that say something of the answer were shown before each place."""

    @abstractmethod
    def ceiling(self, shown: int) -> float:
        """Accuracy of an ideal learner after so many examples, on a new sequence: no model can do better on average."""

    @cached_property
    def tokens(self) -> Int[np.ndarray, "example position"]:
        return _interleaved(self.asked, self.told)

    @cached_property
    def targets(self) -> Int[np.ndarray, "example position"]:
        return _interleaved(self.told, np.full(self.told.shape, NOT_SCORED))

    def uninformed(self, seed: int = 0) -> Int[np.ndarray, "example position"]:
        """The same sequences with random answers in the place of those shown, which then say nothing: the control.

        What a model gets right of the same targets after these, it has not learned in context.
        """
        drawn = np.random.default_rng((seed, self.told.size))
        return _interleaved(self.asked, drawn.choice(self.answer_tokens, size=self.told.shape))

    def shuffled(self, seed: int = 0) -> Int[np.ndarray, "example position"]:
        """The same sequences, the answers shown in each dealt anew among its x: a control that keeps what can be known
        without knowing what belongs to what.

        Before the last place the same answers were shown, as often. A model that only counts them, which already makes
        the loss fall along the sequence, is as right there as it was; one that goes by the x is misled.
        """
        told = self.told.copy()
        told[:, :-1] = np.random.default_rng((seed, told.size, 1)).permuted(told[:, :-1], axis=1)
        return _interleaved(self.asked, told)


def _interleaved(
    first: Int[np.ndarray, "example place"], second: Int[np.ndarray, "example place"]
) -> Int[np.ndarray, "example position"]:
    """One of the first, one of the second, and so on, to the last of the first."""
    return np.stack([first, second], axis=2).reshape(len(first), -1)[:, :-1]
