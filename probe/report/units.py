"""By which frequency each neuron and each attention head of a model works, over steps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from probe.report.frames import add_frames, slider_steps
from probe.report.over_steps import Curves, by_key, draw_curves, phases_of, strongest
from probe.report.panels import finish, grid, legend, line, marks_above, marks_beside, phase_legend, shades, value_axis
from probe.report.rows import key_frequencies_of, key_irreps_of, rows_of
from probe.report.style import INK, MUTED, StepAxis, figure, mark_of

SINGLE_FREQUENCY = 0.85  # share of a neuron's variance from which it counts as being of one frequency
OTHERS = "others"
_LINES, _HEADS = 5, 7
_ALL_ABOVE, _MEAN = "share of neurons above .85", "mean share of those that fire"


def neuron_clusters_figure(results: pd.DataFrame, model: str, probe: str = "neuron_frequencies") -> go.Figure:
    """How many neurons have more than .85 of their variance in one frequency, or irrep, by frequency, over steps.

    Beside it, which share of all neurons they are, and the mean share over the neurons that fire at all. The key
    frequencies and those with the most neurons have a line each, the others one together.

    Args:
        results: tidy results table; the rows of the probe of the model are drawn. A frequency without a row at a step
            had no neurons.
        model: its name in the table.
        probe: ``neuron_frequencies`` or ``irrep_power``.

    Raises:
        ValueError: the table holds none of them.
    """
    frequencies = probe == "neuron_frequencies"
    what, single = ("frequency", "single_frequency_share") if frequencies else ("irrep", "single_irrep_share")
    rows = rows_of(results, model, probe, single, "mean_share", "neurons")
    prefix = "k=" if frequencies else ""
    keys = [f"k={k}" for k in key_frequencies_of(results, model)] if frequencies else key_irreps_of(results, model)
    measured = np.sort(rows["step"].unique())
    counts = {
        name: line.set_index("step")["value"].reindex(measured, fill_value=0.0).rename_axis("step").reset_index()
        for name, line in by_key(rows, "neurons", prefix).items()
    }
    most = strongest([counts], keys, _LINES)
    kept = {name: line for name, line in counts.items() if name in most}
    others = [line["value"] for name, line in counts.items() if name not in most]
    if others:
        kept[OTHERS] = pd.DataFrame({"step": measured, "value": np.sum(others, axis=0)})
    shares = {
        name: next(iter(found.values()))
        for name, metric in ((_ALL_ABOVE, single), (_MEAN, "mean_share"))
        if (found := by_key(rows, metric))
    }
    order = keys if len(keys) <= _LINES else list(kept)
    panels = [
        Curves(f"neurons above .85 in one {what}", "neurons", kept),
        Curves("all neurons", "share", shares, "share"),
    ]
    return draw_curves([panel for panel in panels if panel.lines], results, model, order)


def neuron_fits_figure(
    frequency: xr.DataArray, share: xr.DataArray, keys: Sequence[int] = (), steps: Sequence[int] | None = None
) -> go.Figure:
    """Best frequency of every neuron and its share of the neuron's variance, with a slider over steps.

    Above, a point per neuron; below, how many neurons have each frequency as their best, dark if its share is above
    .85. A neuron that is constant is at frequency 0.

    Args:
        frequency: best frequency, dims (step, neuron), as the probe ``neuron_frequencies`` stores it.
        share: of the neuron's variance, same dims.
        keys: frequencies to mark.
        steps: those the slider offers; default: ``slider_steps`` of all of them.

    Raises:
        ValueError: the dimensions are others, or the two arrays do not match.
    """
    if set(frequency.dims) != {"step", "neuron"} or dict(frequency.sizes) != dict(share.sizes):
        expected = "both of dims step, neuron and of the same sizes"
        raise ValueError(f"frequency, share: got {dict(frequency.sizes)} and {dict(share.sizes)}; expected {expected}")
    frequency, share = frequency.transpose("step", "neuron"), share.transpose("step", "neuron")
    chosen = slider_steps([int(step) for step in frequency["step"].values]) if steps is None else list(steps)
    best = frequency.sel(step=chosen).to_numpy().astype(int)
    shares = share.sel(step=chosen).to_numpy().astype(np.float32)
    last = max([int(best.max(initial=1)), *keys])
    frames = {step: _neurons_at(b, s, last) for step, b, s in zip(chosen, best, shares, strict=True)}

    points, above, below = frames[chosen[-1]]
    point = {"color": MUTED, "size": 5, "opacity": 0.6, "line": {"width": 0.5, "color": INK}}
    hover = "neuron %{customdata}, frequency %{x:.0f}: %{y:.3f} of its variance<extra></extra>"
    traces = [go.Scatter(mode="markers", marker=point, hovertemplate=hover, showlegend=False, yaxis="y", **points)]
    for name, color, bars in (("share above .85", INK, above), ("share up to .85", "#b9c1c9", below)):
        text = f"frequency %{{x}}: %{{y}} neurons, {name}<extra></extra>"
        look = {"marker": {"color": color, "line": {"width": 0.5, "color": INK}}, "name": name, "hovertemplate": text}
        traces.append(go.Bar(yaxis="y2", **bars, **look))
    most = max(np.bincount(at_step, minlength=1).max() for at_step in best)
    upper, lower = {"domain": [0.42, 1.0], "range": [-0.03, 1.04]}, {"domain": [0.0, 0.37], "range": [0, most * 1.05]}
    limit = {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "y0": SINGLE_FREQUENCY, "y1": SINGLE_FREQUENCY}
    plot = figure(
        500,
        traces,
        margin={"l": 62, "r": 16, "t": 66, "b": 52},
        barmode="stack",
        bargap=0.15,
        xaxis={"anchor": "y2", "range": [-0.8, last + 0.8], "showgrid": False}
        | {"title": {"text": "best frequency k of the neuron (0: constant)"}},
        yaxis={**upper, "title": {"text": "share of its variance"}, "dtick": 0.25},
        yaxis2={**lower, "title": {"text": "neurons"}},
        shapes=[limit | {"line": {"color": INK, "width": 1, "dash": "dash"}}],
        annotations=marks_above(keys, last / 48),
    )
    add_frames(plot, frames)
    return plot


def head_figure(results: pd.DataFrame, model: str) -> go.Figure:
    """Best frequency of each head's attention to the first operand, and its share of that attention's variance.

    A point's size is the share, so that a frequency that explains little is small. Points are set a little apart by
    head, and the frequencies at the last step are marked. At most seven heads are drawn, those
    with the largest shares.

    Args:
        results: tidy results table; the rows of the probe ``attention_frequencies`` of the model are drawn.
        model: its name in the table.

    Raises:
        ValueError: the table holds none of them.
    """
    rows = rows_of(results, model, "attention_frequencies")
    shares, frequencies = by_key(rows, "share"), by_key(rows, "frequency")
    drawn = strongest([shares], (), _HEADS)
    shares = {name: share for name, share in shares.items() if name in drawn}
    axis = StepAxis(rows["step"].unique())
    layout = grid(["best frequency of each head", "its share of the variance of the attention"])
    most = rows.loc[rows["metric"] == "frequency", "value"].max()
    # heads of the same frequency do not hide each other, and stay nearer to it than to the next
    apart = min(0.025 * max(most, 1.0), 0.45 / max(len(shares) - 1, 1))
    traces = []
    for i, (name, share) in enumerate(shares.items()):
        mark = mark_of(i)
        best = frequencies[name]
        beside = best.assign(value=best["value"] + apart * (i - (len(shares) - 1) / 2))
        points = line(0, axis, beside, mark, name, name, log=False)
        at = share.set_index("step")["value"].reindex(best["step"]).fillna(0.0)
        size = (3 + 7 * at.clip(0, 1)).to_numpy(np.float32)
        look = {"size": size, "symbol": f"{mark.symbol}-open", "line": {"width": 1.4}}
        points.update(mode="markers", marker=look, text=best["value"].astype(int).astype(str).tolist())
        traces.append(
            points.update(hovertemplate=f"{name}<br>step %{{customdata}}: frequency %{{text}}<extra></extra>")
        )
        traces.append(line(1, axis, share, mark, name, name, log=False))
    layout["yaxis"] |= {"title": {"text": "frequency k"}, "range": [-0.05 * most, 1.1 * most]}
    layout["yaxis2"] |= value_axis("share of variance", "share", rows.loc[rows["metric"] == "share", "value"])
    ends = sorted({int(frequencies[name]["value"].iloc[-1]) for name in shares})
    layout["annotations"] += marks_beside(ends, most / 12)
    traces += [legend(mark_of(i), name, name) for i, name in enumerate(shares)]
    dates = phases_of(results, model)
    shapes = [] if dates is None else [shape for place in range(2) for shape in shades(place, axis, *dates)]
    return finish(layout, axis, traces + (phase_legend() if dates is not None else []), shapes)


def _neurons_at(best: np.ndarray, share: np.ndarray, last: int) -> list[dict[str, object]]:
    """What the three traces show at a step: points of neurons, counts above and up to .85."""
    frequencies = np.arange(last + 1, dtype=np.int16)
    above = share > SINGLE_FREQUENCY
    counts = [np.bincount(best[which], minlength=last + 1).astype(np.int16) for which in (above, ~above)]
    order = np.lexsort((share, best))
    starts = np.concatenate([[0], np.cumsum(np.bincount(best, minlength=last + 1))])
    among = np.arange(len(best)) - starts[best[order]]  # rank among the neurons of the same frequency
    # side by side within a frequency, so that points of alike neurons do not hide each other
    spread = 0.3 * (2 * ((among * 0.618) % 1) - 1)
    points = {"x": (best[order] + spread).astype(np.float32), "y": share[order], "customdata": order.astype(np.int16)}
    return [points, *({"x": frequencies, "y": count} for count in counts)]
