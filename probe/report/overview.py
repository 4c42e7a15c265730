"""The overview of a run: what happened, in words, tables and figures, and where to look further."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd

from probe.report.data import ReportData
from probe.report.left_out import with_meaning
from probe.report.page import Link, Section, anchor, render_page
from probe.report.scale import in_size_alone
from probe.report.sections import sections, steps_and_seeds
from probe.report.verdict import keys_head, keys_text, median_text, steps_text, verdict
from probe.scaling.transitions import by_size, transitions

LISTED_PAGES = 24


def render_report(data: ReportData, links: Sequence[Link] = (), structure: Mapping[str, str] | None = None) -> str:
    """The overview as the text of one HTML file that asks for nothing outside itself.

    Args:
        data: the run.
        links: to pages of the whole suite.
        structure: the address of the structure page of each model that has one; None if no such pages are made.
    """
    data = with_meaning(data)
    table = transitions(data.results)
    of_size, once = in_size_alone(table, data), _evaluated_once(data.results)
    models = models_table(table, structure, of_size, once)
    words = [
        Section("verdict", "Verdict", body=_verdict(data, table, of_size, once)),
        Section("models", "Models", missing=_structure_missing(structure), body=models),
    ]
    reproduce = Section("reproduce", "How to reproduce", body=_reproduce(data))
    links = [*links, *_structure_links(structure or {})]
    return render_page(data.suite, data.description, [*words, *sections(data, table, of_size), reproduce], links)


def models_table(
    table: pd.DataFrame, pages: Mapping[str, str] | None = None, of_size: bool = True, once: bool = False
) -> str:
    """HTML table with a row per model: when it memorized and generalized, key frequencies or irreps, final accuracies.

    Args:
        table: what ``probe.scaling.transitions`` returns.
        pages: addresses to which the names of models lead.
        of_size: whether models differ in size and seed alone.
        once: whether each was evaluated only once, so that its dates are no more than bounds.
    """
    heads = (
        ("Model", ""), ("Size" if of_size else "Group", ""), ("Seed", "n"), ("Parameters", "n"),
        (f"Memorized {'by' if once else 'at'}<br>(step)", "n"), ("Generalized at<br>(step)", "n"),
        ("Plateau<br>(steps)", "n"), (keys_head(table).capitalize(), ""),
        ("Train", "n"), ("Test", "n"), ("Non-mirror<br>test", "n"),
    )  # fmt: skip
    rows = []
    for model in table.to_dict("records"):
        late = f'<span class="late">not within {steps_text(model["final_step"])}</span>'
        keys = escape(keys_text(model)) or "—"
        diverged = f' <span class="late">diverged at {steps_text(model["diverged_step"])}</span>'
        href = (pages or {}).get(str(model["model"]))
        name = anchor(Link(href, str(model["model"]))) if href else escape(str(model["model"]))
        name += diverged if np.isfinite(model["diverged_step"]) else ""
        memorized = _event(model["memorized_step"], model["train_measured"], late)
        generalized = _event(model["generalized_step"], model["test_measured"], late)
        cells = [
            escape(str(model["size"])),
            "—" if pd.isna(model["seed"]) else str(model["seed"]),
            f"{model['n_params']:,}",
            memorized,
            generalized,
        ]
        cells += [steps_text(model["plateau"]), keys]
        cells += [_accuracy(model[f"final_{subset}_accuracy"]) for subset in ("train", "test", "test_nonmirror")]
        body = "".join(_cell("td", text, kind) for text, (_, kind) in zip(cells, heads[1:], strict=True))
        rows.append(f'<tr><th scope="row">{name}</th>{body}</tr>')
    head = "".join(_cell('th scope="col"', text, kind) for text, kind in heads)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of models"><table id="models-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _sizes_table(sizes: pd.DataFrame, of_size: bool, once: bool) -> str:
    heads = (
        "Size" if of_size else "Group", "Parameters", "Seeds", "Memorized", "Generalized",
        f"Memorized {'by' if once else 'at'}", "Generalized at", "Plateau",
    )  # fmt: skip
    rows = []
    for _, size in sizes.iterrows():
        counts = [size["n"], f"{size['n_memorized']} of {size['n']}", f"{size['n_generalized']} of {size['n']}"]
        medians = [_interval(median_text(size, event)) for event in ("memorized_step", "generalized_step", "plateau")]
        cells = [f"{size['n_params']:,}", *counts, *medians]
        body = "".join(_cell("td", str(cell), "n") for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(str(size["size"]))}</th>{body}</tr>')
    head = "".join(_cell('th scope="col"', text, "n" if i else "") for i, text in enumerate(heads))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table of {"sizes" if of_size else "groups"}">'
        '<table id="sizes-table">'
        "<caption>Steps: median over seeds [95 % bootstrap interval].</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _verdict(data: ReportData, table: pd.DataFrame, of_size: bool, once: bool) -> str:
    sizes = by_size(table)
    said = verdict(table, sizes, of_size, once)
    stopped = [f"{model} was stopped: {reason}." for model, reason in data.stopped.items()]
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in [*said.sentences, *stopped])
    body = f'<p class="headline">{escape(said.headline)}</p><ul>{sentences}</ul>'
    if len(sizes):
        body += _sizes_table(sizes, of_size, once)
    if said.caveat:
        body += f'<p class="caveat">{escape(said.caveat)}</p>'
    return body


def _evaluated_once(results: pd.DataFrame) -> bool:
    """Whether no model was evaluated twice."""
    performance = results[results["probe"] == "performance"]
    return len(performance) > 0 and bool((performance.groupby("model")["step"].nunique() == 1).all())


def _structure_links(pages: Mapping[str, str]) -> list[Link]:
    if len(pages) > LISTED_PAGES:
        return [Link("#models", f"Structure of each of {len(pages)} models")]
    return [Link(href, f"Structure of {model}") for model, href in pages.items()]


def _structure_missing(pages: Mapping[str, str] | None) -> tuple[str, ...]:
    if pages is None or pages:
        return ()
    return (
        "No structure page: the results hold nothing of what was built inside a model"
        " (probes embedding_spectrum, key_frequencies, key_irreps and others).",
    )


def _reproduce(data: ReportData) -> str:
    facts = []
    if len(data.results):
        facts.append(("Evaluated", steps_and_seeds(data.results)))
    if data.device:
        facts.append(("Device", data.device))
    if data.versions:
        facts.append(("Versions", ", ".join(f"{name} {version}" for name, version in data.versions.items())))
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    return (
        f"<p>Command:</p><pre>{escape(data.command)}</pre><dl>{listed}</dl>"
        f"<p>Batch file:</p><pre>{escape(data.batch_yaml)}</pre>"
    )


def _event(step: float, measured: bool, late: str) -> str:
    if np.isfinite(step):
        return steps_text(step)
    return late if measured else '<span class="late">not measured</span>'


def _interval(text: str) -> str:
    """Let a narrow column break between the median and its interval, and nowhere else."""
    median, bracket, interval = escape(text).partition("[")
    return f'{median}<span class="interval">[{interval}</span>' if bracket else median


def _accuracy(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "—"


def _cell(tag: str, text: str, kind: str) -> str:
    return f"<{tag}{' class=n' if kind else ''}>{text}</{tag.split()[0]}>"
