"""How every figure of the report looks: colours and dashes that survive greyscale, and the axes they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import plotly.graph_objects as go
from plotly.basedatatypes import BaseTraceType

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
)
PHASES = {"memorization": "#ffffff", "plateau": "#dfe3e8", "generalized": "#f3f5f7"}


def mark_of(index: int) -> Mark:
    """The mark of the index-th of several sizes, or seeds, from light to dark."""
    return _SERIES[index % len(_SERIES)]


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

    def __call__(self, steps: Sequence[float] | np.ndarray) -> np.ndarray:
        """Positions of steps on the axis; step 0 is half of the first positive step."""
        values = np.asarray(steps, dtype=float)
        return np.where(values <= 0, self._first / 2, values)

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
