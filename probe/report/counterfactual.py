"""What is known because it was shown: counterfactual memorization over steps, and its spread over examples."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.data import ReportData
from probe.report.frames import add_frames, slider_steps
from probe.report.page import Panel, Section
from probe.report.panels import axis_id, finish, grid, legends, model_lines, value_axis
from probe.report.sections import source_of
from probe.report.style import StepAxis, compact, figure, marks_of, size_names
from probe.scaling.counterfactual import Counterfactual, counterfactual_curves, counterfactuals

_PANELS = {
    "mean": "better on what was shown (95 % band)",
    "memorized": "examples known by having been shown",
}
ZHANG = "Zhang et al. 2021, arXiv 2112.12938"


def counterfactual_section(data: ReportData, curves: pd.DataFrame) -> Section:
    """The section of the memorization page, or why there is none.

    Args:
        data: the run.
        curves: what ``probe.scaling.memorization.memorization_curves`` returns.
    """
    title = "What having been shown changes"
    found = counterfactuals(curves, data.arrays, data.questions)
    if not found:
        why = "no two models of one size were trained on different examples of the same set."
        return Section("counterfactual", title, missing=(f"{title}: {why}",))
    models = ", ".join(f"{len(of_size.models)} of {of_size.size}" for of_size in found)
    about = (
        f"{source_of(data)} Counterfactual memorization of an example: the share of its answer's tokens that is right"
        f" in models trained on it, minus that in models of the same size that were not ({ZHANG}); models: {models}."
        " What a rule, or other examples, say of it is in both."
    )
    over_time = counterfactual_curves(found)
    enough = over_time.drop_duplicates("size")
    counts = ", ".join(f"{n:,} of {size}" for size, n in zip(enough["size"], enough["n_examples"], strict=True))
    caption = (
        f"{about} The mean, with Student's interval over models; and the share of the examples whose own 95 % interval"
        f" over models excludes 0, of those with enough models on either side for that ({counts}); up to 2.5 % do by"
        " chance."
    )
    spread = f"{about} Share of the examples for which it is at least so much."
    panels = (
        Panel("counterfactual", "Counterfactual memorization over steps", caption, {"": over_steps_figure(over_time)}),
        Panel("counterfactual-spread", "Its spread over examples", spread, {"": spread_figure(found)}),
    )
    return Section("counterfactual", title, panels)


def over_steps_figure(curves: pd.DataFrame) -> go.Figure:
    """Mean counterfactual memorization with its band, and the share of examples that have some, over steps, by size.

    Args:
        curves: what ``probe.scaling.counterfactual.counterfactual_curves`` returns, not empty.
    """
    curves = curves.assign(name=size_names(curves), model=size_names(curves))  # of a size there is one curve
    marks, axis = marks_of(curves["name"]), StepAxis(curves["step"].unique())
    panels = {column: title for column, title in _PANELS.items() if curves[column].notna().any()}
    traces: list[go.Scatter] = []
    layout = grid(list(panels.values()))
    for place, column in enumerate(panels):
        ends = ["low", "high"] if column == "mean" else []
        shown = curves[["model", "name", "step", column, *ends]].rename(columns={column: "value"})
        traces += model_lines(place, axis, shown, marks)
        label = {"mean": "shown minus not shown", "memorized": "share of the examples"}[column]
        layout[axis_id("yaxis", place)] |= value_axis(label, "share", curves[column])
    return finish(layout, axis, [*traces, *legends(marks)])


def spread_figure(found: Sequence[Counterfactual]) -> go.Figure:
    """Share of the examples with at least so much counterfactual memorization, a line per size; steps by a slider.

    Args:
        found: what ``probe.scaling.counterfactual.counterfactuals`` returns, at least one.
    """
    marks = marks_of(f"{of_size.size} · {compact(of_size.n_params)}" for of_size in found)
    steps = slider_steps(sorted({int(step) for of_size in found for step in of_size.steps}))
    frames: dict[int, list[dict[str, object]]] = {step: [] for step in steps}
    for step in steps:
        for of_size in found:
            at = np.flatnonzero(of_size.steps == step)
            values = of_size.examples.value[at].numpy().ravel()
            values = np.sort(values[np.isfinite(values)])
            share = 1 - np.arange(len(values)) / max(len(values), 1)
            # where many examples are alike, the corner of the step is all that is seen of them
            ends = np.flatnonzero(np.diff(values, prepend=-np.inf))
            frames[step].append({"x": np.insert(values[ends], 0, -1.0), "y": np.insert(share[ends], 0, 1.0)})
    traces = [
        go.Scatter(
            **last,
            mode="lines",
            line={"color": mark.color, "dash": mark.dash, "width": 1.8, "shape": "vh"},
            name=name,
            hovertemplate=f"{name}: at least %{{x:.2f}} for %{{y:.1%}} of the examples<extra></extra>",
        )
        for (name, mark), last in zip(marks.items(), frames[steps[-1]], strict=True)
    ]
    plot = figure(
        420,
        traces,
        xaxis={"title": {"text": "counterfactual memorization (share of tokens)"}, "range": [-1.04, 1.04]},
        yaxis={"title": {"text": "share of the examples"}, "range": [-0.03, 1.04], "dtick": 0.25},
        showlegend=True,
        margin={"t": 80, "l": 62, "r": 16, "b": 52},
    )
    add_frames(plot, frames)
    return plot
