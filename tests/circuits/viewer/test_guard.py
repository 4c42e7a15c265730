"""The page that is served: who may ask, how much, and what a browser may do with the answer."""

import json
from urllib.parse import unquote

import pytest

from circuits.viewer.page import FILES
from circuits.viewer.served import guard
from tests.circuits.viewer.asking import ASKED, HOME, asked_raw, client, error_of


@pytest.fixture(scope="module")
def page():
    return client()


@pytest.mark.parametrize("path", ["/", "/start.js", "/bundle/viewer.js", "/api/run", "/api/none", "/none"])
def test_every_answer_tells_the_browser_what_it_may_do(page, path):
    headers = page.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/bundle/../server.py",
        "/bundle/..%2fserver.py",
        "/bundle/%2e%2e/server.py",
        "/bundle/%2e%2e%2f%2e%2e%2fcli.py",
        "/bundle/..%5cserver.py",
        "/bundle//etc/passwd",
        "/bundle/%2fetc%2fpasswd",
        "/bundle/viewer.js%00",
        "/bundle/",
        "/bundle",
        "/messages.py",
        "/etc/passwd",
        "/api/../messages.py",
        "/docs",
        "/redoc",
    ],
)
def test_nothing_else_is_served(page, path):
    # sent as it is: the client would resolve the dots
    scope_path = unquote(path)
    status, body = asked_raw(page.app, path=scope_path, raw_path=path)
    assert status == 404
    assert set(json.loads(body)) == {"error"}


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "127.0.0.1", "127.0.0.1:8765", "[::1]", "[::1]:8765", "LOCALHOST:80"]
)
def test_hosts_that_are_this_machine(page, host):
    assert page.get("/api/run", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8765",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example@localhost",
        "localhost:evil",
        "127.0.0.1:8765:1",
        "10.0.0.5",
        "[::2]",
        "::1",
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/run", "/bundle/viewer.js"])
def test_other_hosts_are_refused(page, host, path):
    assert error_of(page.get(path, headers={"Host": host}), 403).startswith("host: got ")


def test_hosts_where_all_addresses_are_listened_on():
    here = client(allowed_hosts=("box", guard.ANY_ADDRESS))
    for host in ("box:80", "10.0.0.5:8765", "[fe80::1]:8765"):
        assert here.get("/api/run", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "10.0.0.5.evil.example", "localhost"):
        error_of(here.get("/api/run", headers={"Host": host}), 403)


def test_a_token_is_needed_where_there_is_one():
    here = client(token="secret")
    for path in ("/", "/api/run", "/openapi.json", "/none"):
        assert "token" in error_of(here.get(path), 401)
        assert "token" in error_of(here.get(path, headers={"X-Token": "secreT"}), 401)
        assert "token" in error_of(here.get(path, headers={"X-Token": ""}), 401)
        assert "token" in error_of(here.get(path, headers={"X-Token": "sécret".encode()}), 401)
    assert "token" in error_of(here.post("/api/forward", json=ASKED["forward"]), 401)
    assert here.get("/api/run", headers={"X-Token": "secret"}).status_code == 200
    assert here.post("/api/forward", json=ASKED["forward"], headers={"X-Token": "secret"}).status_code == 200
    assert here.get("/?token=secret").status_code == 200
    assert here.get("/openapi.json?token=secret").status_code == 200
    error_of(here.get("/?token=other"), 401)
    # an address with a token in it would be in logs and histories
    assert "X-Token" in error_of(here.get("/api/run?token=secret"), 401)
    for name in FILES:
        assert here.get(f"/bundle/{name}").status_code == 200
    assert here.get("/start.js").status_code == 200
    assert "secret" not in here.get("/?token=secret").text


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8765", "http://localhost:8765"],
)
def test_pages_of_other_sites_may_not_ask(page, origin):
    said = error_of(page.post("/api/forward", json=ASKED["forward"], headers={"Origin": origin}), 403)
    assert said.startswith("origin: ")
    error_of(page.get("/api/run", headers={"Origin": origin}), 403)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_nor_may_what_they_load(page, site):
    error_of(page.get("/api/node", params=ASKED["node"], headers={"Sec-Fetch-Site": site}), 403)


def test_the_page_itself_may_ask(page):
    own = {"Origin": HOME, "Sec-Fetch-Site": "same-origin"}
    assert page.post("/api/forward", json=ASKED["forward"], headers=own).status_code == 200
    # a link to it, in a mail or on a page of another site
    assert page.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_what_is_asked_is_bounded(page):
    assert "expected at most" in error_of(page.get("/api/history", params={"name": "x" * guard.MAX_QUERY}), 414)
    said = error_of(page.post("/api/forward", content=b" " * (guard.MAX_BODY + 1)), 413)
    assert said == "body: got more than 262,144 bytes"
    longest = ASKED["forward"] | {"ablated": ["L31.H31"] * 4096, "text": "\N{GREEK SMALL LETTER ALPHA}" * 20_000}
    assert page.post("/api/forward", json=longest).status_code == 200


def test_a_body_that_says_no_length_is_counted(page):
    status, body = asked_raw(
        page.app, "POST", "/api/forward", messages=[{"body": b" " * 65_536, "more_body": True}] * 5
    )
    assert status == 413
    assert b"262,144" in body
