"""The memorization page of a run: which facts are known, after how many exposures, and how many bits that is."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from html import escape

import numpy as np
import pandas as pd
import xarray as xr

from probe.report.capacity import bits_section
from probe.report.counterfactual import counterfactual_section
from probe.report.data import ReportData
from probe.report.extraction import extraction_section
from probe.report.forgetting import forgetting_section
from probe.report.frequency import effects_table, exposure_figure
from probe.report.left_out import with_left_out
from probe.report.losses import losses_section
from probe.report.operand_map import operand_map_figure
from probe.report.operands import contrast_figure
from probe.report.page import Link, Panel, Section, render_page
from probe.report.recall import exposures_figure, law_sentence, memorized_figure
from probe.report.scale import in_size_alone
from probe.report.sections import source_of
from probe.report.telling import telling_section
from probe.scaling.frequency import FactTable, fact_tables, frequency_effects, operand_pairs
from probe.scaling.memorization import memorization_curves, memorization_law
from probe.tasks import Text
from probe.tasks.arithmetic import Arithmetic

TAUS = (0.9, 0.5)
MAX_MAPS = 6
PAIR = (24, 23)
"""Operands side by side: of two numbers of one size one is far more frequent in texts."""
NEEDS = "not measured (probes performance and recall)"
TIRUMALA = "Tirumala et al. 2022, arXiv 2205.10770"


def has_memorization(results: pd.DataFrame) -> bool:
    """Whether the page has something to say: a probe of what is memorized was measured."""
    exposures = (results["probe"] == "recall") & (results["metric"] == "exposures")
    return bool((exposures | results["probe"].isin(["capacity", "extraction"])).any())


def render_memorization(data: ReportData, links: Sequence[Link] = ()) -> str:
    """The memorization page as the text of one HTML file that asks for nothing outside itself.

    Args:
        data: the run.
        links: to the other pages of the report.
    """
    description = f"Suite {data.suite}. {data.description}".strip()
    return render_page("Memorization: what is known by heart", description, memorization_sections(data), links)


def memorization_sections(data: ReportData) -> list[Section]:
    """The sections of the page in reading order; last, why others are left out.

    Args:
        data: the run; ``has_memorization`` holds of its results.
    """
    data = replace(data, arrays=cache(data.arrays))  # of which several sections read the same
    texts = [model for model, task in data.questions.items() if isinstance(task, Text)]
    curves = memorization_curves(data.results, of_tokens=texts)
    of_texts = bool(texts) and bool(curves["model"].isin(texts).all())
    tables = fact_tables(curves[~curves["model"].isin(texts)], data.arrays, data.questions)
    found = [
        _over_steps(data, curves, of_texts),
        _to_memorize(data, curves, of_texts),
        forgetting_section(data),
        _frequency(data, tables, of_texts),
        losses_section(data),
        counterfactual_section(data, curves),
        telling_section(data),
        extraction_section(data),
        _map(data, curves, tables),
        bits_section(data),
    ]
    return with_left_out(found)


def _over_steps(data: ReportData, curves: pd.DataFrame, of_texts: bool) -> Section:
    title = "What is memorized"
    if curves.empty:
        return Section("memorized", title, missing=(f"{title}: {NEEDS}.",))
    caption = (
        f"{source_of(data)} Share of the facts whose whole answer is the likeliest, token by token; of texts, of the"
        f" tokens that are the likeliest after those before them ({TIRUMALA}). Facts that were never shown are the"
        " control: what is right of them is chance or a rule, not memory."
    )
    panel = Panel("memorized", title, caption, {"": memorized_figure(curves, of_texts)})
    return Section("memorized", title, (panel,))


def _to_memorize(data: ReportData, curves: pd.DataFrame, of_texts: bool) -> Section:
    title = "How many exposures it takes"
    if curves.empty:
        return Section("exposures", title, missing=(f"{title}: {NEEDS}.",))
    of_size = in_size_alone(curves, data)
    laws = {f"{100 * tau:g} %": memorization_law(curves, tau) for tau in TAUS}
    sentences = "".join(f"<li>{escape(law_sentence(law, of_size, of_texts))}</li>" for law in laws.values())
    caption = (
        f"{source_of(data)} T(N, τ): mean exposures per trained fact at the first evaluation at which a share τ of them"
        f" is memorized ({TIRUMALA}). Open: not within the budget, so T is larger. Medians over seeds by Kaplan-Meier,"
        " with 95 % intervals where there are enough seeds for one (6)"
    )
    by_likelihood = (
        "; the power law by maximum likelihood, of the intervals between two evaluations, of which points are the later"
        " end; models that did not get there as censored"
    )
    caption += f"{by_likelihood}." if of_size else "."
    panel = Panel(
        "exposures",
        f"Exposures to memorize {'against parameters' if of_size else 'by group'}",
        caption,
        {name: exposures_figure(law, of_size) for name, law in laws.items()},
        "Share τ",
    )
    return Section("exposures", title, (panel,), body=f"<ul>{sentences}</ul>")


def _frequency(data: ReportData, tables: list[FactTable], of_texts: bool) -> Section:
    title = "What frequency does"
    effects = frequency_effects(tables)
    if effects.empty:
        why = "facts are shown equally often" if tables else NEEDS
        why = "of texts, the probe extraction says it" if of_texts else why
        return Section("frequency", title, missing=(f"{title}: {why}.",))
    caption = (
        f"{source_of(data)} Share of the facts that is answered, or mean log-probability of their answers, by how often"
        " they had been shown, in bins that double; at the left those never shown, the control. Bars: 95 % intervals"
        " over facts (Clopper-Pearson; Student's)."
    )
    figures = {"share answered exactly": exposure_figure(tables)}
    with_log_prob = [table for table in tables if _is_finite(table.log_prob)]
    if with_log_prob:
        figures["log-probability of the answer"] = exposure_figure(with_log_prob, "log_prob")
    panels = [Panel("by-exposure", "Answered facts by exposures", caption, figures, "Shown")]
    pairs = operand_pairs(tables, *PAIR)
    if len(pairs):
        caption = (
            f"{source_of(data)} Accuracy with {PAIR[0]} as first operand minus that with {PAIR[1]}, over the second"
            " operands that both were shown with; 95 % intervals (Newcombe)."
        )
        name = f"{PAIR[0]} minus {PAIR[1]}"
        panels.append(Panel("pair", name.capitalize(), caption, {"": contrast_figure(pairs, name)}))
    return Section("frequency", title, tuple(panels), body=effects_table(effects))


def _map(data: ReportData, curves: pd.DataFrame, tables: list[FactTable]) -> Section:
    title = "Which facts are known"
    first_of_size = curves.drop_duplicates("size")["model"][:MAX_MAPS].tolist()
    figures = {}
    for table in tables:
        if table.model in first_of_size and isinstance(table.task, Arithmetic):
            predicted = data.arrays(table.model, "recall_predicted")
            if predicted is not None:
                figures[table.model] = operand_map_figure(table.task, table.exact, table.exposures, predicted)
    if not figures:
        return Section("map", title, missing=(f"{title}: no model's facts are those of two operands.",))
    caption = (
        f"{source_of(data)} A cell per fact; the first model of each size. Answered: the whole answer is the likeliest."
        " Point at a cell for the fact, its exposures and the model's answer."
    )
    panel = Panel("map", "What is known of every pair of operands", caption, figures, "Model", list(figures)[-1])
    return Section("map", title, (panel,))


def _is_finite(log_prob: xr.DataArray | None) -> bool:
    """Not of a model that diverged."""
    return log_prob is not None and bool(np.isfinite(log_prob.values).all())
