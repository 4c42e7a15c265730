"""What is memorized over steps, how many exposures that took, and how many bits it is, by size."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.panels import axis_id, finish, grid, legend, line, value_axis
from probe.report.style import INK, StepAxis, compact, figure, log_ticks, mark_of
from probe.scaling.memorization import MemorizationLaw

_MEASURES = {
    "memorized": "facts shown in training",
    "unseen": "facts never shown (control)",
}


def memorized_figure(curves: pd.DataFrame) -> go.Figure:
    """Share of the facts that is answered exactly over steps: those shown, and those never shown; every seed a line.

    Args:
        curves: what ``probe.scaling.memorization.memorization_curves`` returns.
    """
    names = curves["size"] + " · " + curves["n_params"].map(compact)
    marks = {name: mark_of(i) for i, name in enumerate(names.unique())}
    axis = StepAxis(curves["step"].unique())
    panels = {column: title for column, title in _MEASURES.items() if curves[column].notna().any()}
    layout, traces = grid(list(panels.values())), []
    for place, column in enumerate(panels):
        for (model, name), rows in curves.groupby(["model", names], sort=False):
            curve = rows[["step", column]].rename(columns={column: "value"}).dropna()
            traces.append(line(place, axis, curve, marks[name], str(model), str(name), log=False))
        layout[axis_id("yaxis", place)] |= value_axis("share answered exactly", "share", curves[column])
    traces += [legend(mark, name, name) for name, mark in marks.items()]
    return finish(layout, axis, traces)


def exposures_figure(law: MemorizationLaw) -> go.Figure:
    """T(N, tau) against N: a point per model, the median of each size with its interval, and the fitted power law.

    A model that did not get there within its budget is an open marker at its last exposure: T is larger.

    Args:
        law: what ``probe.scaling.memorization.memorization_law`` returns.
    """
    models, sizes = law.models, law.sizes
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
                    x=rows["n_params"].to_numpy(dtype=float),
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
                x=known["n_params"].to_numpy(dtype=float) * 1.13,  # beside the points
                y=known["median"].to_numpy(dtype=float),
                error_y={"array": above, "arrayminus": below, "thickness": 1.4, "width": 5},
                mode="markers",
                marker={"symbol": "line-ew-open", "size": 12, "color": "#D55E00", "line": {"width": 2}},
                line={"color": "#D55E00"},
                name="median over seeds",
                hovertemplate="median of the size: %{y:,.1f} exposures<extra></extra>",
            )
        )
    least, most = float(models["n_params"].min()) / 1.5, float(models["n_params"].max()) * 1.5
    if law.law is not None:
        at = np.geomspace(least, most, 50)
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
    values = sizes["n_params"].to_numpy(dtype=float)
    ticks = [f"{size}<br>{compact(n)}" for size, n in zip(sizes["size"], values, strict=True)]
    first = float(models["reached"].where(reached, models["budget"]).min())
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
        yaxis={"type": "log", "title": {"text": "exposures per fact (log)"}} | log_ticks(first / 1.5, last * 1.2),
        margin={"t": 80, "l": 62, "r": 16, "b": 60},
    )


def law_sentence(law: MemorizationLaw) -> str:
    """What was found, in words."""
    n, late = len(law.models), int(np.isinf(law.models["reached"]).sum())
    text = f"{n - late} of {n} models memorized {100 * law.tau:g} % of the facts shown to them within the budget."
    if law.law is None or law.law.exponent is None:
        return f"{text} No power law is fitted: {law.reason}."
    a = law.law.exponent
    text += f" Fitted: T = c N^-a with a = {a.estimate:.2f} [{a.low:.2f}, {a.high:.2f}] (95 % interval)."
    return text + ("" if a.low > 0 or a.high < 0 else " That T depends on N is not established.")


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
    rows = rows.assign(value=rows["value"] / rows["n_params"]).sort_values(["n_params", "model", "step"])
    marks = {n: mark_of(i) for i, n in enumerate(rows["n_params"].unique())}
    axis = StepAxis(rows["step"].unique())
    titles = zip(("train", "test"), _MEASURES.values(), strict=True)
    panels = {key: title for key, title in titles if (rows["key"] == key).any()}
    layout, traces = grid(list(panels.values())), []
    for place, key in enumerate(panels):
        shown = rows[rows["key"] == key]
        for (model, n), curve in shown.groupby(["model", "n_params"], sort=False):
            traces.append(line(place, axis, curve, marks[n], str(model), str(n), log=False))
        layout[axis_id("yaxis", place)] |= value_axis("bits per parameter", "linear", shown["value"])
    traces += [legend(mark, f"{compact(n)} parameters", str(n)) for n, mark in marks.items()]
    return finish(layout, axis, traces)
