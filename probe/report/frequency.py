"""What is known of facts by how often they were shown."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.frames import add_frames, slider_steps
from probe.report.html_table import interval_cell, table_html
from probe.report.style import compact, figure, log_ticks, marks_of
from probe.scaling.frequency import FactTable, by_exposure, log_prob_by_exposure

_NEVER = 0.5
"""Where facts that were never shown stand on the logarithmic axis of exposures."""
_COLUMNS = {"gap": "Gap of tenths", "rho": "Spearman's rho", "slope": "Slope", "adjusted": "Slope at equal difficulty"}


def exposure_figure(tables: Sequence[FactTable], of: Literal["exact", "log_prob"] = "exact") -> go.Figure:
    """What is known of facts against exposures, a line per size with 95 % intervals; steps by a slider.

    Facts are put into bins that double; those never shown, the control, stand at the left. The facts of a size's seeds
    are taken together.

    Args:
        tables: what ``probe.scaling.frequency.fact_tables`` returns, at least one.
        of: the share of the facts that is answered, or the mean log-probability of their answers, which moves before
            any is right.

    Raises:
        ValueError: there is none.
    """
    if not tables:
        raise ValueError("tables: none given; expected the facts of one model or more")
    measure = {"exact": by_exposure, "log_prob": log_prob_by_exposure}[of]
    sizes = {table.size: table.n_params for table in tables}
    steps = slider_steps(sorted({int(step) for table in tables for step in table.exact["step"].values if step > 0}))
    frames: dict[int, list[dict[str, object]]] = {}
    most = 1.0
    for step in steps:
        frames[step] = []
        for size in sizes:
            found = measure([table for table in tables if table.size == size], step)
            at, value, low, high = (part.numpy() for part in (found.mean_exposures, found.value, found.low, found.high))
            most = max(most, float(at.max()))
            x, gap = np.where(at > 0, at, _NEVER), np.full(len(at), np.nan)
            bars = np.stack([x, x, gap], axis=1).ravel(), np.stack([low, high, gap], axis=1).ravel()
            hover = np.stack([found.least.numpy(), found.most.numpy(), found.n_facts.numpy(), low, high], axis=1)
            shown = np.flatnonzero(at > 0)[:1]  # before it the line is broken: the control is no point of the curve
            points = [np.insert(part, shown, np.nan, axis=0) for part in (x, value, hover)]
            frames[step] += [
                {"x": bars[0], "y": bars[1]},
                dict(zip(("x", "y", "customdata"), points, strict=True)),
            ]
    marks, traces, last = marks_of(sizes), [], frames[steps[-1]]
    for i, (size, mark) in enumerate(marks.items()):
        thin = {"color": mark.color, "width": 1.2}
        traces.append(go.Scatter(**last[2 * i], mode="lines", line=thin, showlegend=False, hoverinfo="skip"))
        traces.append(
            go.Scatter(
                **last[2 * i + 1],
                mode="lines+markers",
                line={"color": mark.color, "dash": mark.dash, "width": 1.5},
                marker={"symbol": mark.symbol, "size": 8, "color": mark.color},
                name=f"{size} · {compact(sizes[size])}",
                hovertemplate=(
                    f"{size}, %{{customdata[0]:,.0f}} to %{{customdata[1]:,.0f}} exposures: %{{y:.3f}}"
                    " [%{customdata[3]:.3f}, %{customdata[4]:.3f}] of %{customdata[2]:,} facts<extra></extra>"
                ),
            )
        )
    ticks = log_ticks(1.0, max(most, 10.0))
    axis = {"tickvals": [_NEVER, *ticks["tickvals"]], "ticktext": ["never", *ticks["ticktext"]]}
    ends = [float(np.log10(_NEVER / 1.4)), float(np.log10(most * 1.3))]
    known = {
        "exact": {"title": {"text": "share answered exactly"}, "range": [-0.03, 1.04], "dtick": 0.25},
        "log_prob": {"title": {"text": "log-probability of the answer, nats (mean)"}},
    }
    plot = figure(
        420,
        traces,
        xaxis={"type": "log", "range": ends, "title": {"text": "exposures so far (log)"}, **axis},
        yaxis=known[of],
        margin={"t": 80, "l": 62, "r": 16, "b": 52},
    )
    add_frames(plot, frames)
    return plot


def effects_table(effects: pd.DataFrame) -> str:
    """The effects of ``probe.scaling.frequency.frequency_effects`` as an HTML table."""
    heads = ["Model", "Parameters", "Step", *_COLUMNS.values()]
    rows = [
        [
            str(row["model"]),
            f"{row['n_params']:,}",
            f"{row['step']:,}",
            *(interval_cell(row, name, _shown) for name in _COLUMNS),
        ]
        for row in effects.to_dict("records")
    ]
    caption = (
        "At the step at which half of the facts shown were known. Gap: accuracy of the most frequent tenth of the facts"
        " minus that of the least. Slopes: log odds of a right answer per doubling of exposures, alone and beside"
        " operand size, carries and round numbers. 95 % intervals, facts with a common operand as dependent."
    )
    return table_html("effects-table", "Effect of frequency", heads, rows, caption=caption)


def _shown(value: float) -> str:
    return f"{value:.2f}".replace("inf", "∞")
