"""The front end that is shipped is built from the source beside it, and asks nobody for anything."""

import hashlib
import re
from pathlib import Path

import circuits.viewer

HERE = Path(circuits.viewer.__file__).parent
BUNDLE = (HERE / "bundle" / "viewer.js").read_text()


def test_it_is_built_from_these_sources():
    """`npm ci && npm run build` in circuits/viewer builds it anew."""
    names = ["package-lock.json", "build.mjs", *sorted(f"source/{file.name}" for file in (HERE / "source").iterdir())]
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode() + (HERE / name).read_bytes())
    assert BUNDLE.splitlines()[0] == f"// grokscope viewer, sources {digest.hexdigest()}"
    assert (HERE / "bundle" / "viewer.css").read_bytes() == (HERE / "source" / "viewer.css").read_bytes()


def test_it_names_no_address_but_those_of_xml_namespaces():
    found = set(re.findall(r"https?://[^\s\"'`)<\\]+", BUNDLE))
    assert found == {"http://www.w3.org/2000/svg"}
    assert "url(" not in (HERE / "bundle" / "viewer.css").read_text()
    assert not re.search(r"\bimport\s*\(", BUNDLE)


def test_the_licence_of_what_is_in_it_is_beside_it():
    assert "The Cytoscape Consortium" in (HERE / "bundle" / "LICENSES.txt").read_text()
