"""The page that is served: what is answered to what is asked, how much at a time, and from what files."""

import asyncio
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from urllib.parse import urlencode

import pytest

from circuits.viewer.messages import QUESTIONS, Curve
from circuits.viewer.page import FILES, bundle_file
from circuits.viewer.served.server import app_of
from tests.circuits.viewer.asking import ASKED, asked, asked_raw, client, error_of
from tests.circuits.viewer.fake_answers import FakeAnswers


@pytest.fixture(scope="module")
def page():
    return client()


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_answer_is_what_the_run_answers(name):
    answers = FakeAnswers()
    asking = client(answers)
    if name == "forward":
        found = asking.post("/api/forward", json=ASKED[name])
    else:
        found = asking.get(f"/api/{name}", params=ASKED[name])
    assert found.status_code == 200, found.text
    assert found.headers["content-type"] == "application/json"
    assert answers.asked == [(name, ASKED[name])]
    told = QUESTIONS[name][1].model_validate(found.json())
    assert told.model_dump_json() == FakeAnswers().answer(name, ASKED[name]).model_dump_json()


def test_numbers_that_are_not_finite_are_null(page):
    assert page.get("/api/scores", params=ASKED["scores"]).json()["high"] is None
    assert page.get("/api/curves", params=ASKED["curves"]).json()["dates"] == {"generalized": None}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("curves", "model: got none; expected one"),
        ("curves?model=nobody", "model: got 'nobody'; expected one of d16-s0, d32-s0"),
        ("scores?model=d16-s0&step=late", "step: got 'late'; input should be a valid integer"),
        ("run?stpe=1", "stpe: there is no such field"),
        ("node?model=d16-s0&step=0&node=L0.H1&example=-1", "example: got '-1'; input should be greater than or equal"),
    ],
)
def test_a_mistake_names_the_field(page, asked, said):
    assert error_of(page.get(f"/api/{asked}"), 400).startswith(said)


def test_a_mistake_in_a_body_names_the_field(page):
    assert error_of(page.post("/api/forward", json={"model": "d16-s0"}), 400) == "step: got none; expected one"
    said = error_of(page.post("/api/forward", json=ASKED["forward"] | {"tokens": [1, "x"]}), 400)
    assert said.startswith("tokens.1: got 'x'; ")
    said = error_of(page.post("/api/forward", json=ASKED["forward"] | {"tokens": [0] * 1025}), 400)
    assert "at most 1024" in said
    assert len(said) < 300
    error_of(page.post("/api/forward", content="{", headers={"content-type": "application/json"}), 400)


def test_there_is_no_other_question(page):
    said = error_of(page.get("/api/secrets"), 404)
    assert said == f"name: got 'secrets'; expected one of {', '.join(QUESTIONS)}"
    error_of(page.get("/api/forward", params={"model": "d16-s0", "step": 0}), 405)
    error_of(page.post("/api/run"), 405)


def test_a_defect_is_logged_and_not_told(caplog):
    answers = FakeAnswers()

    def broken(asked):
        raise RuntimeError("/home/someone/run is broken")

    answers.curves = broken
    said = error_of(client(answers).get("/api/curves", params=ASKED["curves"]), 500)
    assert said == "curves: RuntimeError while it was answered; the viewer's log says more"
    assert "/home/someone/run is broken" in caplog.text

    answers.curves = lambda asked: Curve.model_validate({})  # an answer that is none is no mistake of who asked
    assert "ValidationError" in error_of(client(answers).get("/api/curves", params=ASKED["curves"]), 500)


