"""Which texts are extracted by how often they were shown, by size, step and length of the prompt."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from probe.scaling.frequency import Arrays, FactTable, by_exposure
from probe.scaling.transitions import size_label
from probe.tasks import Task

_KEYS = ["model", "seed", "n_params", "step"]
_METRICS = [f"{metric}{end}" for metric in ("extractable", "memorization_score") for end in ("", "_low", "_high")]
_LINE = [f"{name}{end}" for name in ("slope", "at_one", "unseen") for end in ("", "_low", "_high")]


@dataclass(frozen=True)
class TextTable:
    """Every text of a model at every step.

    Attributes:
        model, size, n_params: whose they are.
        task: what it was trained on.
        exact: whether each is extractable, [step, example, prompt].
        score: memorization scores of a sample, [step, text, prompt].
        exposures: how often each had been shown, [step, example].
    """

    model: str
    size: str
    n_params: int
    task: Task
    exact: xr.DataArray
    score: xr.DataArray
    exposures: xr.DataArray

    @property
    def prompts(self) -> list[int]:
        """Tokens given."""
        return [int(k) for k in self.exact["prompt"].values]

    def after(self, prompt: int) -> FactTable:
        """Texts as facts, which are known where they are extractable after a prompt of so many tokens."""
        exact = self.exact.sel(prompt=prompt)
        return FactTable(self.model, self.size, self.n_params, self.task, exact, self.exposures)


def extraction_curves(results: pd.DataFrame) -> pd.DataFrame:
    """A row per model, step, prompt and subset that the probe ``extraction`` measured, smallest models first.

    Columns: ``model``, ``size``, ``seed``, ``n_params``, ``step``, ``prompt`` (tokens given), ``subset`` (``train``;
    ``test``: never shown, the control); ``extractable`` (share of the texts) and ``memorization_score`` (mean), each
    with its interval ``_low``, ``_high`` over texts.

    Args:
        results: tidy results table.
    """
    rows = results[(results["probe"] == "extraction") & results["metric"].isin(_METRICS)]
    table = rows.groupby([*_KEYS, "key", "metric"], dropna=False)["value"].first().unstack("metric").reset_index()
    table = table.reindex(columns=[*_KEYS, "key", *_METRICS])
    place = table.pop("key").str.split("/", expand=True).reindex(columns=[0, 1])
    table.insert(1, "size", table["model"].map(size_label))
    table.insert(5, "prompt", place[1].astype(int))
    table.insert(6, "subset", place[0])
    return table.sort_values(["n_params", "model", "step", "prompt", "subset"], ignore_index=True)


def text_tables(curves: pd.DataFrame, arrays: Arrays, tasks: Mapping[str, Task]) -> list[TextTable]:
    """The texts of every model of which the probes ``extraction`` and ``recall`` stored arrays, smallest models first.

    Args:
        curves: what ``extraction_curves`` returns.
        arrays: reads a stored array by model and name; None if there is none.
        tasks: what each model was trained on.
    """
    found = []
    for row in curves.drop_duplicates("model").to_dict("records"):
        model = str(row["model"])
        names = ("extraction_exact", "extraction_score", "recall_exposures")
        exact, score, exposures = (arrays(model, name) for name in names)
        if exact is not None and score is not None and exposures is not None and model in tasks:
            size, n_params = str(row["size"]), int(row["n_params"])
            found.append(TextTable(model, size, n_params, tasks[model], exact, score, exposures))
    return found


def extractable_by_exposure(tables: list[TextTable]) -> pd.DataFrame:
    """Share of the texts that is extractable in bins of exposures, of every model at every step.

    Columns: ``model``, ``size``, ``n_params``, ``step``, ``prompt``; ``least``, ``most`` and ``mean_exposures`` of the
    bin (that of texts never shown is 0, the control), ``n_texts``, and ``value``, ``low``, ``high`` of the share.
    """
    columns = ["least", "most", "mean_exposures", "n_texts", "value", "low", "high"]
    rows = []
    for table, place in _places(tables):
        found = by_exposure([table.after(place["prompt"])], place["step"])
        parts = (found.least, found.most, found.mean_exposures, found.n_facts, found.value, found.low, found.high)
        rows += [place | dict(zip(columns, row, strict=True)) for row in zip(*(x.tolist() for x in parts), strict=True)]
    return pd.DataFrame(rows, columns=["model", "size", "n_params", "step", "prompt", *columns])


def score_lines(tables: list[TextTable]) -> pd.DataFrame:
    """Log-linear fit of the memorization score against exposures, of every model at every step.

    Columns: ``model``, ``size``, ``n_params``, ``step``, ``prompt``; each with its interval ``_low``, ``_high``:
    ``slope`` (rise of the score per doubling of exposures), ``at_one`` (after one exposure, by the fit) and ``unseen``
    (mean of texts never shown, the control). NaN where the data do not say.

    Args:
        tables: of models whose texts are not all shown equally often; others are left out.
    """
    from probe.measures.memorization import fit_exposure_line

    rows = []
    unequal = [table for table in tables if len(np.unique(table.task.exposures[table.task.train_mask])) > 1]
    for table, place in _places(unequal):
        score = table.score.sel(step=place["step"], prompt=place["prompt"])
        exposures = table.exposures.sel(step=place["step"]).values[score["text"].values]
        with suppress(ValueError):  # none was shown yet, or all have one score
            line = fit_exposure_line(exposures, score.values)
            for name, found in (("slope", line.slope), ("at_one", line.at_one), ("unseen", line.unseen)):
                if found is not None:
                    place |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        rows.append(place)
    return pd.DataFrame(rows, columns=["model", "size", "n_params", "step", "prompt", *_LINE])


def _places(tables: list[TextTable]) -> list[tuple[TextTable, dict]]:
    """Every table at each of its steps and prompts."""
    return [
        (table, {"model": table.model, "size": table.size, "n_params": table.n_params, "step": step, "prompt": prompt})
        for table in tables
        for step in table.exact["step"].values.tolist()
        for prompt in table.prompts
    ]
