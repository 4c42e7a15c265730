"""The page served by a process of its own, over a real socket, and the command that does it."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from circuits.viewer.commands import view
from circuits.viewer.served import server
from tests.circuits.viewer.fake_answers import ODD, FakeAnswers

SERVE = """
from circuits.viewer.served.server import serve
from tests.circuits.viewer.fake_answers import FakeAnswers
import sys
serve(FakeAnswers(), host=sys.argv[1], port=int(sys.argv[2]) or None, state="step=20", browser=False)
"""


def served(host, port=0):
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, host, str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip()


def test_served_on_loopback_until_it_is_interrupted():
    with socket.create_server(("127.0.0.1", 0)) as taken, ExitStack() as usual:
        with suppress(OSError):  # if it is taken already, so much the better
            usual.enter_context(socket.create_server(("127.0.0.1", server.PORT)))
        mistaken, _ = served("127.0.0.1", taken.getsockname()[1])
        process, address = served("127.0.0.1")
        try:
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#step=20", address)
            assert f":{server.PORT}/" not in address
            with urllib.request.urlopen(address.partition("#")[0] + "api/run") as found:
                assert json.load(found)["name"] == ODD
                assert "server" not in found.headers
        finally:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=10)
        assert process.returncode == 0, said
        assert said == ""
        _, said = mistaken.communicate(timeout=10)
        assert mistaken.returncode != 0
        assert "Address already in use" in said


def test_served_elsewhere_with_a_token():
    process, address = served("0.0.0.0")
    try:
        token = re.fullmatch(r"http://[^/]+:(\d+)/\?token=([\w-]{40,})#step=20", address)
        assert token, address
        here = f"http://127.0.0.1:{token[1]}/"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(here + "api/run")
        with urllib.request.urlopen(urllib.request.Request(here + "api/run", headers={"X-Token": token[2]})) as found:
            assert found.status == 200
        with urllib.request.urlopen(f"{here}?token={token[2]}") as found:
            assert found.status == 200
        for host, status in (("10.1.2.3:80", 401), (socket.gethostname(), 401), ("evil.example", 403)):
            with pytest.raises(urllib.error.HTTPError, match=str(status)):
                urllib.request.urlopen(urllib.request.Request(here + "api/run", headers={"Host": host}))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)


def test_the_command_serves_the_run_with_what_is_shown_first(monkeypatch):
    opened, served_with = [], []

    def of(address, *, device):
        opened.append((address, device))
        return FakeAnswers()

    monkeypatch.setitem(sys.modules, "circuits.viewer.answers", SimpleNamespace(Answers=SimpleNamespace(of=of)))
    monkeypatch.setattr(server, "serve", lambda answers, **more: served_with.append(more))
    app = typer.Typer()
    app.command()(view)
    for arguments in (["runs/one"], ["runs/one", "--model", "d16-s0", "--step", "40", "--port", "80", "--no-browser"]):
        said = CliRunner().invoke(app, arguments)
        assert said.exit_code == 0, said.output
    assert opened == [("runs/one", "cpu")] * 2
    assert served_with == [
        {"host": "127.0.0.1", "port": None, "state": "", "browser": True},
        {"host": "127.0.0.1", "port": 80, "state": "model=d16-s0&step=40", "browser": False},
    ]
    said = CliRunner().invoke(app, ["runs/one", "--model", "nobody"])
    assert said.exit_code == 1
    assert "error: model: got 'nobody'; expected one of d16-s0, d32-s0" in said.stderr
