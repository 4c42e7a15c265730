"""Why something is left out: it has no meaning for the task, it was not asked for, or nothing was found."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import yaml

from probe.report.data import ReportData
from probe.report.page import Section
from probe.report.wording import without_frequencies, without_irreps, without_order
from probe.tasks import ModularArithmetic, Task

IRREPS = ("key_irreps", "irrep_progress", "irrep_power")
SPECTRA = ("embedding_spectrum", "neuron_logit_spectrum")
FOURIER = (
    "key_frequencies", "fourier_progress", "embedding_circle", "neuron_frequencies", "attention_frequencies",
    "logit_spectrum",
)  # fmt: skip
"""Probes of the frequencies of what a network computes."""


def asked_for(data: ReportData) -> frozenset[str]:
    """Probes that the request names, and those of which any model has rows."""
    request = None
    with suppress(yaml.YAMLError):
        request = yaml.safe_load(data.batch_yaml)
    listed = request.get("probes") if isinstance(request, dict) else None
    named = {probe["name"] for probe in listed or () if isinstance(probe, dict) and "name" in probe}
    return frozenset(named | set(data.results["probe"]))


def no_meaning(probe: str, task: Task | None) -> str:
    """Why what a probe measures has no meaning for a task; "" where it has one, or the task is not known."""
    if probe in SPECTRA:
        return without_order(task)
    if probe in IRREPS:
        return without_irreps(task)
    if probe == "logit_spectrum" and isinstance(task, ModularArithmetic):
        return ""  # polynomials are looked at in the order of their tokens
    if probe == "algorithm" and task is not None and (form := task.cyclic_form) and (form.a != form.b).any():
        return "the operands do not play the same part, so that no algorithm is told from another"
    return without_frequencies(task) if probe in (*FOURIER, "algorithm", "fourier_probe") else ""


def why_none(probes: Iterable[str], task: Task | None, asked: frozenset[str], found: str = "found nothing") -> str:
    """Why there is nothing of any of these probes, in words.

    Args:
        probes: by name.
        task: of the model; None where it is not known.
        asked: probes that were asked for.
        found: what is said of those that were asked for and mean something.
    """
    by_reason: dict[str, list[str]] = {}
    for probe in probes:
        reason = no_meaning(probe, task) or (found if probe in asked else "not asked for")
        by_reason.setdefault(reason, []).append(probe)
    said = []
    for reason, named in by_reason.items():
        of_task = any(no_meaning(probe, task) for probe in named)
        said.append(reason if of_task else f"probe{'s' if len(named) > 1 else ''} {', '.join(named)} {reason}")
    return "; ".join(said)


def with_left_out(sections: Sequence[Section]) -> list[Section]:
    """Those that show something; last, if there are others, a section that says why those show nothing."""
    shown = [section for section in sections if section.panels or section.body]
    reasons = []
    for section in sections:
        if section not in shown:
            reasons += [
                text.replace("Left out:", f"{section.title}:", 1) if text.startswith("Left out:") else text
                for text in section.missing
            ]
    return [*shown, Section("left-out", "Left out", missing=tuple(reasons))] if reasons else shown


def with_meaning(data: ReportData) -> ReportData:
    """The same without the spectra of models whose tokens have no order."""
    without = [model for model, task in data.questions.items() if without_order(task)]
    results = data.results
    dropped = results["model"].isin(without) & results["probe"].isin(SPECTRA)
    return replace(data, results=results[~dropped]) if np.any(dropped) else data
