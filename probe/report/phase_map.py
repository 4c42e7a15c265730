"""The learning phase of every run over learning rate, weight decay and train fraction."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.panels import axis_id, placed
from probe.report.style import figure

LETTERS = {"comprehension": "C", "grokking": "G", "memorization": "M", "confusion": "X"}
COLORS = {"comprehension": "#F7EFAE", "grokking": "#E69F00", "memorization": "#0072B2", "confusion": "#1d2126"}
"""From light to dark, so that they differ in greyscale too."""
_INK_ON = {"comprehension": "#1d2126", "grokking": "#1d2126", "memorization": "#ffffff", "confusion": "#ffffff"}
_COLUMNS = 3


def phase_map_figure(outcomes: pd.DataFrame, settings: pd.DataFrame) -> go.Figure:
    """A panel per train fraction, a cell per learning rate and weight decay: its phase in colour and letter.

    Both axes list the values there are, evenly spaced: a learning rate or weight decay of 0 has its place. In a cell
    of several runs the most frequent phase stands, of equally frequent ones the later in the order comprehension,
    grokking, memorization, confusion, with its count.

    Args:
        outcomes: what ``probe.scaling.outcomes.outcomes`` returns.
        settings: how each model was trained: index model, columns train_fraction, learning_rate, weight_decay.

    Raises:
        ValueError: no model of the outcomes has settings.
    """
    cells = outcomes.merge(settings, left_on="model", right_index=True)
    if cells.empty:
        raise ValueError("settings: no model of the outcomes given, expected a row for each")
    phases = list(LETTERS)
    fractions, rates, decays = (sorted(cells[c].unique()) for c in ("train_fraction", "learning_rate", "weight_decay"))
    rows = math.ceil(len(fractions) / _COLUMNS)
    height = 130 + rows * (90 + 44 * len(decays))
    titles = [f"train fraction {fraction:g}" for fraction in fractions]
    layout = placed(titles, _COLUMNS, 0.07, 80 / height if rows > 1 else 0.0) | {"height": height}
    traces: list[go.Heatmap | go.Scatter] = []
    scale = [[(i + side) / len(phases), COLORS[name]] for i, name in enumerate(phases) for side in (0, 1)]
    for place, fraction in enumerate(fractions):
        z = np.full((len(decays), len(rates)), np.nan)
        hover = np.full(z.shape, "", dtype=object)
        here = cells[cells["train_fraction"] == fraction]
        for (decay, rate), runs in here.groupby(["weight_decay", "learning_rate"]):
            i, j = decays.index(decay), rates.index(rate)
            phase, count = _most_frequent(runs["phase"])
            z[i, j] = phases.index(phase)
            hover[i, j] = "<br>".join(_in_words(run) for _, run in runs.iterrows())
            text = LETTERS[phase] if len(runs) == 1 else f"{LETTERS[phase]} {count}/{len(runs)}"
            at = {"x": j, "y": i, "xref": axis_id("x", place), "yref": axis_id("y", place), "showarrow": False}
            layout["annotations"].append({**at, "text": text, "font": {"size": 14, "color": _INK_ON[phase]}})
        traces.append(
            go.Heatmap(
                x=list(range(len(rates))),
                y=list(range(len(decays))),
                z=z,
                customdata=hover,
                colorscale=scale,
                zmin=-0.5,
                zmax=len(phases) - 0.5,
                showscale=False,
                xgap=2,
                ygap=2,
                xaxis=axis_id("x", place),
                yaxis=axis_id("y", place),
                hoverongaps=False,
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
        layout[axis_id("xaxis", place)] |= _value_axis("learning rate", rates)
        layout[axis_id("yaxis", place)] |= _value_axis("weight decay", decays)
        if place % _COLUMNS:
            layout[axis_id("yaxis", place)]["title"] = {"text": ""}
    for name, letter in LETTERS.items():
        style = {"symbol": "square", "size": 13, "color": COLORS[name], "line": {"width": 1, "color": "#8a939c"}}
        traces.append(go.Scatter(x=[None], y=[None], mode="markers", marker=style, name=f"{letter} {name}"))
    return figure(traces=traces, **layout)


def _value_axis(label: str, values: Sequence[float]) -> dict[str, object]:
    return {
        "title": {"text": label},
        "tickvals": list(range(len(values))),
        "ticktext": [f"{value:g}" for value in values],
        "range": [-0.5, len(values) - 0.5],
        "showgrid": False,
    }


def _most_frequent(phases: pd.Series) -> tuple[str, int]:
    counts = {name: int((phases == name).sum()) for name in LETTERS}
    most = max(counts.values())
    return [name for name, count in counts.items() if count == most][-1], most


def _in_words(run: pd.Series) -> str:
    dates = [f"{value:,.0f}" if np.isfinite(value) else "—" for value in (run["train_step"], run["test_step"])]
    return f"{run['model']}: {run['phase']}<br>train .9 at step {dates[0]}, test .9 at {dates[1]}"
