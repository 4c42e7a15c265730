"""What patches did to a metric, pair by pair, and what that says of all pairs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from scipy.special import stdtrit

from probe.measures.intervals import check_confidence
from probe.measures.ratios import ratio_of_means

if TYPE_CHECKING:
    import plotly.graph_objects as go

Way = Literal["denoise", "noise"]
"""``"denoise"``: the corrupted question is run and what was there on the clean one is put in, which shows what is
enough to restore the answer. ``"noise"``: the other way round, which shows what the answer cannot do without."""

_CELLS_WITH_TEXT = 200


@dataclass(frozen=True, eq=False)
class Patched:
    """A metric after each patch on each pair; it is about the clean question's answer, whichever question is run.

    Attributes:
        values: [*what was patched apart, pair], labelled: ``layer``, ``head``, ``neuron``, ``position``, ``path`` and
            ``pair`` by number or name. nan where a pair has no such position.
        clean: the metric of each pair on its clean question.
        corrupted: the metric on its corrupted question.
        metric: name of the metric.
        direction: 1 if a larger value of it means that the behaviour is there, -1 if a smaller one does.
        kind: what was patched, such as ``"resid_pre"`` or ``"z"``; ``"path"`` for paths.
        way: which question was run, and which put in.

    Raises:
        ValueError: the way is unknown.
    """

    values: xr.DataArray
    clean: Float[np.ndarray, " pair"]
    corrupted: Float[np.ndarray, " pair"]
    metric: str
    direction: int
    kind: str
    way: Way

    def __post_init__(self) -> None:
        check_way(self.way)

    @property
    def axes(self) -> tuple[str, ...]:
        """What was patched apart, in the order of ``values``."""
        return tuple(str(name) for name in self.values.dims if name != "pair")

    @property
    def baseline(self) -> Float[np.ndarray, " pair"]:
        """The metric without a patch, on the question that is run: to denoise the corrupted, to noise the clean one."""
        return self.corrupted if self.way == "denoise" else self.clean

    def effects(self, confidence: float = 0.95) -> xr.Dataset:
        """The change of the metric by each patch, patched - baseline: its mean over pairs.

        Returns ``estimate``, ``low`` and ``high``, in units of the metric, and ``n``, the pairs there are. The interval
        is Student's, over pairs that are taken to be independent, and of each patch by itself; its ends are nan with
        one pair.

        Raises:
            ValueError: the confidence is outside (0, 1).
        """
        change = self._against_baseline(self.values)
        n = change.count("pair")
        mean, spread = change.mean("pair"), change.std("pair", ddof=1)
        half = _quantile(n, confidence) * spread / n**0.5
        return xr.Dataset({"estimate": mean, "low": mean - half, "high": mean + half, "n": n})

    def recovered(self, confidence: float = 0.95) -> xr.Dataset:
        """The share of the way from the baseline to the other question that each patch goes, over all pairs:

            mean(patched - baseline) / mean(other - baseline)

        0 is a patch that does nothing, 1 one that does as much as putting in all of the other question: of ``denoise``
        the share of the metric that is restored, of ``noise`` the share that is lost. It may be below 0 or above 1. The
        ratio is one of means, as single pairs may have a denominator near 0.

        Returns ``estimate``, ``low``, ``high``, and ``n``, the pairs there are. The interval is Fieller's, of each
        patch by itself (``probe.measures.ratios``): its ends are -inf and inf where it cannot be told from these pairs
        that the mean of (other - baseline) is not 0, and nan with one pair.

        Raises:
            ValueError: the metric is equal on the clean and the corrupted question of every pair, so that there is
                nothing to recover; or the confidence is outside (0, 1).
        """
        if np.array_equal(self.clean, self.corrupted):
            raise ValueError(
                f"clean: {self.metric} is equal on the clean and the corrupted question of every pair; expected a"
                " difference of which a patch could recover a share. See effects"
            )
        change = self._against_baseline(self.values)
        whole = self._against_baseline(xr.DataArray(self.clean + self.corrupted - self.baseline, dims="pair"))
        found = ratio_of_means(change.transpose(..., "pair").to_numpy(), whole.to_numpy(), confidence)
        like = change.isel(pair=0, drop=True)
        return xr.Dataset({name: like.copy(data=value) for name, value in vars(found).items()})

    def to_frame(self) -> pd.DataFrame:
        """A row for each patch on each pair: ``kind``, ``way``, ``metric``, what was patched, ``pair``, ``value``,
        ``clean``, ``corrupted``; without those where the pair has no such position."""
        frame = self.values.rename("value").to_dataframe().reset_index().dropna(subset="value", ignore_index=True)
        pair = frame["pair"].to_numpy()
        for name, what in zip(("kind", "way", "metric"), (self.kind, self.way, self.metric), strict=True):
            frame.insert(0, name, what)
        frame = frame[["kind", "way", "metric", *self.axes, "pair", "value"]]
        return frame.assign(clean=self.clean[pair], corrupted=self.corrupted[pair])

    def figure(self, what: Literal["recovered", "effects"] = "recovered", confidence: float = 0.95) -> "go.Figure":
        """Means over pairs: bars with their intervals if one thing was patched apart, else a heatmap.

        Of three, the rows of the heatmap are the first two, layer and head. Cells have their number in them where there
        are few; intervals are shown by the pointer.

        Raises:
            ValueError: as of ``recovered`` and ``effects``; or ``what`` is neither.
        """
        if what not in ("recovered", "effects"):
            raise ValueError(f"what: got {what!r}; expected 'recovered' or 'effects'")
        found = getattr(self, what)(confidence)
        done = "restored" if self.way == "denoise" else "lost"
        label = f"share of {self.metric} {done}" if what == "recovered" else f"change of {self.metric}"
        run, put = ("corrupted", "clean") if self.way == "denoise" else ("clean", "corrupted")
        title = f"{label}<br>{self.kind} of the {put} question put into the {run} one, mean of {len(self.clean)} pairs"
        return _bars(found, label, title) if len(self.axes) < 2 else _heatmap(found, label, title)

    def _against_baseline(self, values: xr.DataArray) -> xr.DataArray:
        return values - xr.DataArray(self.baseline, dims="pair")


def check_way(way: str) -> None:
    """Raise ValueError unless it is a way to patch."""
    if way not in get_args(Way):
        raise ValueError(f"way: got {way!r}; expected 'denoise' or 'noise'")


def _quantile(n: xr.DataArray, confidence: float) -> xr.DataArray:
    """Student's t of the means of n values; nan below two."""
    check_confidence(confidence)
    return xr.apply_ufunc(stdtrit, (n - 1).where(n > 1), (1 + confidence) / 2)


