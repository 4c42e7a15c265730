"""What is known of facts by how often they were shown, by size and step, and how much of that is difficulty."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from probe.scaling.operands import operand_accuracies, operand_contrasts
from probe.tasks import Biographies, Facts, Task
from probe.tasks.arithmetic import Addition, Arithmetic, Multiplication, Subtraction

if TYPE_CHECKING:
    from probe.measures.memorization import ByExposure

Arrays = Callable[[str, str], "xr.DataArray | None"]
HALF = 0.5


@dataclass(frozen=True)
class FactTable:
    """Every fact of a model at every step.

    Attributes:
        model, size, n_params: whose they are.
        task: what it was asked.
        exact: whether each is answered, [step, example].
        exposures: how often each had been shown, [step, example].
        log_prob: of the whole answer, nats, [step, example]; None where it was not stored.
    """

    model: str
    size: str
    n_params: int
    task: Task
    exact: xr.DataArray
    exposures: xr.DataArray
    log_prob: xr.DataArray | None = None

    @property
    def shown(self) -> np.ndarray:
        """Which are compared by frequency: those trained on; of biographies without the questions, another kind."""
        return self.task.subsets.get("recited", self.task.train_mask)

    @property
    def unseen(self) -> np.ndarray:
        """The control: those of the same kind of which nothing was ever shown, in no phrasing."""
        subsets = self.task.subsets
        return subsets.get("test_biographies", subsets.get("test", np.zeros_like(self.shown)))

    def half_known(self) -> int:
        """The first step at which half of the facts shown are answered, where frequency shows most; else the last."""
        known = self.exact.values[:, self.shown].mean(1)
        at = np.flatnonzero(known >= HALF)
        return int(self.exact["step"].values[at[0] if len(at) else -1])


def fact_tables(curves: pd.DataFrame, arrays: Arrays, tasks: Mapping[str, Task]) -> list[FactTable]:
    """The facts of every model that the probe ``recall`` stored, smallest models first.

    Args:
        curves: what ``probe.scaling.memorization.memorization_curves`` returns.
        arrays: reads a stored array by model and name; None if there is none.
        tasks: what each model was asked.
    """
    found = []
    for row in curves.drop_duplicates("model").to_dict("records"):
        model = str(row["model"])
        exact, exposures, log_prob = (arrays(model, f"recall_{name}") for name in ("exact", "exposures", "log_prob"))
        if exact is not None and exposures is not None and model in tasks:
            size, n_params = str(row["size"]), int(row["n_params"])
            found.append(FactTable(model, size, n_params, tasks[model], exact, exposures, log_prob))
    return found


def by_exposure(tables: list[FactTable], step: int) -> "ByExposure":
    """Share answered in bins of exposures at a step, the facts of several models of one size together.

    Facts that were shown, and the control; those known from another phrasing only are neither.
    """
    from probe.measures.memorization import accuracy_by_exposure

    return accuracy_by_exposure(*_at_step(tables, step, lambda table: table.exact))


def log_prob_by_exposure(tables: list[FactTable], step: int) -> "ByExposure":
    """Mean log-probability of the answers, in nats, in the bins of ``by_exposure``: it moves before answers are right.

    Args:
        tables: of models of one size, with log-probabilities.
        step: at which.
    """
    from probe.measures.memorization import score_by_exposure

    return score_by_exposure(*_at_step(tables, step, lambda table: table.log_prob))


def _at_step(
    tables: list[FactTable], step: int, of: Callable[[FactTable], xr.DataArray | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Exposures of the facts shown and of the control at a step, and what is known of them, of all tables together."""
    exposures, known = [], []
    for table in tables:
        values = of(table)
        if values is not None and step in values["step"].values:
            chosen = table.shown | table.unseen
            exposures.append(table.exposures.sel(step=step).values[chosen])
            known.append(values.sel(step=step).values[chosen])
    return np.concatenate(exposures), np.concatenate(known)


def frequency_effects(tables: list[FactTable]) -> pd.DataFrame:
    """The effect of frequency in every model at the step at which it knew half of the facts shown (else its last).

    Columns: ``model``, ``size``, ``n_params``, ``step``; of the facts that were shown, each with its interval ``_low``
    and ``_high``: ``gap`` (accuracy of the most frequent tenth of the facts minus that of the least), ``rho``
    (Spearman, of exposures and being right), ``slope`` (log odds per doubling of exposures) and ``adjusted`` (the same
    at equal difficulty: beside operand size, carries, round numbers; of arithmetic only). NaN where the data do not
    say.

    Args:
        tables: of models whose facts are not all shown equally often; others are left out.
    """
    rows = []
    for table in tables:
        step, shown = table.half_known(), table.shown
        exposures = table.exposures.sel(step=step).values[shown].astype(float)
        # within a pass facts that are equally frequent may differ by what it has not shown yet
        if len(np.unique(table.task.exposures[shown])) > 1 and len(np.unique(exposures)) > 1:
            row = {"model": table.model, "size": table.size, "n_params": table.n_params, "step": step}
            rows.append(row | _effects(table, exposures, table.exact.sel(step=step).values[shown]))
    names = [f"{name}{end}" for name in ("gap", "rho", "slope", "adjusted") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["model", "size", "n_params", "step", *names])


def _effects(table: FactTable, exposures: np.ndarray, right: np.ndarray) -> dict[str, float]:
    from probe.measures.memorization import (
        arithmetic_features,
        fit_equal_difficulty,
        fit_exposure_logistic,
        frequency_gap,
        rank_correlation,
    )

    task, clusters = table.task, _clusters(table.task)
    clusters = None if clusters is None else clusters[table.shown]
    measures = {
        "gap": lambda: frequency_gap(exposures, right, clusters=clusters).gap,
        "rho": lambda: rank_correlation(exposures, right, clusters=clusters),
        "slope": lambda: fit_exposure_logistic(exposures, right, clusters=clusters).slope,
    }
    if isinstance(task, Multiplication | Addition | Subtraction) and clusters is not None:
        features = arithmetic_features(clusters, task.family)
        measures["adjusted"] = lambda: fit_equal_difficulty(exposures, right, features, clusters=clusters).adjusted
    found: dict[str, float] = {}
    for name, measure in measures.items():
        with suppress(ValueError):  # all right or all wrong, or too many frequencies tied: the data do not say
            estimate = measure()
            found |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return found


def _clusters(task: Task) -> np.ndarray | None:
    """What makes examples depend on each other: common operands, or being of one fact or person; None if nothing."""
    match task:
        case Arithmetic():
            return task.facts
        case Facts():
            return task.fact
        case Biographies():
            return task.person
        case _:
            return None


def operand_pairs(tables: list[FactTable], first: int, second: int) -> pd.DataFrame:
    """Two operands side by side at every step of every model, each with the same second operands.

    What ``probe.scaling.operands.operand_contrasts`` returns; empty if no model was shown both.
    """
    found = []
    for table in tables:
        if isinstance(table.task, Arithmetic):
            with suppress(ValueError):
                rows = operand_accuracies(
                    table.task, table.exact, table.model, table.n_params, operands=(first, second)
                )
                found.append(operand_contrasts(rows, first, second))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()
