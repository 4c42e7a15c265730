"""How a special batch is forgotten after its last exposure, and what is left of it by size."""

from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.data import ReportData
from probe.report.html_table import interval_cell, table_html
from probe.report.page import Panel, Section
from probe.report.panels import axis_id, finish, grid, legend, line, value_axis
from probe.report.sections import source_of
from probe.report.style import INK, StepAxis, compact, figure, marks_of, size_names
from probe.scaling.forgetting import ForgettingBySize, forgetting_by_size, forgetting_curves, forgetting_table

TIRUMALA = "Tirumala et al. 2022, arXiv 2205.10770, section 5"
_PANELS = {
    "recalled": "special batch, not shown any more",
    "unseen": "facts never shown (control)",
    "trained": "facts shown to the end",
}
_CURVE = 120
_SLOPES = {
    "baseline": "the baseline",
    "kept": "the share that is kept of what was recalled beyond the control at the last exposure",
    "control": "the control",
}


def forgetting_figure(curves: pd.DataFrame, models: pd.DataFrame) -> go.Figure:
    """Recall of the special batch against steps since its last exposure, beside that of other facts, by size.

    A line per model; of the special batch a model's evaluations are points, joined where no decay to a plateau was
    fitted, and the fitted decay is the line.

    Args:
        curves: what ``probe.scaling.forgetting.forgetting_curves`` returns.
        models: what ``probe.scaling.forgetting.forgetting_table`` returns for them.
    """
    curves = curves.assign(name=size_names(curves))
    marks = marks_of(curves["name"])
    fits = {row["model"]: row for row in models.to_dict("records") if row["outcome"] == "plateau"}
    axis = StepAxis(curves["since"].unique())
    shown = [column for column in _PANELS if curves[column].notna().any()]
    layout, traces = grid([_PANELS[column] for column in shown]), []
    for place, column in enumerate(shown):
        for (model, name), rows in curves.groupby(["model", "name"], sort=False):
            curve = rows[["since", column]].set_axis(["step", "value"], axis=1).dropna()
            drawn = line(place, axis, curve, marks[str(name)], str(model), str(name), log=False)
            if column == "recalled" and model in fits:
                drawn.update(mode="markers", marker={"size": 5})
                decay = _decay(fits[model], curve)
                traces.append(line(place, axis, decay, marks[str(name)], f"{model}, fit", str(name), log=False))
                traces[-1].update(mode="lines")
            traces.append(drawn)
        layout[axis_id("yaxis", place)] |= value_axis("share answered exactly", "share", curves[column])
    traces += [legend(mark, name, name) for name, mark in marks.items()]
    plot = finish(layout, axis, traces)
    plot.for_each_xaxis(lambda x: x.title.text and x.update(title={"text": "steps since the last exposure (log)"}))
    return plot


def _decay(fit: dict, curve: pd.DataFrame) -> pd.DataFrame:
    """The fitted curve of a model between its first and last evaluation, whole steps."""
    last = float(curve["step"].max())
    at = np.unique(np.geomspace(1, max(last, 2), _CURVE).round())
    at = np.concatenate([[0.0], at[at <= last]])
    height = fit["start"] - fit["baseline"]
    return pd.DataFrame({"step": at, "value": fit["baseline"] + height * 0.5 ** (at / fit["half_life"])})


def baseline_figure(found: ForgettingBySize) -> go.Figure:
    """Forgetting baseline against N: a point per model with its interval, medians over seeds, and the control.

    A model that was still falling at its last evaluation is an open marker at the mean of its last fifth: its baseline
    is lower.

    Args:
        found: what ``probe.scaling.forgetting.forgetting_by_size`` returns.
    """
    models, sizes = found.models, found.sizes
    falling = models["outcome"] == "falling"
    ends = {"baseline": ("low", "high"), "tail": ("tail_low", "tail_high")}
    traces = []
    for rows, column, symbol, color, name in (
        (models[models["baseline"].notna()], "baseline", "circle", "#0072B2", "baseline, a model"),
        (models[falling], "tail", "triangle-down-open", "#0072B2", "still falling: baseline is lower"),
    ):
        if rows.empty:
            continue
        low, high = (rows[end].to_numpy(dtype=float) for end in ends[column])
        value = rows[column].to_numpy(dtype=float)
        spread = rows.groupby("n_params").cumcount() - (rows.groupby("n_params")["model"].transform("size") - 1) / 2
        traces.append(
            go.Scatter(
                x=rows["n_params"].to_numpy(dtype=float) * 1.035 ** spread.to_numpy(dtype=float),
                y=value,
                error_y={"array": high - value, "arrayminus": value - low, "thickness": 1, "width": 3},
                mode="markers",
                marker={"symbol": symbol, "size": 8, "color": color, "line": {"width": 1.6, "color": color}},
                customdata=np.stack([rows["model"], low, high], axis=1),
                name=name,
                hovertemplate="%{customdata[0]}: %{y:.3f} [%{customdata[1]:.3f}, %{customdata[2]:.3f}]<extra></extra>",
            )
        )
    seen = sizes[sizes["n_seen"] > 0]
    if len(seen):
        median = seen["baseline"].to_numpy(dtype=float)
        above, below = (np.nan_to_num(np.abs(seen[end].to_numpy(dtype=float) - median)) for end in ("high", "low"))
        traces.append(
            go.Scatter(
                x=seen["n_params"].to_numpy(dtype=float) * 1.17,  # beside the points
                y=median,
                error_y={"array": above, "arrayminus": below, "thickness": 1.8, "width": 6},
                mode="markers",
                marker={"symbol": "line-ew-open", "size": 14, "color": "#D55E00", "line": {"width": 2.4}},
                name="median over seeds",
                hovertemplate="median of the size: %{y:.3f}<extra></extra>",
            )
        )
    if sizes["control"].notna().any():
        traces.append(
            go.Scatter(
                x=sizes["n_params"].to_numpy(dtype=float),
                y=sizes["control"].to_numpy(dtype=float),
                mode="lines+markers",
                line={"color": INK, "dash": "dot", "width": 1.4},
                marker={"symbol": "x-thin-open", "size": 8, "color": INK, "line": {"width": 1.6}},
                name="control: facts never shown",
                hovertemplate="control: %{y:.3f}<extra></extra>",
            )
        )
    values = sizes["n_params"].to_numpy(dtype=float)
    ticks = [f"{size}<br>{compact(n)}" for size, n in zip(sizes["size"], values, strict=True)]
    least, most = values.min() / 1.5, values.max() * 1.5
    shares = pd.concat([models["high"], models["tail_high"], sizes["control"]])
    return figure(
        420,
        traces,
        xaxis={
            "type": "log",
            "range": [float(np.log10(least)), float(np.log10(most))],
            "tickvals": values,
            "ticktext": ticks,
            "title": {"text": "parameters (log)"},
        },
        yaxis=value_axis("share answered exactly", "share", shares),
        margin={"t": 80, "l": 62, "r": 16, "b": 60},
    )


