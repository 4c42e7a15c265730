"""How every figure of the report looks: colours and dashes that survive greyscale, and the axes they share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.basedatatypes import BaseTraceType
from plotly.colors import sample_colorscale

INK, MUTED, RULE = "#1d2126", "#5b6570", "#d9dee3"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
SEQUENTIAL = "Cividis"


@dataclass(frozen=True)
class Mark:
    """A line and its marker: colour (Okabe-Ito), dash and symbol all differ, so no hue is needed to tell them apart."""

    color: str
    dash: str
    symbol: str


SUBSETS = {
    "train": Mark("#0072B2", "dot", "circle"),
    "test": Mark("#D55E00", "solid", "square"),
    "test_nonmirror": Mark("#000000", "dash", "diamond"),
}
SUBSET_NAMES = {"train": "train", "test": "test", "test_nonmirror": "non-mirror test"}
_SERIES = (
    Mark("#E69F00", "solid", "circle"),
    Mark("#D55E00", "dash", "square"),
    Mark("#0072B2", "dashdot", "diamond"),
    Mark("#000000", "dot", "triangle-up"),
    Mark("#009E73", "longdash", "x"),
    Mark("#56B4E9", "longdashdot", "cross"),
    Mark("#CC79A7", "solid", "star"),
    Mark("#5b6570", "9px,2px,2px,2px", "hexagon"),
    Mark("#E69F00", "dot", "triangle-down"),
    Mark("#D55E00", "solid", "pentagon"),
    Mark("#0072B2", "dash", "triangle-left"),
    Mark("#000000", "longdash", "bowtie"),
    Mark("#009E73", "dashdot", "hourglass"),
    Mark("#56B4E9", "5px,2px,1px,2px,1px,2px", "triangle-right"),
    Mark("#CC79A7", "longdashdot", "star-triangle-up"),
    Mark("#5b6570", "dot", "star-square"),
)
MAX_MARKS = len(_SERIES)
PHASES = {"memorization": "#ffffff", "plateau": "#dfe3e8", "generalized": "#f3f5f7"}


def mark_of(index: int) -> Mark:
    """The mark of the index-th of several sizes, or seeds; no two of the first 16 are alike."""
    return _SERIES[index % len(_SERIES)]


def marks_of(names: Iterable[str]) -> dict[str, Mark]:
    """A mark for each name. Of more than 16 the colour is the order, from dark to light, so that no two are alike."""
    named = list(dict.fromkeys(names))
    if len(named) <= MAX_MARKS:
        return {name: mark_of(i) for i, name in enumerate(named)}
    # not to the end of the scale, which is too light for a line
    colors = sample_colorscale(SEQUENTIAL, np.linspace(0, 0.9, len(named)), colortype="tuple")
    hexes = [f"#{round(255 * r):02x}{round(255 * g):02x}{round(255 * b):02x}" for r, g, b in colors]
    return {name: replace(mark_of(i), color=hexes[i]) for i, name in enumerate(named)}


def figure(height: int, traces: Sequence[BaseTraceType] = (), **layout: object) -> go.Figure:
    """A figure in the report's style. The style travels with the figure: plotly's default is left alone."""
    return go.Figure(data=list(traces), layout={"template": _template(), "height": height, **layout})


@cache
def _template() -> go.layout.Template:
    axis = {
        "showline": True,
        "linecolor": MUTED,
        "gridcolor": RULE,
        "gridwidth": 0.5,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": MUTED,
        "ticklen": 4,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13}},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": INK},
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": "#ffffff",
            "margin": {"l": 62, "r": 16, "t": 64, "b": 52},
            "xaxis": axis,
            "yaxis": axis,
            "legend": {
                "orientation": "h",
                "traceorder": "normal",
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yanchor": "top",
                "yref": "container",
                "font": {"size": 12},
            },
            "hoverlabel": {"font": {"family": FONT}},
            "annotationdefaults": {"font": {"size": 13, "color": INK}},
        }
    )


def size_names(table: pd.DataFrame) -> pd.Series:
    """What a legend calls the models of each row: size and parameters, from the columns ``size`` and ``n_params``."""
    return table["size"] + " · " + table["n_params"].map(compact)


class StepAxis:
    """A logarithmic axis of training steps that also has a place for step 0, at its left end.

    Args:
        steps: every step that will be drawn on it.
    """

    def __init__(self, steps: Sequence[int] | np.ndarray) -> None:
        positive = np.asarray(steps, dtype=float)
        positive = positive[positive > 0]
        self._first = float(positive.min()) if len(positive) else 1.0
        self._last = float(positive.max()) if len(positive) else 10.0
        self._zero = bool(np.any(np.asarray(steps) == 0))
        self._count = len(np.unique(np.asarray(steps)))

    def __len__(self) -> int:
        """How many different steps are drawn on it."""
        return self._count

    def __call__(self, steps: Sequence[float] | np.ndarray) -> np.ndarray:
        """Positions of steps on the axis; step 0 is half of the first positive step, those between lie between."""
        values = np.maximum(np.asarray(steps, dtype=float), 0)
        return np.where(values < self._first, (self._first + values) / 2, values)

    def steps_at(self, positions: np.ndarray) -> np.ndarray:
        """Steps at positions on the axis: the inverse of a call."""
        return np.where(positions < self._first, 2 * positions - self._first, positions)

    @property
    def start(self) -> float:
        return self._first / 2 if self._zero else self._first

    @property
    def end(self) -> float:
        return self._last * 1.03

    @property
    def layout(self) -> dict[str, object]:
        """Layout of the x axis: label with unit, range, one tick per decade and one for step 0."""
        ticks = log_ticks(self._first, self._last)
        values, texts = ticks["tickvals"], ticks["ticktext"]
        if self._zero:
            values, texts = [self._first / 2, *values], ["0", *texts]
        low, high = np.log10(self.start), np.log10(self.end)
        return {
            "type": "log",
            "range": [float(low - 0.01 * (high - low)), float(high)],
            "tickvals": values,
            "ticktext": texts,
            "title": {"text": "training step (log)"},
        }

    def spread(self, steps: np.ndarray, count: int) -> np.ndarray:
        """Mask of at most ``count`` of the ascending steps, evenly spread over the axis: where a line gets markers."""
        positions = np.log10(self(steps))
        wanted = np.linspace(np.log10(self.start), np.log10(self.end), count)
        mask = np.zeros(len(positions), dtype=bool)
        if len(positions):
            mask[np.abs(positions[:, None] - wanted).argmin(0)] = True
        return mask


def log_ticks(low: float, high: float) -> dict[str, list]:
    """Ticks of a logarithmic axis from ``low`` to ``high``: each decade, or 1, 2, 5 of each over less than two."""
    if not (np.isfinite(low) and low > 0 and high > low):
        return {"tickvals": [float(high)], "ticktext": [compact(high)]}
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    values = decades if high / low >= 100 else np.outer(decades, [1, 2, 5]).ravel()
    shown = [float(value) for value in values if low / 1.5 <= value <= high * 1.5]
    return {"tickvals": shown, "ticktext": [compact(value) for value in shown]}


def compact(number: float) -> str:
    """A number in at most about four characters: 950, 12k, 1.5M."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.3g}"
