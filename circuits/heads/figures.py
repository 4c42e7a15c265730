"""Figures of heads: where they attend, which compose, what they add to the answer, and the answer after each layer."""

from typing import TYPE_CHECKING, Literal

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from circuits.heads.means import means_over
from probe.report.style import INK, MUTED, SEQUENTIAL, figure, marks_of

if TYPE_CHECKING:
    from circuits.heads.attention import HeadScores
    from circuits.heads.direct import DirectAttribution
    from circuits.heads.lens import LogitLens

_CELLS_WITH_TEXT = 200
_LENS_LABELS = {
    "log_prob": "log-probability of the answer (nats)",
    "rank": "rank of the answer (1 = first)",
    "logit_difference": "logit difference (logits)",
}


def heads_figure(scores: "HeadScores | xr.Dataset", score: str, confidence: float = 0.95) -> go.Figure:
    """A heatmap of one score of every head, layers upward and heads across, the control in the title.

    Args:
        scores: where heads attend; or what ``ov_copying`` or ``qk_matching`` found.
        score: which score of the first, such as ``"induction"``; for the others what it is called, such as
            ``"copying"``.
        confidence: of the intervals, which the pointer shows.

    Raises:
        ValueError: there is no such score, or the confidence is outside (0, 1).
    """
    if isinstance(scores, xr.Dataset):
        low, high = float(scores["chance_low"]), float(scores["chance_high"])
        title = (
            f"{score} score of each head, eigenvalues of its {scores.attrs['circuit']} circuit"
            f"<br>random heads: {low:.2f} to {high:.2f} (95 %)"
        )
        values = scores["score"].transpose("layer", "head").to_numpy()
        texts = np.full(values.shape, f"random {low:.2f} to {high:.2f}")
        return _heatmap(values, texts, *_layers_heads(scores), f"{score} score (-1 to 1)", title, (-1, 1))
    if score not in scores.values["score"]:
        raise ValueError(f"score: got {score!r}; expected one of {', '.join(scores.values['score'].to_numpy())}")
    found = scores.means(confidence).sel(score=score)
    uniform = float(found["uniform"])
    title = (
        f"{score}: attention of each head, mean of {int(found['n'].max())} examples<br>uniform attention: {uniform:.3f}"
    )
    repeats = "unrepeated" in found and bool(found["unrepeated"].notnull().any())
    if repeats:
        title += f"; without repeats at most {float(found['unrepeated'].max()):.3f}"
    found = found.transpose("layer", "head")
    texts = np.array(
        [
            f"{low:.3f} to {high:.3f}, uniform {uniform:.3f}" + (f", without repeats {other:.3f}" if repeats else "")
            for low, high, other in zip(
                found["low"].to_numpy().flat,
                found["high"].to_numpy().flat,
                found["unrepeated" if repeats else "low"].to_numpy().flat,
                strict=True,
            )
        ]
    ).reshape(found["mean"].shape)
    return _heatmap(found["mean"].to_numpy(), texts, *_layers_heads(found), "share of attention", title, (0, 1))


def composition_figure(composition: xr.Dataset, read_by: Literal["q", "k", "v"]) -> go.Figure:
    """A heatmap of how much of what each head writes each later head reads by one of its inputs, less the baseline.

    Args:
        composition: what ``composition_scores`` found.
        read_by: the input of the later head.

    Raises:
        ValueError: there is no such input.
    """
    if read_by not in composition["input"]:
        raise ValueError(f"read_by: got {read_by!r}; expected q, k or v")
    found = composition.sel(input=read_by).transpose("source", "destination")
    reading = found["above"].notnull()
    found = found.isel(source=reading.any("destination"), destination=reading.any("source"))
    baseline, low, high = (float(found[f"baseline{end}"]) for end in ("", "_low", "_high"))
    title = (
        f"{read_by.upper()}-composition of pairs of heads, less that of random ones"
        f"<br>random: {baseline:.3f} ({low:.3f} to {high:.3f}, 95 % of {composition.attrs['draws']} draws)"
    )
    both = zip(found["score"].to_numpy().flat, found["z"].to_numpy().flat, strict=True)
    texts = np.array([f"score {score:.3f}, z {z:.1f}" for score, z in both]).reshape(found["z"].shape)
    above = found["above"].to_numpy()
    return _heatmap(
        above,
        texts,
        [str(name) for name in found["source"].to_numpy()],
        [str(name) for name in found["destination"].to_numpy()],
        "score less baseline (no unit)",
        title,
        (float(np.nanmin(above)), float(np.nanmax(above))),
        ("head that writes", f"head that reads, by its {read_by}"),
    )


