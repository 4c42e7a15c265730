"""What probes find at each site, over steps and sizes, from the table of a sweep."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.panels import axis_id, band, finish, grid, legend, line
from probe.report.style import StepAxis, compact, marks_of

_SCORES = {"r2": ("held-out R²", "share of variance"), "accuracy": ("held-out accuracy", "share right")}
_SHUFFLED = "the same on shuffled targets"
_INTERVAL = "95 % interval over folds"


def probe_figure(sweep: pd.DataFrame, target: Hashable | None = None) -> go.Figure:
    """Score of a probe over steps, a panel per site, a line per model with its 95 % interval.

    Thin dotted lines are the same probe on shuffled targets.

    Args:
        sweep: a table of ``probe.measures.sweep``, at one position and head of each site.
        target: which; if not given and there are several, their mean is drawn, without an interval.

    Raises:
        ValueError: the table is empty, has no such target, or several positions or heads of a site.
    """
    if sweep.empty:
        raise ValueError("sweep: the table has no rows; expected one of probe.measures.sweep")
    if target is not None and target not in set(sweep["target"]):
        shown = ", ".join(map(str, list(dict.fromkeys(sweep["target"]))[:8]))
        raise ValueError(f"target: got {target!r}; the table has {shown}")
    chosen = sweep if target is None else sweep[sweep["target"] == target]
    repeated = chosen.duplicated(["model", "step", "site", "target"])
    if repeated.any():
        site = chosen[repeated]["site"].iloc[0]
        raise ValueError(f"sweep: {site} has several positions or heads; choose one, as in sweep[sweep['head'] == 0]")
    n_targets = chosen["target"].nunique()
    means = chosen.groupby(["model", "n_params", "step", "site"], sort=False)
    curves = means[["value", "low", "high", "shuffled"]].mean().reset_index()
    models = curves[["model", "n_params"]].drop_duplicates().sort_values("n_params").to_dict("records")
    marks = marks_of(entry["model"] for entry in models)
    sites = list(dict.fromkeys(curves["site"]))
    axis = StepAxis(curves["step"].unique())
    layout = grid(sites)
    traces = []
    for place, site in enumerate(sites):
        for model, mark in marks.items():
            curve = curves[(curves["site"] == site) & (curves["model"] == model)].sort_values("step")
            if curve.empty:
                continue
            if n_targets == 1:
                traces.append(band(place, axis, curve, mark, model))
            traces.append(line(place, axis, curve, mark, model, model, log=False))
            control = line(
                place, axis, curve.assign(value=curve["shuffled"]), mark, f"{model}, {_SHUFFLED}", model, False
            )
            traces.append(control.update(mode="lines", line={"width": 0.8, "dash": "dot"}))
        layout[axis_id("yaxis", place)] |= _value_axis(chosen, curves)
    traces += [
        legend(mark, f"{entry['model']} · {compact(entry['n_params'])}", entry["model"])
        for entry, mark in zip(models, marks.values(), strict=True)
    ]
    control = go.Scatter(x=[None], y=[None], mode="lines", line={"width": 0.8, "dash": "dot", "color": "#000000"})
    traces.append(control.update(name=_SHUFFLED, hoverinfo="skip"))
    if n_targets == 1:
        square = {"symbol": "square", "size": 12, "color": "rgba(0,0,0,0.15)"}
        traces.append(go.Scatter(x=[None], y=[None], mode="markers", marker=square, name=_INTERVAL, hoverinfo="skip"))
    return finish(layout, axis, traces)


def _value_axis(sweep: pd.DataFrame, curves: pd.DataFrame) -> dict[str, Any]:
    targets = sweep["target"].unique()
    score, unit = _SCORES[sweep["score"].iloc[0]]
    of = f" of {targets[0]}" if len(targets) == 1 else f", mean of {len(targets)} targets"
    low = min(0.0, float(np.nanmin(curves[["low", "shuffled"]])))
    return {"title": {"text": f"{score}{of} ({unit})"}, "range": [max(low, -1.0) - 0.03, 1.04], "dtick": 0.25}
