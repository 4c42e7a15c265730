"""The pages of a report: the overview; beside it one for each model with structure to show, transitions, and memory."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from probe.report.data import ReportData
from probe.report.memorization import has_memorization, render_memorization
from probe.report.overview import render_report
from probe.report.page import Link
from probe.report.structure import render_structure, structure_models
from probe.report.transition import has_transition, render_transition

OVERVIEW, TRANSITION, MEMORIZATION = "report.html", "transition.html", "memorization.html"


def report_pages(data: ReportData, overview: str = OVERVIEW) -> Iterator[tuple[str, str]]:
    """Name and text of every page, one at a time, the overview last: once it is there, its links lead somewhere.

    Args:
        data: the run.
        overview: name of the overview.
    """
    models = structure_models(data.results)
    for i, model in enumerate(models):
        links = [Link(quote(overview), "← Overview")]
        links += [Link(_address(other), f"Previous: {other}") for other in models[max(i - 1, 0) : i]]
        links += [Link(_address(other), f"Next: {other}") for other in models[i + 1 : i + 2]]
        yield structure_page(model), render_structure(data, model, links)
    to_suite = []
    if has_transition(data.results):
        to_suite = [Link(TRANSITION, "When each thing happened, and what moved first")]
        yield TRANSITION, render_transition(data, [Link(quote(overview), "← Overview")])
    if has_memorization(data.results):
        to_suite.append(Link(MEMORIZATION, "Which facts are memorized, and after how many exposures"))
        yield MEMORIZATION, render_memorization(data, [Link(quote(overview), "← Overview")])
    yield overview, render_report(data, to_suite, {model: _address(model) for model in models})


def write_report(data: ReportData, path: Path | str) -> Path:
    """Write a report and return the path of its overview; the other pages lie beside it. Folders are made as needed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, text in report_pages(data, path.name):
        path.with_name(name).write_text(text, encoding="utf-8")
    return path


def structure_page(model: str) -> str:
    """Name of the file of a model's page; a name that is a path, as on a hub, is one file all the same."""
    return f"structure-{quote(model, safe=' +=,@()')}.html"


def _address(model: str) -> str:
    return quote(structure_page(model))
