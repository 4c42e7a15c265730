"""Performance over scale: a task's curves with their verdicts, where abilities emerge, and what was foretold."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.measures.intervals import Interval
from probe.measures.scale import Forecast, Shape
from probe.report.style import INK, MUTED, figure, log_ticks, marks_of
from probe.scaling.tidy import SCALES
from probe.scaling.verdicts import chance_of, standard_errors

AXES = {"n_params": "parameters", "flops": "training FLOPs", "tokens": "training tokens", "step": "training step"}
_Z = 1.96
_BAR = 26  # pixels of a row
_WORDS = {"u_shape": "U shape", "inverted_u": "inverted U", "power_law": "power law", "undecided": "cannot tell"}


def verdict_figure(
    curves: dict[str, pd.DataFrame], shapes: dict[str, Shape], unit: str, along: str = "n_params"
) -> go.Figure:
    """Curves of one unit with 95 % intervals, the form that is likeliest, and where that changes.

    Each verdict is in the legend. The form is a line; of a curve that is undecided it is thin, as it is one of several.

    Args:
        curves: by name, such as ``"5 shots"``: rows of a tidy table, a model each.
        shapes: verdicts of the same curves (``probe.scaling.shape``).
        unit: of the values, such as ``"accuracy (share right)"``.
        along: the column of the sizes.

    Raises:
        ValueError: a curve has no verdict, or ``along`` is no scale.
    """
    if along not in AXES:
        raise ValueError(f"along: {along!r} given, expected {', '.join(AXES)}")
    plot = figure(380)
    marks = marks_of(curves)
    for name, curve in curves.items():
        if name not in shapes:
            raise ValueError(f"shapes: no verdict on {name!r} given; there are {', '.join(shapes)}")
        rows = curve.sort_values(along)
        found, mark = shapes[name], marks[name]
        scale, value = rows[along].to_numpy(dtype=float), rows["value"].to_numpy(dtype=float)
        errors = standard_errors(rows)
        plot.add_trace(
            go.Scatter(
                x=scale,
                y=value,
                error_y=None if errors is None else {"array": _Z * errors, "thickness": 1.2, "width": 3},
                mode="markers",
                marker={"symbol": mark.symbol, "size": 8, "color": mark.color},
                name=f"{name}: {_WORDS.get(found.kind, found.kind)}",
                customdata=rows["model"].to_numpy(),
                hovertemplate="%{customdata}: %{y:.4g}<extra></extra>",
            )
        )
        fitted = found.fitted[np.argsort(curve[along].to_numpy(dtype=float))]
        line = {"color": mark.color, "dash": mark.dash, "width": 1 if found.reason else 2}
        plot.add_trace(go.Scatter(x=scale, y=fitted, mode="lines", line=line, showlegend=False, hoverinfo="skip"))
        if found.place is not None and not found.reason:
            _shade(plot, found.place, scale)
    chances = {level for curve in curves.values() if (level := chance_of(curve)) is not None}
    for level in sorted(chances):
        plot.add_hline(y=level, line={"color": MUTED, "dash": "dot", "width": 1.2}, annotation_text="chance")
    every = np.concatenate([curve[along].to_numpy(dtype=float) for curve in curves.values()])
    plot.update_xaxes(_axis(every, along))
    plot.update_yaxes(title={"text": unit})
    return plot


def emergence_figure(emergence: pd.DataFrame, along: str = "n_params") -> go.Figure:
    """A row per ability: the first model above chance and the interval, on a logarithmic axis of size.

    An interval that is open at an end has an arrow there: the ability may emerge below the smallest model, or above the
    largest. Of published tables, which have no intervals, only the models are drawn.

    Args:
        emergence: what ``emergence_table`` or ``published_emergence`` returns.
        along: ``"n_params"``, ``"flops"`` or ``"tokens"``, in which ``low`` and ``high`` are.

    Raises:
        ValueError: ``along`` is no size, or no ability has a place on the axis.
    """
    if along not in SCALES:
        raise ValueError(f"along: {along!r} given, expected {', '.join(SCALES)}")
    table = emergence.assign(**{end: np.nan for end in ("low", "high") if end not in emergence})
    known = table[[along, "low", "high"]].to_numpy(dtype=float)
    known = known[np.isfinite(known) & (known > 0)]
    if not len(known):
        raise ValueError(f"emergence: no row has a place along {along}")
    first, last = float(known.min()) / 2, float(known.max()) * 2
    table = table.sort_values([along, "low"], na_position="last", ignore_index=True)
    plot = figure(120 + _BAR * len(table))
    for place, row in table.iterrows():
        if np.isnan(row["low"]) or np.isnan(row["high"]):
            continue
        ends = [max(float(row["low"]), first), min(float(row["high"]), last)]
        symbols = [
            "arrow-left" if row["low"] < first else "line-ns-open",
            "arrow-right" if row["high"] > last else "line-ns-open",
        ]
        plot.add_trace(
            go.Scatter(
                x=ends,
                y=[place, place],
                mode="lines+markers",
                line={"color": MUTED, "width": 2},
                marker={"symbol": symbols, "size": 9, "color": MUTED},
                showlegend=False,
                hovertemplate="%{x:.3g}<extra>95 % interval</extra>",
            )
        )
    seen = table[table[along].notna()]
    plot.add_trace(
        go.Scatter(
            x=seen[along],
            y=seen.index,
            mode="markers",
            marker={"symbol": "circle", "size": 9, "color": INK},
            name="first model above chance",
            customdata=seen["model"],
            hovertemplate="%{customdata}: %{x:.3g}<extra></extra>",
        )
    )
    plot.update_xaxes(_axis(np.array([first, last]), along))
    names = table["task"].astype(str).tolist()
    plot.update_yaxes(tickvals=list(range(len(names))), ticktext=names, autorange="reversed", title={"text": "ability"})
    return plot


def forecast_figure(
    scale: np.ndarray, value: np.ndarray, found: Forecast, unit: str, along: str = "n_params"
) -> go.Figure:
    """What the smaller sizes foretell of the largest, with its interval, beside the truth and the baseline.

    Args:
        scale: all sizes.
        value: what was measured there.
        found: what ``probe.scaling.forecast`` returned for them.
        unit: of the values.
        along: what the sizes are, a key of ``AXES``.
    """
    order = np.argsort(scale)
    sizes, values = np.asarray(scale, dtype=float)[order], np.asarray(value, dtype=float)[order]
    marks = marks_of(["measured", "foretold", "baseline"])
    plot = figure(360)
    measured = {"symbol": marks["measured"].symbol, "size": 8, "color": INK}
    plot.add_trace(go.Scatter(x=sizes, y=values, mode="markers", marker=measured, name="measured"))
    ends = {"array": found.high - found.predicted, "arrayminus": found.predicted - found.low, "width": 5}
    plot.add_trace(
        go.Scatter(
            x=found.scale,
            y=found.predicted,
            error_y=ends,
            mode="markers",
            marker={"symbol": marks["foretold"].symbol, "size": 9, "color": marks["foretold"].color},
            name=f"foretold from {found.n} sizes",
        )
    )
    line = {"color": marks["baseline"].color, "dash": "dash"}
    naive = [found.naive, found.naive]
    span = [sizes[found.n - 1], sizes[-1]]
    plot.add_trace(go.Scatter(x=span, y=naive, mode="lines", line=line, name="baseline: no change"))
    plot.update_xaxes(_axis(sizes, along))
    plot.update_yaxes(title={"text": unit})
    return plot


def _shade(plot: go.Figure, place: Interval, scale: np.ndarray) -> None:
    low, high = max(place.low, scale.min()), min(place.high, scale.max())
    if low < high:
        plot.add_vrect(x0=low, x1=high, fillcolor="#dfe3e8", layer="below", line_width=0)


def _axis(sizes: np.ndarray, along: str) -> dict[str, object]:
    low, high = float(sizes.min()), float(sizes.max())
    ends = [float(np.log10(low / 1.3)), float(np.log10(high * 1.3))]
    ticks = log_ticks(low, high)
    if high >= 1e15:  # FLOPs: no letter says how many
        ticks["ticktext"] = [f"{tick:.0e}".replace("e+", "e") for tick in ticks["tickvals"]]
    return {"type": "log", "range": ends, "title": {"text": f"{AXES[along]} (log)"}, **ticks}
