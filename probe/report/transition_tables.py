"""Tables of the transition page, as HTML."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
import pandas as pd

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
    return _table("outcomes-table", "Table of outcomes", heads, rows, words=2)


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
    return _table("fits-table", "Table of fitted dates", heads, rows, words=1)


def _fit_cells(fit: dict | None) -> list[str]:
    if fit is None:
        return ["not measured", "—"]
    if not np.isfinite(fit["date"]):
        form = _ARTICLES.get(fit["form"])
        return [f"none ({form} fits as well)" if form else "none (half was not seen)", "—"]
    upper = steps_text(fit["high"]) if np.isfinite(fit["high"]) else "> budget"
    date = f"{steps_text(fit['date'])} [{steps_text(fit['low'])}, {upper}]"
    return [date, f"{steps_text(fit['start'])} to {steps_text(fit['end'])}"]


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")


def _table(name: str, label: str, heads: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> str:
    """The first ``words`` columns hold words, the others numbers."""
    kinds = ["" if i < words else ' class="n"' for i in range(len(heads))]
    head = "".join(f'<th scope="col"{kind}>{_lines(text)}</th>' for text, kind in zip(heads, kinds, strict=True))
    lines: list[str] = []
    for first, *cells in rows:
        body = "".join(f"<td{kind}>{escape(text)}</td>" for text, kind in zip(cells, kinds[1:], strict=True))
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{body}</tr>')
    table = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table id="{name}">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )
    return f"<details><summary>{label}, {len(lines)} rows</summary>{table}</details>" if len(lines) > _OPEN else table
