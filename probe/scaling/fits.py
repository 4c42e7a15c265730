"""The date of a transition by a logistic fit, for every run of a results table."""

import numpy as np
import pandas as pd

from probe.scaling.measures import ACCURACIES, MEMORIZED, first_reached, measure_curves

_COLUMNS = ("form", "date", "low", "high", "start", "end", "before", "after", "first")


def fit_table(results: pd.DataFrame, measures: tuple[str, ...] = ("test accuracy",)) -> pd.DataFrame:
    """A row per run and measure that was evaluated 10 times or more.

    Accuracies are fitted over all evaluations. Other measures are so from memorization on, as most of them go up and
    down while a run memorizes; a run that did not memorize has no fit of them.

    Columns: ``model``, ``measure``, ``form`` ("logistic", or "constant" or "linear" where that describes the curve as
    well and there is no date), ``date`` with ``low`` and ``high``, ``start`` and ``end`` (a tenth and nine tenths of
    the way), in steps, NaN without a date; the levels ``before`` and ``after``; ``first`` (the step from which
    on evaluations were fitted).

    Args:
        results: tidy results table.
        measures: names in ``probe.scaling.measures.MEASURES``.
    """
    from probe.measures.transition.logistic import fit_logistic
    from probe.measures.transition.noise import MIN_EVALUATIONS

    rows = []
    for model, of_model in results.groupby("model", sort=False):
        curves = measure_curves(of_model)
        memorized = first_reached(curves.get("train accuracy", pd.Series(dtype=float)), MEMORIZED)
        for measure in measures:
            curve = curves.get(measure, pd.Series(dtype=float))
            if measure not in ACCURACIES:
                curve = curve[curve.index >= memorized]
            if len(curve) < MIN_EVALUATIONS:
                continue
            fit = fit_logistic(curve.index.to_numpy(copy=True), curve.to_numpy(copy=True))
            date = [np.nan] * 3 if fit.date is None else [fit.date.estimate, fit.date.low, fit.date.high]
            ends = [np.nan if end is None else end for end in (fit.start, fit.end)]
            rows.append([str(model), measure, fit.form, *date, *ends, fit.before, fit.after, int(curve.index[0])])
    return pd.DataFrame(rows, columns=["model", "measure", *_COLUMNS])
