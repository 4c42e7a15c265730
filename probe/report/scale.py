"""Groups of models beside each other: final accuracy, and when each memorized and generalized.

They stand at their numbers of parameters where they differ in size alone, else one beside the other.
"""

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.data import ReportData
from probe.report.style import SUBSET_NAMES, SUBSETS, compact, figure, log_ticks
from probe.scaling.transitions import by_size

_EVENTS = {"memorized_step": ("memorized", "train"), "generalized_step": ("generalized", "test")}
_DODGE = {"train": -0.6, "test": 0.0, "test_nonmirror": 0.6}  # in shares of what a group has to one side
BESIDE = 1.0
"""Medians stand to the right of their points."""
_SIZE = ("d_model", "n_layers", "n_heads", "d_mlp")
_CHARACTER, _WIDTH = 7.0, 440  # pixels: of a letter of a tick, and of a narrow figure
_MAX_TICKS = 32


def in_size_alone(transitions: pd.DataFrame, data: ReportData) -> bool:
    """Whether the groups of a run (models that share a name but for the seed) differ in nothing but their size.

    Args:
        transitions: what ``probe.scaling.transitions`` returns for the run.
        data: the run.
    """
    settings = data.settings[data.settings.index.isin(transitions["model"])]
    others = settings.drop(columns=[*_SIZE, "seed"], errors="ignore")
    alike = all(others[column].nunique(dropna=False) == 1 for column in others)
    tasks = {data.tasks.get(model) for model in transitions["model"]}
    return alike and len(tasks) <= 1 and _one_label_per_size(transitions)


def final_accuracy_figure(transitions: pd.DataFrame, of_size: bool = True) -> go.Figure:
    """Accuracy at each model's last evaluated step by group, a point per model and subset.

    Args:
        transitions: what ``probe.scaling.transitions`` returns.
        of_size: whether the groups differ in size alone (``in_size_alone``), so that they stand at their parameters.
    """
    columns = GroupColumns(transitions, of_size)
    plot = figure(columns.height)
    for subset, mark in SUBSETS.items():
        column = f"final_{subset}_accuracy"
        rows = transitions[transitions[column].notna()]
        if rows.empty:
            continue
        plot.add_trace(
            go.Scatter(
                x=columns.at(rows, _DODGE[subset]),
                y=rows[column].to_numpy(dtype=float),
                mode="markers",
                marker={"symbol": mark.symbol, "size": 9, "color": mark.color, "opacity": 0.8},
                name=SUBSET_NAMES[subset],
                customdata=rows["model"].to_numpy(),
                hovertemplate=f"%{{customdata}}, {SUBSET_NAMES[subset]}: %{{y:.4f}}<extra></extra>",
            )
        )
    plot.update_xaxes(columns.layout)
    plot.update_yaxes(title={"text": "final accuracy (share right)"}, range=[-0.03, 1.05], dtick=0.25)
    return plot


def transition_figure(transitions: pd.DataFrame, of_size: bool = True) -> go.Figure:
    """Steps to memorize and to generalize by group: a point per model, medians of groups with intervals.

    A model that did not get there within its budget is an open marker with an arrow at its last step: its time is
    later than that, by how much is not known. Medians are joined by a line where the groups differ in size alone.

    Args:
        transitions: what ``probe.scaling.transitions`` returns.
        of_size: whether they do (``in_size_alone``), so that they stand at their parameters.
    """
    columns = GroupColumns(transitions, of_size)
    plot = figure(columns.height)
    # A logarithmic axis has no place for step 0, at which a model may have been stopped.
    transitions = transitions.assign(final_step=transitions["final_step"].clip(lower=1))
    groups = by_size(transitions)
    named = len(groups) <= _MAX_TICKS  # of more groups the words would lie over each other
    for event, (name, subset) in _EVENTS.items():
        mark = SUBSETS[subset]
        reached = groups[np.isfinite(groups[f"{event}_median"])]
        median, low, high = (reached[f"{event}_{part}"].to_numpy(dtype=float) for part in ("median", "low", "high"))
        bottom = np.where(np.isnan(low), median, low)
        top = np.where(np.isnan(high), median, np.minimum(high, float(transitions["final_step"].max())))
        plot.add_trace(
            go.Scatter(
                x=columns.at(reached, BESIDE),
                y=median,
                error_y={"array": top - median, "arrayminus": median - bottom, "thickness": 1.4, "width": 5},
                mode="lines+markers" if columns.of_size else "markers",
                line={"color": mark.color, "dash": mark.dash, "width": 1.4},
                marker={"symbol": "line-ew-open", "size": 12, "color": mark.color, "line": {"width": 2}},
                name=f"{name}, median",
                showlegend=False,
                hovertemplate=f"{name}, median of the group: step %{{y:,.0f}}<extra></extra>",
            )
        )
        rows = transitions[transitions[event].notna()]
        _points(plot, columns, rows, rows[event], name, subset, mark.symbol, name)
        measured = transitions[f"{subset}_measured"]
        rows = transitions[transitions[event].isna() & measured]
        if len(rows):
            hover, symbol = f"not {name} within", f"{mark.symbol}-open"
            _points(plot, columns, rows, rows["final_step"], hover, subset, symbol, f"not {name} yet")
            for _, together in rows.groupby(["n_params", "size", "final_step"]):
                x = float(columns.at(together, 0.0)[0])
                plot.add_annotation(
                    x=math.log10(x) if columns.of_size else x,
                    y=np.log10(together["final_step"].iloc[0]),
                    ax=0,
                    ay=-30,
                    arrowside="start",
                    arrowhead=2,
                    arrowwidth=1.4,
                    arrowcolor=mark.color,
                    text=(f"{len(together)} later" if len(together) > 1 else "later") if named else "",
                    font={"size": 12},
                )
    plot.update_xaxes(columns.layout)
    first = transitions[[*_EVENTS, "final_step"]].min().min()
    ticks = log_ticks(first, transitions["final_step"].max())
    plot.update_yaxes(title={"text": "training step (log)"}, type="log", **ticks)
    return plot