def forgetting_sentences(found: ForgettingBySize) -> list[str]:
    """What was found, in words: how the models forgot, and what depends on their size."""
    models = found.models
    counts = {
        "fell to a plateau": (models["outcome"] == "plateau").sum(),
        "still falling at the end": (models["outcome"] == "falling").sum(),
        "did not fall": (models["outcome"] == "level").sum(),
        "rose": (models["outcome"] == "rising").sum(),
        "evaluated too seldom to tell": (models["outcome"] == "").sum(),
    }
    said = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    sentences = [f"{len(models)} model{'s' if len(models) > 1 else ''}: {said}."]
    verdicts = {
        "rises": "it rises with size",
        "falls": "it falls with size",
        "cannot tell": "whether it depends on size cannot be told",
    }
    for name, words in _SLOPES.items():
        if name in found.slopes:
            slope = found.slopes[name]
            sentences.append(
                f"Of {words}: {slope.estimate:+.3f} [{slope.low:+.3f}, {slope.high:+.3f}] per tenfold parameters (95 %"
                f" interval, {slope.n} models); {verdicts[found.trend(name)]}."
            )
    if found.reason:
        sentences.append(f"Whether the baseline depends on size cannot be told: {found.reason}.")
    return sentences


def forgetting_section(data: ReportData) -> Section:
    """The section of the memorization page on forgetting; without panels where no model had a special batch.

    Args:
        data: the run.
    """
    title = "How what is no longer shown is forgotten"
    curves = forgetting_curves(data.results)
    models = forgetting_table(curves, data.questions)
    if models.empty:
        return Section("forgetting", title, missing=(f"{title}: all facts were shown to the end (no special batch).",))
    found = forgetting_by_size(models)
    body = "".join(f"<li>{escape(sentence)}</li>" for sentence in forgetting_sentences(found))
    caption = (
        f"{source_of(data)} Facts that were shown in the first passes and then no more, while training went on on the"
        f" others ({TIRUMALA}). Steps are counted from the first evaluation by which they had been shown as often as"
        f" they ever were; the one before it is at most {int(models['gap'].max()):,} step(s) earlier. Points:"
        " evaluations; line: baseline + (start - baseline) exp(-t / scale), where that describes them better than a"
        " level and a straight line. Facts never shown are the control."
    )
    panels = [Panel("forgetting", "Forgetting curves", caption, {"": forgetting_figure(curves, models)})]
    if (models["outcome"] != "").any():
        baselines = Panel(
            "forgetting-baseline",
            "Forgetting baseline against parameters",
            f"{source_of(data)} The plateau of each curve with its 95 % interval over facts of this kind; medians over"
            " seeds with 95 % bootstrap intervals (with 3 seeds their range). Open: still falling at the last"
            " evaluation, drawn at the mean of the last fifth.",
            {"": baseline_figure(found)},
        )
        panels.append(baselines)
    return Section("forgetting", title, tuple(panels), body=f"<ul>{body}</ul>{_table(models)}")


def _table(models: pd.DataFrame) -> str:
    """Every model's outcome, recall at the last exposure, baseline, half-life and control."""
    rows = []
    for row in models.to_dict("records"):
        cells = [
            _number(row["start"]),
            interval_cell(row | {"baseline_low": row["low"], "baseline_high": row["high"]}, "baseline", _number),
            interval_cell(row, "half_life", _steps),
            _number(row["control"]),
            _number(row["kept"]),
        ]
        rows.append([str(row["model"]), row["outcome"] or "—", *cells])
    heads = ["Model", "Outcome", "At the last exposure (fitted)", "Baseline", "Half-life (steps)", "Control", "Kept"]
    caption = (
        "Shares answered exactly, with 95 % intervals for facts of this kind, in this run. Kept: share of what was"
        " recalled beyond the control at the last exposure that is left at the baseline."
    )
    return table_html("forgetting-models", "Forgetting by model", heads, rows, words=2, caption=caption)


def _number(value: float) -> str:
    return "—" if np.isnan(value) else f"{value:.3f}"


def _steps(value: float) -> str:
    return "—" if np.isnan(value) else "∞" if np.isinf(value) else compact(value)
