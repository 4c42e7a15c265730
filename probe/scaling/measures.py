"""The measures whose course is compared along training, and their curves in a results table."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from probe.scaling.transitions import keys_found

ACCURACIES = ("train accuracy", "test accuracy")
MEMORIZED = 0.99


@dataclass(frozen=True)
class Measure:
    """Where a results table holds a measure.

    Attributes:
        name: in words.
        unit: of its values.
        probe, metric, key: of its rows. A key of None: the mean over the model's key irreps.
        hindsight: whether it is measured with the key frequencies or irreps of the last step, so that it cannot
            foretell anything.
        log: whether it spans decades.
    """

    name: str
    unit: str
    probe: str
    metric: str
    key: str | None = ""
    hindsight: bool = False
    log: bool = False


MEASURES = (
    Measure("test accuracy", "share right", "performance", "accuracy", "test"),
    Measure("train accuracy", "share right", "performance", "accuracy", "train"),
    Measure("test loss", "nats", "performance", "loss", "test", log=True),
    Measure("train loss", "nats", "performance", "loss", "train", log=True),
    Measure("logit FVE", "share of variance", "fourier_progress", "logit_fve", hindsight=True),
    Measure("sum-FVE", "share of variance", "fourier_progress", "sum_fve"),
    Measure("restricted loss", "nats", "fourier_progress", "restricted_loss", "all", hindsight=True, log=True),
    Measure("excluded loss", "nats", "fourier_progress", "excluded_loss", "all keys", hindsight=True, log=True),
    Measure("logit FVE (irreps)", "share of variance", "irrep_progress", "logit_fve", hindsight=True),
    Measure("class-FVE", "share of variance", "irrep_progress", "class_fve"),
    Measure("restricted loss (irreps)", "nats", "irrep_progress", "restricted_loss", "all", hindsight=True, log=True),
    Measure("excluded loss (irreps)", "nats", "irrep_progress", "excluded_loss", "all keys", hindsight=True, log=True),
    Measure("logit cosine, mean of key irreps", "cosine", "irrep_progress", "logit_cosine", None, hindsight=True),
    Measure("sum of squared weights", "squared weight", "weights", "sum_of_squares", "all", log=True),
    Measure("Gini of the spectrum of W_E", "Gini coefficient", "embedding_spectrum", "gini"),
    Measure("single-frequency neurons", "share of neurons", "neuron_frequencies", "single_frequency_share"),
    Measure("single-irrep neurons", "share of neurons", "irrep_power", "single_irrep_share"),
    Measure("accuracy after an example", "share right", "in_context", "accuracy", "test/1"),
    Measure("ICL score", "nats", "in_context", "icl_score", "test"),
    Measure("gradient symmetricity", "cosine", "algorithm", "gradient_symmetricity"),
)


def measure_curves(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Finite values by step of every measure that the rows of one model hold, in the order of ``MEASURES``.

    Args:
        rows: of a tidy results table, of one model.
    """
    finite = rows[np.isfinite(rows["value"].to_numpy(dtype=float))]
    by_place = dict(tuple(finite.groupby(["probe", "metric"], sort=False)))
    keys = keys_found(finite, "key_irreps")
    found = {}
    for measure in MEASURES:
        mine = by_place.get((measure.probe, measure.metric))
        if mine is None:
            continue
        mine = mine[mine["key"].isin(keys) if measure.key is None else mine["key"] == measure.key]
        if len(mine):
            found[measure.name] = mine.groupby("step")["value"].mean().astype(float)
    return found


def share_of_way(curve: pd.Series, start: float) -> pd.Series:
    """A curve as the share of its way: 0 at the first step from ``start`` on, 1 in the mean of the last tenth.

    0 everywhere for a curve that has no way.
    """
    from probe.measures.transition.lead import way_of  # loads torch, which reading a table does not need

    rest = curve[curve.index >= start]
    way = float(way_of(rest.index.to_numpy(dtype=float), rest.to_numpy(dtype=float)))
    return (curve - rest.iloc[0]) / way if way else curve * 0.0


def first_reached(accuracy: pd.Series, threshold: float) -> float:
    """First step with an accuracy of at least ``threshold``; NaN if there is none."""
    reached = accuracy.index[accuracy >= threshold]
    return float(reached.min()) if len(reached) else np.nan
