"""What moved first: dates of all measures of every run by one rule, and their lead over test accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from probe.scaling.measures import ACCURACIES, MEASURES, MEMORIZED, first_reached, measure_curves
from probe.scaling.transitions import transitions

if TYPE_CHECKING:
    from probe.measures.transition.lead import LeadTimes

_FOLLOWED = tuple(m.name for m in MEASURES if m.name not in (*ACCURACIES, "train loss"))


@dataclass(frozen=True)
class RunLeads:
    """The dates of the runs of a table.

    Attributes:
        dated: what ``probe.measures.transition.lead.lead_times`` found, by model; the measures that a run holds.
        left_out: why a run is not dated, by model.
        transitions: what ``probe.scaling.transitions`` found for the runs.
    """

    dated: "Mapping[str, LeadTimes]"
    left_out: Mapping[str, str]
    transitions: pd.DataFrame

    def of(self, models: list[str]) -> "RunLeads":
        """The same, of some of the models."""
        return RunLeads(
            {model: run for model, run in self.dated.items() if model in models},
            {model: reason for model, reason in self.left_out.items() if model in models},
            self.transitions[self.transitions["model"].isin(models)],
        )


def run_leads(results: pd.DataFrame) -> RunLeads:
    """When each measure of each run covered half of its way from memorization to the end.

    A measure that was evaluated fewer than 10 times from memorization on is left out of its run, and a run is left out
    if test accuracy was, if it diverged, or if it holds no measure.

    Args:
        results: tidy results table.
    """
    dated: dict[str, LeadTimes] = {}
    left_out: dict[str, str] = {}
    table = transitions(results)
    diverged = dict(zip(table["model"], table["diverged_step"].astype(float), strict=True))
    for name, rows in results.groupby("model", sort=False):
        model = str(name)
        found = _of_one_run(rows, diverged[model])
        if isinstance(found, str):
            left_out[model] = found
        else:
            dated[model] = found
    return RunLeads(dated, left_out, table)


def lead_table(runs: RunLeads) -> pd.DataFrame:
    """A row per run and measure, test accuracy first.

    Columns: ``model``, ``measure``, ``direction`` (rising or falling), ``date`` with ``date_low`` and ``date_high``,
    and ``lead`` over test accuracy with ``lead_low`` and ``lead_high``, all in steps; NaN where the measure shows no
    transition, and for the lead also where the run did not generalize. Test accuracy's own date is NaN there.
    """
    rows = []
    for model, run in runs.dated.items():
        rows.append([model, "test accuracy", "rising", *_parts(run.accuracy), *[np.nan] * 3])
        rows += [
            [model, name, found.direction, *_parts(found.date), *_parts(found.lead)]
            for name, found in run.measures.items()
        ]
    parts = [f"{what}{end}" for what in ("date", "lead") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["model", "measure", "direction", *parts])


def leads_over_runs(runs: RunLeads) -> pd.DataFrame:
    """A row per measure, the one with the largest lead first.

    Columns: ``measure``; ``lead`` in steps, the median over the runs that generalized, with ``low`` and ``high`` (95 %
    bootstrap interval over runs; of a single run, its own interval), -inf where most of them show no transition, NaN
    if none generalized; ``n`` (runs that generalized and hold the measure), ``n_earlier`` (of them, runs in which the
    measure moved before test accuracy), ``n_told`` (in which the interval of the lead lies above 0),
    ``n_without_transition`` and ``n_censored`` (runs that hold it and did not generalize; not among the n).
    """
    from probe.measures.transition.lead import leads_over_seeds  # loads torch, which reading a table does not need

    rows = []
    for measure in _FOLLOWED:
        with_it = [
            replace(run, measures={measure: run.measures[measure]})
            for run in runs.dated.values()
            if measure in run.measures
        ]
        if not with_it:
            continue
        over = leads_over_seeds(with_it)[measure]
        leads = [run.measures[measure].lead for run in with_it if run.accuracy is not None]
        told = [lead for lead in leads if lead is not None]
        median = over.lead
        if len(leads) == 1 and told:
            median = told[0]
        rows.append(
            {
                "measure": measure,
                **dict(zip(("lead", "low", "high"), _parts(median), strict=True)),
                "n": len(leads),
                "n_earlier": sum(lead.estimate > 0 for lead in told),
                "n_told": sum(lead.low > 0 for lead in told),
                "n_without_transition": over.n_without_transition,
                "n_censored": over.n_censored,
            }
        )
    columns = ["measure", "lead", "low", "high", "n", "n_earlier", "n_told", "n_without_transition", "n_censored"]
    return pd.DataFrame(rows, columns=columns).sort_values("lead", ascending=False, ignore_index=True)


def _of_one_run(rows: pd.DataFrame, diverged: float) -> "LeadTimes | str":
    from probe.measures.transition.lead import lead_times
    from probe.measures.transition.noise import MIN_EVALUATIONS

    if np.isfinite(diverged):
        return f"its loss is not finite at step {diverged:,.0f}"
    curves = measure_curves(rows)
    if not set(ACCURACIES) <= set(curves):
        return "train or test accuracy was not measured"
    train, test = (curves[name] for name in ACCURACIES)
    # lead_times takes curves of the same steps: measures that share theirs go together, most evaluations first
    together: dict[tuple[int, ...], list[str]] = {}
    for name in _FOLLOWED:
        if name in curves:
            steps = tuple(train.index.intersection(test.index).intersection(curves[name].index))
            together.setdefault(steps, []).append(name)
    if not together:
        return "no measure but accuracy was evaluated"
    found: LeadTimes | None = None
    most = 0
    for steps, names in sorted(together.items(), key=lambda item: -len(item[0])):
        at = list(steps)
        memorized = first_reached(train[at], MEMORIZED)
        n = sum(step >= memorized for step in at) if np.isfinite(memorized) else len(at)
        most = max(most, n)
        if n >= MIN_EVALUATIONS:
            measures = {name: curves[name][at].to_numpy() for name in names}
            one = lead_times(at, test[at].to_numpy(), measures, train[at].to_numpy())
            found = one if found is None else replace(found, measures=found.measures | one.measures)
    if found is None:
        return f"it holds {most} evaluations from memorization on, fewer than {MIN_EVALUATIONS}"
    return replace(found, measures={name: found.measures[name] for name in _FOLLOWED if name in found.measures})


def _parts(interval: object) -> list[float]:
    """Estimate, low and high of an interval, NaN for None."""
    return [float(getattr(interval, part, np.nan)) for part in ("estimate", "low", "high")]
