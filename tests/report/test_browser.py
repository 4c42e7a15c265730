"""The page in a real browser, opened by file://, with its controls used as a reader would."""

import os
import shutil
from collections.abc import Iterator

import pytest

from probe.report import write_report
from tests.report.synthetic import report_data

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason=f"no Chromium at {CHROMIUM} (set CHROMIUM to its path)"),
]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
FIGURES = {"accuracy": 36, "loss": 36, "progress": 70, "final-accuracy": 3, "time": 4}


class Reader:
    """A page, and everything that went wrong or left the machine while it was open."""

    def __init__(self, page, path) -> None:
        self.page, self.path = page, path
        self.problems: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)

    def circle(self) -> list[float]:
        """Coordinates of the tokens in the first plane, as drawn."""
        return self.page.evaluate(
            "Array.from(document.getElementById('circles-plot').calcdata[0], (p) => [p.x, p.y]).flat()"
        )

    def count(self, selector: str) -> int:
        return self.page.locator(selector).count()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(report_data(), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def reader(browser, report) -> Iterator[Reader]:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    reader = Reader(page, report)
    yield reader
    assert reader.problems == []
    assert [url for url in reader.requests if not url.startswith(("data:", "blob:"))] == [report.as_uri()]
    page.close()


def test_every_figure_is_drawn_and_controls_work_without_error_or_request(reader):
    for figure, lines in FIGURES.items():
        assert reader.count(f"#{figure}-plot .scatterlayer .trace") >= lines, figure
    assert reader.count("#spectrum-plot .heatmaplayer image") == 1
    assert reader.count("#circles-plot .scatterlayer .trace") == 5

    last = reader.circle()
    slider = reader.page.locator("#circles-step")
    slider.focus()
    reader.page.keyboard.press("Home")
    assert reader.page.locator("#circles-at").inner_text() == "0"
    first = reader.circle()
    for axis in (0, 1):
        assert max(abs(a - b) for a, b in zip(first[axis::2], last[axis::2], strict=True)) > 0.3
    reader.page.keyboard.press("ArrowRight")
    assert reader.page.locator("#circles-at").inner_text() not in ("0", "20,000")

    reader.page.keyboard.press("Home")
    reader.page.select_option("#circles-choice", "d16-s2")
    reader.page.wait_for_function("document.querySelectorAll('#circles-plot .scatterlayer .trace').length === 3")
    assert reader.page.locator("#circles-at").inner_text() == "0"  # the step is kept from model to model
    reader.page.keyboard.press("Tab")
    reader.page.locator("#circles-step").press("End")
    assert reader.page.locator("#circles-at").inner_text() == "20,000"

    before = reader.page.locator("#spectrum-plot .heatmaplayer image").get_attribute("href")
    reader.page.select_option("#spectrum-choice", "d16-s1")
    reader.page.wait_for_function(
        "(old) => document.querySelector('#spectrum-plot .heatmaplayer image').getAttribute('href') !== old", arg=before
    )
    assert "◂" not in reader.page.locator("#spectrum-plot").inner_text()  # this model has no key frequencies

    reader.page.select_option("#progress-choice", "d64")
    reader.page.wait_for_function("document.querySelectorAll('#progress-plot .shapelayer path').length > 0")


@pytest.mark.parametrize("width", [800, 1200, 1600])
def test_page_fits_its_window(browser, report, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    Reader(page, report)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widths = page.evaluate(
        "[...document.querySelectorAll('.main-svg')].map((svg) => svg.getBoundingClientRect().right)"
    )
    assert widths
    assert max(widths) <= width
    page.close()


def test_an_old_browser_is_told_what_is_missing(browser, report):
    page = browser.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(report.as_uri())
    page.wait_for_selector("#problem:not([hidden])")
    assert "2023" in page.locator("#problem").inner_text()
    assert page.locator("#models-table tbody tr").count() == 12
    page.close()
