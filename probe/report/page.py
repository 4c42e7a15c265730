"""A self-contained HTML page of the report: prose, tables and figures in one file that opens by double click, offline.

plotly.js and the figures are gzipped into the page and unpacked by the browser (DecompressionStream: Chrome and Edge
80, Firefox 113, Safari 16.4, or newer), which keeps the file at about half of plotly.js alone. The words and the tables
need no script.
"""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from string import Template

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder


@dataclass(frozen=True)
class Panel:
    """A figure of the page. With several choices the reader picks one; ``choice`` names what is chosen.

    A figure with frames gets a slider over training steps; a frame's name is its step, and it may hold any arrays of
    its traces. ``layout.meta = {"square": True}`` lets a figure of panels with equal axes shrink with the width.
    """

    id: str
    title: str
    caption: str
    choices: Mapping[str, go.Figure]
    choice: str = ""
    start: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, words, panels, and a sentence for each thing that the run does not hold.

    ``body`` is HTML: words and tables, shown first. ``side_by_side``: panels two in a row where the window is wide.
    """

    id: str
    title: str
    panels: tuple[Panel, ...] = ()
    missing: tuple[str, ...] = ()
    body: str = ""
    side_by_side: bool = False


@dataclass(frozen=True)
class Link:
    """Another page of the report: its address seen from this one, and what the link says."""

    href: str
    text: str


def render_page(title: str, description: str, sections: Sequence[Section], links: Sequence[Link] = ()) -> str:
    """The text of one HTML file that asks for nothing outside itself.

    Args:
        title: its heading, plain text.
        description: a sentence under the heading, plain text; "" for none.
        sections: in reading order. Their ids, and those of all panels, differ.
        links: to the other pages of the report, in the order in which they are shown.
    """
    panels = [panel for part in sections for panel in part.panels]
    numbered = {panel.id: i + 1 for i, panel in enumerate(panels)}
    specs = {panel.id: {name: _spec(figure) for name, figure in panel.choices.items()} for panel in panels}
    template = files("probe.report") / "template"
    return Template((template / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        description=f"<p>{escape(description)}</p>" if description else "",
        style=(template / "page.css").read_text("utf-8"),
        script=(template / "page.js").read_text("utf-8"),
        contents="".join(anchor(Link(f"#{part.id}", part.title)) for part in sections),
        pages=f'<nav id="pages" aria-label="Pages">{"".join(map(anchor, links))}</nav>' if links else "",
        sections="\n".join(_section(part, numbered) for part in sections),
        plotly=_packed_plotly() if specs else "",
        figures=_packed(json.dumps(specs, cls=PlotlyJSONEncoder, separators=(",", ":"))),
    )


def anchor(link: Link) -> str:
    """A link as HTML."""
    return f'<a href="{escape(link.href)}">{escape(link.text)}</a>'


def _section(part: Section, numbered: Mapping[str, int]) -> str:
    notes = "".join(f'<p class="missing">{escape(text)}</p>' for text in part.missing)
    panels = "".join(_panel(panel, numbered[panel.id]) for panel in part.panels)
    panels = f'<div class="pair">{panels}</div>' if part.side_by_side and len(part.panels) > 1 else panels
    return f'<section id="{part.id}"><h2>{escape(part.title)}</h2>{part.body}{notes}{panels}</section>'


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


def _spec(figure: go.Figure) -> dict:
    """The figure as plotly.js takes it. The page has its own slider, so plotly's is left out."""
    spec: dict = figure.to_plotly_json()
    spec["layout"].pop("sliders", None)
    return spec


@cache
def _packed_plotly() -> str:
    return _packed(get_plotlyjs())


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode("utf-8"), 9, mtime=0)).decode("ascii")
