"""Panels of curves over training steps, which several figures share.

A figure's layout is a plain dict until ``finish`` makes the figure: plotly checks it once, which is most of the time
that a figure takes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb

from probe.report.style import INK, MAX_MARKS, PHASES, Mark, StepAxis, figure

PANELS_IN_A_ROW = 2
_MARKERS = 10
_DECADES_FOR_LOG = 1.5
_NARROW, _LEGEND_ROW = 640, 22  # pixels: the legend is laid out for a narrow window; what a row of it takes
_LEAST_IN_FULL = 1e-2  # values below are written with exponents, not with the prefixes of units


def grid(titles: Sequence[str]) -> dict[str, Any]:
    """Layout of a figure with a panel per title, two in a row."""
    rows = math.ceil(len(titles) / PANELS_IN_A_ROW)
    layout = placed(titles, PANELS_IN_A_ROW, 0.11, 62 / (235 * rows) if rows > 1 else 0.0)
    return layout | {"height": 110 + 235 * rows}


def placed(titles: Sequence[str], columns: int, gap: float, gap_below: float) -> dict[str, Any]:
    """Axes and titles, flush left, of a panel per title, at most ``columns`` in a row.

    Args:
        titles: of the panels, along rows.
        columns: of panels.
        gap, gap_below: between columns and between rows, as shares of the whole.
    """
    columns = min(columns, len(titles))
    rows = math.ceil(len(titles) / columns)
    width, height = (1 - gap * (columns - 1)) / columns, (1 - gap_below * (rows - 1)) / rows
    layout: dict[str, Any] = {"annotations": []}
    for place, title in enumerate(titles):
        row, column = divmod(place, columns)
        left, top = column * (width + gap), 1 - row * (height + gap_below)
        x, y = axis_id("x", place), axis_id("y", place)
        layout[axis_id("xaxis", place)] = {"anchor": y, "domain": [left, min(left + width, 1.0)]}
        layout[axis_id("yaxis", place)] = {"anchor": x, "domain": [max(top - height, 0.0), top]}
        at = {"x": left, "y": top, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
        layout["annotations"].append({**at, "text": title, "showarrow": False, "font": {"size": 16}})
    return layout


def axis_id(letter: str, place: int) -> str:
    """plotly's name of an axis of the panel at this place, counted along rows: x, x2, x3, ..."""
    return f"{letter}{place + 1}" if place else letter


def line(place: int, axis: StepAxis, curve: pd.DataFrame, mark: Mark, name: str, group: str, log: bool) -> go.Scatter:
    """A curve with columns step and value in the panel at a place; what a logarithmic axis cannot show is left out."""
    steps, values = curve["step"].to_numpy(), curve["value"].to_numpy(dtype=float)
    values = np.where(np.isfinite(values) & ((values > 0) | (not log)), values, np.nan)
    size = np.where(axis.spread(steps, _MARKERS), 6, 0).astype(np.int8)
    return go.Scatter(
        x=axis(steps).astype(np.float32),
        y=values.astype(np.float32),
        customdata=steps.astype(np.int32),
        xaxis=axis_id("x", place),
        yaxis=axis_id("y", place),
        mode="lines+markers",
        line={"color": mark.color, "dash": mark.dash, "width": 1.5},
        marker={"symbol": mark.symbol, "size": size, "color": mark.color, "opacity": 1, "line": {"width": 0}},
        opacity=0.85,
        name=name,
        legendgroup=group,
        showlegend=False,
        hovertemplate=f"{name}<br>step %{{customdata}}: %{{y:.4g}}<extra></extra>",
    )


def model_lines(place: int, axis: StepAxis, curves: pd.DataFrame, marks: Mapping[str, Mark]) -> list[go.Scatter]:
    """A line for every model in the panel at a place, each with its band where the table has ends.

    Args:
        place, axis: as of ``line``.
        curves: columns model, name (by which ``marks`` and the legend know it), step, value; perhaps low and high.
        marks: by name.
    """
    traces = []
    for (model, name), curve in curves.groupby(["model", "name"], sort=False):
        if "low" in curve:
            traces.append(band(place, axis, curve, marks[str(name)], str(name)))
        traces.append(line(place, axis, curve, marks[str(name)], str(model), str(name), log=False))
    return traces


def band(place: int, axis: StepAxis, curve: pd.DataFrame, mark: Mark, group: str) -> go.Scatter:
    """An interval around a curve, from its columns low and high."""
    steps = axis(curve["step"].to_numpy())
    red, green, blue = hex_to_rgb(mark.color)
    return go.Scatter(
        x=np.concatenate([steps, steps[::-1]]),
        y=np.concatenate([curve["low"], curve["high"][::-1]]),
        xaxis=axis_id("x", place),
        yaxis=axis_id("y", place),
        mode="none",
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.15)",
        legendgroup=group,
        showlegend=False,
        hoverinfo="skip",
    )


def legend(mark: Mark, name: str, group: str) -> go.Scatter:
    """What the legend shows of a mark."""
    line = {"color": mark.color, "dash": mark.dash, "width": 1.5}
    marker = {"symbol": mark.symbol, "size": 6, "color": mark.color}
    style = {"mode": "lines+markers", "line": line, "marker": marker, "legendgroup": group}
    return go.Scatter(x=[None], y=[None], name=name, hoverinfo="skip", **style)


def legends(marks: Mapping[str, Mark]) -> list[go.Scatter]:
    """What the legend shows of marks by name; of more than a legend takes, the first and the last."""
    named = list(marks.items())
    shown = named if len(named) <= MAX_MARKS else [named[0], named[-1]]
    return [legend(mark, name, name) for name, mark in shown]


