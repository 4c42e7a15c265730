"""The viewer of a run as one HTML file, which opens by double click and asks for nothing outside itself.

The built front end is in the page, and before it, as JSON, the answers to what it may ask
(``circuits.viewer.saved.recording``). A content security policy in the page lets the front end run and no other script,
and lets nothing be fetched.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from circuits.viewer.page import ELEMENT, bundle_file, html_page, script_source
from circuits.viewer.saved.encoding import answer_json, key_of, script_json
from circuits.viewer.saved.recording import Question, Recording, recording_of
from probe import storage
from probe.progress import progress_shown

if TYPE_CHECKING:
    from circuits.viewer.answers import Answers

DATA = "grokscope-data"
"""Id of the script element with the answers."""


def write_page(
    answers: "Answers",
    path: str,
    *,
    models: Sequence[str] | None = None,
    n_steps: int | None = None,
    live: bool = True,
    max_mb: float = 8.0,
    progress: bool = False,
) -> int:
    """Write the file; it is there when it is whole.

    Args:
        answers: of the run.
        path: of the file, local or any fsspec URL.
        models: names; all of the run if not given.
        n_steps: at most so many steps of each model, evenly, the last among them; all if not given.
        live: whether to compute what takes a model as well, as far as there is room.
        max_mb: size of the file, in megabytes of 10^6 bytes.
        progress: whether to show on the error stream how far it is.

    Returns:
        Bytes written.

    Raises:
        ValueError: the run has no such model, ``n_steps`` is below 1, or the file would be larger.
        OSError: it could not be written.
    """
    wanted = recording_of(answers, models, n_steps, live)
    most = round(max_mb * 1e6)
    with progress_shown(f"Writing {path}", 0, len(wanted.read) + len(wanted.live), progress) as advance:

        def told(question: Question) -> tuple[str, str]:
            key, answer = key_of(*question), answers.answer(*question)
            advance(1, " ".join(map(str, [question[0], *question[1].values()])))
            return key, answer_json(answer)

        kept = dict(map(told, wanted.read))
        size = len(_page(wanted, kept))
        if size > most:
            raise ValueError(
                f"max_mb: got {max_mb:g}, and the file would have {size / 1e6:.3g}; expected fewer models or steps,"
                " or a larger limit"
            )
        for question in wanted.live:
            try:
                key, text = told(question)
            except ValueError:
                continue  # such as a part that this model has not: the page says that it is not in the file
            size += len(_SEPARATOR + _entry(key, text).encode())
            if size > most:
                break
            kept[key] = text
    page = _page(wanted, kept)
    storage.write_atomically(path, page)
    return len(page)


_SEPARATOR = b",\n"


def _page(wanted: Recording, kept: Mapping[str, str]) -> bytes:
    notes = [*wanted.run.notes, "This is a saved file: it shows what was recorded, and computes nothing."]
    if n_missing := len(wanted.read) + len(wanted.live) - len(kept):
        notes.append(f"Of {len(wanted.live):,} answers that models give it has {len(wanted.live) - n_missing:,}.")
    run = answer_json(wanted.run.model_copy(update={"notes": notes}))
    data = _SEPARATOR.decode().join([_entry("run", run), *(_entry(key, text) for key, text in kept.items())])
    script = f"{_as_object(bundle_file('viewer.js').decode())}\n{_START}"
    policy = (
        f"default-src 'none'; script-src {script_source(script)}; style-src 'unsafe-inline'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        f"<style>{bundle_file('viewer.css').decode()}</style>"
    )
    body = f'<script type="application/json" id="{DATA}">{{{data}}}</script>\n<script type="module">{script}</script>'
    licenses = bundle_file("LICENSES.txt").decode().replace("--", "- -")  # which would end a comment
    return html_page(wanted.run.name, head, f"{body}\n<!--\n{licenses}\n-->").encode()


def _entry(key: str, text: str) -> str:
    return f"{script_json(key)}:{text}"


_VIEWER = "grokscopeViewer"
_START = f'{_VIEWER}.mount(document.getElementById("{ELEMENT}"), {_VIEWER}.recordedTransport(), {{}});'


def _as_object(module: str) -> str:
    """A module as a script that has what it exports in a constant: there is no file that it could be imported from.

    Raises:
        ValueError: it does not end with the one list of exports that esbuild writes, or would end the script early.
    """
    found = re.fullmatch(r"(.*)\bexport\s*\{([^{}]*)\};?((?:\s|//[^\n]*|/\*.*?\*/)*)", module, re.DOTALL)
    if found is None or "</script" in module.lower():
        raise ValueError("the viewer's front end, bundle/viewer.js, was not built as its source says")
    pairs = (export.split(" as ") for export in found[2].split(","))
    fields = ", ".join(f"{pair[-1].strip()}: {pair[0].strip()}" for pair in pairs)
    return f"{found[1]}\nconst {_VIEWER} = {{ {fields} }};{found[3]}"
