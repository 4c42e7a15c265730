"""The page of one model: what was built inside it, over steps, from the results and the stored arrays."""

from collections.abc import Sequence

import pandas as pd

from probe.report.curves import PROGRESS_MEASURES, progress_figure
from probe.report.data import ReportData
from probe.report.irreps import irrep_logits_figure, irrep_shares_figure
from probe.report.left_out import FOURIER, IRREPS, SPECTRA, with_left_out
from probe.report.logits import component_loss_figure
from probe.report.meanings import MEASURES, meaning_of
from probe.report.numbers import LISTED, key_numbers
from probe.report.one_model import OneModel
from probe.report.over_steps import COMPANIONS, MAX_LINES, measures_figure
from probe.report.page import Link, Panel, Section, render_page
from probe.report.sections import CHUGHTAI, NANDA
from probe.report.structure_parts import fourier_sections
from probe.report.units import neuron_clusters_figure
from probe.report.wording import irrep_names, progress_definitions

OUTCOME = ("performance", "weights", "recall", "capacity", "extraction")
"""Probes of what a model does and knows and how large it is, which other pages show."""
MAX_PANELS = 24
_OTHERS = ("algorithm", "representation", "complexity", "fourier_probe")
TOO_SHORT = 1.1  # R-hat above which the chains of a learning coefficient do not agree


def structure_models(results: pd.DataFrame) -> list[str]:
    """Models that have something to show of what was built inside them, in the order of the table."""
    inside = results[~results["probe"].isin(OUTCOME) & results["value"].notna()]
    return [str(model) for model in inside["model"].unique()]


def render_structure(data: ReportData, name: str, links: Sequence[Link] = ()) -> str:
    """The structure page of a model as the text of one HTML file that asks for nothing outside itself.

    Args:
        data: the run.
        name: of the model, one of ``structure_models``.
        links: to the other pages of the report.
    """
    model = OneModel.of(data, name)
    numbers = key_numbers(model, data.tasks.get(name, ""), data.stopped.get(name, ""))
    sections = [Section("numbers", "Key numbers", body=numbers), *structure_sections(model)]
    return render_page(f"Structure of {name}", f"Suite {data.suite}. {data.description}".strip(), sections, links)


def structure_sections(model: OneModel) -> list[Section]:
    """The figure sections of a model's page in reading order; last, why others are left out."""
    others = (irreps_section(model), progress_section(model), other_measures_section(model))
    return with_left_out([*fourier_sections(model), *others])


def irreps_section(model: OneModel) -> Section:
    title = "Irreducible representations"
    if not any(model.has(probe) for probe in IRREPS):
        return Section("irreps", title, missing=(f"Left out: {model.why_none(IRREPS)}.",))
    panels, missing = [], []
    shown = model.rows.loc[model.rows["probe"].isin(IRREPS), "key"].unique()
    names = f" {said}" if (said := irrep_names(map(str, shown))) else ""
    if model.has("irrep_progress", "logit_cosine"):
        caption = (
            f"{model.source} Cosine of the logits, centred over answers only, with the character of each irrep at"
            f" {model.words.element}, and the loss on training pairs with one key irrep's components removed from the"
            f" logits ({CHUGHTAI}).{names}{_at_most(model, 'irrep_progress')}"
        )
        drawn = {"": irrep_logits_figure(model.rows, model.name)}
        panels.append(Panel("irrep-logits", "Each irrep in the logits", caption, drawn))
    else:
        missing.append(f"Left out: irreps of the logits: {model.why_none('irrep_progress')}.")
    if model.has("irrep_power", "power_share", "neuron_product"):
        caption = (
            f"{model.source} Share of W_E's power, and of the variance of the last block's neurons over all inputs, in"
            " the matrix elements of each irrep; neurons as functions of the first operand, of the second, and of"
            f" their product, which is what the algorithm needs ({CHUGHTAI}).{names}{_at_most(model, 'irrep_power')}"
        )
        drawn = {"": irrep_shares_figure(model.rows, model.name)}
        panels.append(Panel("irrep-shares", "Each irrep in the embedding and in the neurons", caption, drawn))
    else:
        missing.append(f"Left out: irreps of the embedding and the neurons: {model.why_none('irrep_power')}.")
    if model.has("irrep_power", "single_irrep_share"):
        caption = f"{model.source} A neuron is of an irrep if that explains more than .85 of its variance."
        drawn = {"": neuron_clusters_figure(model.rows, model.name, "irrep_power")}
        panels.append(Panel("irrep-clusters", "Neurons that are of one irrep", caption, drawn))
    return Section("irreps", title, tuple(panels), tuple(missing))


