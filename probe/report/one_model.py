"""What the page of one model is made from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from probe.report.data import ReportData
from probe.report.left_out import asked_for, no_meaning, why_none
from probe.report.rows import key_frequencies_of, key_irreps_of
from probe.report.sections import steps_and_seeds
from probe.report.wording import Wording, wording
from probe.tasks import Task


@dataclass(frozen=True)
class OneModel:
    """A model's part of a run.

    Attributes:
        name: of the model.
        rows: its rows of the results table; of those that are not finite only the performance is kept, which says when
            the model diverged.
        array: reads one of its arrays by name; None if it has none.
        source: what was evaluated, in words, for captions.
        task: what it was trained on; None where that is not known.
        asked: probes that were asked for.
    """

    name: str
    rows: pd.DataFrame
    array: Callable[[str], xr.DataArray | None]
    source: str
    task: Task | None = None
    asked: frozenset[str] = frozenset()

    @classmethod
    def of(cls, data: ReportData, name: str) -> "OneModel":
        rows = data.results[data.results["model"] == name]
        rows = rows[np.isfinite(rows["value"]) | (rows["probe"] == "performance")]
        return cls(
            name,
            rows,
            lambda array: data.arrays(name, array),
            f"Model {name}, {steps_and_seeds(rows)}.",
            data.questions.get(name),
            asked_for(data),
        )

    def has(self, probe: str, *metrics: str) -> bool:
        """Whether there are rows of a probe, of any of these metrics if some are given."""
        mine = self.rows["probe"] == probe
        return bool((mine & self.rows["metric"].isin(metrics)).any() if metrics else mine.any())

    def why_none(self, probes: str | Sequence[str], found: str = "found nothing") -> str:
        """Why there is nothing of a probe, or of any of several, in words."""
        return why_none([probes] if isinstance(probes, str) else probes, self.task, self.asked, found)

    @property
    def words(self) -> Wording:
        """How captions write the sum that its task is."""
        return wording(self.task)

    def means(self, probe: str) -> bool:
        """Whether what a probe measures has a meaning for the task, as far as it is known."""
        return not no_meaning(probe, self.task)

    def last(self, probe: str, metric: str) -> dict[str, float]:
        """A metric at its last step, by key."""
        rows = self.rows[(self.rows["probe"] == probe) & (self.rows["metric"] == metric)]
        rows = rows[rows["step"] == rows["step"].max()]
        return dict(zip(rows["key"].astype(str), rows["value"].astype(float), strict=True))

    def most_lines(self, *probes: str) -> int:
        """How many sites and keys the metrics of probes have, at most."""
        rows = self.rows[self.rows["probe"].isin(probes)].drop_duplicates(["probe", "metric", "site", "key"])
        return int(rows.groupby(["probe", "metric"]).size().max())

    @property
    def key_frequencies(self) -> list[int]:
        return key_frequencies_of(self.rows, self.name)

    @property
    def key_irreps(self) -> list[str]:
        return key_irreps_of(self.rows, self.name)
