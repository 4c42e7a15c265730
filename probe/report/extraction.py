"""Which texts are extracted, over steps and by how often they were shown, by size, beside those never shown."""

import pandas as pd
import plotly.graph_objects as go

from probe.report.data import ReportData
from probe.report.frequency import exposure_figure
from probe.report.html_table import interval_cell, table_html
from probe.report.page import Panel, Section
from probe.report.panels import axis_id, finish, grid, legends, model_lines, value_axis
from probe.report.sections import source_of
from probe.report.style import StepAxis, marks_of, size_names
from probe.scaling.extraction import TextTable, extraction_curves, score_lines, text_tables

CARLINI = "Carlini et al. 2022, arXiv 2202.07646"
BIDERMAN = "Biderman et al. 2023, arXiv 2304.11158"
_SUBSETS = {"train": "texts shown in training", "test": "texts never shown (control)"}
_UNITS = {"extractable": "share of texts extractable", "memorization_score": "share of tokens right"}


def extraction_section(data: ReportData) -> Section:
    """The section of the memorization page, or why there is none.

    Args:
        data: the run.
    """
    title = "Which texts come out word for word"
    curves = extraction_curves(data.results)
    if curves.empty:
        why = "no text was given in part to be continued (probe extraction)."
        return Section("extraction", title, missing=(f"{title}: {why}",))
    prompts = sorted(curves["prompt"].unique().tolist())
    about = f"{source_of(data)} After the first k tokens of a text the model goes on greedily."
    exact = f"Extractable: a text whose continuation is right to the last token ({CARLINI})."
    score = f"Memorization score: tokens of the continuation that are right, each at its place ({BIDERMAN})."
    seeds = "Every seed is a line, with a 95 % interval over texts."
    panels = []
    for metric, name, definition in (
        ("extractable", "Texts that are extractable", exact),
        ("memorization_score", "Memorization score", score),
    ):
        choices = {_given(k): extraction_figure(curves[curves["prompt"] == k], metric) for k in prompts}
        panels.append(
            Panel(
                metric.replace("_", "-"), name, f"{about} {definition} {seeds}", choices, "Given", _given(prompts[-1])
            )
        )
    tables = text_tables(curves, data.arrays, data.questions)
    unequal = score_lines(tables)
    if unequal.empty:
        missing = (f"{title}: all texts were shown equally often, so nothing is said of exposures.",)
        return Section("extraction", title, tuple(panels), missing)
    caption = (
        f"{about} {exact} By how often texts had been shown, in bins that double; at the left those never shown, the"
        " control. Bars: 95 % intervals over texts (Clopper-Pearson)."
    )
    choices = {_given(k): extracted_by_exposure_figure(tables, k) for k in prompts}
    panels.append(
        Panel(
            "extractable-by-exposure", "Extractable texts by exposures", caption, choices, "Given", _given(prompts[-1])
        )
    )
    return Section("extraction", title, tuple(panels), body=_lines_table(unequal))


def extraction_figure(curves: pd.DataFrame, metric: str = "extractable") -> go.Figure:
    """A measure over steps: of the texts shown, and of those never shown; every seed a line with its interval.

    Args:
        curves: what ``probe.scaling.extraction.extraction_curves`` returns, of one prompt.
        metric: ``"extractable"`` or ``"memorization_score"``.

    Raises:
        ValueError: there is no curve, or those of several prompts.
    """
    if curves["prompt"].nunique() != 1:
        raise ValueError(f"curves: prompts of {sorted(curves['prompt'].unique())} tokens given; expected one length")
    curves = curves.assign(name=size_names(curves))
    marks, axis = marks_of(curves["name"]), StepAxis(curves["step"].unique())
    ends = {metric: "value", f"{metric}_low": "low", f"{metric}_high": "high"}
    traces: list[go.Scatter] = []
    layout = grid(list(_SUBSETS.values()))
    for place, subset in enumerate(_SUBSETS):
        of_subset = curves.loc[curves["subset"] == subset, ["model", "name", "step", *ends]]
        traces += model_lines(place, axis, of_subset.rename(columns=ends), marks)
        layout[axis_id("yaxis", place)] |= value_axis(_UNITS[metric], "share", curves[metric])
    return finish(layout, axis, [*traces, *legends(marks)])


def extracted_by_exposure_figure(tables: list[TextTable], prompt: int) -> go.Figure:
    """Share of the texts that is extractable against exposures, a line per size with 95 % intervals; steps by a slider.

    Args:
        tables: what ``probe.scaling.extraction.text_tables`` returns, at least one.
        prompt: tokens given, one of those of every table.
    """
    plot = exposure_figure([table.after(prompt) for table in tables])
    return plot.update_layout(yaxis_title_text=_UNITS["extractable"])


def _given(k: int) -> str:
    return f"{k} token{'s' if k > 1 else ''}"


def _lines_table(lines: pd.DataFrame) -> str:
    """The log-linear fits of the last step of every model."""
    last = lines[lines["step"] == lines.groupby("model")["step"].transform("max")]
    heads = ["Model", "Parameters", "Step", "Given", "Never shown", "Per doubling"]
    rows = []
    for row in last.to_dict("records"):
        cells = [interval_cell(row, name, "{:.3f}".format) for name in ("unseen", "slope")]
        given = [f"{row['n_params']:,}", f"{row['step']:,}", str(row["prompt"])]
        rows.append([str(row["model"]), *given, *cells])
    caption = (
        "Memorization score at the last step: mean of the texts never shown, and by how much that of those shown rises"
        " with every doubling of exposures, on the line fitted to them. 95 % intervals over texts."
    )
    return table_html("score-lines", "Memorization score by exposures", heads, rows, caption=caption)