def _heatmap(found: xr.Dataset, label: str, title: str) -> "go.Figure":
    import plotly.graph_objects as go

    from probe.report.style import SEQUENTIAL, figure

    *upward, across = (str(name) for name in found["estimate"].dims)
    flat = found.transpose(*upward, across).stack(up=upward)
    means, low, high = (flat[name].transpose("up", across).to_numpy() for name in ("estimate", "low", "high"))
    rows = [tuple(map(str, row)) for row in flat["up"].to_numpy()]
    # L1.H0 where there are two, else the number
    names = [row[0] if len(row) == 1 else f"L{row[0]}.{upward[1][0].upper()}{row[1]}" for row in rows]
    plot = figure(max(280, 120 + 22 * len(names)), title={"text": title, "font": {"size": 13}})
    plot.add_trace(
        go.Heatmap(
            x=[str(number) for number in flat[across].to_numpy()],
            y=names,
            z=means,
            customdata=np.stack([low, high], -1),
            colorscale=SEQUENTIAL,
            colorbar={"title": {"text": label, "side": "right"}, "thickness": 14, "outlinewidth": 0},
            texttemplate="%{z:.2f}" if means.size <= _CELLS_WITH_TEXT else None,
            hovertemplate=f"%{{y}}, {across} %{{x}}: %{{z:.3g}} (%{{customdata[0]:.3g}} to %{{customdata[1]:.3g}})"
            "<extra></extra>",
            hoverongaps=False,
        )
    )
    plot.update_xaxes(type="category", title={"text": across}, showgrid=False)
    plot.update_yaxes(type="category", title={"text": " and ".join(upward)}, showgrid=False)
    return plot


def _bars(found: xr.Dataset, label: str, title: str) -> "go.Figure":
    import plotly.graph_objects as go

    from probe.report.style import INK, MUTED, figure

    axis = str(found["estimate"].dims[0]) if found["estimate"].dims else "all"
    names = [str(number) for number in found[axis].to_numpy()] if axis != "all" else [axis]
    means, low, high = (np.atleast_1d(found[name].to_numpy()) for name in ("estimate", "low", "high"))
    bounded = np.isfinite(low) & np.isfinite(high)  # an interval without ends is not drawn, and not one of length 0
    ends = {"array": np.where(bounded, high - means, np.nan), "arrayminus": np.where(bounded, means - low, np.nan)}
    plot = figure(340, title={"text": title, "font": {"size": 13}}, bargap=0.3)
    plot.add_trace(
        go.Bar(
            x=names,
            y=means,
            customdata=np.stack([low, high], -1),
            marker={"color": "#b9c1c9", "line": {"width": 0.5, "color": INK}},
            error_y={"type": "data", "symmetric": False, **ends, "color": INK, "thickness": 1.2, "width": 4},
            hovertemplate=f"{axis} %{{x}}: %{{y:.3g}} (%{{customdata[0]:.3g}} to %{{customdata[1]:.3g}})"
            "<extra></extra>",
        )
    )
    plot.add_hline(0, line={"width": 1, "color": MUTED})
    plot.update_xaxes(type="category", title={"text": axis}, showgrid=False)
    plot.update_yaxes(title={"text": label})
    return plot
