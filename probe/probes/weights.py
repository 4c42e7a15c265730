"""Sums of squared weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from probe.measures.weights import sum_of_squares
from probe.probes.base import Observation, Row
from probe.tasks import Task


@dataclass(frozen=True)
class Weights:
    """Sum of squares of all parameters, and of each part of the model."""

    name: ClassVar[str] = "weights"
    version: ClassVar[int] = 1
    sites: ClassVar[tuple[str, ...]] = ()
    per: ClassVar[Literal["checkpoint", "model"]] = "checkpoint"
    needs: ClassVar[tuple[str, ...]] = ()

    def check(self, task: Task) -> None:
        """Any task will do."""

    def measure(self, observation: Observation) -> Iterator[Row]:
        for part, value in sum_of_squares(observation.weights).items():
            yield Row("sum_of_squares", value, "weights", part)
