"""The self-contained HTML page: prose, tables and figures in one file that opens by double click, offline.

plotly.js and the figures are gzipped into the page and unpacked by the browser (DecompressionStream: Chrome and Edge
80, Firefox 113, Safari 16.4, or newer), which keeps the file at about half of plotly.js alone. The words and the tables
need no script.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd
from plotly.offline import get_plotlyjs

from probe.report.data import ReportData
from probe.report.sections import Panel, Section, sections, steps_and_seeds
from probe.report.verdict import median_text, steps_text, verdict
from probe.scaling.transitions import by_size, transitions


def write_report(data: ReportData, path: Path | str) -> Path:
    """Write the report of a run to an HTML file and return its path. Folders are made as needed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_report(data), encoding="utf-8")
    return path


def render_report(data: ReportData) -> str:
    """The report as the text of one HTML file that asks for nothing outside itself."""
    table = transitions(data.results)
    parts = sections(data, table)
    template = files("probe.report") / "template"
    numbered = {panel.id: i + 1 for i, panel in enumerate(panel for part in parts for panel in part.panels)}
    specs = {panel.id: _specs(panel) for part in parts for panel in part.panels}
    return Template((template / "page.html").read_text("utf-8")).substitute(
        title=escape(data.suite),
        description=f"<p>{escape(data.description)}</p>" if data.description else "",
        style=(template / "page.css").read_text("utf-8"),
        script=(template / "page.js").read_text("utf-8"),
        verdict=_verdict(data, table),
        models=models_table(table),
        sections="\n".join(_section(part, numbered) for part in parts),
        contents=_contents(parts),
        reproduce=_reproduce(data),
        plotly=_packed_plotly() if specs else "",
        figures=_packed(json.dumps(specs, separators=(",", ":"))),
    )


def models_table(table: pd.DataFrame) -> str:
    """HTML table with a row per model: when it memorized and generalized, key frequencies, final accuracies.

    Args:
        table: what ``probe.scaling.transitions`` returns.
    """
    heads = (
        ("Model", ""), ("Size", ""), ("Seed", "n"), ("Parameters", "n"), ("Memorized at<br>(step)", "n"),
        ("Generalized at<br>(step)", "n"), ("Plateau<br>(steps)", "n"), ("Key frequencies", ""),
        ("Train", "n"), ("Test", "n"), ("Non-mirror<br>test", "n"),
    )  # fmt: skip
    rows = []
    for model in table.to_dict("records"):
        late = f'<span class="late">not within {steps_text(model["final_step"])}</span>'
        keys = ", ".join(str(k) for k in model["key_frequencies"]) or "—"
        diverged = f' <span class="late">diverged at {steps_text(model["diverged_step"])}</span>'
        name = escape(str(model["model"])) + (diverged if np.isfinite(model["diverged_step"]) else "")
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


def _sizes_table(sizes: pd.DataFrame) -> str:
    heads = ("Size", "Parameters", "Seeds", "Memorized", "Generalized", "Memorized at", "Generalized at", "Plateau")
    rows = []
    for _, size in sizes.iterrows():
        counts = [size["n"], f"{size['n_memorized']} of {size['n']}", f"{size['n_generalized']} of {size['n']}"]
        medians = [_interval(median_text(size, event)) for event in ("memorized_step", "generalized_step", "plateau")]
        cells = [f"{size['n_params']:,}", *counts, *medians]
        body = "".join(_cell("td", str(cell), "n") for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(str(size["size"]))}</th>{body}</tr>')
    head = "".join(_cell('th scope="col"', text, "n" if i else "") for i, text in enumerate(heads))
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of sizes"><table id="sizes-table">'
        "<caption>Steps: median over seeds [95 % bootstrap interval].</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _verdict(data: ReportData, table: pd.DataFrame) -> str:
    sizes = by_size(table)
    said = verdict(table, sizes)
    stopped = [f"{model} was stopped: {reason}." for model, reason in data.stopped.items()]
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in [*said.sentences, *stopped])
    body = f'<p class="headline">{escape(said.headline)}</p><ul>{sentences}</ul>'
    if len(sizes):
        body += _sizes_table(sizes)
    if said.caveat:
        body += f'<p class="caveat">{escape(said.caveat)}</p>'
    return body


def _section(part: Section, numbered: dict[str, int]) -> str:
    notes = "".join(f'<p class="missing">{escape(text)}</p>' for text in part.missing)
    panels = "".join(_panel(panel, numbered[panel.id]) for panel in part.panels)
    body = f'<div class="pair">{panels}</div>' if part.id == "scale" and panels else panels
    return f'<section id="{part.id}"><h2>{escape(part.title)}</h2>{notes}{body}</section>'


def _panel(panel: Panel, number: int) -> str:
    height = max(figure.layout.height for figure in panel.choices.values())
    controls = ""
    if len(panel.choices) > 1:
        options = "".join(
            f"<option{' selected' if name == panel.start else ''}>{escape(name)}</option>" for name in panel.choices
        )
        controls = f'<label>{panel.choice} <select id="{panel.id}-choice">{options}</select></label>'
    if any(figure.frames for figure in panel.choices.values()):
        controls += (
            f'<label class="wide">Training step <input type="range" id="{panel.id}-step" min="0" step="1">'
            f'<output id="{panel.id}-at" for="{panel.id}-step"></output></label>'
        )
    controls = f'<div class="controls">{controls}</div>' if controls else ""
    return (
        f'<figure class="panel">{controls}<div class="plot" id="{panel.id}-plot" data-panel="{panel.id}" role="img"'
        f' aria-label="{escape(panel.title)}" style="min-height:{height}px"></div>'
        f"<figcaption><b>Figure {number}. {escape(panel.title)}.</b> {escape(panel.caption)}</figcaption></figure>"
    )


def _contents(parts: Sequence[Section]) -> str:
    links = [("verdict", "Verdict"), ("models", "Models"), *((part.id, part.title) for part in parts)]
    return "".join(f'<a href="#{id}">{escape(title)}</a>' for id, title in [*links, ("reproduce", "How to reproduce")])


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


def _specs(panel: Panel) -> dict[str, object]:
    """The panel's figures as plotly.js takes them; the page has its own slider, which the keyboard can reach."""
    specs = {}
    for name, figure in panel.choices.items():
        spec = json.loads(figure.to_json())
        spec["layout"].pop("sliders", None)
        specs[name] = spec
    return specs


@cache
def _packed_plotly() -> str:
    return _packed(get_plotlyjs())


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode("utf-8"), 9, mtime=0)).decode("ascii")
