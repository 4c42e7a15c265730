"""Tables of the transition page, as HTML."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from probe.report.html_table import table_html
from probe.report.verdict import steps_text

_OPEN = 12  # rows of a table that is not folded
_ARTICLES = {"constant": "a constant", "linear": "a line"}


def outcomes_table(outcomes: pd.DataFrame) -> str:
    """A row per run: its learning phase, and when train and test accuracy reached .9.

    Args:
        outcomes: what ``probe.scaling.outcomes.outcomes`` returns.
    """
    rows = []
    for run in outcomes.to_dict("records"):
        late = f"not within {steps_text(run['final_step'])}"
        dates = [steps_text(run[f"{subset}_step"]) for subset in ("train", "test")]
        dates = [late if date == "—" else date for date in dates]
        rows.append([str(run["model"]), str(run["phase"]), *dates, steps_text(run["test_step"] - run["train_step"])])
    heads = ("Model", "Phase", "Train .9 at\n(step)", "Test .9 at\n(step)", "Between\n(steps)")
    return _foldable("outcomes-table", "Table of outcomes", heads, rows, words=2)


def fits_table(fits: pd.DataFrame) -> str:
    """A row per model: date of each fitted measure with its interval, and from a tenth to nine tenths of the way.

    Args:
        fits: what ``probe.scaling.fits.fit_table`` returns.
    """
    measures = list(fits["measure"].unique())
    by_place = {(fit["model"], fit["measure"]): fit for fit in fits.to_dict("records")}
    rows = []
    for model in fits["model"].unique():
        cells = [str(model)]
        for measure in measures:
            cells += _fit_cells(by_place.get((model, measure)))
        rows.append(cells)
    heads = ["Model"]
    for measure in measures:
        heads += [f"{measure},\nhalf of the way (step)", "10 to 90 %\n(steps)"]
    return _foldable("fits-table", "Table of fitted dates", heads, rows, words=1)


def _fit_cells(fit: dict | None) -> list[str]:
    if fit is None:
        return ["not measured", "—"]
    if not np.isfinite(fit["date"]):
        form = _ARTICLES.get(fit["form"])
        return [f"none ({form} fits as well)" if form else "none (half was not seen)", "—"]
    upper = steps_text(fit["high"]) if np.isfinite(fit["high"]) else "> budget"
    date = f"{steps_text(fit['date'])} [{steps_text(fit['low'])}, {upper}]"
    return [date, f"{steps_text(fit['start'])} to {steps_text(fit['end'])}"]


def _foldable(name: str, label: str, heads: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    table = table_html(name, label, heads, rows, words)
    return f"<details><summary>{label}, {len(rows)} rows</summary>{table}</details>" if len(rows) > _OPEN else table
