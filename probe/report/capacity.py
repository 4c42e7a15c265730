"""How many bits models hold, over steps and against how many they were shown."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.data import ReportData
from probe.report.html_table import table_html
from probe.report.page import Panel, Section
from probe.report.panels import axis_id, finish, grid, legends, model_lines, value_axis
from probe.report.sections import source_of
from probe.report.style import INK, StepAxis, compact, figure, log_ticks, marks_of, size_names
from probe.scaling.capacity import capacity_table, saturation_table
from probe.scaling.transitions import size_label

_PANELS = {"train": "facts shown to the end", "test": "facts never shown (control)"}
ALLEN_ZHU = "Allen-Zhu & Li 2024, arXiv 2404.05405"
MORRIS = "Morris et al. 2025, arXiv 2505.24832, section 3"


def bits_section(data: ReportData) -> Section:
    """The section of the memorization page, or why there is none.

    Args:
        data: the run.
    """
    title = "How many bits that is"
    if not (data.results["probe"] == "capacity").any():
        return Section("bits", title, missing=(f"{title}: not measured (probe capacity, of random facts).",))
    caption = (
        f"{source_of(data)} Bits recovered, the sum of log2 V + log2 p(answer) over the facts, per parameter"
        f" ({ALLEN_ZHU}). Below 0: worse than a guess among the V values, at first because it is not known which"
        " tokens are answers, later for being sure of wrong ones."
    )
    panels, body = [Panel("bits", "Bits per parameter", caption, {"": bits_figure(data.results)})], ""
    table = capacity_table(data.results)
    found = saturation_table(table)
    if len(found):
        caption = (
            f"{source_of(data)} Bits held at the last step against bits in the facts shown, both per parameter; bars:"
            " 95 % intervals over facts. Dashed: all that was shown. Flat lines: capacity, where what is held stops"
            f" growing ({MORRIS}); in the table with 95 % intervals over models."
        )
        panels.append(Panel("capacity", "Bits held of bits shown", caption, {"": capacity_figure(table, found)}))
        body = _saturations(found)
    return Section("bits", title, tuple(panels), body=body)


def bits_figure(results: pd.DataFrame) -> go.Figure:
    """Bits held per parameter over steps, a line per model: of the facts shown, and of those never shown (control).

    Args:
        results: tidy results table with rows of the probe ``capacity``.

    Raises:
        ValueError: it has none.
    """
    rows = results[(results["probe"] == "capacity") & (results["metric"] == "bits")]
    if rows.empty:
        raise ValueError("results: no bits in the table; expected rows of the probe capacity")
    rows = rows.assign(size=rows["model"].map(size_label), value=rows["value"] / rows["n_params"])
    rows = rows.assign(name=size_names(rows)).sort_values(["n_params", "model", "step"])
    marks = marks_of(rows["name"])
    axis = StepAxis(rows["step"].unique())
    panels = {key: title for key, title in _PANELS.items() if (rows["key"] == key).any()}
    traces: list[go.Scatter] = []
    layout = grid(list(panels.values()))
    for place, key in enumerate(panels):
        shown = rows[rows["key"] == key]
        traces += model_lines(place, axis, shown, marks)
        layout[axis_id("yaxis", place)] |= value_axis("bits per parameter", "linear", shown["value"])
    traces += legends(marks)
    return finish(layout, axis, traces)


def capacity_figure(table: pd.DataFrame, saturations: pd.DataFrame) -> go.Figure:
    """Bits held against bits shown, both per parameter: a point per model, marked by its shape, with its interval.

    Models that hold none are left out of the logarithmic axes.

    Args:
        table: what ``probe.scaling.capacity.capacity_table`` returns.
        saturations: what ``probe.scaling.capacity.saturation_table`` returns for it.
    """
    table = table[table["bits"] > 0]
    marks, traces = marks_of(table["shape"]), []
    per = table[["data_bits", "bits", "low", "high"]].div(table["n_params"], axis=0)
    ends = [float(per["data_bits"].min()) / 1.4, float(per["data_bits"].max()) * 1.4]
    for shape, mark in marks.items():
        rows = per[table["shape"] == shape]
        traces.append(
            go.Scatter(
                x=rows["data_bits"],
                y=rows["bits"],
                error_y={"array": rows["high"] - rows["bits"], "arrayminus": rows["bits"] - rows["low"], "width": 3},
                mode="markers",
                marker={"symbol": mark.symbol, "size": 8, "color": mark.color},
                name=shape,
                customdata=table.loc[rows.index, "model"],
                hovertemplate="%{customdata}: %{y:.3g} of %{x:.3g} bits per parameter<extra></extra>",
            )
        )
    for row in saturations.dropna(subset=["capacity"]).to_dict("records"):
        mark = marks[row["shape"]]
        traces.append(
            go.Scatter(
                x=[row["capacity"], ends[1]],
                y=[row["capacity"]] * 2,
                mode="lines",
                line={"color": mark.color, "dash": mark.dash, "width": 1.5},
                name=f"capacity of {row['shape']}",
                hovertemplate="capacity: %{y:.3g} bits per parameter<extra></extra>",
            )
        )
    all_shown = {"color": INK, "dash": "dash", "width": 1}
    traces.append(go.Scatter(x=ends, y=ends, mode="lines", line=all_shown, name="all that was shown", hoverinfo="skip"))
    least = float(per["low"].where(per["low"] > 0, per["bits"]).min()) / 1.4
    return figure(
        420,
        traces,
        xaxis={
            "type": "log",
            "range": list(np.log10(ends)),
            "title": {"text": "bits shown per parameter (log)"},
            **log_ticks(*ends),
        },
        yaxis={
            "type": "log",
            "range": [float(np.log10(least)), float(np.log10(ends[1]))],
            "title": {"text": "bits held per parameter (log)"},
            **log_ticks(least, ends[1]),
        },
        margin={"t": 80, "l": 62, "r": 16, "b": 52},
    )


def _saturations(found: pd.DataFrame) -> str:
    rows = []
    for row in found.to_dict("records"):
        if np.isnan(row["capacity"]):
            capacity = f"at least {row['at_least']:.3f} ({row['reason']})"
        else:
            capacity = f"{row['capacity']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        sizes = f"{compact(row['n_params_least'])} to {compact(row['n_params_most'])}"
        rows.append([str(row["shape"]), sizes, str(row["n"]), capacity])
    heads = ["Shape", "Parameters", "Models", "Capacity, bits per parameter"]
    caption = "Where the bits that models of one shape hold stop growing with the facts that they were shown."
    return table_html("capacity-table", "Capacity by shape", heads, rows, caption=caption)
