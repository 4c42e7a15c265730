"""The viewer as a widget in a live JupyterLab: shown, answered from the kernel, and its state read and set there."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest

from tests.circuits.viewer.browsing import IN_BROWSER, chromium
from tests.circuits.viewer.small_run import BATCH, made

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
pytestmark = IN_BROWSER
CELLS = [
    "import circuits\nviewer = circuits.view('run', step=120)\nviewer",
    "viewer.state",
    "viewer.state = 'model=d8-l1-s0&step=60&selected=embed'",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a notebook in a JupyterLab of its own."""
    folder = tmp_path_factory.mktemp("lab")
    made(BATCH, folder / "run")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS], metadata=kernel)
    nbformat.write(notebook, folder / "look.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = {name: str(folder / "home") for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    options = ["--no-browser", "--allow-root", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    options += ["--IdentityProvider.token=", "--LabApp.extension_manager=readonly", "--LabApp.news_url="]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        cwd=folder,
        env=os.environ | home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, "JupyterLab did not start"
                time.sleep(0.1)
        yield f"{address}/lab/tree/look.ipynb"
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def test_it_is_shown_answered_and_follows_the_kernel(lab):
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1600})
        problems, requests = [], []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(lab)
        cells = page.locator(".jp-Notebook .jp-CodeCell")
        cells.nth(2).wait_for(timeout=60_000)
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)

        def run(n):
            cells.nth(n).locator(".cm-content").click()
            page.keyboard.press("Shift+Enter")

        run(0)
        graph = page.locator(".grokscope [data-testid=graph]")
        graph.wait_for(timeout=120_000)
        page.wait_for_selector(".grokscope[data-ready]", timeout=30_000)
        assert page.evaluate("window.grokscope.state().step") == 120
        # what a person does is known to the kernel
        page.get_by_test_id("step-slider").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("window.grokscope.state().step === 180")
        # a live answer, which a thread of the kernel gives
        page.get_by_test_id("search").fill("L0.MLP")
        page.get_by_test_id("search").press("Enter")
        page.get_by_test_id("panel").get_by_text("Written to the answer directly").wait_for(timeout=30_000)
        run(1)
        page.get_by_text("selected=L0.MLP").first.wait_for(timeout=20_000)
        # and what the kernel sets is shown
        run(2)
        page.wait_for_function(
            "window.grokscope.state().step === 60 && window.grokscope.state().selected === 'embed'", timeout=20_000
        )
        assert problems == []
        here = lab.split("/lab")[0]
        assert [url for url in requests if not url.startswith((here, "data:", "blob:"))] == []
