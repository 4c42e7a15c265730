"""Whether it was to be foreseen which runs generalize, and when."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from probe.report.panels import axis_id, band, finish, grid, legend, line
from probe.report.style import MUTED, Mark, StepAxis, mark_of

if TYPE_CHECKING:
    from probe.measures.transition.forecasting import EarlyWarning

SCORES = {
    "auc": "AUC of whether a run generalizes",
    "concordance": "concordance of when it does",
    "brier": "Brier score of whether (0 is best)",
}
_ALL, _BASELINE = mark_of(2), mark_of(1)
_CHANCE = Mark(MUTED, "dot", "x")


def foresight_figure(found: "EarlyWarning") -> go.Figure:
    """Scores on held-out runs by the step up to which they were seen, a panel per score.

    All measures with their 95 % interval; the baseline's measures alone with theirs; and chance: shuffled outcomes,
    for the Brier score the share of the training runs that generalize.

    Args:
        found: what ``probe.scaling.foresight.foresight`` returns.
    """
    table = found.table[found.table["reason"] == ""]
    axis = StepAxis(table["step"].to_numpy())
    layout = grid(list(SCORES.values()))
    baseline = " and ".join(name.replace("_", " ") for name in found.baseline) + " alone"
    traces = []
    for place, score in enumerate(SCORES):
        for suffix, mark, name in (("", _ALL, "all measures"), ("_baseline", _BASELINE, baseline)):
            curve = _curve(table, f"{score}{suffix}")
            if len(curve):
                traces += [band(place, axis, curve, mark, name), line(place, axis, curve, mark, name, name, log=False)]
        chance = _curve(table, "brier_base_rate" if score == "brier" else f"{score}_shuffled")
        name = "share of the training runs" if score == "brier" else "shuffled outcomes"
        traces.append(line(place, axis, chance, _CHANCE, name, "chance", log=False))
        layout[axis_id("yaxis", place)] |= {"title": {"text": score.replace("auc", "AUC")}, "range": [-0.03, 1.04]}
    traces += [legend(_ALL, "all measures", "all measures"), legend(_CHANCE, "chance", "chance")]
    if found.baseline:
        traces.append(legend(_BASELINE, baseline, baseline))
    return finish(layout, axis, traces)


def _curve(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Columns step and value, and low and high where there is an interval; of the steps that have the score."""
    columns = {"step": "step", column: "value", f"{column}_low": "low", f"{column}_high": "high"}
    found = table[[name for name in columns if name in table]].rename(columns=columns)
    return found[np.isfinite(found["value"])].astype({"step": np.int64})


def foresight_sentences(found: "EarlyWarning") -> list[str]:
    """What the scores say, in words."""
    table = found.table[found.table["reason"] == ""]
    n = len(table)
    sentences = [
        f"Scored at {n} of {len(found.table)} steps, on held-out runs, from {', '.join(_words(found.measures))}.",
    ]
    for score, what in (
        ("auc", "whether a run generalizes within the budget"),
        ("concordance", "which of two runs generalizes first"),
    ):
        mine = table[np.isfinite(table[score])]
        if mine.empty:
            continue
        told, first = mine[mine[f"{score}_low"] > 0.5], mine.iloc[0]
        text = f"{what[0].upper()}{what[1:]} is predicted better than by chance at {len(told)} of {len(mine)} steps"
        text += f", first at step {told['step'].iloc[0]:,.0f}" if len(told) else ""
        at = told.iloc[0] if len(told) else first
        baseline = f", {at[f'{score}_baseline']:.2f} from {' and '.join(_words(found.baseline))} alone"
        sentences.append(
            f"{text}. At step {at['step']:,.0f}, with {at['n_at_risk']:.0f} runs that had not generalized, of which"
            f" {at['n_events']:.0f} later did: {score.replace('auc', 'AUC')} {at[score]:.2f}"
            f" [{at[f'{score}_low']:.2f}, {at[f'{score}_high']:.2f}]{baseline if found.baseline else ''},"
            f" {at[f'{score}_shuffled']:.2f} with shuffled outcomes."
        )
        if found.baseline:
            gains = mine[mine[f"{score}_gain_low"] > 0]
            sentences.append(
                f"The other measures add to that of the accuracies at {len(gains)} of {len(mine)} steps"
                " (interval of the gain above 0); one step with a slight gain is no evidence."
            )
    return sentences


def _words(names: tuple[str, ...]) -> list[str]:
    return [name.replace("_", " ") for name in names]
