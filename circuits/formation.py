"""When the circuit of each model formed, from the results of a batch that ran ``circuit_formation``.

Everything here is read off the results table (``circuits.probes`` says what is measured): no model is loaded, and a run
that is not finished gives what there is.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from probe.scaling.transitions import transitions

if TYPE_CHECKING:
    import plotly.graph_objects as go

PROBE = "circuit_formation"


@dataclass(frozen=True, eq=False)
class Formation:
    """Circuits over training steps and sizes.

    Attributes:
        steps: a row for each model and step: ``model``, ``n_params``, ``step``; ``faithfulness_final`` with ``_low``
            and ``_high``, ``faithfulness_own``, ``faithfulness_random``, ``completeness_final``, ``agreement_final``,
            ``jaccard``, and the metric ``metric_whole``, ``metric_none``.
        edges: a row for each model and edge of its final circuit: ``final_score``; ``first_step``, at which it was
            first in the circuit found; ``entered_step``, from which on it was in all of them; ``half_step``, from which
            on its score has the final sign and at least half of the final size; and ``before_generalizing`` (see
            ``formation_of``). Steps are those of evaluations.
        models: a row for each model: ``faithful_step``, from which on the final circuit is as faithful as ``level``
            with the interval's lower end above the random circuits' mean; ``settled_step``, from which on the circuit
            found shares at least half of its edges with the final one; ``memorized_step`` and ``generalized_step`` (nan
            where not within the budget or not measured); ``edges``, in the final circuit; ``before_generalizing``, the
            share of these that had entered before the model generalized.
        level: of faithfulness.
    """

    steps: pd.DataFrame
    edges: pd.DataFrame
    models: pd.DataFrame
    level: float

    def figure(self, model: str) -> "go.Figure":
        """Faithfulness, likeness to the final circuit and edges that have entered, over the steps of one model.

        Raises:
            ValueError: there is no such model.
        """
        import plotly.graph_objects as go

        from probe.report.style import INK, MUTED, figure

        rows = self.steps[self.steps["model"] == model]
        if rows.empty:
            raise ValueError(f"model: got {model!r}; expected one of {', '.join(self.models['model'])}")
        edges, dates = self.edges[self.edges["model"] == model], self.models.set_index("model").loc[model]
        entered = np.array([(edges["entered_step"] <= step).mean() for step in rows["step"]])
        curves = (
            ("faithfulness of the final circuit", rows["faithfulness_final"].clip(-0.5, 1.5), INK, "solid"),
            ("of random circuits (mean)", rows["faithfulness_random"].clip(-0.5, 1.5), MUTED, "dot"),
            ("edges shared with the final circuit (Jaccard)", rows["jaccard"], "#0072B2", "dash"),
            ("final edges that have entered (share)", entered, "#D55E00", "dashdot"),
        )
        title = f"{model}: {len(edges)} edges of the final circuit"
        plot = figure(440, title={"text": title, "font": {"size": 13}}, legend={"y": -0.2, "yref": "paper"})
        for name, values, color, dash in curves:
            plot.add_trace(
                go.Scatter(x=rows["step"], y=values, name=name, mode="lines", line={"color": color, "dash": dash})
            )
        marked = {name: dates[f"{name}_step"] for name in ("memorized", "generalized")}
        for step in {step for step in marked.values() if np.isfinite(step)}:
            name = " and ".join(name for name in marked if marked[name] == step)
            plot.add_vline(x=step, line={"color": MUTED, "width": 1}, annotation={"text": name})
        plot.update_xaxes(title={"text": "training step"})
        plot.update_yaxes(title={"text": "share (faithfulness cut at -0.5 and 1.5)"})
        return plot


def formation_of(results: pd.DataFrame, level: float = 0.8) -> Formation:
    """Read off a results table when circuits formed.

    An edge *enters* at the first evaluated step from which on it is in every circuit found; one that never leaves is
    there from the start, such as those that random weights have by chance: compare with ``half_step``. It entered
    *before generalizing* if that was at an earlier evaluated step than the first of those with test accuracy of at
    least .99 (``probe.scaling.transitions``).

    Args:
        results: of a batch with ``final_circuit`` and ``circuit_formation``, as ``probe.results(folder)`` gives it.
        level: of faithfulness, above 0.

    Raises:
        ValueError: the batch has no ``circuit_formation``, or the level is not above 0.
    """
    check_level(level)
    rows = results[results["probe"] == PROBE]
    if rows.empty:
        raise ValueError(
            f"results: nothing of {PROBE}; expected a batch with final_circuit and {PROBE} among its probes"
        )
    steps = _by_step(rows)
    final = results[results["probe"] == "final_circuit"]
    dates = {str(row["model"]): row for row in transitions(results).to_dict("records")}
    models = [str(model) for model in steps["model"].unique()]
    edges = pd.concat(
        [_edges_of(rows[rows["model"] == m], final[final["model"] == m], dates[m]) for m in models], ignore_index=True
    )
    told = [_dates_of(steps[steps["model"] == m], edges[edges["model"] == m], dates[m], level) for m in models]
    return Formation(steps, edges, pd.DataFrame(told), level)


def check_level(level: float) -> None:
    """
    Raises:
        ValueError: it is not above 0.
    """
    if not level > 0:
        raise ValueError(f"level: got {level}; expected above 0")


def _by_step(rows: pd.DataFrame) -> pd.DataFrame:
    wanted = rows[~rows["metric"].isin(["edge_score", "in_circuit"])]
    names = wanted["metric"].where(wanted["metric"] == "jaccard", _with_key(wanted))
    table = wanted.assign(name=names).pivot(index=["n_params", "model", "step"], columns="name", values="value")
    return table.rename_axis(columns=None).reset_index().sort_values(["n_params", "model", "step"], ignore_index=True)


def _with_key(rows: pd.DataFrame) -> pd.Series:
    """``faithfulness_low`` of ``final`` as ``faithfulness_final_low``."""
    measure = rows["metric"].str.replace("_(low|high)$", "", regex=True)
    end = rows["metric"].str.extract("(_(?:low|high))$", expand=False).fillna("")
    return measure + "_" + rows["key"] + end


def _edges_of(rows: pd.DataFrame, final: pd.DataFrame, dates: Mapping[Hashable, Any]) -> pd.DataFrame:
    steps = np.sort(rows["step"].unique())

    def over_steps(metric: str) -> np.ndarray:
        table = rows[rows["metric"] == metric].pivot(index="key", columns="step", values="value")
        return table.reindex(index=final["key"], columns=steps).to_numpy()

    scores, inside = over_steps("edge_score"), over_steps("in_circuit") == 1
    last = final["value"].to_numpy()[:, None]
    grown = scores * np.sign(last) >= np.abs(last) / 2
    entered = _from_on(inside, steps)
    before = entered < dates["generalized_step"]
    return pd.DataFrame(
        {
            "model": dates["model"],
            "edge": final["key"].to_numpy(),
            "final_score": last[:, 0],
            "first_step": np.where(inside.any(1), steps[inside.argmax(1)], np.nan),
            "entered_step": entered,
            "half_step": _from_on(grown, steps),
            "before_generalizing": pd.array(
                before if np.isfinite(dates["generalized_step"]) else [None] * len(before), dtype="boolean"
            ),
        }
    )


def _from_on(holds: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The first step from which on ``holds`` [.., step] is true at every one; nan where it is not at the last."""
    to_the_end = np.logical_and.accumulate(holds[..., ::-1], axis=-1)[..., ::-1]
    return np.where(to_the_end.any(-1), steps[to_the_end.argmax(-1)], np.nan)


def _dates_of(
    steps: pd.DataFrame, edges: pd.DataFrame, dates: Mapping[Hashable, Any], level: float
) -> dict[str, object]:
    at = steps["step"].to_numpy()
    above = steps["faithfulness_final_low"] > steps["faithfulness_random"]
    faithful = ((steps["faithfulness_final"] >= level) & above).to_numpy()
    before = edges["before_generalizing"]
    return {
        "model": dates["model"],
        "n_params": int(steps["n_params"].iloc[0]),
        "edges": len(edges),
        "faithful_step": float(_from_on(faithful, at)),
        "settled_step": float(_from_on((steps["jaccard"] >= 0.5).to_numpy(), at)),
        "memorized_step": dates["memorized_step"],
        "generalized_step": dates["generalized_step"],
        "before_generalizing": np.nan if before.isna().any() or before.empty else float(before.mean()),
    }
