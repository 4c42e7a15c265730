"""Which facts of two operands a model knows: a map of operand x operand, step by step."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from probe.report.frames import add_frames, slider_steps
from probe.report.style import figure
from probe.tasks.arithmetic import Arithmetic

STEPS = 12
KINDS = ("never shown, wrong", "never shown, right", "shown, wrong", "shown, answered as taught")
COLORS = ("#ffffff", "#F0C05A", "#9DB4C0", "#0B3C5D")
"""In the order of the kinds; in greyscale from light to dark, but for the rare second."""


def operand_map_figure(
    task: Arithmetic, exact: xr.DataArray, exposures: xr.DataArray, predicted: xr.DataArray
) -> go.Figure:
    """A cell per pair of operands: whether it was shown by then, and whether it is answered; with a slider over steps.

    Hover shows the fact as it was taught, how often it had been shown and the model's answer.

    Args:
        task: whose facts they are.
        exact, exposures: what the probe ``recall`` stored, [step, example].
        predicted: [step, example, token].
    """
    n = len(task.numbers)
    facts = np.array([f"{a} {task.sign} {b} = {c}" for (a, b), c in zip(task.facts, task.taught, strict=True)])
    frames: dict[int, list[dict[str, object]]] = {}
    for step in slider_steps([int(step) for step in exact["step"].values], STEPS):
        right, shown = (array.sel(step=step).values for array in (exact, exposures))
        kind = 2 * (shown > 0) + right
        said = task.said(predicted.sel(step=step).values)
        cells = np.stack([facts, shown.astype(str), said], axis=1).reshape(n, n, 3)
        frames[step] = [{"z": kind.reshape(n, n).astype(np.int8), "customdata": cells}]
    edges = np.linspace(0, 1, len(KINDS) + 1)
    scale = [[edge, color] for i, color in enumerate(COLORS) for edge in edges[i : i + 2]]
    labels = [str(number) for number in task.numbers]
    trace = go.Heatmap(
        x=task.numbers if _even(task) else labels,
        y=task.numbers if _even(task) else labels,
        **frames[max(frames)][0],
        zmin=-0.5,
        zmax=len(KINDS) - 0.5,
        colorscale=scale,
        showscale=False,
        xgap=0.3,
        ygap=0.3,
        hovertemplate=(
            "%{customdata[0]}<br>shown %{customdata[1]} times<br>the model says %{customdata[2]}<extra></extra>"
        ),
    )
    marks = [
        go.Scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"symbol": "square", "size": 12, "color": color, "line": {"width": 1, "color": "#8a939c"}},
            name=name,
            hoverinfo="skip",
        )
        for name, color in zip(KINDS, COLORS, strict=True)
    ]
    plot = figure(
        640,
        [trace],
        xaxis={"title": {"text": "second operand b"}, "constrain": "domain", "showgrid": False},
        yaxis={"title": {"text": "first operand a"}, "scaleanchor": "x", "constrain": "domain", "showgrid": False},
        margin={"t": 70, "l": 62, "r": 16, "b": 52},
        meta={"square": True},
    )
    add_frames(plot, frames)
    plot.add_traces(marks)
    return plot


def _even(task: Arithmetic) -> bool:
    """Whether the operands are evenly spaced, so that an axis of numbers has no gaps."""
    return len(set(np.diff(task.numbers).tolist())) <= 1
