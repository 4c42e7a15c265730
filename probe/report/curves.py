"""Curves over training steps: loss, accuracy and the progress measures.

Each function takes a tidy results table (or a selection of one) and returns a plotly figure.
"""

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.panels import axis_id, finish, grid, legend, line
from probe.report.style import PHASES, SUBSET_NAMES, SUBSETS, StepAxis, compact, mark_of
from probe.scaling.transitions import by_size, transitions

PROGRESS_MEASURES = (
    ("restricted loss, all pairs", "nats", ("fourier_progress", "restricted_loss", "all"), "log"),
    ("excluded loss, train pairs", "nats", ("fourier_progress", "excluded_loss", "all keys"), "log"),
    ("logit FVE (cube)", "share of variance", ("fourier_progress", "logit_fve_cube", ""), "share"),
    ("sum-FVE", "share of variance", ("fourier_progress", "sum_fve", ""), "share"),
    ("Gini of the spectrum of W_E", "Gini coefficient", ("embedding_spectrum", "gini", ""), "share"),
    ("sum of squared weights", "squared weight", ("weights", "sum_of_squares", "all"), "log"),
)
_DECADES_FOR_LOG = 1.5


def accuracy_figure(results: pd.DataFrame) -> go.Figure:
    """Accuracy over steps, a panel per size, every seed a line, on each subset that was measured.

    The background is shaded from the medians over the seeds of a size: memorization, plateau, generalized.
    """
    return _performance_figure(results, "accuracy", "accuracy (share right)")


def loss_figure(results: pd.DataFrame) -> go.Figure:
    """Cross-entropy in nats over steps, drawn like ``accuracy_figure``, on a logarithmic axis."""
    return _performance_figure(results, "loss", "loss in nats")


def progress_figure(results: pd.DataFrame) -> go.Figure:
    """Progress measures over steps, a panel per measure that the table holds, every seed a line.

    Restricted and excluded loss (Nanda et al. 2023, section 5), logit FVE, sum-FVE, Gini of the embedding spectrum
    and the sum of squared weights. Sizes differ in colour, dash and marker; if there is one size, its seeds do, and
    the background is shaded as in ``accuracy_figure``.

    Raises:
        ValueError: the table holds none of them.
    """
    panels = [(panel, rows) for panel in PROGRESS_MEASURES if len(rows := _rows_of(results, panel[2]))]
    if not panels:
        raise ValueError("results: no progress measure in the table; expected rows of the probe fourier_progress")
    table = transitions(results)
    one_size = table["size"].nunique() == 1
    names = table["model"] if one_size else table["size"] + " · " + table["n_params"].map(compact)
    marks = {name: mark_of(i) for i, name in enumerate(names.unique())}
    axis = StepAxis(results["step"].unique())
    plot = grid([panel[0] for panel, _ in panels])
    traces, shapes = [], []
    for place, ((_, unit, _, scale), rows) in enumerate(panels):
        for model, name in zip(table["model"], names, strict=True):
            curve = rows[rows["model"] == model].sort_values("step")
            if len(curve):
                traces.append(line(place, axis, curve, marks[name], model, name, scale == "log"))
        if one_size:
            shapes += _shades(place, table, axis)
        _value_axis(plot, place, unit, scale, rows["value"])
    traces += [legend(mark, name, name) for name, mark in marks.items()]
    finish(plot, axis, len(panels), traces + (_phase_legend() if one_size else []), shapes)
    return plot


