"""A table of words and numbers as HTML, which scrolls by itself where the window is narrow."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape


def table_html(
    name: str, label: str, heads: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1, caption: str = ""
) -> str:
    """The first ``words`` columns hold words, the others numbers. All is plain text; a head may have several lines.

    Args:
        name: its id on the page.
        label: what a screen reader calls it.
        heads: of the columns.
        rows: cells; the first of each is the row's head.
        words: at least 1.
        caption: a sentence above it; "" for none.
    """
    kinds = ["" if i < words else " class=n" for i in range(len(heads))]
    head = "".join(f'<th scope="col"{kind}>{_lines(text)}</th>' for text, kind in zip(heads, kinds, strict=True))
    body = ""
    for first, *cells in rows:
        data = "".join(f"<td{kind}>{escape(text)}</td>" for text, kind in zip(cells, kinds[1:], strict=True))
        body += f'<tr><th scope="row">{escape(first)}</th>{data}</tr>'
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table id="{name}">{said}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def interval_cell(row: Mapping, name: str, shown: Callable[[float], str]) -> str:
    """An estimate with its interval, from the entries ``name``, ``<name>_low`` and ``<name>_high``; a dash for NaN.

    Args:
        row: of a table.
        name: of the estimate.
        shown: how its numbers are written.
    """
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return "—" if math.isnan(value) else f"{shown(value)} [{shown(low)}, {shown(high)}]"


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
