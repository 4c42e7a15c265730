"""Pictures of the Fourier structure that a model builds: the spectrum of its embedding, and its circles."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from probe.report.style import INK, SEQUENTIAL, StepAxis, figure

MAX_FREQUENCIES = 6
SLIDER_STEPS = 24
_LABELLED_TOKENS = 12


def spectrum_figure(results: pd.DataFrame, model: str) -> go.Figure:
    """Power of every frequency of the embedding over steps, as a heat map, with the model's key frequencies marked.

    Args:
        results: tidy results table; the rows ``embedding_spectrum / power_share`` of the model are drawn, as shares
            of all power, constant (frequency 0) left out.
        model: its name in the table.

    Raises:
        ValueError: the table holds no spectrum of this model.
    """
    rows = results[results["model"] == model]
    power = rows[(rows["probe"] == "embedding_spectrum") & (rows["metric"] == "power_share")]
    if power.empty:
        known = ", ".join(sorted(results.loc[results["probe"] == "embedding_spectrum", "model"].unique())) or "none"
        raise ValueError(f"model: no embedding spectrum of {model!r} in the table; it holds those of: {known}")
    table = power.assign(frequency=power["key"].astype(int)).pivot(index="frequency", columns="step", values="value")
    table = table[table.index > 0].sort_index()
    is_key = (rows["probe"] == "key_frequencies") & (rows["metric"] == "is_key") & (rows["value"] == 1)
    keys = sorted({int(key) for key in rows.loc[is_key, "key"]})

    steps = table.columns.to_numpy(dtype=float)
    axis = StepAxis(steps)
    edges = _edges(axis(steps))
    plot = figure(420, margin={"l": 62, "r": 160, "t": 16, "b": 52})
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
    spacing = max(1.0, len(table) / 24)  # frequencies a label is tall, so that labels of neighbours do not overlap
    previous, shift = -math.inf, 0
    for key in keys:
        shift = 26 - shift if key - previous < spacing else 0
        previous = key
        plot.add_annotation(
            x=1, xref="paper", y=key, xanchor="left", xshift=2 + shift, showarrow=False,
            text=f"◂{key}", font={"size": 12, "color": INK},
        )  # fmt: skip
    ends = [float(end) for end in np.log10(edges[[0, -1]])]
    plot.update_xaxes(axis.layout | {"range": ends, "showgrid": False})
    plot.update_yaxes(title={"text": "frequency k (cycles over the residues)"}, showgrid=False)
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

    columns = min(3, len(frequencies))
    rows = math.ceil(len(frequencies) / columns)
    plot = make_subplots(
        rows,
        columns,
        subplot_titles=[f"frequency {k}" for k in frequencies],
        horizontal_spacing=0.08,
        vertical_spacing=0.24 / rows,
        figure=figure(60 + 330 * rows, margin={"l": 30, "r": 20, "t": 34, "b": 60}, showlegend=False),
    )
    rings = [_ring(len(labels), k) for k in frequencies]
    for i, (k, ring) in enumerate(zip(frequencies, rings, strict=True)):
        row, column = i // columns + 1, i % columns + 1
        plot.add_trace(_tokens(values[-1, i], ring, labels, k), row, column)
        reach = float(np.nanmax(np.abs(values[:, i]), initial=0.0, where=np.isfinite(values[:, i]))) * 1.22 or 1.0
        plane = {"tickfont": {"size": 10}, "range": [-reach, reach], "constrain": "domain", "nticks": 5}
        anchor = f"x{i + 1 if i else ''}"
        vertical = plane | {"scaleanchor": anchor, "constraintoward": "top"}
        plot.update_xaxes(plane | {"title": {"text": "coordinate along cos"}}, row=row, col=column)
        plot.update_yaxes(vertical | {"title": {"text": "along sin" if column == 1 else ""}}, row=row, col=column)
    plot.frames = [
        go.Frame(
            name=str(step),
            data=[go.Scatter(x=plane[ring, 0], y=plane[ring, 1]) for plane, ring in zip(at_step, rings, strict=True)],
        )
        for step, at_step in zip(chosen, values, strict=True)
    ]
    plot.update_layout(sliders=[_slider(chosen)])
    return plot


def slider_steps(steps: Sequence[int], count: int = SLIDER_STEPS) -> list[int]:
    """At most ``count`` of the steps, first and last among them, spread evenly over their order."""
    ordered = sorted(steps)
    places = np.unique(np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int))
    return [ordered[i] for i in places]


def _ring(n: int, frequency: int) -> np.ndarray:
    """Positions in the order of their angle k t mod n, the first one again at the end to close the ring."""
    order = np.argsort(frequency * np.arange(n) % n, kind="stable")
    return np.append(order, order[0])


def _tokens(plane: np.ndarray, ring: np.ndarray, labels: np.ndarray, frequency: int) -> go.Scatter:
    every = max(1, round(len(labels) / _LABELLED_TOKENS))
    shade = np.append(np.arange(len(labels)), len(labels) - 1)
    texts = [str(labels[t]) if i % every == 0 and i < len(labels) else "" for i, t in enumerate(ring)]
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


def _slider(steps: Sequence[int]) -> dict[str, object]:
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}}
    return {
        "active": len(steps) - 1,
        "currentvalue": {"prefix": "training step "},
        "pad": {"t": 40},
        "steps": [{"label": str(step), "method": "animate", "args": [[str(step)], still]} for step in steps],
    }


def _edges(positions: np.ndarray) -> np.ndarray:
    """Edges between positions on a logarithmic axis, halfway in the logarithm."""
    logs = np.log10(np.sort(positions))
    if len(logs) == 1:
        return 10 ** np.array([logs[0] - 0.5, logs[0] + 0.5])
    middles = (logs[:-1] + logs[1:]) / 2
    return 10 ** np.concatenate([[2 * logs[0] - middles[0]], middles, [2 * logs[-1] - middles[-1]]])
