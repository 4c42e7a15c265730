"""What moved first: the lead of every measure over test accuracy, over runs."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.style import INK, MUTED, figure, mark_of
from probe.scaling.leads import RunLeads, lead_table, leads_over_runs


def lead_figure(runs: RunLeads) -> go.Figure:
    """Forest plot: a row per measure with its median lead and interval over runs, and the lead in every run.

    Positive: the measure moved before test accuracy. Measures that show no transition in most runs have no median and
    say so. Of a single run, its own interval is drawn.

    Args:
        runs: what ``probe.scaling.leads.run_leads`` found.

    Raises:
        ValueError: no run generalized.
    """
    over = leads_over_runs(runs)
    over = over[over["n"] > 0].reset_index(drop=True)
    if over.empty:
        raise ValueError("runs: none given that generalized and holds a measure, expected one or more")
    place = {name: len(over) - 1 - i for i, name in enumerate(over["measure"])}
    table = lead_table(runs)
    points = table[table["lead"].notna() & table["measure"].isin(list(place))]
    y = points["measure"].map(place).to_numpy(dtype=float)
    model = points["model"].factorize()[0]
    several = over["n"].max() > 1
    traces = [_points(points, y - 0.16 - 0.2 * model / max(model.max(initial=0), 1))] if several else []
    finite = over[np.isfinite(over["lead"])]
    lows = finite["low"][np.isfinite(finite["low"])]
    edge = float(np.concatenate([[0.0], points["lead"], lows]).min())
    low = np.where(np.isfinite(finite["low"]), finite["low"], np.where(finite["low"].isna(), finite["lead"], edge))
    high = np.where(np.isfinite(finite["high"]), finite["high"], finite["lead"])
    mark = mark_of(2)
    traces.append(
        go.Scatter(
            x=finite["lead"].to_numpy(),
            y=finite["measure"].map(place).to_numpy(dtype=float),
            error_x={
                "array": high - finite["lead"],
                "arrayminus": finite["lead"] - low,
                "color": mark.color,
                "thickness": 2,
                "width": 5,
            },
            mode="markers",
            marker={"symbol": mark.symbol, "size": 11, "color": mark.color},
            customdata=[lead_text(row) for _, row in finite.iterrows()],
            name="median over runs, 95 % interval" if several else "lead, 95 % interval",
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    none = over[~np.isfinite(over["lead"])]
    layout = {
        "xaxis": {"title": {"text": "lead over test accuracy (steps; right of 0: the measure moved first)"}},
        "yaxis": {
            "tickvals": list(place.values()),
            "ticktext": list(place),
            "range": [-0.7, len(over) - 0.4],
            "ticks": "",
            "title": {"text": "measure"},
        },
        "shapes": [
            {"type": "line", "x0": 0, "x1": 0, "yref": "y domain", "y0": 0, "y1": 1, "line": {"color": INK, "width": 1}}
        ],
        "annotations": [
            {
                "x": 0.005,
                "xref": "x domain",
                "xanchor": "left",
                "y": place[name],
                "yshift": 7,
                "showarrow": False,
                "text": "◂ no transition in most runs" if several else "◂ no transition",
                "font": {"size": 12, "color": MUTED},
            }
            for name in none["measure"]
        ],
    }
    return figure(130 + 38 * len(over), traces, **layout)


def lead_text(row: pd.Series) -> str:
    """A row of ``leads_over_runs`` in words."""
    name, n = row["measure"], int(row["n"])
    runs = f"{n} run{'s' if n > 1 else ''}"
    if n == 0:
        return f"{name}: no run that holds it generalized."
    if not np.isfinite(row["lead"]):
        return f"{name}: no transition in {int(row['n_without_transition'])} of {runs}."
    verb = "leads" if row["lead"] > 0 else "lags"
    sign = 1 if row["lead"] > 0 else -1
    low, high = sorted([sign * row["low"], sign * row["high"]]) if not np.isnan(row["low"]) else (np.nan, np.nan)
    interval = "" if np.isnan(low) else f" [{_steps(low)}, {_steps(high)}]"
    moved = f"it moved first in {int(row['n_earlier'])} of {runs}"
    told = f", in {int(row['n_told'])} by more than the uncertainty of the dates" if row["n_earlier"] else ""
    text = f"{name}: {verb} test accuracy by {_steps(sign * row['lead'])}{interval} steps; {moved}{told}"
    missing = int(row["n_without_transition"])
    return f"{text}; no transition in {missing}." if missing else f"{text}."


def _steps(number: float) -> str:
    if np.isinf(number):
        return "∞" if number > 0 else "-∞"
    return f"{round(number):,}"


def _points(points: pd.DataFrame, y: np.ndarray) -> go.Scatter:
    return go.Scatter(
        x=points["lead"].to_numpy(),
        y=y,
        mode="markers",
        marker={"symbol": "circle-open", "size": 7, "color": MUTED, "line": {"width": 1.4}},
        customdata=points[["model", "measure", "lead_low", "lead_high"]].to_numpy(),
        name="one run",
        hovertemplate=(
            "%{customdata[0]}, %{customdata[1]}: %{x:,.0f}"
            " [%{customdata[2]:,.0f}, %{customdata[3]:,.0f}] steps<extra></extra>"
        ),
    )
