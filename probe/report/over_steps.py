"""Curves of one model over training steps, a panel per measure, a line per key: frequency, irrep, head, site.

A measure may come with an interval (rows of the metrics ``<metric>_low`` and ``<metric>_high``), drawn as a band, and
with the 97.5 % quantile of a null (``<metric>_null_high``), drawn as a thin dotted line.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.meanings import Scale, meaning_of
from probe.report.panels import axis_id, band, finish, grid, legend, line, phase_legend, shades, value_axis
from probe.report.rows import key_frequencies_of, rows_of
from probe.report.style import INK, Mark, StepAxis, marks_of
from probe.scaling.transitions import transitions

MAX_LINES = 7
COMPANIONS = ("_low", "_high", "_null", "_null_high")
BY_FREQUENCY = ("representation", "fourier_probe")

_ALONE = Mark(INK, "solid", "circle")
_NULL = "shuffled (97.5 % quantile)"


@dataclass(frozen=True)
class Curves:
    """A panel of curves.

    Attributes:
        title: of the panel.
        unit: of its vertical axis.
        lines: by name, a table with columns step and value; with low and high if there is an interval, and null if
            there is one. The name "" is for a line that needs none.
        scale: ``"share"`` (0 to 1), ``"log"`` or ``"linear"``.
    """

    title: str
    unit: str
    lines: Mapping[str, pd.DataFrame]
    scale: Scale = "linear"


def measures_figure(results: pd.DataFrame, model: str, measures: Sequence[tuple[str, str]]) -> go.Figure:
    """Any measures of a model over steps, a panel for each, a line per site and key, at most seven.

    Args:
        results: tidy results table.
        model: its name in the table.
        measures: probe and metric of each panel.

    Raises:
        ValueError: the table holds no row of one of them.
    """
    keys = [f"k={k}" for k in key_frequencies_of(results, model)]
    panels = []
    for probe, metric in measures:
        rows = rows_of(results, model, probe, metric, *(f"{metric}{end}" for end in COMPANIONS))
        prefix = "k=" if probe in BY_FREQUENCY else ""
        found = meaning_of(probe, metric)
        panels.append(Curves(found.title, found.unit, by_key(rows, metric, prefix), found.scale))
    return draw_curves(panels, results, model, keys)


def by_key(rows: pd.DataFrame, metric: str, prefix: str = "") -> dict[str, pd.DataFrame]:
    """The lines of a metric by their site (if there are several) and key, named by them.

    Args:
        rows: of one model and probe, finite; those of the metric and its companions are used.
        metric: what is drawn.
        prefix: put before a key in the name of its line.
    """
    place = ["site", "key", "step"]
    mine = rows.loc[rows["metric"] == metric, [*place, "value"]].sort_values("step", kind="stable")
    for column, end in (("low", "_low"), ("high", "_high"), ("null", "_null_high")):
        companion = rows.loc[rows["metric"] == f"{metric}{end}", [*place, "value"]]
        if len(companion):
            mine = mine.merge(companion.rename(columns={"value": column}), on=place, how="left")
    several, lines = mine["site"].nunique() > 1, {}
    for (site, key), curve in mine.groupby(["site", "key"], sort=False):
        parts = [_short(str(site))] * several + [f"{prefix}{key}"] * bool(key)
        lines[" · ".join(parts)] = curve
    return lines


def strongest(groups: Sequence[Mapping[str, pd.DataFrame]], first: Sequence[str], count: int) -> list[str]:
    """At most ``count`` names of lines: of those that come first, then of the others, those with the largest values."""
    largest: dict[str, float] = {}
    for lines in groups:
        for name, curve in lines.items():
            largest[name] = max(largest.get(name, 0.0), float(curve["value"].abs().max()))
    return sorted(largest, key=lambda name: (name not in first, -largest[name]))[:count]


def draw_curves(panels: Sequence[Curves], results: pd.DataFrame, model: str, order: Sequence[str] = ()) -> go.Figure:
    """Panels of curves on one axis of steps, shaded by the phases of the model where accuracy was measured.

    Panels of more than seven lines keep the same seven: those in ``order``, then those with the largest values.

    Args:
        panels: what is drawn, two in a row.
        results: tidy results table, for the phases.
        model: its name in the table.
        order: names of lines that always have the same look, whatever else is drawn.
    """
    kept = strongest([panel.lines for panel in panels if len(panel.lines) > MAX_LINES], order, MAX_LINES)
    panels = [panel if len(panel.lines) <= MAX_LINES else _only(panel, kept, order) for panel in panels]
    curves = [curve for panel in panels for curve in panel.lines.values()]
    axis = StepAxis(np.unique(np.concatenate([curve["step"] for curve in curves])))
    drawn = list(dict.fromkeys(name for panel in panels for name in panel.lines if name))
    marks = marks_of([*order, *drawn])
    layout = grid([panel.title for panel in panels])
    dates = phases_of(results, model)
    traces, shapes = [], []
    for place, panel in enumerate(panels):
        log = panel.scale == "log"
        for name, curve in panel.lines.items():
            mark, group = marks.get(name, _ALONE), name or panel.title
            if {"low", "high"} <= set(curve):
                traces.append(band(place, axis, curve.dropna(subset=["low", "high"]), mark, group))
            traces.append(line(place, axis, curve, mark, f"{panel.title}, {name}" if name else panel.title, group, log))
            if "null" in curve:
                null = line(place, axis, curve.assign(value=curve["null"]), mark, f"{group}, {_NULL}", group, log)
                traces.append(null.update(mode="lines", line={"width": 1, "dash": "dot"}))
        if dates is not None:
            shapes += shades(place, axis, *dates)
        values = pd.concat([curve[name] for curve in panel.lines.values() for name in _drawn_columns(curve)])
        layout[axis_id("yaxis", place)] |= value_axis(panel.unit, panel.scale, values)
    traces += [legend(marks[name], name, name) for name in marks if name in drawn]
    if any("null" in curve for curve in curves):
        style = {"mode": "lines", "line": {"width": 1, "dash": "dot", "color": INK}, "hoverinfo": "skip"}
        traces.append(go.Scatter(x=[None], y=[None], name=_NULL, **style))
    named = dates is not None and len(panels) > 1  # a panel alone may be too narrow for it
    return finish(layout, axis, traces + (phase_legend() if named else []), shapes)


def _only(panel: Curves, kept: Sequence[str], order: Sequence[str]) -> Curves:
    """A panel with only those lines; with its own strongest where it has none of them."""
    names = set(kept) & set(panel.lines) or set(strongest([panel.lines], order, MAX_LINES))
    return replace(panel, lines={name: curve for name, curve in panel.lines.items() if name in names})


def phases_of(results: pd.DataFrame, model: str) -> tuple[float, float] | None:
    """When the model memorized and generalized, not finite where it did not; None if that was not followed."""
    rows = results[(results["model"] == model) & (results["probe"] == "performance")]
    if rows["step"].nunique() < 2:
        return None
    found = transitions(rows).iloc[0]
    return (found["memorized_step"], found["generalized_step"]) if found["train_measured"] else None


def _drawn_columns(curve: pd.DataFrame) -> list[str]:
    return [name for name in ("value", "low", "high", "null") if name in curve]


def _short(site: str) -> str:
    """A hook name in a legend: ``blocks.0.hook_resid_post`` -> ``L0 resid_post``."""
    return re.sub(r"^blocks\.(\d+)\.(?:\w+\.)*?hook_", r"L\1 ", site)
