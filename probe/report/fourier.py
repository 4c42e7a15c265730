"""Pictures of the Fourier structure that a model builds: spectra of its weights, and the circles of its embedding."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from probe.report.frames import add_frames, slider_steps
from probe.report.over_steps import Curves, by_key, draw_curves
from probe.report.panels import axis_id, marks_beside, placed
from probe.report.rows import key_frequencies_of, rows_of
from probe.report.style import INK, SEQUENTIAL, StepAxis, figure

MAX_FREQUENCIES, CIRCLES_IN_A_ROW = 6, 3
_LABELLED_TOKENS = 12


def spectrum_figure(
    results: pd.DataFrame, model: str, probe: str = "embedding_spectrum", order: str = "tokens"
) -> go.Figure:
    """Power of every frequency of a weight over steps, as a heat map, with the model's key frequencies marked.

    Args:
        results: tidy results table; the rows ``power_share`` of the probe are drawn, as shares of all power, constant
            (frequency 0) left out.
        model: its name in the table.
        probe: ``embedding_spectrum`` or ``neuron_logit_spectrum``.
        order: what cycles are counted over, in words.

    Raises:
        ValueError: the table holds no such spectrum of this model.
    """
    power, keys = rows_of(results, model, probe, "power_share"), key_frequencies_of(results, model)
    table = power.assign(frequency=power["key"].astype(int)).pivot(index="frequency", columns="step", values="value")
    table = table[table.index > 0].sort_index()

    steps = table.columns.to_numpy(dtype=float)
    axis = StepAxis(steps)
    edges = _edges(axis(steps))
    plot = figure(420, margin={"l": 62, "r": 130, "t": 16, "b": 52})
    plot.add_trace(
        go.Heatmap(
            x=edges.astype(np.float32),
            y=table.index.to_numpy(dtype=np.int16),
            z=table.to_numpy(dtype=np.float32),
            customdata=np.broadcast_to(table.columns.to_numpy(dtype=np.int32), table.shape),
            colorscale=SEQUENTIAL,
            zmin=0,
            colorbar={
                "title": {"text": "share of power", "side": "right"},
                "thickness": 14,
                "outlinewidth": 0,
                "x": 1,
                "xref": "container",
                "xanchor": "right",
            },
            hovertemplate="step %{customdata}, frequency %{y}: %{z:.3f} of the power<extra></extra>",
        )
    )
    plot.update_layout(annotations=marks_beside(keys, len(table) / 24))
    ends = [float(end) for end in np.log10(edges[[0, -1]])]
    plot.update_xaxes(axis.layout | {"range": ends, "showgrid": False})
    plot.update_yaxes(title={"text": f"frequency k (cycles over the {order})"}, showgrid=False)
    return plot


def circle_figure(circles: xr.DataArray, steps: Sequence[int] | None = None) -> go.Figure:
    """The embedding in the plane of each key frequency, with a slider over steps.

    Tokens are drawn in the order that frequency k gives them, k t mod n for the token at position t of n, joined by
    a thin line and shaded in that order: on a clean circle the shade sweeps once around and the line is a ring.

    Args:
        circles: dims (step, frequency, token, axis), axis of length 2; coordinates step and frequency, and token if
            the labels are not 0..n-1. Positions along ``token`` are positions in the cyclic group.
        steps: those the slider offers; default: ``slider_steps`` of all of them.

    Raises:
        ValueError: a dimension is missing or ``axis`` does not have length 2.
    """
    expected = ("step", "frequency", "token", "axis")
    if set(circles.dims) != set(expected) or circles.sizes["axis"] != 2:
        raise ValueError(f"circles: got {dict(circles.sizes)}; expected {', '.join(expected)}, the last of length 2")
    circles = circles.transpose(*expected)
    chosen = slider_steps([int(step) for step in circles["step"].values]) if steps is None else list(steps)
    values = circles.sel(step=chosen).to_numpy().astype(np.float32)
    frequencies = [int(k) for k in circles["frequency"].values]
    if len(frequencies) > MAX_FREQUENCIES:
        strongest = np.argsort(-np.nan_to_num(np.square(values[-1])).sum((1, 2)), kind="stable")[:MAX_FREQUENCIES]
        kept = np.sort(strongest)
        values, frequencies = values[:, kept], [frequencies[i] for i in kept]
    labels = circles["token"].to_numpy() if "token" in circles.coords else np.arange(circles.sizes["token"])

    rows = math.ceil(len(frequencies) / CIRCLES_IN_A_ROW)
    layout = placed([f"frequency {k}" for k in frequencies], CIRCLES_IN_A_ROW, 0.08, 0.24 / rows)
    rings = [_ring(len(labels), k) for k in frequencies]
    traces = []
    for i, (k, ring) in enumerate(zip(frequencies, rings, strict=True)):
        x, y = axis_id("x", i), axis_id("y", i)
        traces.append(_tokens(values[-1, i], ring, labels, k).update(xaxis=x, yaxis=y))
        reach = float(np.nanmax(np.abs(values[:, i]), initial=0.0, where=np.isfinite(values[:, i]))) * 1.22 or 1.0
        plane = {"tickfont": {"size": 10}, "range": [-reach, reach], "constrain": "domain", "nticks": 5}
        along_sin = {"title": {"text": "along sin" if i % CIRCLES_IN_A_ROW == 0 else ""}}
        layout[axis_id("xaxis", i)] |= plane | {"title": {"text": "coordinate along cos"}}
        layout[axis_id("yaxis", i)] |= plane | along_sin | {"scaleanchor": x, "constraintoward": "top"}
        middle = float(np.mean(layout[axis_id("xaxis", i)]["domain"]))
        layout["annotations"][i] |= {"x": middle, "xanchor": "center"}
    margin = {"l": 30, "r": 20, "t": 34, "b": 60}
    plot = figure(60 + 330 * rows, traces, margin=margin, showlegend=False, meta={"square": True}, **layout)
    add_frames(
        plot,
        {
            step: [{"x": plane[ring, 0], "y": plane[ring, 1]} for plane, ring in zip(at_step, rings, strict=True)]
            for step, at_step in zip(chosen, values, strict=True)
        },
    )
    return plot


def key_frequency_figure(results: pd.DataFrame, model: str) -> go.Figure:
    """Each key frequency over steps: circularity of its own circle in W_E, and the loss without it in the logits.

    Args:
        results: tidy results table; the rows ``embedding_circle / circularity`` and ``fourier_progress /
            excluded_loss`` (on training pairs) of the model are drawn, as far as they are there.
        model: its name in the table.

    Raises:
        ValueError: the table holds none of them.
    """
    keys = [f"k={k}" for k in key_frequencies_of(results, model)]
    rows = results[(results["model"] == model) & np.isfinite(results["value"])]
    rows = rows[rows["key"].str.fullmatch(r"(k=)?\d+")]
    rows = rows.assign(key="k=" + rows["key"].str.removeprefix("k="))
    circularity = by_key(rows[rows["probe"] == "embedding_circle"], "circularity")
    excluded = by_key(rows[rows["probe"] == "fourier_progress"], "excluded_loss")
    panels = [
        Curves("circularity of each frequency's circle", "circularity", circularity, "share"),
        Curves("excluded loss, this frequency removed", "nats", excluded, "log"),
    ]
    if not any(panel.lines for panel in panels):
        rows_of(results, model, "embedding_circle", "circularity")
    return draw_curves([panel for panel in panels if panel.lines], results, model, keys)


def _ring(n: int, frequency: int) -> np.ndarray:
    """Positions in the order of their angle k t mod n, the first one again at the end to close the ring."""
    order = np.argsort(frequency * np.arange(n) % n, kind="stable")
    return np.append(order, order[0])


def _tokens(plane: np.ndarray, ring: np.ndarray, labels: np.ndarray, frequency: int) -> go.Scatter:
    # tokens whose k t are alike lie in one place, which has one label
    together = math.gcd(frequency, len(labels))
    every = together * max(1, round(len(labels) / together / _LABELLED_TOKENS))
    shade = np.append(np.arange(len(labels)), len(labels) - 1)
    more = ", …" if together > 1 else ""
    texts = [f"{labels[t]}{more}" if i % every == 0 and i < len(labels) else "" for i, t in enumerate(ring)]
    size = np.append(np.full(len(labels), 8.0), 0.0)
    return go.Scatter(
        x=plane[ring, 0],
        y=plane[ring, 1],
        mode="lines+markers+text",
        line={"color": "rgba(91,101,112,0.6)", "width": 0.8},
        marker={
            "color": shade.astype(np.int16),
            "line": {"width": 0},
            "colorscale": SEQUENTIAL,
            "size": size.astype(np.int8),
        },
        text=texts,
        customdata=labels[ring],
        textposition=_outward(len(labels)),
        textfont={"size": 12, "color": INK},
        cliponaxis=False,
        hovertemplate="token %{customdata}<extra></extra>",
        name=f"frequency {frequency}",
    )


def _outward(n: int) -> list[str]:
    """Where the label of each point of a ring goes so that it is outside of it."""
    upper, lower = ("top right", "top center", "top left"), ("bottom left", "bottom center", "bottom right")
    sides = ("middle right", *upper, "middle left", *lower)
    return [sides[round(8 * i / n) % 8] for i in range(n)] + [sides[0]]


def _edges(positions: np.ndarray) -> np.ndarray:
    """Edges between positions on a logarithmic axis, halfway in the logarithm."""
    logs = np.log10(np.sort(positions))
    if len(logs) == 1:
        return 10 ** np.array([logs[0] - 0.5, logs[0] + 0.5])
    middles = (logs[:-1] + logs[1:]) / 2
    return 10 ** np.concatenate([[2 * logs[0] - middles[0]], middles, [2 * logs[-1] - middles[-1]]])
