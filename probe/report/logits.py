"""What the logits are made of by frequency: of both operands at once, and by the sum."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from probe.report.frames import add_frames, slider_steps
from probe.report.over_steps import Curves, by_key, draw_curves
from probe.report.panels import marks_above
from probe.report.rows import key_frequencies_of, rows_of
from probe.report.style import INK, SEQUENTIAL, figure

LEAST_SHARE = 1e-5  # where the colour scale begins; smaller shares look like it
_LEAST = np.log10(LEAST_SHARE)
_PAIRS = {"all": "all pairs", "train": "train pairs", "test": "test pairs"}


def logit_spectrum_figure(
    spectrum: xr.DataArray, keys: Sequence[int] = (), steps: Sequence[int] | None = None
) -> go.Figure:
    """Share of the doubly centred logits at each pair of frequencies of the operands, with a slider over steps.

    The colour is logarithmic, from 1e-5 to 1. Functions of a + b lie on the diagonal, between the two lines.

    Args:
        spectrum: dims (step, frequency_a, frequency_b), as the probe ``logit_spectrum`` stores it.
        keys: frequencies to mark.
        steps: those the slider offers; default: ``slider_steps`` of all of them.

    Raises:
        ValueError: the dimensions are others.
    """
    dims = ("step", "frequency_a", "frequency_b")
    if set(spectrum.dims) != set(dims) or spectrum.sizes[dims[1]] != spectrum.sizes[dims[2]]:
        raise ValueError(f"spectrum: got {dict(spectrum.sizes)}; expected {', '.join(dims)}, the last two equally long")
    spectrum = spectrum.transpose(*dims)
    chosen = slider_steps([int(step) for step in spectrum["step"].values]) if steps is None else list(steps)
    shares = spectrum.sel(step=chosen).to_numpy()
    # hundredths of a decade: as much as the eye can tell, and a third of the page
    logs = np.log10(np.clip(shares, LEAST_SHARE, None))
    logs = np.round(logs, 2).astype(np.float32).transpose(0, 2, 1)  # b upwards, a to the right
    last = shares.shape[-1] - 1
    ticks = list(range(int(_LEAST), 1))
    plot = figure(450, margin={"l": 58, "r": 96, "t": 50, "b": 52})
    colorbar = {
        "title": {"text": "share of the sum of squares (log)", "side": "right"},
        "tickvals": ticks,
        "ticktext": [f"≤ 1e{int(_LEAST)}", *(f"{10.0**tick:g}" for tick in ticks[1:])],
        "thickness": 14,
        "outlinewidth": 0,
    }
    plot.add_trace(
        go.Heatmap(
            x0=0, dx=1, y0=0, dy=1, z=logs[-1], zmin=_LEAST, zmax=0, colorscale=SEQUENTIAL, colorbar=colorbar,
            hovertemplate="frequency %{x} of a, %{y} of b: 10<sup>%{z}</sup><extra></extra>",
        )
    )  # fmt: skip
    edge = {"type": "line", "line": {"color": "#ffffff", "width": 0.8, "dash": "dot"}}
    plot.update_layout(
        shapes=[
            {**edge, "x0": -0.5, "y0": 0.5, "x1": last - 0.5, "y1": last + 0.5},
            {**edge, "x0": 0.5, "y0": -0.5, "x1": last + 0.5, "y1": last - 0.5},
        ],
        annotations=marks_above(keys, last / 18),
    )
    span = {"range": [-0.5, last + 0.5], "showgrid": False, "constrain": "domain"}
    plot.update_xaxes(span | {"title": {"text": "frequency of the first operand a"}})
    plot.update_yaxes(span | {"title": {"text": "frequency of the second operand b"}, "scaleanchor": "x"})
    add_frames(plot, {step: [{"z": at_step}] for step, at_step in zip(chosen, logs, strict=True)})
    return plot


def diagonal_share_figure(results: pd.DataFrame, model: str) -> go.Figure:
    """Share of the doubly centred logits on the diagonal of the 2-D spectrum over steps, a line per order of tokens.

    Raises:
        ValueError: the table holds no row ``logit_spectrum / diagonal_share`` of the model.
    """
    rows = rows_of(results, model, "logit_spectrum", "diagonal_share")
    lines = by_key(rows, "diagonal_share")
    if len(lines) == 1:  # one order, which needs no name
        lines = {"": next(iter(lines.values()))}
    title = "share of the logits on the diagonal"
    return draw_curves([Curves(title, "share of the sum of squares", lines, "share")], results, model)


def logit_cosine_figure(results: pd.DataFrame, model: str) -> go.Figure:
    """Cosine of the logits, centred over answers, with cos w_k(a + b - c) by frequency k, at the keys' own step.

    Key frequencies are dark; the dashed line is what the largest of noise reaches (``null_quantile``).

    Args:
        results: tidy results table; the rows of the probe ``key_frequencies`` of the model are drawn.
        model: its name in the table.

    Raises:
        ValueError: the table holds none of them.
    """
    rows = rows_of(results, model, "key_frequencies", "logit_cosine", "null_quantile")
    rows = rows[rows["step"] == rows["step"].max()]
    cosines = rows[rows["metric"] == "logit_cosine"]
    cosines = cosines.assign(frequency=cosines["key"].astype(int)).sort_values("frequency")
    keys = key_frequencies_of(results, model)
    plot = figure(280, margin={"l": 62, "r": 16, "t": 44, "b": 52}, bargap=0.2, barmode="overlay")
    for name, color, chosen in (("key", INK, True), ("not key", "#b9c1c9", False)):
        part = cosines[cosines["frequency"].isin(keys) == chosen]
        look = {"name": name, "width": 0.8, "marker": {"color": color, "line": {"width": 0.5, "color": INK}}}
        x, y = part["frequency"].to_numpy(np.int16), part["value"].to_numpy(np.float32)
        plot.add_trace(go.Bar(x=x, y=y, hovertemplate="k = %{x}: %{y:.4f}<extra></extra>", **look))
    null = rows.loc[rows["metric"] == "null_quantile", "value"]
    if len(null):
        plot.add_hline(float(null.iloc[0]), line={"color": INK, "width": 1, "dash": "dash"})
    for key, value in zip(cosines["frequency"], cosines["value"], strict=True):
        if key in keys:
            plot.add_annotation(x=key, y=value, yanchor="bottom", text=str(key), showarrow=False, font={"size": 11})
    span = [cosines["frequency"].min() - 0.6, cosines["frequency"].max() + 0.6]
    plot.update_xaxes(title={"text": "frequency k"}, range=span, showgrid=False)
    plot.update_yaxes(title={"text": "logit cosine"})
    return plot


def component_loss_figure(results: pd.DataFrame, model: str) -> go.Figure:
    """Loss of a model with only the key frequencies, or key irreps, in its logits, on all, train and test pairs.

    Restricted loss keeps every component of a key frequency (or irrep); the loss of the algorithm keeps only the
    directions cos w_k(a + b - c) (or the characters of a b c^-1).

    Args:
        results: tidy results table; the rows of ``fourier_progress``, or else of ``irrep_progress``, are drawn.
        model: its name in the table.

    Raises:
        ValueError: the table holds none of them.
    """
    mine = set(results.loc[(results["model"] == model) & (results["metric"] == "restricted_loss"), "probe"])
    probe = "fourier_progress" if "fourier_progress" in mine else "irrep_progress"
    rows = rows_of(results, model, probe, "restricted_loss", "trig_loss", "character_loss")
    rows = rows.assign(key=rows["key"].map(_PAIRS))
    titles = {
        "restricted_loss": "restricted loss",
        "trig_loss": "trig loss",
        "character_loss": "character loss",
    }
    order = list(_PAIRS.values())
    panels = [Curves(title, "nats", by_key(rows, metric), "log") for metric, title in titles.items()]
    return draw_curves([panel for panel in panels if panel.lines], results, model, order)