def progress_section(model: OneModel) -> Section:
    title = "Progress measures"
    panels = []
    rows = model.rows[~model.rows["probe"].isin([probe for probe in SPECTRA if not model.means(probe)])]
    held = set(rows[["probe", "metric"]].itertuples(index=False, name=None))
    if any(place[:2] in held for _, _, place, _ in PROGRESS_MEASURES):
        caption = f"{model.source} {progress_definitions([model.task], set(rows['probe']))} ({NANDA}; {CHUGHTAI})."
        panels.append(Panel("progress", "Progress measures of this model", caption, {"": progress_figure(rows)}))
    if model.has("fourier_progress", "restricted_loss") or model.has("irrep_progress", "restricted_loss"):
        fourier = model.has("fourier_progress", "restricted_loss")  # as the figure chooses
        directions = model.words.cosine if fourier else f"characters at {model.words.element}"
        caption = (
            f"{model.source} Loss with only the key {'frequencies' if fourier else 'irreps'} in the logits. Restricted:"
            f" all their components. {'Trig' if fourier else 'Character'} loss: only the {directions}, which is what"
            " the algorithm needs."
        )
        drawn = {"": component_loss_figure(model.rows, model.name)}
        panels.append(Panel("component-loss", "Loss with only the key components", caption, drawn))
    missing: tuple[str, ...] = ()
    if not any(model.has(probe, "restricted_loss") for probe in ("fourier_progress", "irrep_progress")):
        keys = model.key_frequencies or model.key_irreps
        found = "measured no loss" if keys else "found no key frequency or irrep"
        reason = model.why_none(("fourier_progress", "irrep_progress"), found)
        missing = (f"Left out: restricted and excluded loss: {reason}.",)
    return Section("progress", title, tuple(panels), missing)


def other_measures_section(model: OneModel) -> Section:
    """Every measure that has no figure of its own, whoever wrote its probe."""
    title = "Other measures"
    mine = model.rows[~model.rows["probe"].isin([*OUTCOME, *IRREPS, *FOURIER, *SPECTRA])]
    found = set(mine[["probe", "metric"]].itertuples(index=False, name=None))
    bases = sorted(place for place in found if not _is_companion(place, found))
    known = [place for place in MEASURES if place in bases]
    measures = [*known, *(place for place in bases if place not in known)]
    if not measures:
        reason = f"Left out: {model.why_none(_OTHERS)}."
        return Section("other", title, missing=(reason,))
    probes = list(dict.fromkeys(probe for probe, _ in measures))
    shown = [meaning_of(*place) for place in measures[:MAX_PANELS]]
    clauses = "; ".join(f"{meaning.title}: {meaning.clause}" for meaning in shown if meaning.clause)
    caption = (
        f"{model.source} Probes {', '.join(probes)}. Shaded bands are 95 % intervals, dotted lines the same measure on"
        f" shuffled data, where a probe gives them.{_at_most(model, *probes)}{_too_short(model)}"
    )
    caption += f" {clauses[0].upper()}{clauses[1:]}." if clauses else ""
    more = measures[MAX_PANELS:]
    if more:
        caption += f" Not drawn: {', '.join(metric for _, metric in more)}."
    drawn = {"": measures_figure(model.rows, model.name, measures[:MAX_PANELS])}
    return Section("other", title, (Panel("other-measures", "Other measures over steps", caption, drawn),))


def _too_short(model: OneModel) -> str:
    """A warning where the chains of the learning coefficient do not agree."""
    rows = model.rows[(model.rows["probe"] == "complexity") & (model.rows["metric"] == "llc_r_hat")]
    steps = [f"{step:,}" for step in sorted(rows.loc[rows["value"] > TOO_SHORT, "step"])]
    if not steps:
        return ""
    listed = f"step{'s' if len(steps) > 1 else ''} {', '.join(steps[:LISTED])}{', …' if len(steps) > LISTED else ''}"
    which = "every step" if len(steps) == len(rows) else f"{len(steps)} of {len(rows)} steps ({listed})"
    return f" R-hat is above {TOO_SHORT} at {which}: the chains are too short there for the learning coefficient."


def _at_most(model: OneModel, *probes: str) -> str:
    """A sentence where there are more lines than are drawn."""
    if model.most_lines(*probes) <= MAX_LINES:
        return ""
    return f" Of more than {MAX_LINES} lines a panel shows the keys' and then those with the largest values."


def _is_companion(place: tuple[str, str], found: set[tuple[str, str]]) -> bool:
    """Whether rows are the interval or the null of another metric."""
    probe, metric = place
    return any(metric.endswith(end) and (probe, metric.removesuffix(end)) in found for end in COMPANIONS)