def test_the_page_and_its_files(page):
    shell = page.get("/")
    assert shell.headers["content-type"] == "text/html; charset=utf-8"
    assert "http" not in shell.text
    assert not re.search(r"<script(?![^>]*\bsrc=)", shell.text)
    links = re.findall(r'(?:src|href)="([^"]+)"', shell.text)
    start = page.get("/" + next(link for link in links if link.startswith("start.js")))
    links += re.findall(r'from "\./([^"]+)"', start.text)
    files = {link.partition("?")[0].rpartition("/")[2]: link for link in links if link.startswith("bundle/")}
    assert set(files) == set(FILES)
    for name, link in files.items():
        found = page.get("/" + link)
        assert found.content == bundle_file(name)
        assert found.headers["content-type"] == FILES[name]
        assert "immutable" in found.headers["cache-control"]
        assert found.headers["content-encoding"] == "gzip"
        plain = page.get("/" + link, headers={"Accept-Encoding": "identity"})
        assert plain.content == bundle_file(name)
        assert "content-encoding" not in plain.headers
        assert page.get(f"/bundle/{name}?v=older").headers["cache-control"] == "no-cache"
    assert page.get("/").headers["cache-control"] == "no-cache"


def test_long_answers_are_compressed_and_never_kept(page):
    found = page.get("/api/run")
    assert found.headers["content-encoding"] == "gzip"
    assert found.headers["cache-control"] == "no-store"


def test_so_many_at_a_time_and_a_few_more_wait():
    """Two compute, one waits, so that of four that are asked at once one is refused."""
    answers, release, begun = FakeAnswers(), threading.Event(), threading.Semaphore(0)
    answers.before_node = lambda cancelled: (begun.release(), release.wait(10))
    here = client(answers, n_live=2, n_waiting=1)
    with ThreadPoolExecutor(4) as threads, here:
        four = [threads.submit(here.get, "/api/node", params=ASKED["node"]) for _ in range(4)]
        refused = next(as_completed(four)).result()
        assert "ask again" in error_of(refused, 429)
        assert begun.acquire(timeout=5)
        assert begun.acquire(timeout=5)
        assert not begun.acquire(timeout=0.05)
        assert here.get("/api/scores", params=ASKED["scores"]).status_code == 200  # takes no model
        release.set()
        assert sorted(one.result().status_code for one in four) == [200, 200, 200, 429]
        assert here.get("/api/edge", params=ASKED["edge"]).status_code == 200


def test_an_answer_that_nobody_waits_for_is_not_computed():
    """One is computing and one waits; both askers go away: the first is told to stop, the second never begins."""
    answers, begun, stopped = FakeAnswers(), threading.Event(), threading.Event()

    def until_cancelled(cancelled):
        begun.set()
        deadline = time.monotonic() + 5
        while not cancelled() and time.monotonic() < deadline:
            time.sleep(0.002)
        assert cancelled()
        stopped.set()
        raise RuntimeError("stopped")

    answers.before_node = until_cancelled
    app = app_of(answers, n_live=1, n_waiting=1)

    async def two_that_go():
        gone = asyncio.Event()
        two = [
            asyncio.create_task(asked(app, "GET", "/api/node", urlencode(ASKED["node"]), until=gone)) for _ in range(2)
        ]
        while not begun.is_set():
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        gone.set()
        return await asyncio.gather(*two)

    assert [status for status, _ in asyncio.run(two_that_go())] == [499, 499]
    assert stopped.wait(5)
    answers.before_node = lambda cancelled: None
    with ThreadPoolExecutor(2) as threads:  # the places of those that went are free again
        for one in [threads.submit(asked_raw, app, path="/api/edge", query=urlencode(ASKED["edge"])) for _ in range(2)]:
            assert one.result()[0] == 200
    assert [name for name, _ in answers.asked] == ["node", "edge", "edge"]


def test_the_description_has_every_question(page):
    found = page.get("/openapi.json").json()
    assert set(found["paths"]) == {f"/api/{name}" for name in QUESTIONS}
    parts = found["components"]["schemas"]
    for name, (parameters, answer, _) in QUESTIONS.items():
        (method,) = found["paths"][f"/api/{name}"]
        described = found["paths"][f"/api/{name}"][method]
        told = described["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert set(parts[told]["properties"]) == set(answer.model_fields)
        if method == "post":
            body = described["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            fields = set(parts[body]["properties"])
        else:
            fields = {field["name"] for field in described.get("parameters", [])}
        assert fields == set(parameters.model_fields)
        for status in ("400", "429", "500"):
            schema = described["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Failure"}
