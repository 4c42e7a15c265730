"""Figures of frequencies: neurons by frequency, the path of each, and the loss with neurons ablated."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.style import INK, MUTED, SEQUENTIAL, figure, marks_of

if TYPE_CHECKING:
    from circuits.frequency.ablating import FrequencyAblation
    from circuits.frequency.clusters import FrequencyClusters
    from circuits.frequency.path import FrequencyPath

_LEGEND_BELOW = {"y": 0, "yanchor": "bottom", "yref": "container"}
_OF = {
    "cluster": "the cluster's neurons",
    "prediction": "prediction: excluded or restricted loss",
    "other clusters": "as many of other clusters",
    "any neurons": "as many of all neurons",
}


def clusters_figure(clusters: "FrequencyClusters") -> go.Figure:
    """A dot for each neuron at its frequency and share, those of no cluster hollow; the threshold a dotted line."""
    neurons = clusters.to_frame()
    n_single = int((neurons["cluster"] > 0).sum())
    title = f"{n_single} of {len(neurons)} neurons are of one frequency<br>more than {clusters.threshold:g} of variance"
    plot = figure(380, title={"text": title, "font": {"size": 13}}, legend=_LEGEND_BELOW, margin={"b": 84})
    for name, inside, symbol in (("in a cluster", True, "circle"), ("in none", False, "circle-open")):
        some = neurons[(neurons["cluster"] > 0) == inside]
        plot.add_trace(
            go.Scatter(
                x=some["frequency"],
                y=some["share"],
                mode="markers",
                name=name,
                marker={"symbol": symbol, "color": INK if inside else MUTED, "size": 6, "opacity": 0.7},
                customdata=some[["layer", "neuron"]],
                hovertemplate="L%{customdata[0]} neuron %{customdata[1]}: k = %{x}, %{y:.3f}<extra></extra>",
            )
        )
    plot.add_hline(clusters.threshold, line={"width": 1, "dash": "dot", "color": MUTED})
    plot.update_xaxes(title={"text": "best frequency k (0: constant)"}, range=[-0.5, clusters.n // 2 + 0.5])
    plot.update_yaxes(title={"text": "share of the neuron's variance"}, range=[0, 1.02])
    return plot


def path_figure(path: "FrequencyPath") -> go.Figure:
    """A heatmap of shares, stages and sites down, key frequencies and the mean of the others across."""
    shares = path.table[path.table["stage"] != "cluster neurons"]
    order = shares[["stage", "site"]].drop_duplicates()
    columns = np.where(shares["key"], "k=" + shares["frequency"].astype(str), "mean of others")
    names = [*(f"k={k}" for k in path.keys), "mean of others"]
    mean = shares.assign(column=columns).pivot_table("value", ["stage", "site"], "column", dropna=False)
    values = mean.reindex(index=pd.MultiIndex.from_frame(order), columns=names).to_numpy()
    rows = [f"{stage} · {site}" for stage, site in order.itertuples(index=False)]
    title = "share of each frequency, from the embedding to the logits"
    plot = figure(max(280, 130 + 22 * len(rows)), title={"text": title, "font": {"size": 13}})
    plot.add_trace(
        go.Heatmap(
            x=names,
            y=rows,
            z=values,
            zmin=0,
            zmax=1,
            colorscale=SEQUENTIAL,
            colorbar={"title": {"text": "share", "side": "right"}, "thickness": 14, "outlinewidth": 0},
            texttemplate="%{z:.2f}",
            hovertemplate="%{y}, %{x}: %{z:.4f}<extra></extra>",
            hoverongaps=False,
        )
    )
    plot.update_xaxes(type="category", title={"text": "frequency"}, showgrid=False)
    plot.update_yaxes(type="category", title={"text": "stage · site"}, autorange="reversed", showgrid=False)
    return plot


def ablation_figure(ablation: "FrequencyAblation", subset: str) -> go.Figure:
    """A group of markers for each ablation: its loss, the prediction, the controls; the whole model a dotted line.

    Raises:
        ValueError: no question is in the subset.
    """
    found = ablation.table[ablation.table["subset"] == subset]
    if found.empty:
        known = ", ".join(ablation.table["subset"].unique())
        raise ValueError(f"subset: got {subset!r}; expected one of {known}")
    whole = float(found.loc[found["ablated"] == "none", "loss"].iloc[0])
    found = found[found["ablated"] != "none"]
    bottom = max(min(whole, found["loss"].min()), 1e-12) / 3
    title = (
        f"{subset} loss with neurons replaced by {'0' if ablation.replacement == 'zero' else 'their mean'}"
        f"<br>controls: mean of {ablation.draws} draws, {ablation.confidence:.0%} interval; dotted: no neuron replaced"
    )
    plot = figure(420, title={"text": title, "font": {"size": 13}}, legend=_LEGEND_BELOW, margin={"b": 104})
    plot.update_layout(scattermode="group")
    for (of, label), mark in zip(_OF.items(), marks_of(_OF).values(), strict=True):
        some = found[found["of"] == of]
        low = some["loss_low"].clip(lower=bottom)  # a logarithmic axis has no place for what is below 0
        plot.add_trace(
            go.Scatter(
                x=some["ablated"],
                y=some["loss"],
                mode="markers",
                name=label,
                marker={"symbol": mark.symbol, "color": mark.color, "size": 9},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": some["loss_high"] - some["loss"],
                    "arrayminus": some["loss"] - low,
                    "color": INK,
                },
                customdata=some[["neurons", "accuracy"]],
                hovertemplate="%{x}: %{y:.3g} nats, %{customdata[0]} neurons, accuracy %{customdata[1]:.3f}"
                "<extra></extra>",
            )
        )
    plot.add_hline(whole, line={"width": 1, "dash": "dot", "color": MUTED})
    plot.update_xaxes(type="category", title={"text": "clusters ablated"}, showgrid=False)
    plot.update_yaxes(type="log", dtick=1, exponentformat="power", title={"text": f"{subset} loss (nats, log)"})
    return plot
