"""Asking a page that is served, with and without a client."""

import asyncio
from urllib.parse import quote

from starlette.testclient import TestClient

from circuits.viewer.served.server import app_of
from tests.circuits.viewer.fake_answers import CIRCUIT, FakeAnswers

HOME = "http://127.0.0.1:8765"
ASKED = {
    "run": {},
    "curves": {"model": "d16-s0"},
    "scores": {"model": "d16-s0", "step": 20},
    "history": {"name": CIRCUIT[0]},
    "map": {"model": "d16-s0", "step": 20},
    "node": {"model": "d16-s0", "step": 20, "node": "L0.H1"},
    "edge": {"model": "d16-s0", "step": 20, "edge": CIRCUIT[1]},
    "forward": {"model": "d16-s0", "step": 20, "tokens": [0, 1, 2]},
}
"""Each question once, with parameters that are right."""


def client(answers=None, base_url=HOME, **options):
    app = app_of(answers or FakeAnswers(), **options)
    return TestClient(app, base_url=base_url, raise_server_exceptions=False)


def error_of(response, status):
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    return response.json()["error"]


async def asked(app, method="GET", path="/", query="", raw_path=None, messages=(), until=None):
    """Status and body of what an app answers, asked without a client."""
    left, sent = list(messages) or [{"body": b""}], []

    async def receive():
        if left:
            return {"type": "http.request", "more_body": False} | left.pop(0)
        await (until or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": (raw_path or quote(path)).encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"127.0.0.1:8765")],
        "http_version": "1.1",
        "server": ("127.0.0.1", 8765),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def asked_raw(*arguments, **more):
    return asyncio.run(asked(*arguments, **more))
