"""The page that a server or a saved file shows: an HTML shell around the built front end; nothing from elsewhere."""

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files

FILES = {"viewer.js": "text/javascript; charset=utf-8", "viewer.css": "text/css; charset=utf-8"}
"""What the front end is built into, and the media type of each."""

ELEMENT = "grokscope"
"""Id of the element in which the front end shows itself."""


@cache
def bundle_file(name: str) -> bytes:
    """A file of the built front end.

    Raises:
        OSError: it is not there: this copy of the source was not built.
    """
    try:
        return (files("circuits.viewer") / "bundle" / name).read_bytes()
    except FileNotFoundError as error:
        raise OSError(f"the viewer's front end, bundle/{name}, is not here; build it as its source says") from error


@cache
def bundle_version() -> str:
    """Changes with the built front end, so that a browser may keep its files for as long as it likes."""
    return hashlib.sha256(b"".join(bundle_file(name) for name in FILES)).hexdigest()[:16]


def html_page(title: str, head: str, body: str) -> str:
    """
    Args:
        title: of the page, plain text.
        head: HTML, such as links to style sheets.
        body: HTML after the element of the front end, such as its script.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{head}
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
</head>
<body>
<div id="{ELEMENT}"></div>
<noscript>This page needs JavaScript.</noscript>
{body}
</body>
</html>
"""


def script_source(text: str) -> str:
    """By which a content security policy allows one script in the page, and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
