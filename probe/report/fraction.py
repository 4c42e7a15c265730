"""Time to generalize against the share of pairs that is trained on."""

import numpy as np
import plotly.graph_objects as go

from probe.report.style import INK, SUBSETS, figure, log_ticks
from probe.scaling.fractions import FractionLaw

_CURVE = 300


def fraction_figure(law: FractionLaw) -> go.Figure:
    """Step of generalization against train fraction: a point per run, the fitted law, and f_c with its interval.

    A run that did not generalize within its budget is an open marker at its last step. The interval of f_c is shaded
    and hatched by its edges; the bracket, which assumes no law, is a bar at the foot.

    Args:
        law: one of ``probe.scaling.fractions.fraction_laws``.
    """
    runs, mark = law.runs, SUBSETS["test"]
    done = runs["generalized_step"].notna()
    traces = []
    for rows, column, symbol, name in (
        (runs[done], "generalized_step", mark.symbol, "generalized"),
        (runs[~done], "final_step", f"{mark.symbol}-open", "not within budget"),
    ):
        if len(rows):
            traces.append(
                go.Scatter(
                    x=rows["train_fraction"].to_numpy(),
                    y=rows[column].clip(lower=1).to_numpy(dtype=float),
                    mode="markers",
                    marker={
                        "symbol": symbol,
                        "size": 9,
                        "color": mark.color,
                        "opacity": 0.8,
                        "line": {"width": 1.6, "color": mark.color},
                    },
                    customdata=rows["model"].to_numpy(),
                    name=name,
                    hovertemplate=f"%{{customdata}}: {name}, step %{{y:,.0f}}<extra></extra>",
                )
            )
    low, high = float(runs["generalized_step"].clip(lower=1).min()), float(runs["final_step"].max())
    shapes = []
    if law.fit is not None:
        fractions = np.linspace(max(law.fit.f_c, 0.0), 1, _CURVE + 1)[1:]
        steps = law.fit.predict(fractions)
        shown = steps <= 1.3 * high
        traces.append(
            go.Scatter(
                x=fractions[shown],
                y=steps[shown],
                mode="lines",
                line={"color": INK, "width": 1.8},
                name="law, median",
                hovertemplate="fraction %{x:.3f}: median step %{y:,.0f}<extra></extra>",
            )
        )
        full = {"yref": "y domain", "y0": 0, "y1": 1}
        edges = {"fillcolor": "#dfe3e8", "layer": "below", "line": {"color": "#8a939c", "width": 0.8, "dash": "dot"}}
        shapes.append({"type": "rect", "x0": law.fit.low, "x1": law.fit.high, **full, **edges})
        center = {"x0": law.fit.f_c, "x1": law.fit.f_c, "line": {"color": INK, "dash": "dash", "width": 1.4}}
        shapes.append({"type": "line", **full, **center})
        style = {"symbol": "square", "size": 12, "color": "#dfe3e8", "line": {"width": 1, "color": "#8a939c"}}
        name = "f_c, 95 % interval"
        traces.append(go.Scatter(x=[None], y=[None], mode="markers", marker=style, name=name, hoverinfo="skip"))
    foot = low / 1.6
    traces.append(
        go.Scatter(
            x=[law.bracket.below, law.bracket.above],
            y=[foot, foot],
            mode="lines+markers",
            line={"color": "#0072B2", "width": 4},
            marker={"symbol": "line-ns-open", "size": 12, "line": {"width": 2}},
            name="bracket of one half",
            hovertemplate="fraction %{x:g}<extra></extra>",
        )
    )
    first = min(float(runs["train_fraction"].min()), law.bracket.below, 1.0 if law.fit is None else law.fit.low)
    ends = [float(np.log10(foot / 1.2)), float(np.log10(1.35 * high))]
    layout = {
        "xaxis": {"title": {"text": "train fraction (share of the pairs)"}, "range": [max(first - 0.03, -0.01), 1.01]},
        "yaxis": {"title": {"text": "step of generalization (log)"}, "type": "log", "range": ends}
        | log_ticks(low, high),
        "shapes": shapes,
        "margin": {"t": 90, "l": 62, "r": 16, "b": 52},
    }
    return figure(460, traces, **layout)


def law_text(law: FractionLaw) -> str:
    """What a law says, in words."""
    n, late = len(law.runs), int(law.runs["generalized_step"].isna().sum())
    text = f"{n - late} of {n} runs generalized within the budget."
    if law.fit is None:
        text += f" No law is fitted: {law.reason}."
    else:
        fit = law.fit
        bound = f"[{fit.low:.3f}, {fit.high:.3f}]"
        alpha_high = f"{fit.alpha_high:.2f}" if np.isfinite(fit.alpha_high) else "above 20"
        text += (
            f" Fitted law: median steps = {fit.c:,.3g} (f - f_c)^-alpha with critical fraction f_c ="
            f" {fit.f_c:.3f} {bound} and alpha = {fit.alpha:.2f} [{fit.alpha_low:.2f}, {alpha_high}] (95 % intervals)."
        )
        if fit.low <= 0:
            text += " The runs do not bound f_c from below."
        if fit.alpha_low <= 0:
            text += " That times rise towards f_c is not established."
    few, most = law.bracket.below, law.bracket.above
    between = f"between the fractions {few:g} and {most:g}" if few > 0 else f"below the fraction {most:g}"
    if most >= 1 and few >= law.runs["train_fraction"].max():
        between = f"above the fraction {few:g}"
    return (
        f"{text} Without any law: the share of runs that generalize within the budget crosses one half {between}"
        f" (95 % interval: {law.bracket.low:g} to {law.bracket.high:g})."
    )
