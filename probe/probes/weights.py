"""Sums of squared weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from probe.measures.weights import sum_of_squares
from probe.probes.base import Observation, Probe, Row


@dataclass(frozen=True)
class Weights(Probe):
    """Sum of squares of all parameters, and of each part of the model."""

    name: ClassVar[str] = "weights"

    def measure(self, observation: Observation) -> Iterator[Row]:
        for part, value in sum_of_squares(observation.weights).items():
            yield Row("sum_of_squares", value, "weights", part)
