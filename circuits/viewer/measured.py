"""Curves of one model over its steps, and the dates read off them: few, those that tell how a circuit formed."""

import pandas as pd

from circuits.formation import PROBE
from circuits.viewer.messages import Curve, Curves, Number
from circuits.viewer.opened import Seen
from probe.scaling.measures import MEASURES, measure_curves
from probe.scaling.transitions import transitions

GROUPS = {"share right": "accuracy", "nats": "loss", "share of variance": "variance"}
"""By unit, what curves that share an axis are called; others are called as their unit is."""
FORMED = {
    "faithfulness of the final circuit": ("faithfulness", "final"),
    "faithfulness of the circuit found here": ("faithfulness", "own"),
    "faithfulness of random circuits": ("faithfulness", "random"),
    "edges shared with the final circuit": ("jaccard", ""),
}
"""Metric and key of what is told of the circuit, by name. All are shares, and in the group ``circuit``."""


def curves_of(seen: Seen, model: str) -> Curves:
    """
    Raises:
        ValueError: there is no such model; the message names the nearest.
    """
    rows = seen.rows(model)
    found = [*_measures(rows), *_overall(rows), *_of_circuit(rows[rows["probe"] == PROBE])]
    return Curves(model=model, curves=found, dates=_dates(seen, model, rows))


def _measures(rows: pd.DataFrame) -> list[Curve]:
    units = {measure.name: measure.unit for measure in MEASURES}
    return [
        _curve(name, GROUPS.get(units[name], units[name]), units[name], values)
        for name, values in measure_curves(rows).items()
    ]


def _overall(rows: pd.DataFrame) -> list[Curve]:
    """Accuracy and loss on all questions, of models of which nothing says what they were trained on."""
    mine = rows[rows["probe"] == "performance"]
    if mine["key"].isin(["train", "test"]).any():
        return []
    named = {"accuracy": ("accuracy", "share right"), "loss": ("loss", "nats")}
    found = []
    for metric, (group, unit) in named.items():
        values = _by_step(mine[(mine["metric"] == metric) & (mine["key"] == "all")])
        found += [_curve(metric, group, unit, values)] if len(values) else []
    return found


def _of_circuit(rows: pd.DataFrame) -> list[Curve]:
    found = []
    for name, (metric, key) in FORMED.items():
        ends = [
            _by_step(rows[(rows["metric"] == f"{metric}{end}") & (rows["key"] == key)]) for end in ("", "_low", "_high")
        ]
        if len(ends[0]):
            found.append(_curve(name, "circuit", "share", *(end for end in ends if len(end))))
    return found


def _by_step(rows: pd.DataFrame) -> pd.Series:
    return rows.set_index("step")["value"].sort_index()


def _curve(
    name: str, group: str, unit: str, values: pd.Series, low: pd.Series | None = None, high: pd.Series | None = None
) -> Curve:
    ends = [None if end is None else end.reindex(values.index).tolist() for end in (low, high)]
    steps = [int(step) for step in values.index]
    return Curve(name=name, group=group, unit=unit, step=steps, value=values.tolist(), low=ends[0], high=ends[1])


def _dates(seen: Seen, model: str, rows: pd.DataFrame) -> dict[str, Number]:
    """Steps by what happened there; nan if it did not within the steps there are. What was not measured is left out."""
    if rows.empty:
        return {}
    told = transitions(rows).iloc[0]
    dates: dict[str, Number] = {
        name: float(told[f"{name}_step"])
        for name, measured in (("memorized", "train_measured"), ("generalized", "test_measured"))
        if told[measured]
    }
    if seen.formation is not None:
        formed = seen.formation.models.set_index("model")["faithful_step"]
        dates |= {"circuit faithful": float(formed[model])} if model in formed.index else {}
    return dates
