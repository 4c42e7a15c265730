"""What is memorized over steps, how many exposures that took, and how many bits it is, by size."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.panels import axis_id, finish, grid, legends, model_lines, value_axis
from probe.report.scale import BESIDE, GroupColumns
from probe.report.style import INK, StepAxis, figure, log_ticks, marks_of, size_names
from probe.scaling.memorization import MemorizationLaw

_MEASURES = {"memorized": "{} shown to the end", "unseen": "{} never shown (control)"}


def memorized_figure(curves: pd.DataFrame, of_texts: bool = False) -> go.Figure:
    """Share of the facts that is answered exactly over steps: those shown, and those never shown; every seed a line.

    Args:
        curves: what ``probe.scaling.memorization.memorization_curves`` returns.
        of_texts: whether they are of texts, whose tokens are predicted.
    """
    curves = curves.assign(name=size_names(curves))
    marks, axis = marks_of(curves["name"]), StepAxis(curves["step"].unique())
    what, label = ("texts", "share of tokens predicted") if of_texts else ("facts", "share answered exactly")
    panels = {column: title.format(what) for column, title in _MEASURES.items() if curves[column].notna().any()}
    traces: list[go.Scatter] = []
    layout = grid(list(panels.values()))
    for place, column in enumerate(panels):
        known = curves[["model", "name", "step", column]].rename(columns={column: "value"}).dropna()
        traces += model_lines(place, axis, known, marks)
        layout[axis_id("yaxis", place)] |= value_axis(label, "share", curves[column])
    traces += legends(marks)
    return finish(layout, axis, traces)


def exposures_figure(law: MemorizationLaw, of_size: bool = True) -> go.Figure:
    """T(N, tau) against N: a point per model, the median of each group with its interval, and the fitted power law.

    A model that did not get there within its budget is an open marker at its last exposure: T is larger. Groups that
    differ in more than their size stand one beside the other, without a law.

    Args:
        law: what ``probe.scaling.memorization.memorization_law`` returns.
        of_size: whether they differ in size alone (``probe.report.scale.in_size_alone``).
    """
    models, sizes = law.models, law.sizes
    columns = GroupColumns(models, of_size)
    reached = np.isfinite(models["reached"])
    last = float(models["budget"].max())
    traces = []
    for rows, column, symbol, name in (
        (models[reached], "reached", "circle", f"T(N, {law.tau:g})"),
        (models[~reached], "budget", "circle-open", "not within the budget"),
    ):
        if len(rows):
            traces.append(
                go.Scatter(
                    x=columns.at(rows, 0.0),
                    y=rows[column].to_numpy(dtype=float),
                    mode="markers",
                    marker={"symbol": symbol, "size": 9, "color": "#0072B2", "opacity": 0.8, "line": {"width": 1.6}},
                    customdata=rows["model"].to_numpy(),
                    name=name,
                    hovertemplate=f"%{{customdata}}: {name}, %{{y:,.1f}} exposures<extra></extra>",
                )
            )
    known = sizes[np.isfinite(sizes["median"])]
    if len(known):
        bounded = (known["low"] > 0) & np.isfinite(known["high"])  # by enough seeds
        above, below = ((known[end] - known["median"]).abs().where(bounded, 0.0) for end in ("high", "low"))
        traces.append(
            go.Scatter(
                x=columns.at(known, BESIDE),
                y=known["median"].to_numpy(dtype=float),
                error_y={"array": above, "arrayminus": below, "thickness": 1.4, "width": 5},
                mode="markers",
                marker={"symbol": "line-ew-open", "size": 12, "color": "#D55E00", "line": {"width": 2}},
                line={"color": "#D55E00"},
                name="median over seeds",
                hovertemplate="median of the group: %{y:,.1f} exposures<extra></extra>",
            )
        )
    if law.law is not None and columns.of_size:
        at = np.geomspace(models["n_params"].min() / 1.5, models["n_params"].max() * 1.5, 50)
        traces.append(
            go.Scatter(
                x=at,
                y=law.law.predict(at),
                mode="lines",
                line={"color": INK, "width": 1.8, "dash": "dash"},
                name="power law",
                hovertemplate="%{x:,.0f} parameters: %{y:,.1f} exposures<extra></extra>",
            )
        )
    first = float(models["reached"].where(reached, models["budget"]).min())
    return figure(
        columns.height + 40,  # the legend may need two rows
        traces,
        xaxis=columns.layout,
        yaxis={"type": "log", "title": {"text": "exposures per fact (log)"}} | log_ticks(first / 1.5, last * 1.2),
        margin={"t": 80, "l": 62, "r": 16, "b": 60},
    )


def law_sentence(law: MemorizationLaw, of_size: bool = True, of_texts: bool = False) -> str:
    """What was found, in words; of the law only where groups differ in size alone, ``of_size``."""
    n, late = len(law.models), int(np.isinf(law.models["reached"]).sum())
    did = f"predicted {100 * law.tau:g} % of the tokens of the texts" if of_texts else ""
    did = did or f"memorized {100 * law.tau:g} % of the facts"
    text = f"{n - late} of {n} models {did} shown to them within the budget."
    if not of_size:
        return f"{text} Groups differ in more than their size, so T is not fitted as a power of it."
    if law.law is None or law.law.exponent is None:
        return f"{text} No power law is fitted: {law.reason}."
    a = law.law.exponent
    text += f" Fitted: T = c N^-a with a = {a.estimate:.2f} [{a.low:.2f}, {a.high:.2f}] (95 % interval)."
    return text + ("" if a.low > 0 or a.high < 0 else " That T depends on N is not established.")
