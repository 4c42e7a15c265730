"""Panels of curves over training steps, which several figures share."""

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from probe.report.style import Mark, StepAxis, figure

PANELS_IN_A_ROW = 2
_MARKERS = 10


def grid(titles: list[str]) -> go.Figure:
    """A figure with a panel per title, two in a row."""
    columns = min(PANELS_IN_A_ROW, len(titles))
    rows = math.ceil(len(titles) / columns)
    return make_subplots(
        rows,
        columns,
        subplot_titles=titles,
        horizontal_spacing=0.11,
        vertical_spacing=62 / (235 * rows) if rows > 1 else 0,
        figure=figure(110 + 235 * rows),
    )


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


def legend(mark: Mark, name: str, group: str) -> go.Scatter:
    """What the legend shows of a mark."""
    line = {"color": mark.color, "dash": mark.dash, "width": 1.5}
    marker = {"symbol": mark.symbol, "size": 6, "color": mark.color}
    style = {"mode": "lines+markers", "line": line, "marker": marker, "legendgroup": group}
    return go.Scatter(x=[None], y=[None], name=name, hoverinfo="skip", **style)


def finish(
    plot: go.Figure, axis: StepAxis, panels: int, traces: list[go.Scatter], shapes: list[dict[str, object]]
) -> None:
    """Add traces and shapes at once, label the step axes of the lowest panels, set the panel titles flush left."""
    plot.add_traces(traces)
    plot.update_layout(shapes=shapes)
    plot.update_xaxes(axis.layout)
    for place, annotation in enumerate(plot.layout.annotations):
        x_axis = plot.layout[axis_id("xaxis", place)]
        annotation.update(x=x_axis.domain[0], xanchor="left")
        if place + PANELS_IN_A_ROW < panels:
            x_axis.title.text = ""
