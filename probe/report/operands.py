"""Accuracy operand by operand, and how operands compare over steps and sizes."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.panels import axis_id, band, finish, grid, legends, line, value_axis
from probe.report.style import INK, StepAxis, compact, figure, marks_of

_MAX_TICKS = 20


def operand_accuracy_figure(table: pd.DataFrame, multiples_of: int = 12) -> go.Figure:
    """Accuracy against the operand, a line per model at its last step in the table; multiples of a number are marked.

    Args:
        table: what ``probe.scaling.published.read_operand_accuracies`` or ``probe.scaling.operands.operand_accuracies``
            returns, of one operation and one number of shots.
        multiples_of: which operands have a line behind them.

    Raises:
        ValueError: the table is empty, or holds several operations or numbers of shots.
    """
    if table.empty:
        raise ValueError("table: no rows; expected accuracies by operand")
    for column in ("operation", "n_shot"):
        if table[column].nunique() > 1:
            raise ValueError(f"table: {column} is {sorted(table[column].unique())}; expected one: choose its rows")
    last = table[table["step"] == table.groupby("model")["step"].transform("max")]
    names = _names(last)
    marks, traces = marks_of(names.values()), []
    for model, name in names.items():
        rows, mark = last[last["model"] == model].sort_values("operand"), marks[name]
        special = rows["operand"].mod(multiples_of).eq(0)
        traces.append(
            go.Scatter(
                x=rows["operand"],
                y=rows["accuracy"],
                mode="lines+markers",
                line={"color": mark.color, "dash": mark.dash, "width": 1.5},
                marker={"symbol": mark.symbol, "size": np.where(special, 8, 0), "color": mark.color, "opacity": 1},
                name=name,
                customdata=np.stack([rows["step"], rows["n_items"]], axis=1),
                hovertemplate=(
                    f"{model}, step %{{customdata[0]:,}}<br>operand %{{x}}: %{{y:.3f}} of %{{customdata[1]}}"
                    "<extra></extra>"
                ),
            )
        )
    operands = np.sort(last["operand"].unique())
    multiples = operands[operands % multiples_of == 0]
    behind = {"type": "line", "yref": "y domain", "y0": 0, "y1": 1, "layer": "below"}
    look = {"line": {"color": "#8a939c", "width": 0.8, "dash": "dot"}}
    ticks = {"tickvals": multiples} if 1 < len(multiples) <= _MAX_TICKS else {}
    what = f"{table['operation'].iloc[0]}, {table['n_shot'].iloc[0]} shots"
    return figure(
        420,
        traces,
        shapes=[{**behind, **look, "x0": int(n), "x1": int(n)} for n in multiples],
        xaxis={"title": {"text": f"operand ({what}; dotted: multiples of {multiples_of})"}, **ticks},
        yaxis={"title": {"text": "accuracy (share right)"}, "range": [-0.03, 1.04], "dtick": 0.25},
        margin={"t": 90, "l": 62, "r": 16, "b": 52},
    )


def contrast_figure(contrasts: pd.DataFrame, name: str) -> go.Figure:
    """A difference in accuracy over training steps, a line per model with its 95 % interval, a panel per operation.

    Args:
        contrasts: what ``probe.scaling.operands.operand_contrasts`` or ``neighbour_contrasts`` returns, of one number
            of shots.
        name: what is compared, as in ``"24 minus 23"``.

    Raises:
        ValueError: there are none, or they are of several numbers of shots.
    """
    if contrasts.empty:
        raise ValueError("contrasts: no rows; expected differences in accuracy")
    if contrasts["n_shot"].nunique() > 1:
        raise ValueError(f"contrasts: n_shot is {sorted(contrasts['n_shot'].unique())}; expected one: choose its rows")
    operations = contrasts["operation"].unique()
    names = _names(contrasts)
    marks = marks_of(names.values())
    axis, layout, traces, shapes = StepAxis(contrasts["step"].unique()), grid([str(o) for o in operations]), [], []
    for place, operation in enumerate(operations):
        of_operation = contrasts[contrasts["operation"] == operation].sort_values("step")
        for model, label in names.items():
            curve = of_operation[of_operation["model"] == model].rename(columns={"difference": "value"})
            if len(curve):
                traces.append(band(place, axis, curve, marks[label], label))
                traces.append(line(place, axis, curve, marks[label], str(model), label, log=False))
        ends = pd.concat([of_operation["low"], of_operation["high"]])
        layout[axis_id("yaxis", place)] |= value_axis(f"accuracy, {name}", "linear", ends)
        on = {"xref": f"{axis_id('x', place)} domain", "yref": axis_id("y", place), "x0": 0, "x1": 1, "y0": 0, "y1": 0}
        shapes.append({"type": "line", **on, "line": {"color": INK, "width": 1}})
    traces += legends(marks)
    return finish(layout, axis, traces, shapes)


def _names(table: pd.DataFrame) -> dict[object, str]:
    """What the models of a table are called in a legend, smallest first."""
    models = table.drop_duplicates("model").sort_values("n_params")
    return {model: f"{model} · {compact(n)}" for model, n in zip(models["model"], models["n_params"], strict=True)}