def _performance_figure(results: pd.DataFrame, metric: str, label: str) -> go.Figure:
    rows = results[(results["probe"] == "performance") & (results["metric"] == metric)]
    if rows.empty:
        raise ValueError(f"results: no {metric} in the table; expected rows of the probe performance")
    table = transitions(results)
    groups = [(size, group) for size, group in table.groupby("size", sort=False)]
    axis = StepAxis(rows["step"].unique())
    plot = grid([f"{size} · {compact(group['n_params'].iloc[0])} parameters" for size, group in groups])
    subsets = [name for name in SUBSETS if name in set(rows["key"]) and not _repeats_test(rows, name)]
    scale = "log" if metric == "loss" else "share"
    traces, shapes = [], []
    for place, (_, group) in enumerate(groups):
        for subset in subsets:
            for model in group["model"]:
                curve = rows[(rows["model"] == model) & (rows["key"] == subset)].sort_values("step")
                name = f"{model}, {SUBSET_NAMES[subset]}"
                traces.append(line(place, axis, curve, SUBSETS[subset], name, subset, scale == "log"))
        shapes += _shades(place, group, axis)
        _value_axis(plot, place, label, scale, rows["value"])
    traces += [legend(SUBSETS[subset], SUBSET_NAMES[subset], subset) for subset in subsets]
    finish(plot, axis, len(groups), traces + _phase_legend(), shapes)
    return plot


def nonmirror_repeats_test(results: pd.DataFrame) -> bool:
    """Whether the non-mirror curves equal the test curves, as they do with an unordered split; then drawn once."""
    return _repeats_test(results[results["probe"] == "performance"], "test_nonmirror")


def _repeats_test(rows: pd.DataFrame, subset: str) -> bool:
    if subset != "test_nonmirror":
        return False
    place = ["model", "metric", "step"]
    test = rows[rows["key"] == "test"].set_index(place)["value"]
    other = rows[rows["key"] == subset].set_index(place)["value"]
    return len(test) == len(other) and bool(np.allclose(test, other.reindex(test.index), equal_nan=True))


def _rows_of(results: pd.DataFrame, place: tuple[str, str, str]) -> pd.DataFrame:
    probe, metric, key = place
    chosen = (results["probe"] == probe) & (results["metric"] == metric) & (results["key"] == key)
    return results[chosen & np.isfinite(results["value"])]


def _phase_legend() -> list[go.Scatter]:
    style = {"symbol": "square", "size": 12, "line": {"width": 1, "color": "#8a939c"}}
    return [
        go.Scatter(x=[None], y=[None], mode="markers", marker={"color": color, **style}, name=phase, hoverinfo="skip")
        for phase, color in PHASES.items()
    ]


def _shades(place: int, group: pd.DataFrame, axis: StepAxis) -> list[dict[str, object]]:
    medians = by_size(group).iloc[0]
    memorized, generalized = medians["memorized_step_median"], medians["generalized_step_median"]
    learned = float(axis([generalized])[0]) if np.isfinite(generalized) else axis.end
    plateau = min(float(axis([memorized])[0]), learned) if np.isfinite(memorized) else learned
    edges = (axis.start, plateau, learned, axis.end)
    spans = zip(PHASES.values(), edges[:-1], edges[1:], strict=True)
    where = {"type": "rect", "xref": axis_id("x", place), "yref": f"{axis_id('y', place)} domain", "y0": 0, "y1": 1}
    look = {"layer": "below", "line": {"width": 0}}
    return [{**where, **look, "x0": x0, "x1": x1, "fillcolor": color} for color, x0, x1 in spans if x1 > x0]


def _value_axis(plot: go.Figure, place: int, label: str, scale: str, values: pd.Series) -> None:
    layout: dict[str, object] = {"title": {"text": label}}
    if scale == "log":
        decades = _decades(values)
        if decades >= _DECADES_FOR_LOG:
            low, high = np.log10(_positive(values).min()), np.log10(_positive(values).max())
            layout |= {"type": "log", "exponentformat": "e", "dtick": max(1, math.ceil(decades / 6))}
            layout["range"] = [low - 0.04 * decades, high + 0.04 * decades]  # one range, so that panels compare
            layout["title"] = {"text": f"{label} (log)"}
        else:
            layout |= {"rangemode": "tozero"}
    elif values.min() >= -0.05 and values.max() <= 1.05:
        layout |= {"range": [-0.03, 1.04], "dtick": 0.25}
    plot.layout[axis_id("yaxis", place)].update(layout)


def _decades(values: pd.Series) -> float:
    """How many powers of ten the positive values span."""
    positive = _positive(values)
    return math.log10(positive.max() / positive.min()) if len(positive) else 0.0


def _positive(values: pd.Series) -> pd.Series:
    return values[np.isfinite(values) & (values > 0)]
