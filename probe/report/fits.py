"""Logistic fits of curves over the curves, with the date and its interval."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.special import expit

from probe.report.panels import axis_id, finish, grid, value_axis
from probe.report.style import INK, MUTED, StepAxis, mark_of
from probe.scaling.measures import MEASURES, measure_curves

_POINTS = 200


def fit_figure(results: pd.DataFrame, fits: pd.DataFrame, model: str) -> go.Figure:
    """A panel per fitted measure of a model: evaluations, logistic in log(step + 1), date and its interval shaded.

    Args:
        results: tidy results table.
        fits: what ``probe.scaling.fits.fit_table`` returns; the rows of the model are drawn.
        model: its name in the table.

    Raises:
        ValueError: there is no fit of the model.
    """
    mine = fits[fits["model"] == model]
    if mine.empty:
        raise ValueError(f"model: no fit of {model!r} given, expected one of {', '.join(fits['model'].unique())}")
    curves = measure_curves(results[results["model"] == model])
    axis = StepAxis(np.unique(np.concatenate([curves[name].index for name in mine["measure"]])))
    layout = grid(list(mine["measure"]))
    traces, shapes = [], []
    measures = {measure.name: measure for measure in MEASURES}
    mark = mark_of(1)
    for place, (_, fit) in enumerate(mine.iterrows()):
        curve, where = curves[fit["measure"]], {"xaxis": axis_id("x", place), "yaxis": axis_id("y", place)}
        traces.append(
            go.Scatter(
                x=axis(curve.index.to_numpy()),
                y=curve.to_numpy(),
                customdata=curve.index.to_numpy(),
                mode="markers",
                marker={"symbol": "circle-open", "size": 5, "color": MUTED},
                name="evaluation",
                showlegend=place == 0,
                hovertemplate="step %{customdata:,}: %{y:.4g}<extra></extra>",
                **where,
            )
        )
        if np.isfinite(fit["date"]):
            positions = np.geomspace(float(axis([fit["first"]])[0]), axis.end, _POINTS)
            traces.append(
                go.Scatter(
                    x=positions,
                    y=logistic(fit, axis.steps_at(positions)),
                    mode="lines",
                    line={"color": mark.color, "width": 2},
                    name="logistic fit",
                    showlegend=place == 0,
                    hoverinfo="skip",
                    **where,
                )
            )
            low, high = (float(axis([fit[end]])[0]) for end in ("low", "high"))
            edge = {"xref": where["xaxis"], "yref": f"{where['yaxis']} domain", "y0": 0, "y1": 1}
            shaded = {"type": "rect", "x0": low, "x1": min(high, axis.end), "fillcolor": "#dfe3e8", "layer": "below"}
            date = float(axis([fit["date"]])[0])
            shapes.append({**edge, **shaded, "line": {"width": 0}})
            shapes.append({**edge, "type": "line", "x0": date, "x1": date, "line": {"color": INK, "dash": "dash"}})
        measure = measures[fit["measure"]]
        scale = "linear" if measure.log else "share"  # the fit is to the values, not to their logarithm
        layout[axis_id("yaxis", place)] |= value_axis(measure.unit, scale, curve)
    return finish(layout, axis, traces, shapes)


def logistic(fit: pd.Series, steps: np.ndarray) -> np.ndarray:
    """Values of a fit that has a date at these steps: from ``end``, where nine tenths of the way are covered."""
    center = np.log1p(fit["date"])
    width = (np.log1p(fit["end"]) - center) / np.log(9)
    covered = expit((np.log1p(steps) - center) / width)
    return np.asarray(fit["before"] + (fit["after"] - fit["before"]) * covered)