def attribution_figure(attribution: "DirectAttribution", n: int = 20, confidence: float = 0.95) -> go.Figure:
    """Bars of what the parts of the model add to the answer: those of the largest mean, by absolute value, in order.

    Args:
        attribution: of the parts.
        n: parts that are shown, at least 1; the others are summed into one bar.
        confidence: of the intervals over pairs.

    Raises:
        ValueError: n is below 1, or the confidence is outside (0, 1).
    """
    if n < 1:
        raise ValueError(f"n: got {n}; expected at least 1")
    values = attribution.values
    order = np.argsort(-np.abs(values.mean("pair").to_numpy()), kind="stable")
    shown, rest = np.sort(order[:n]), order[n:]
    kept = values.isel(component=shown)
    if len(rest):
        others = values.isel(component=rest).sum("component").expand_dims(component=[f"{len(rest)} others"])
        kept = xr.concat([kept, others], "component")
    found = means_over(kept, "pair", confidence)
    names = [str(name) for name in found["component"].to_numpy()]
    mean, low, high = (found[name].to_numpy() for name in ("mean", "low", "high"))
    unit = attribution.metric.replace("_", " ")
    title = (
        f"what each part adds directly to the {unit}"
        f"<br>mean of {values.sizes['pair']} pairs, {confidence:.0%} interval; all parts sum to"
        f" {attribution.total.mean():.3f}"
    )
    plot = figure(380, title={"text": title, "font": {"size": 13}}, bargap=0.3)
    plot.add_trace(
        go.Bar(
            x=names,
            y=mean,
            customdata=np.stack([low, high], -1),
            marker={"color": "#b9c1c9", "line": {"width": 0.5, "color": INK}},
            error_y={"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low, "color": INK},
            hovertemplate="%{x}: %{y:.3g} (%{customdata[0]:.3g} to %{customdata[1]:.3g})<extra></extra>",
        )
    )
    plot.add_hline(0, line={"width": 1, "color": MUTED})
    plot.update_xaxes(type="category", title={"text": "part of the model"}, showgrid=False)
    plot.update_yaxes(title={"text": f"{unit} (logits)"})
    return plot


def lens_figure(
    lens: "LogitLens", what: Literal["log_prob", "rank", "logit_difference"] = "log_prob", confidence: float = 0.95
) -> go.Figure:
    """A line of what the answer would be after each layer, the mean over pairs with its interval, and chance.

    Args:
        lens: of the pairs.
        what: of the answer: its log-probability, its rank, or its logit difference.
        confidence: of the intervals over pairs.

    Raises:
        ValueError: there is no such value, or the confidence is outside (0, 1).
    """
    found = lens.means(what, confidence)
    depths = [str(name) for name in found["depth"].to_numpy()]
    mean, low, high = (found[name].to_numpy() for name in ("mean", "low", "high"))
    chance = {"log_prob": -np.log(lens.d_vocab), "rank": (lens.d_vocab + 1) / 2, "logit_difference": 0.0}[what]
    label = _LENS_LABELS[what]
    mark = marks_of([what])[what]
    title = f"logit lens: {label}<br>mean of {lens.values.sizes['pair']} pairs, {confidence:.0%} interval"
    plot = figure(360, title={"text": title, "font": {"size": 13}}, showlegend=False)
    plot.add_trace(
        go.Scatter(
            x=depths,
            y=mean,
            mode="lines+markers",
            line={"color": mark.color, "dash": mark.dash},
            marker={"symbol": mark.symbol, "color": mark.color, "size": 8},
            customdata=np.stack([low, high], -1),
            error_y={"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low, "color": INK},
            hovertemplate="%{x}: %{y:.3g} (%{customdata[0]:.3g} to %{customdata[1]:.3g})<extra></extra>",
        )
    )
    plot.add_hline(chance, line={"width": 1, "dash": "dot", "color": MUTED}, annotation_text="chance")
    plot.update_xaxes(type="category", title={"text": "residual stream after"})
    plot.update_yaxes(title={"text": label})
    return plot


def _layers_heads(found: xr.Dataset) -> tuple[list[str], list[str]]:
    return [str(layer) for layer in found["layer"].to_numpy()], [str(head) for head in found["head"].to_numpy()]


def _heatmap(
    values: np.ndarray,
    texts: np.ndarray,
    rows: list[str],
    columns: list[str],
    label: str,
    title: str,
    between: tuple[float, float],
    axes: tuple[str, str] = ("layer", "head"),
) -> go.Figure:
    """Cells have their number in them where there are few; ``texts`` are what the pointer shows beside it."""
    plot = figure(max(280, 130 + 22 * len(rows)), title={"text": title, "font": {"size": 13}})
    plot.add_trace(
        go.Heatmap(
            x=columns,
            y=rows,
            z=values,
            zmin=between[0],
            zmax=between[1],
            customdata=texts,
            colorscale=SEQUENTIAL,
            colorbar={"title": {"text": label, "side": "right"}, "thickness": 14, "outlinewidth": 0},
            texttemplate="%{z:.2f}" if values.size <= _CELLS_WITH_TEXT else None,
            hovertemplate=f"{axes[0]} %{{y}}, {axes[1]} %{{x}}: %{{z:.3f}} (%{{customdata}})<extra></extra>",
            hoverongaps=False,
        )
    )
    plot.update_xaxes(type="category", title={"text": axes[1]}, showgrid=False)
    plot.update_yaxes(type="category", title={"text": axes[0]}, showgrid=False)
    return plot
