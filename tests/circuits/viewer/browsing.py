"""The viewer in a real browser: pages that note everything that goes wrong or leaves the machine, and a page served."""

import os
import shutil
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

from circuits.viewer.served.server import app_of

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
IN_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason=f"no Chromium at {CHROMIUM} (set CHROMIUM to its path)"),
]


@contextmanager
def served(answers):
    """The address of a page that answers."""
    server = uvicorn.Server(uvicorn.Config(app_of(answers), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join(10)


@contextmanager
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Looker:
    """Whoever looks at a page of the viewer."""

    def __init__(self, browser, address, size=(1280, 800), **options):
        self.home = address.split("#")[0]
        self.page = browser.new_page(viewport={"width": size[0], "height": size[1]}, **options)
        self.problems, self.requests = [], []
        self.page.on("console", lambda said: self.problems.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)
        self.page.wait_for_selector("[data-ready]", timeout=30_000)

    def at(self, test_id):
        return self.page.get_by_test_id(test_id)

    def state(self):
        return self.page.evaluate("window.grokscope.state()")

    def until(self, expression, argument=None, seconds=10):
        """Wait for something to be so. The page's policy forbids what playwright itself would do to wait for it."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression, argument):
            assert time.monotonic() < end, expression
            self.page.wait_for_timeout(20)

    def drawn(self):
        """Names of the edges on the screen."""
        return self.page.evaluate("window.grokscope.cy().edges(':visible').map((e) => e.data('name')).filter(Boolean)")

    def tap(self, name):
        """Click where a node or the middle of an edge is drawn."""
        self.page.evaluate("scrollTo(0, 0)")
        self.page.wait_for_timeout(100)
        place = self.page.evaluate(
            """(name) => {
                const cy = window.grokscope.cy();
                const part = cy.elements().filter((one) => one.data("name") === name)[0];
                const at = part.isNode() ? part.renderedPosition() : part.renderedMidpoint();
                const box = cy.container().getBoundingClientRect();
                return [box.x + at.x, box.y + at.y];
            }""",
            name,
        )
        self.page.mouse.click(*place)

    def close(self):
        """At the end nothing has gone wrong, and nothing was asked of anybody else."""
        assert self.problems == []
        assert [url for url in self.requests if not url.startswith((self.home, "data:", "blob:"))] == []
        self.page.close()
