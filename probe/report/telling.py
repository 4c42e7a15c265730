"""Recital against knowledge: facts in the words in which they were shown, in others, and asked for."""

import pandas as pd
import plotly.graph_objects as go

from probe.report.data import ReportData
from probe.report.page import Panel, Section
from probe.report.panels import axis_id, finish, grid, legends, model_lines, value_axis
from probe.report.sections import source_of
from probe.report.style import StepAxis, marks_of, size_names
from probe.scaling.transitions import size_label

_SUBSETS = {
    "biographies": {
        "recited": "biographies as they were shown",
        "retold": "biographies never shown as a whole",
        "extracted": "questions about people shown, never asked",
        "test_questions": "questions about people never shown (control)",
    },
    "facts": {
        "train": "facts in phrasings shown",
        "rephrased": "the same facts in phrasings never shown",
        "test": "facts never shown (control)",
    },
}
ALLEN_ZHU = "Allen-Zhu & Li 2023, arXiv 2309.14316"


def telling_section(data: ReportData) -> Section:
    """The section of the memorization page, or why there is none.

    Args:
        data: the run.
    """
    title = "Recited or known"
    panels = []
    for kind, column in (("biographies", "extracted"), ("facts", "rephrased")):
        rows = _rows(data.results, kind)
        if not (rows["key"] == column).any():
            continue
        caption = (
            f"{source_of(data)} Share of the values that is the likeliest. What is recited comes in the words in which"
            " it was shown; what is known comes in others as well, and in answer to questions about people of whom"
            f" nothing was asked in training ({ALLEN_ZHU}). Of a biography never shown as a whole some sentences may"
            " have been in others of the same person, the more the more of these there are."
        )
        panels.append(Panel(f"telling-{kind}", f"{title}: {kind}", caption, {"": telling_figure(data.results, kind)}))
    why = "no fact was shown in some of several phrasings."
    return Section("telling", title, tuple(panels), missing=() if panels else (f"{title}: {why}",))


def telling_figure(results: pd.DataFrame, kind: str) -> go.Figure:
    """Share of values right over steps, a panel per way in which they are asked for; every model a line.

    Args:
        results: tidy results table with rows of the probe ``performance``.
        kind: "biographies" or "facts".
    """
    rows = _rows(results, kind)
    panels = {key: title for key, title in _SUBSETS[kind].items() if (rows["key"] == key).any()}
    rows = rows[rows["key"].isin(panels)].sort_values(["n_params", "model", "step"])
    rows = rows.assign(size=rows["model"].map(size_label))
    rows = rows.assign(name=size_names(rows))
    marks, axis = marks_of(rows["name"]), StepAxis(rows["step"].unique())
    traces: list[go.Scatter] = []
    layout = grid(list(panels.values()))
    for place, key in enumerate(panels):
        shown = rows[rows["key"] == key]
        traces += model_lines(place, axis, shown, marks)
        layout[axis_id("yaxis", place)] |= value_axis("share of values right", "share", shown["value"])
    return finish(layout, axis, [*traces, *legends(marks)])


def _rows(results: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Accuracy of the models that were asked things of a kind; of answers of several tokens, that of the tokens."""
    rows = results[results["probe"] == "performance"]
    asked = {"biographies": "extracted", "facts": "rephrased"}[kind]
    rows = rows[rows["model"].isin(rows.loc[rows["key"] == asked, "model"])]
    of_tokens = rows[rows["metric"] == "token_accuracy"]
    of_answers = rows[(rows["metric"] == "accuracy") & ~rows["model"].isin(of_tokens["model"])]
    return pd.concat([of_tokens, of_answers])