def _points(
    plot: go.Figure,
    columns: "GroupColumns",
    rows: pd.DataFrame,
    steps: pd.Series,
    hover: str,
    subset: str,
    symbol: str,
    legend: str,
) -> None:
    if rows.empty:
        return
    plot.add_trace(
        go.Scatter(
            x=columns.at(rows, 0.0),
            y=steps.to_numpy(dtype=float),
            mode="markers",
            marker={"symbol": symbol, "size": 9, "color": SUBSETS[subset].color, "opacity": 0.8},
            name=legend,
            customdata=rows["model"].to_numpy(),
            hovertemplate=f"%{{customdata}} {hover} step %{{y:,.0f}}<extra></extra>",
        )
    )


def _one_label_per_size(transitions: pd.DataFrame) -> bool:
    return bool((transitions.groupby("n_params")["size"].nunique() <= 1).all())


class GroupColumns:
    """Where the groups stand along the x axis, each with room to both sides that no other group has.

    Args:
        transitions: the models.
        of_size: whether groups stand at their parameters, if no two have as many.
    """

    def __init__(self, transitions: pd.DataFrame, of_size: bool) -> None:
        self.of_size = of_size and _one_label_per_size(transitions)
        self._groups = transitions.drop_duplicates(["n_params", "size"])
        self._place = {label: i for i, label in enumerate(self._labels(self._groups))}
        gaps = np.diff(np.log10(np.sort(self._groups["n_params"].to_numpy(dtype=float))))
        self._reach = min(0.055, 0.4 * float(gaps.min(initial=1.0))) if self.of_size else 0.3
        longest = max(map(len, self._groups["size"].astype(str)), default=0)
        self._upwards = not self.of_size and _CHARACTER * (longest + 2) * len(self._groups) > _WIDTH
        self.height = 380 + round(_CHARACTER * longest) * self._upwards

    def at(self, rows: pd.DataFrame, shift: float) -> np.ndarray:
        """Places of rows with columns n_params and size, moved by a share (-1 to 1) of the room to a side."""
        if self.of_size:
            return rows["n_params"].to_numpy(dtype=float) * 10 ** (shift * self._reach)
        places = [self._place[label] for label in self._labels(rows)]
        return np.asarray(places, dtype=float) + shift * self._reach

    @property
    def layout(self) -> dict[str, object]:
        """Layout of the axis. Ticks that would lie over each other are left out, or written upwards."""
        if not self.of_size:
            return self._side_by_side()
        values = self._groups["n_params"].to_numpy(dtype=float)
        low, high = math.log10(values.min() / 1.5), math.log10(values.max() * 1.5)
        shown: list[tuple[float, str]] = []
        free = -math.inf
        for size, value in zip(self._groups["size"], values, strict=True):
            half = _CHARACTER * max(len(str(size)), len(compact(value))) / 2 / _WIDTH * (high - low)
            if math.log10(value) - half >= free:
                shown.append((value, f"{size}<br>{compact(value)}"))
                free = math.log10(value) + half
        return {
            "type": "log",
            "range": [low, high],
            "tickvals": [value for value, _ in shown],
            "ticktext": [text for _, text in shown],
            "title": {"text": "parameters (log)"},
        }

    def _side_by_side(self) -> dict[str, object]:
        labels = self._groups["size"].astype(str).tolist()
        every = math.ceil(len(labels) / _MAX_TICKS)
        return {
            "range": [-0.5, len(labels) - 0.5],
            "tickvals": list(range(0, len(labels), every)),
            "ticktext": labels[::every],
            "tickangle": -90 if self._upwards else 0,
            "showgrid": False,
            "title": {"text": "group: models that differ in their seed alone"},
        }

    @staticmethod
    def _labels(rows: pd.DataFrame) -> list[tuple[int, str]]:
        return list(zip(rows["n_params"], rows["size"], strict=True))
