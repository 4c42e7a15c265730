"""Curves over training steps: loss, accuracy and the progress measures.

Each function takes a tidy results table (or a selection of one) and returns a plotly figure.
"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.panels import axis_id, finish, grid, legend, legends, line, phase_legend, shades, value_axis
from probe.report.style import SUBSET_NAMES, SUBSETS, StepAxis, compact, marks_of, size_names
from probe.scaling.transitions import by_size, transitions

PROGRESS_MEASURES = (
    ("restricted loss, all pairs", "nats", ("fourier_progress", "restricted_loss", "all"), "log"),
    ("excluded loss, train pairs", "nats", ("fourier_progress", "excluded_loss", "all keys"), "log"),
    (
        "surviving without the keys, train pairs",
        "share of those answered",
        ("fourier_progress", "surviving", "train"),
        "share",
    ),
    (
        "surviving without the keys, test pairs (control)",
        "share of those answered",
        ("fourier_progress", "surviving", "test"),
        "share",
    ),
    ("logit FVE (cube)", "share of variance", ("fourier_progress", "logit_fve", ""), "share"),
    ("sum-FVE", "share of variance", ("fourier_progress", "sum_fve", ""), "share"),
    ("restricted loss, all pairs (irreps)", "nats", ("irrep_progress", "restricted_loss", "all"), "log"),
    ("excluded loss, train pairs (irreps)", "nats", ("irrep_progress", "excluded_loss", "all keys"), "log"),
    (
        "surviving without the irreps, train pairs",
        "share of those answered",
        ("irrep_progress", "surviving", "train"),
        "share",
    ),
    (
        "surviving without the irreps, test pairs (control)",
        "share of those answered",
        ("irrep_progress", "surviving", "test"),
        "share",
    ),
    ("logit FVE (irreps)", "share of variance", ("irrep_progress", "logit_fve", ""), "share"),
    ("class-FVE (irreps)", "share of variance", ("irrep_progress", "class_fve", ""), "share"),
    ("Gini of the spectrum of W_E", "Gini coefficient", ("embedding_spectrum", "gini", ""), "share"),
    ("sum of squared weights", "squared weight", ("weights", "sum_of_squares", "all"), "log"),
)


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

    Restricted and excluded loss (Nanda et al. 2023, section 5), what survives without the keys, logit FVE, sum-FVE,
    Gini of the embedding spectrum and the sum of squared weights. Sizes differ in colour, dash and marker; if there is
    one size, its seeds do, and the background is shaded as in ``accuracy_figure``.

    Raises:
        ValueError: the table holds none of them.
    """
    panels = [(panel, rows) for panel in PROGRESS_MEASURES if len(rows := _rows_of(results, panel[2]))]
    if not panels:
        raise ValueError("results: no progress measure in the table; expected rows of the probe fourier_progress")
    table = transitions(results)
    one_size = table["size"].nunique() == 1
    names = table["model"] if one_size else size_names(table)
    marks = marks_of(names)
    axis = StepAxis(results["step"].unique())
    layout = grid([panel[0] for panel, _ in panels])
    medians = _medians(table) if one_size and len(axis) > 1 else None
    traces, shapes = [], []
    for place, ((_, unit, _, scale), rows) in enumerate(panels):
        for model, name in zip(table["model"], names, strict=True):
            curve = rows[rows["model"] == model].sort_values("step")
            if len(curve):
                traces.append(line(place, axis, curve, marks[name], model, name, scale == "log"))
        if medians is not None:
            shapes += shades(place, axis, *medians)
        layout[axis_id("yaxis", place)] |= value_axis(unit, scale, rows["value"])
    traces += legends(marks)
    return finish(layout, axis, traces + (phase_legend() if medians is not None else []), shapes)


def _performance_figure(results: pd.DataFrame, metric: str, label: str) -> go.Figure:
    rows = results[(results["probe"] == "performance") & (results["metric"] == metric)]
    if rows.empty:
        raise ValueError(f"results: no {metric} in the table; expected rows of the probe performance")
    table = transitions(results)
    groups = [(size, group) for size, group in table.groupby("size", sort=False)]
    axis = StepAxis(rows["step"].unique())
    layout = grid([f"{size} · {compact(group['n_params'].iloc[0])} parameters" for size, group in groups])
    subsets = [name for name in SUBSETS if name in set(rows["key"]) and not _repeats_test(rows, name)]
    scale = "log" if metric == "loss" else "share"
    traces, shapes = [], []
    for place, (_, group) in enumerate(groups):
        for subset in subsets:
            for model in group["model"]:
                curve = rows[(rows["model"] == model) & (rows["key"] == subset)].sort_values("step")
                name = f"{model}, {SUBSET_NAMES[subset]}"
                traces.append(line(place, axis, curve, SUBSETS[subset], name, subset, scale == "log"))
        if len(axis) > 1:
            shapes += shades(place, axis, *_medians(group))
        layout[axis_id("yaxis", place)] |= value_axis(label, scale, rows["value"])
    traces += [legend(SUBSETS[subset], SUBSET_NAMES[subset], subset) for subset in subsets]
    return finish(layout, axis, traces + (phase_legend() if shapes else []), shapes)


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


def _medians(group: pd.DataFrame) -> tuple[float, float]:
    """Median steps of memorization and of generalization over the models of a size."""
    medians = by_size(group).iloc[0]
    return medians["memorized_step_median"], medians["generalized_step_median"]
