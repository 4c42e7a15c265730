"""Losses of single examples over steps: those that were shown beside those that never were, and how far apart."""

import pandas as pd
import plotly.graph_objects as go

from probe.report.data import ReportData
from probe.report.page import Panel, Section
from probe.report.panels import axis_id, band, finish, grid, legend, legends, line, model_lines, value_axis
from probe.report.sections import source_of
from probe.report.style import INK, SUBSETS, StepAxis, compact, marks_of, size_names
from probe.scaling.losses import QUANTILES, loss_table

YEOM = "Yeom et al. 2018, arXiv 1709.01604"
_KINDS = {"shown": (SUBSETS["train"], "shown in training"), "unseen": (SUBSETS["test"], "never shown (control)")}


def losses_section(data: ReportData) -> Section:
    """The section of the memorization page, or why there is none.

    Args:
        data: the run.
    """
    title = "What losses tell of having been shown"
    table = loss_table(data.results, data.arrays, data.questions)
    if table.empty:
        why = "no model has losses of examples beside those of examples never shown (probe recall)."
        return Section("losses", title, missing=(f"{title}: {why}",))
    parts = {part: table[table["part"] == part] for part in table["part"].unique()}
    low, _, high = (f"{100 * level:g}" for level in QUANTILES.values())
    quantiles = (
        f"{source_of(data)} Loss of every example: nats, the sum over its answer. The first model of each size; line:"
        f" median over the examples, band: from their {low}th to their {high}th percentile. What a rule gives, it gives"
        " to both kinds."
    )
    area = (
        f"{source_of(data)} Probability that of an example that was shown and one that never was the first has the"
        f" lower loss: the area under the curve of an attack that guesses from the loss which were shown ({YEOM})."
        " 1/2 (dashed) is no memory, as of an untrained model; above it is also what is learned of answers in general,"
        " where those of facts never shown are others. Every seed is a line, with a 95 % interval over examples."
    )
    panels = (
        Panel(
            "losses",
            "Losses of single examples",
            quantiles,
            {part: losses_figure(rows) for part, rows in parts.items()},
            "Part",
        ),
        Panel(
            "auc",
            "Shown told from never shown by the loss",
            area,
            {part: auc_figure(rows) for part, rows in parts.items()},
            "Part",
        ),
    )
    return Section("losses", title, panels)


def losses_figure(table: pd.DataFrame) -> go.Figure:
    """Quantiles of the losses over steps, a panel per size: examples shown beside examples never shown.

    Of several models of a size the first is drawn.

    Args:
        table: what ``probe.scaling.losses.loss_table`` returns, of one part.

    Raises:
        ValueError: it is empty.
    """
    if table.empty:
        raise ValueError("table: no losses given; expected those of one model or more")
    first = table.drop_duplicates("size")
    rows = table[table["model"].isin(first["model"])]
    columns = [f"{kind}_{quantile}" for kind in _KINDS for quantile in QUANTILES]
    values = pd.Series(rows[columns].to_numpy(dtype=float).ravel())
    least = float(values.where(values > 0).min())  # for 0 a logarithmic axis has no place
    low, middle, high = QUANTILES
    axis = StepAxis(rows["step"].unique())
    layout = grid([f"{size} · {compact(n)}" for size, n in zip(first["size"], first["n_params"], strict=True)])
    traces = []
    for place, model in enumerate(first["model"]):
        of_model = rows[rows["model"] == model].sort_values("step")
        for kind, (mark, name) in _KINDS.items():
            named = {f"{kind}_{low}": "low", f"{kind}_{middle}": "value", f"{kind}_{high}": "high"}
            curve = of_model[["step", *named]].rename(columns=named).clip(lower=least)
            curve["step"] = of_model["step"]
            traces.append(band(place, axis, curve, mark, kind))
            traces.append(line(place, axis, curve, mark, f"{model}, {name}", kind, log=False))
        layout[axis_id("yaxis", place)] |= value_axis("loss, nats", "log", values)
    return finish(layout, axis, [*traces, *(legend(mark, name, kind) for kind, (mark, name) in _KINDS.items())])


def auc_figure(table: pd.DataFrame) -> go.Figure:
    """How well losses tell examples that were shown from others, over steps; every seed a line with its interval.

    Args:
        table: what ``probe.scaling.losses.loss_table`` returns, of one part.

    Raises:
        ValueError: it is empty.
    """
    if table.empty:
        raise ValueError("table: no losses given; expected those of one model or more")
    curves = table.assign(name=size_names(table)).sort_values("step", kind="stable")
    curves = curves.rename(columns={"auc": "value", "auc_low": "low", "auc_high": "high"})
    marks, axis = marks_of(size_names(table)), StepAxis(table["step"].unique())
    layout, traces = grid(["area under the curve"]), model_lines(0, axis, curves, marks)
    layout["yaxis"] |= value_axis("probability", "share", table["auc"])
    chance = {"type": "line", "xref": "x", "yref": "y", "x0": axis.start, "x1": axis.end, "y0": 0.5, "y1": 0.5}
    dashed = {"color": INK, "width": 1.2, "dash": "dash"}
    return finish(layout, axis, [*traces, *legends(marks)], [chance | {"line": dashed}])
