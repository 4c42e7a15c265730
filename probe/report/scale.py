"""Against the number of parameters: final accuracy, and when each model memorized and generalized."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.style import SUBSET_NAMES, SUBSETS, compact, figure, log_ticks
from probe.scaling.transitions import by_size

_EVENTS = {"memorized_step": ("memorized", "train"), "generalized_step": ("generalized", "test")}
_DODGE = {"train": 0.92, "test": 1.0, "test_nonmirror": 1.08}
_BESIDE = 1.13  # medians stand to the right of their points


def final_accuracy_figure(transitions: pd.DataFrame) -> go.Figure:
    """Accuracy at each model's last evaluated step against its parameters, a point per model and subset.

    Args:
        transitions: what ``probe.scaling.transitions`` returns.
    """
    plot = figure(380)
    for subset, mark in SUBSETS.items():
        column = f"final_{subset}_accuracy"
        rows = transitions[transitions[column].notna()]
        if rows.empty:
            continue
        plot.add_trace(
            go.Scatter(
                x=rows["n_params"].to_numpy(dtype=float) * _DODGE[subset],
                y=rows[column].to_numpy(dtype=float),
                mode="markers",
                marker={"symbol": mark.symbol, "size": 9, "color": mark.color, "opacity": 0.8},
                name=SUBSET_NAMES[subset],
                customdata=rows["model"].to_numpy(),
                hovertemplate=f"%{{customdata}}, {SUBSET_NAMES[subset]}: %{{y:.4f}}<extra></extra>",
            )
        )
    _size_axis(plot, transitions)
    plot.update_yaxes(title={"text": "final accuracy (share right)"}, range=[-0.03, 1.05], dtick=0.25)
    return plot


def transition_figure(transitions: pd.DataFrame) -> go.Figure:
    """Steps to memorize and to generalize against parameters: a point per model, medians of sizes with intervals.

    A model that did not get there within its budget is an open marker with an arrow at its last step: its time is
    later than that, by how much is not known.

    Args:
        transitions: what ``probe.scaling.transitions`` returns.
    """
    plot = figure(380)
    # A logarithmic axis has no place for step 0, at which a model may have been stopped.
    transitions = transitions.assign(final_step=transitions["final_step"].clip(lower=1))
    sizes = by_size(transitions)
    for event, (name, subset) in _EVENTS.items():
        mark = SUBSETS[subset]
        place = sizes.loc[np.isfinite(sizes[f"{event}_median"]), "n_params"].to_numpy(dtype=float) * _BESIDE
        parts = (sizes[f"{event}_{part}"].to_numpy(dtype=float) for part in ("median", "low", "high"))
        median, low, high = (part[np.isfinite(sizes[f"{event}_median"])] for part in parts)
        bottom = np.where(np.isnan(low), median, low)
        top = np.where(np.isnan(high), median, np.minimum(high, float(transitions["final_step"].max())))
        plot.add_trace(
            go.Scatter(
                x=place,
                y=median,
                error_y={"array": top - median, "arrayminus": median - bottom, "thickness": 1.4, "width": 5},
                mode="lines+markers",
                line={"color": mark.color, "dash": mark.dash, "width": 1.4},
                marker={"symbol": "line-ew-open", "size": 12, "color": mark.color, "line": {"width": 2}},
                name=f"{name}, median",
                showlegend=False,
                hovertemplate=f"{name}, median of the size: step %{{y:,.0f}}<extra></extra>",
            )
        )
        rows = transitions[transitions[event].notna()]
        _points(plot, rows, rows[event], name, subset, mark.symbol, name)
        measured = transitions[f"{subset}_measured"]
        rows = transitions[transitions[event].isna() & measured]
        if len(rows):
            hover, symbol = f"not {name} within", f"{mark.symbol}-open"
            _points(plot, rows, rows["final_step"], hover, subset, symbol, f"not {name} yet")
            for _, together in rows.groupby(["n_params", "final_step"]):
                plot.add_annotation(
                    x=np.log10(together["n_params"].iloc[0]),
                    y=np.log10(together["final_step"].iloc[0]),
                    ax=0,
                    ay=-30,
                    arrowside="start",
                    arrowhead=2,
                    arrowwidth=1.4,
                    arrowcolor=mark.color,
                    text=f"{len(together)} later" if len(together) > 1 else "later",
                    font={"size": 12},
                )
    _size_axis(plot, transitions)
    first = transitions[[*_EVENTS, "final_step"]].min().min()
    ticks = log_ticks(first, transitions["final_step"].max())
    plot.update_yaxes(title={"text": "training step (log)"}, type="log", **ticks)
    return plot


def _points(
    plot: go.Figure, rows: pd.DataFrame, steps: pd.Series, hover: str, subset: str, symbol: str, legend: str
) -> None:
    if rows.empty:
        return
    plot.add_trace(
        go.Scatter(
            x=rows["n_params"].to_numpy(dtype=float),
            y=steps.to_numpy(dtype=float),
            mode="markers",
            marker={"symbol": symbol, "size": 9, "color": SUBSETS[subset].color, "opacity": 0.8},
            name=legend,
            customdata=rows["model"].to_numpy(),
            hovertemplate=f"%{{customdata}} {hover} step %{{y:,.0f}}<extra></extra>",
        )
    )


def _size_axis(plot: go.Figure, transitions: pd.DataFrame) -> None:
    sizes = transitions.drop_duplicates("n_params")
    values = sizes["n_params"].to_numpy(dtype=float)
    ends = np.log10([values.min() / 1.5, values.max() * 1.5])
    plot.update_xaxes(
        type="log",
        range=[float(end) for end in ends],
        tickvals=values,
        ticktext=[f"{size}<br>{compact(n)}" for size, n in zip(sizes["size"], values, strict=True)],
        title={"text": "parameters (log)"},
    )