def finish(
    layout: dict[str, Any], axis: StepAxis, traces: Sequence[go.Scatter], shapes: Sequence[dict[str, object]] = ()
) -> go.Figure:
    """The figure of a grid's layout: with step axes, labelled in the lowest panels, with traces and with shapes."""
    panels = sum(name.startswith("xaxis") for name in layout)
    for place in range(panels):
        lowest = place + PANELS_IN_A_ROW >= panels
        layout[axis_id("xaxis", place)] |= axis.layout if lowest else axis.layout | {"title": {"text": ""}}
    more = _LEGEND_ROW * (_legend_rows(traces) - 1)
    if more:
        layout |= {"height": layout["height"] + more, "margin": {"t": 64 + more}}
    return figure(traces=traces, shapes=shapes, **layout)


def _legend_rows(traces: Sequence[go.Scatter]) -> int:
    """Rows that the legend takes in a narrow window; of more than one, all entries are as wide as the widest."""
    widths = [48 + 6.5 * len(trace.name) for trace in traces if trace.name and trace.showlegend is not False]
    if sum(widths) <= _NARROW:
        return 1
    return math.ceil(len(widths) / max(1, int(_NARROW / max(widths))))


def shades(place: int, axis: StepAxis, memorized: float, generalized: float) -> list[dict[str, object]]:
    """The background of a panel by phase: up to the step of memorization, of generalization, and after it.

    A step that was not reached is not finite: the phase before it runs to the edge.
    """
    learned = float(axis([generalized])[0]) if np.isfinite(generalized) else axis.end
    plateau = min(float(axis([memorized])[0]), learned) if np.isfinite(memorized) else learned
    edges = (axis.start, plateau, learned, axis.end)
    spans = zip(PHASES.values(), edges[:-1], edges[1:], strict=True)
    where = {"type": "rect", "xref": axis_id("x", place), "yref": f"{axis_id('y', place)} domain", "y0": 0, "y1": 1}
    look = {"layer": "below", "line": {"width": 0}}
    return [{**where, **look, "x0": x0, "x1": x1, "fillcolor": color} for color, x0, x1 in spans if x1 > x0]


def phase_legend() -> list[go.Scatter]:
    """What the legend shows of the background."""
    style = {"symbol": "square", "size": 12, "line": {"width": 1, "color": "#8a939c"}}
    return [
        go.Scatter(x=[None], y=[None], mode="markers", marker={"color": color, **style}, name=phase, hoverinfo="skip")
        for phase, color in PHASES.items()
    ]


def marks_beside(keys: Sequence[int], height: float, place: int = 0) -> list[dict[str, object]]:
    """Annotations that mark places on the y axis at the right of a panel; neighbours' numbers do not overlap.

    Args:
        keys: the places, ascending.
        height: of a number, in units of the axis.
        place: of the panel.
    """
    found: list[dict[str, object]] = []
    previous, shift = -math.inf, 0
    for key in keys:
        shift = 26 - shift if key - previous < height else 0
        previous = key
        at = {"x": 1, "xref": f"{axis_id('x', place)} domain", "y": key, "yref": axis_id("y", place)}
        found.append({**at, "xanchor": "left", "xshift": 2 + shift, "text": f"◂{key}", "showarrow": False})
        found[-1] |= {"font": {"size": 12, "color": INK}}
    return found


def marks_above(keys: Sequence[int], width: float) -> list[dict[str, object]]:
    """Annotations that mark places on the x axis above the uppermost panel; neighbours' numbers do not overlap.

    Args:
        keys: the places, ascending.
        width: of a number, in units of the axis.
    """
    found: list[dict[str, object]] = []
    previous, raised = -math.inf, False
    for key in keys:
        raised = key - previous < width and not raised
        previous = key
        text = f"{key}<br>{'&nbsp;<br>' if raised else ''}▾"
        where = {"x": key, "xref": "x", "y": 1, "yref": "y domain", "yanchor": "bottom"}
        found.append({**where, "text": text, "showarrow": False, "font": {"size": 11, "color": INK}})
    return found


def value_axis(label: str, scale: str, values: pd.Series) -> dict[str, Any]:
    """Layout of the vertical axis of a panel that shows these values.

    Scale ``"log"``: logarithmic where the values span decades; ``"share"``: from 0 to 1 where they lie there;
    ``"linear"``: whatever they need, 0 included.
    """
    layout: dict[str, Any] = {"title": {"text": label}}
    if 0 < np.nanmax(np.abs(values.to_numpy(dtype=float)), initial=0.0) < _LEAST_IN_FULL:
        layout["exponentformat"] = "e"
    if scale == "log":
        decades = _decades(values)
        if decades >= _DECADES_FOR_LOG:
            low, high = np.log10(_positive(values).min()), np.log10(_positive(values).max())
            layout |= {"type": "log", "exponentformat": "e", "dtick": max(1, math.ceil(decades / 6))}
            layout["range"] = [low - 0.04 * decades, high + 0.04 * decades]  # one range, so that panels compare
            layout["title"] = {"text": f"{label} (log)"}
        else:
            layout |= {"rangemode": "tozero"}
    elif scale == "share" and values.min() >= -0.05 and values.max() <= 1.05:
        layout |= {"range": [-0.03, 1.04], "dtick": 0.25}
    else:
        layout |= {"rangemode": "tozero"}
    return layout


def _decades(values: pd.Series) -> float:
    """How many powers of ten the positive values span."""
    positive = _positive(values)
    return math.log10(positive.max() / positive.min()) if len(positive) else 0.0


def _positive(values: pd.Series) -> pd.Series:
    return values[np.isfinite(values) & (values > 0)]
