"""The widget: what the front end asks it is answered, from threads, while cells run; its state is the address's."""

import importlib
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
from jupyter_client.manager import start_new_kernel

from circuits.viewer.messages import QUESTIONS, Run
from circuits.viewer.page import bundle_file
from circuits.viewer.state import state_of
from circuits.viewer.widget import CircuitViewer, view
from tests.circuits.viewer.asking import ASKED
from tests.circuits.viewer.fake_answers import CIRCUIT, ODD, FakeAnswers


class Shown:
    """A widget, and what it sends to its front end."""

    def __init__(self, answers=None):
        self.answers = answers or FakeAnswers()
        self.widget = CircuitViewer(self.answers, ODD, "step=20")
        self.sent, self.came = [], threading.Condition()
        self.widget.send = self._take

    def _take(self, content, buffers=None):
        with self.came:
            self.sent.append(content)
            self.came.notify_all()

    def tell(self, **content):
        """A message as the front end's arrives."""
        self.widget._handle_custom_msg(content, [])

    def wait(self, number):
        """The next ``number`` messages that it sends."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.sent) >= number, timeout=5)
            taken, self.sent = self.sent[:number], self.sent[number:]
        return taken


@pytest.fixture
def shown():
    one = Shown()
    yield one
    one.widget.close()


def test_every_question_is_answered(shown):
    for number, (name, parameters) in enumerate(ASKED.items()):
        shown.tell(id=number, name=name, params=parameters)
        (told,) = shown.wait(1)
        assert set(told) == {"id", "answer"}
        assert told["id"] == number
        answer = QUESTIONS[name][1].model_validate(told["answer"])
        assert answer.model_dump_json() == FakeAnswers().answer(name, parameters).model_dump_json()
    assert shown.widget._works == {}  # nothing is kept of what was answered


def test_numbers_that_are_not_finite_are_null(shown):
    shown.tell(id=1, name="scores", params=ASKED["scores"])
    assert shown.wait(1)[0]["answer"]["high"] is None


def test_errors_are_said_in_words(shown, caplog):
    shown.tell(id=7, name="scores", params={"model": "nobody", "step": 0})
    assert shown.wait(1) == [{"id": 7, "error": "model: got 'nobody'; expected one of d16-s0, d32-s0"}]
    shown.tell(id=8, name="secrets", params={})
    assert shown.wait(1)[0]["error"].startswith("name: got 'secrets'; expected one of run, ")

    def broken(asked):
        raise RuntimeError("/home/someone/run is broken")

    shown.answers.curves = broken
    shown.tell(id=9, name="curves", params=ASKED["curves"])
    said = "curves: RuntimeError while it was answered; the viewer's log says more"
    assert shown.wait(1) == [{"id": 9, "error": said}]
    assert "/home/someone/run is broken" in caplog.text


def test_answers_come_from_threads_and_in_any_order(shown):
    release, kept = threading.Event(), []
    shown.answers.before_node = lambda cancelled: (kept.append(threading.current_thread()), release.wait(5))
    shown.tell(id="slow", name="node", params=ASKED["node"])
    shown.tell(id="quick", name="run", params={})
    assert [told["id"] for told in shown.wait(1)] == ["quick"]
    release.set()
    assert [told["id"] for told in shown.wait(1)] == ["slow"]
    assert kept[0] is not threading.main_thread()


def test_too_many_are_refused(shown):
    release = threading.Event()
    shown.answers.before_node = lambda cancelled: release.wait(5)
    for number in range(11):
        shown.tell(id=number, name="node", params=ASKED["node"])
    (refused,) = shown.wait(1)
    assert refused["id"] == 10
    assert "ask again" in refused["error"]
    release.set()
    assert sorted(told["id"] for told in shown.wait(10)) == list(range(10))


def until_cancelled(begun, ended):
    def wait(cancelled):
        begun.release()
        deadline = time.monotonic() + 5
        while not cancelled() and time.monotonic() < deadline:
            time.sleep(0.002)
        assert cancelled()
        ended.release()

    return wait


def test_what_nobody_wants_any_more_is_not_computed(shown):
    begun, ended = threading.Semaphore(0), threading.Semaphore(0)
    shown.answers.before_node = until_cancelled(begun, ended)
    for number in range(3):
        shown.tell(id=number, name="node", params=ASKED["node"])
    assert begun.acquire(timeout=5)
    assert begun.acquire(timeout=5)
    shown.tell(cancel=99)  # was never asked
    shown.tell(cancel=2)  # waits
    shown.tell(cancel=0)  # is being computed
    shown.tell(cancel=1)
    assert ended.acquire(timeout=5)
    assert ended.acquire(timeout=5)
    shown.tell(id=3, name="edge", params=ASKED["edge"])
    assert [told["id"] for told in shown.wait(1)] == [3]
    assert not begun.acquire(timeout=0.05)
    assert [name for name, _ in shown.answers.asked] == ["node", "node", "edge"]


def test_what_is_closed_computes_nothing():
    shown, begun, ended = Shown(), threading.Semaphore(0), threading.Semaphore(0)
    shown.answers.before_node = until_cancelled(begun, ended)
    for number in range(3):
        shown.tell(id=number, name="node", params=ASKED["node"])
    assert begun.acquire(timeout=5)
    assert begun.acquire(timeout=5)
    shown.widget.close()
    assert ended.acquire(timeout=5)
    assert ended.acquire(timeout=5)
    assert not begun.acquire(timeout=0.05)
    assert shown.sent == []


def test_it_has_the_front_end_and_the_state(shown):
    assert shown.widget._esm == bundle_file("viewer.js").decode()
    assert shown.widget._css == bundle_file("viewer.css").decode()
    assert shown.widget.state == "step=20"
    synced = shown.widget.get_state()
    assert {"state", "_esm", "_css"} <= set(synced)
    shown.widget.set_state({"state": "step=40"})
    assert shown.widget.state == "step=40"


def test_where_no_widget_is_shown_words_are(shown):
    found, _ = shown.widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in found
    assert "circuits export" in found["text/html"]
    assert "<script" not in found["text/html"]


def test_view_shows_what_it_is_told(monkeypatch):
    opened = []

    def of(address, *, device="cpu"):
        opened.append((address, device))
        return FakeAnswers()

    monkeypatch.setitem(sys.modules, "circuits.viewer.answers", SimpleNamespace(Answers=SimpleNamespace(of=of)))
    widget = view(Path("runs") / "one", model="d32-s0", top=50, selected=CIRCUIT[0], compare=("d16-s0", 40))
    assert opened == [("runs/one", "cpu")]
    said = {"model": ["d32-s0"], "top": ["50"], "selected": [CIRCUIT[0]], "compare": ["d16-s0@40"]}
    assert parse_qs(widget.state, strict_parsing=True) == said
    widget.close()
    assert view("runs/one").state == ""
    with pytest.raises(ValueError, match="step: got 7 of d32-s0; expected one of its steps, such as 0"):
        view("runs/one", step=7)


def test_a_state_is_of_the_run():
    run = FakeAnswers().answer("run", {})
    assert isinstance(run, Run)
    assert state_of(run) == ""
    assert state_of(run, step=20) == "model=d32-s0&step=20"
    assert state_of(run, model="d16-s0", threshold=0.5) == "model=d16-s0&threshold=0.5"
    scored = FakeAnswers(scored={"d16-s0": [], "d32-s0": [10]}).answer("run", {})
    assert state_of(scored, step=10) == "model=d32-s0&step=10"
    for wrong, said in [
        ({"model": "nobody"}, "model: got 'nobody'; expected one of d16-s0, d32-s0"),
        ({"step": 40}, "step: got 40 of d32-s0; expected one of its steps, such as 20"),
        ({"compare": ("nobody", 0)}, "compare: got 'nobody'"),
        ({"compare": ("d32-s0", 40)}, "compare: got 40 of d32-s0"),
        ({"top": 0}, "top: got 0; expected at least 1"),
        ({"threshold": -1.0}, r"threshold: got -1\.0; expected at least 0"),
        ({"top": 5, "threshold": 0.1}, r"threshold: got 0\.1 beside top 5"),
    ]:
        with pytest.raises(ValueError, match=said):
            state_of(run, **wrong)


def test_an_extra_that_is_missing_is_named(monkeypatch):
    for package, door in [("anywidget", "widget"), ("uvicorn", "served.server"), ("fastapi", "served.server")]:
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(sys.modules, f"circuits.viewer.{door}", raising=False)
        with pytest.raises(ImportError, match=rf"{package} is not installed; pip install 'grokscope\[view\]'"):
            importlib.import_module(f"circuits.viewer.{door}")
        monkeypatch.undo()


SHOW = """
import threading, time
from circuits.viewer.widget import CircuitViewer
from tests.circuits.viewer.fake_answers import FakeAnswers
answers, release = FakeAnswers(), threading.Event()
answers.before_node = lambda cancelled: release.wait(10)
shown = CircuitViewer(answers, "run")
"""
BUSY = "release.set(); time.sleep(0.5)"


def test_in_a_kernel_answers_come_while_a_cell_runs():
    """Asked as a front end asks, over the kernel's sockets: two threads answer, one of them while a cell is running."""
    manager, client = start_new_kernel(extra_arguments=["--HistoryManager.enabled=False"])
    try:
        opened = []
        done = client.execute_interactive(SHOW, output_hook=opened.append, timeout=30)
        assert done["content"]["status"] == "ok", done["content"]
        states = {
            told["content"]["comm_id"]: told["content"]["data"]["state"]
            for told in opened
            if told["msg_type"] == "comm_open"
        }
        (comm,) = [comm for comm, state in states.items() if "state" in state]
        for content in (
            {"id": 1, "name": "node", "params": ASKED["node"]},
            {"id": 2, "name": "curves", "params": {"model": "nobody"}},
        ):
            data = {"method": "custom", "content": content}
            client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": comm, "data": data}))
        busy, came = client.execute(BUSY), []
        while not came or came[-1] != "idle":
            message = client.get_iopub_msg(timeout=10)
            if message["msg_type"] == "comm_msg" and message["content"]["data"]["method"] == "custom":
                came.append(message["content"]["data"]["content"])
            elif message["msg_type"] == "status" and message["parent_header"].get("msg_id") == busy:
                came.append(message["content"]["execution_state"])
        told = {one["id"]: one for one in came if isinstance(one, dict)}
        assert told[1]["answer"]["node"] == ASKED["node"]["node"]
        assert told[2]["error"].startswith("model: got 'nobody'")
        assert came.index("busy") < came.index(told[1])
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
