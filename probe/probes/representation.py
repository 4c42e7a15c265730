"""How the embedding of the operands is laid out, and how like that of the model's last checkpoint it is."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import gcd
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int

from probe.measures import representation
from probe.probes.base import Observation, Probe, Row, check_argument
from probe.probes.fourier import keys_of
from probe.tasks import Task

SITE = "embed.W_E"


@dataclass(frozen=True)
class Representation(Probe):
    """Spread, dimension and geometry of the operands' embeddings, beside what shuffled tokens give.

    Effective rank, participation ratio, intrinsic dimension (TwoNN, with its interval); for operations that commute the
    share of parallelograms that close; where answers have frequencies, the share of nearest neighbours that are
    neighbours round the circle of each key frequency; linear CKA (debiased) with the embedding of the last checkpoint,
    and Procrustes distance from it. What does not exist, such as the CKA of fewer than 4 tokens, is left out.
    Rows ``*_null`` and ``*_null_high`` are the mean and the 97.5 % quantile over ``n_shuffles`` shufflings.
    """

    neighbours: int = 2
    n_shuffles: int = 40

    name: ClassVar[str] = "representation"
    needs: ClassVar[tuple[str, ...]] = ("key_frequencies",)

    def __post_init__(self) -> None:
        check_argument(self.neighbours >= 1, "neighbours", self.neighbours, "at least 1")
        check_argument(self.n_shuffles >= 40, "n_shuffles", self.n_shuffles, "at least 40, for quantiles")

    def needs_for(self, task: Task) -> tuple[str, ...]:
        """Neighbours alone need a circle to be neighbours on: the rest is measured where there are no frequencies."""
        return () if task.cyclic_form is None else self.needs

    def check(self, task: Task) -> None:
        form = task.cyclic_form
        if form is None and not np.array_equal(np.unique(task.tokens[:, 0]), task.answer_tokens):
            raise ValueError("the task's questions do not begin with the tokens that answer them, as operands do")
        if form is not None and self.neighbours >= form.order:
            raise ValueError(
                f"neighbours: got {self.neighbours} of {form.order} tokens; expected {form.order - 1} or fewer"
            )

    def measure(self, observation: Observation) -> Iterator[Row]:
        form = observation.task.cyclic_form
        tokens = torch.arange(observation.task.n_answers) if form is None else torch.as_tensor(form.a)
        embedding = observation.weights[SITE].double()[tokens]
        if not embedding.isfinite().all() or not (embedding != embedding[0]).any():
            return  # a model that diverged, or that starts from zeros
        yield Row("effective_rank", representation.effective_rank(embedding), SITE)
        yield Row("participation_ratio", representation.participation_ratio(embedding), SITE)
        with suppress(ValueError):  # of a lattice, as an exact circle is, all neighbours are equally far
            dimension = representation.two_nn(embedding)
            yield Row("intrinsic_dimension", dimension.value, SITE)
            yield Row("intrinsic_dimension_low", dimension.low, SITE)
            yield Row("intrinsic_dimension_high", dimension.high, SITE)
        sums = _table(observation.task, tokens.numpy())
        if sums is not None:
            yield from self._compared(
                "parallelogram_quality", "", embedding, lambda E: representation.parallelogram_quality(E, sums)
            )
        for k in keys_of(observation):
            if gcd(k, len(tokens)) == 1:
                distances = representation.cyclic_distances(len(tokens), k)
                yield from self._compared(
                    "neighbour_agreement",
                    str(k),
                    embedding,
                    lambda E, d=distances: representation.neighbour_agreement(E, d, self.neighbours),
                )
        checkpoint = observation.checkpoint
        last = checkpoint.model.weights(checkpoint.model.steps()[-1])[SITE].double()[tokens]
        if last.isfinite().all() and (last != last[0]).any():
            with suppress(ValueError):  # of fewer than 4 tokens, or tokens all equally far apart
                yield Row("cka_with_last", representation.debiased_cka(embedding, last), SITE)
            yield Row("procrustes_from_last", representation.procrustes_distance(embedding, last), SITE)

    def _compared(self, metric: str, key: str, embedding: torch.Tensor, measure: Callable) -> Iterator[Row]:
        found = representation.compared_with_null(measure, embedding, n_shuffles=self.n_shuffles)
        yield Row(metric, found.value, SITE, key)
        yield Row(f"{metric}_null", found.null_mean, SITE, key)
        yield Row(f"{metric}_null_high", found.null_high, SITE, key)


def _table(task: Task, tokens: Int[np.ndarray, " token"]) -> Int[np.ndarray, "token token"] | None:
    """The answers by operands, among these tokens; None where the operation does not commute or is not defined."""
    table = np.full((task.d_vocab, task.d_vocab), -1)
    table[task.tokens[:, 0], task.tokens[:, 1]] = task.answers
    table = table[np.ix_(tokens, tokens)]
    return table if (table >= 0).all() and (table == table.T).all() else None
