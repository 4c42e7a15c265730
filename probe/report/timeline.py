"""When each thing happened: all measures of a run, or of the runs of several seeds, on one axis of steps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.panels import phase_legend, shades
from probe.report.style import INK, MUTED, RULE, SUBSETS, StepAxis, figure
from probe.scaling.leads import RunLeads, lead_table
from probe.scaling.measures import MEASURES, measure_curves, share_of_way
from probe.scaling.transitions import by_size

_HEIGHT, _BEYOND = 0.72, 0.15  # of a row that a way from 0 to 1 takes; how far beyond it a line is drawn
LEAST_SHARE = 0.05  # of accuracy, variance and the like: a way below it is none without a date
_OF_DECADES = {measure.name for measure in MEASURES if measure.log}


def timeline_figure(results: pd.DataFrame, runs: RunLeads, models: Sequence[str]) -> go.Figure:
    """A row per measure, ordered by date: the share of its way from memorization to the end that it has covered.

    Of several models the medians over them are drawn: of the shares at each step that all have, and of the dates, with
    a bootstrap interval. Diamonds are the dates of half the way, bars their 95 % intervals; a measure without a
    transition (in most of the models) has none and stands at the end. It is grey and flat where its way is no more
    than noise makes: less than half of what it spans after memorization, or than .05 of a share.

    Args:
        results: tidy results table.
        runs: what ``probe.scaling.leads.run_leads`` found for it.
        models: names of one model or more; those that are dated and memorized are drawn.

    Raises:
        ValueError: none of them is.
    """
    drawn = [m for m in models if m in runs.dated and runs.dated[m].start is not None]
    if not drawn:
        raise ValueError(f"models: {list(models)} given, expected some that memorized and are dated")
    rows = results[results["model"].isin(drawn)]
    table = lead_table(runs.of(drawn))
    shares, values, ends = _shares(rows, runs, drawn, table)
    dates = _dates(table, len(drawn))
    order = [name for name in dates.sort_values("date", na_position="last").index if name in shares]
    axis = StepAxis(np.unique(np.concatenate([curve.index for curve in shares.values()])))
    traces, labels, places = [], [], []
    for i, name in enumerate(order):
        base = len(order) - 1 - i
        accuracy = name == "test accuracy"
        curve = shares[name]
        flat = not curve.any()
        color = MUTED if flat else SUBSETS["test"].color if accuracy else INK
        level = base + _HEIGHT * curve.clip(-_BEYOND, 1 + _BEYOND).to_numpy()
        shown = values[name].reindex(curve.index).to_numpy() if name in values else curve.to_numpy()
        what = "" if name in values else " of its way"
        traces.append(
            go.Scatter(
                x=axis(curve.index.to_numpy()).astype(np.float32),
                y=level.astype(np.float32),
                customdata=np.stack([curve.index.to_numpy(dtype=float), shown], axis=1),
                mode="lines",
                line={"color": color, "width": 2.4 if accuracy and not flat else 1.5},
                name=name,
                showlegend=False,
                hovertemplate=f"{name}<br>step %{{customdata[0]:,.0f}}: %{{customdata[1]:.4g}}{what}<extra></extra>",
            )
        )
        way = f"<br><span style='font-size:10px'>{ends[name][0]:.3g} → {ends[name][1]:.3g}</span>"
        labels.append(f"<b>{name}</b>{way}" if accuracy else f"{name}{way}")
        places.append(base + _HEIGHT / 2)
    traces.append(_diamonds(axis, dates.loc[order], places))
    layout = {
        "xaxis": axis.layout,
        "yaxis": {
            "tickvals": places,
            "ticktext": labels,
            "range": [-0.25, len(order)],
            "showgrid": False,
            "ticks": "",
            "title": {"text": "measure (share of its way)"},
        },
        "shapes": [*shades(0, axis, *_phases(runs.of(drawn))), *_baselines(len(order))],
        "margin": {"t": 40, "l": 62, "r": 16, "b": 52},
    }
    return figure(130 + 44 * len(order), [*traces, *phase_legend()], **layout)


def _shares(
    rows: pd.DataFrame, runs: RunLeads, models: Sequence[str], dates: pd.DataFrame
) -> tuple[dict[str, pd.Series], dict[str, pd.Series], dict[str, np.ndarray]]:
    """By measure: shares of the way, 0 everywhere for noise; values (of a single model); and where the way goes."""
    together: dict[str, list[pd.Series]] = {}
    ways: dict[str, list[tuple[float, float]]] = {}
    values = {}
    dated = dates.set_index(["model", "measure"])["date"].notna()
    for model in models:
        start = runs.dated[model].start
        assert start is not None
        curves = measure_curves(rows[rows["model"] == model])
        for name in ("test accuracy", *runs.dated[model].measures):
            curve = curves[name]
            share, seen = share_of_way(curve, start), curve[curve.index >= start]
            moved = dated[model, name] or not _is_noise(name, share[seen.index], seen)
            together.setdefault(name, []).append(share if moved else share * 0.0)
            ways.setdefault(name, []).append((seen.iloc[0], seen.iloc[-1]))
            values[name] = curve
    medians = {name: pd.concat(curves, axis=1, join="inner").median(axis=1) for name, curves in together.items()}
    ends = {name: np.median(found, axis=0) for name, found in ways.items()}
    return {name: curve for name, curve in medians.items() if len(curve)}, values if len(models) == 1 else {}, ends


def _is_noise(name: str, share: pd.Series, curve: pd.Series) -> bool:
    """Whether a curve without a date goes no way that noise would not go as well."""
    spanned = float(np.ptp(share))  # of its way; 0 if it has none
    if not 0 < spanned < 2:
        return True
    return name not in _OF_DECADES and float(np.ptp(curve)) / spanned < LEAST_SHARE


def _dates(table: pd.DataFrame, n_models: int) -> pd.DataFrame:
    """Columns date, low and high by measure; of several models the median with its interval, inf where most have none.

    A run whose measure shows no transition moved later than everything seen.
    """
    if n_models == 1:
        renamed = table.set_index("measure")[["date", "date_low", "date_high"]]
        return renamed.set_axis(["date", "low", "high"], axis=1)
    from probe.measures.intervals import bootstrap_interval  # loads torch, which reading a table does not need

    found = {}
    for name, group in table.groupby("measure", sort=False):
        interval = bootstrap_interval(group["date"].fillna(np.inf).to_numpy(copy=True), "median")
        found[name] = [interval.estimate, interval.low, interval.high]
    dates = pd.DataFrame.from_dict(found, orient="index", columns=["date", "low", "high"])
    dates.loc[~np.isfinite(dates["date"]), :] = np.nan
    return dates


def _diamonds(axis: StepAxis, dates: pd.DataFrame, places: Sequence[float]) -> go.Scatter:
    has = dates["date"].notna().to_numpy()
    at = axis(dates["date"].to_numpy()[has])
    low = axis(dates["low"].fillna(dates["date"]).to_numpy()[has])
    high = np.minimum(axis(dates["high"].fillna(dates["date"]).to_numpy()[has]), axis.end)
    ends = [
        f"{row['low']:,.0f} to {row['high']:,.0f}" if np.isfinite(row["high"]) else f"from {row['low']:,.0f}"
        for _, row in dates[has].iterrows()
    ]
    return go.Scatter(
        x=at,
        y=np.asarray(places)[has],
        error_x={"array": high - at, "arrayminus": at - low, "color": INK, "thickness": 1.4, "width": 4},
        mode="markers",
        marker={"symbol": "diamond", "size": 10, "color": "#ffffff", "line": {"color": INK, "width": 1.8}},
        customdata=np.stack([dates.index[has].to_numpy(), np.asarray(ends)], axis=1),
        name="half of the way, 95 % interval",
        hovertemplate="%{customdata[0]}: half of its way at step %{x:,.0f} [%{customdata[1]}]<extra></extra>",
    )


def _phases(runs: RunLeads) -> tuple[float, float]:
    """Median steps of memorization and of generalization of the models, whatever their sizes."""
    medians = by_size(runs.transitions.assign(size="", n_params=0)).iloc[0]
    return medians["memorized_step_median"], medians["generalized_step_median"]


def _baselines(count: int) -> list[dict[str, object]]:
    where = {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "layer": "below"}
    return [{**where, "y0": base, "y1": base, "line": {"color": RULE, "width": 1}} for base in range(count)]
