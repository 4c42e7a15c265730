"""The pages in a real browser, opened by file://, with their controls used as a reader would."""

import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest

from probe.report import render_report, write_report
from tests.report.synthetic import report_data
from tests.report.synthetic_structure import CYCLIC, GROUP, POLYNOMIAL, arrays, structure_data

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
        self.pages = 1
        page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)

    def drawn(self, panel: str, trace: int = 0) -> list[list[float]]:
        """x and y of the points of a trace, as drawn."""
        points = f"document.getElementById('{panel}-plot').calcdata[{trace}]"
        return self.page.evaluate(f"[Array.from({points}, (p) => p.x), Array.from({points}, (p) => p.y)]")

    def data(self, panel: str, trace: int, name: str) -> list:
        """An array of a trace, as it is after the page's restyling."""
        of = f"document.getElementById('{panel}-plot')._fullData[{trace}].{name}"
        return self.page.evaluate(f"Array.from({of}, (row) => row.length === undefined ? row : Array.from(row))")

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
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(report_data()), "utf-8")
    return path


@pytest.fixture(scope="module")
def structure(tmp_path_factory):
    return write_report(structure_data(), tmp_path_factory.mktemp("structure") / "report.html")


@pytest.fixture(scope="module")
def long_names(tmp_path_factory):
    """A report of models with long names, of which some have many keys and some did not generalize."""
    sizes = {f"d128-f0.65-lr0.0003-wd{i}": 226_000 for i in range(2)}
    data = report_data(sizes=sizes, seeds=(0,), never=("d128-f0.65-lr0.0003-wd0-s0",))
    last = data.results[data.results["metric"] == "is_key"].iloc[:1]
    keys = [last.assign(key=str(k)) for k in range(1, 40)]
    path = tmp_path_factory.mktemp("long") / "report.html"
    path.write_text(render_report(replace(data, results=pd.concat([data.results, *keys]))), "utf-8")
    return path


@pytest.fixture
def opened(browser) -> Iterator:
    """Open a page as a reader; at the end nothing must have gone wrong, nor anything have been asked for but pages."""
    readers = []

    def open_page(path) -> Reader:
        readers.append(Reader(browser.new_page(viewport={"width": 1200, "height": 900}), path))
        return readers[-1]

    yield open_page
    for reader in readers:
        assert reader.problems == []
        asked = [url for url in reader.requests if not url.startswith(("data:", "blob:"))]
        assert all(url.startswith(reader.path.parent.as_uri()) and ".html" in url for url in asked)
        assert len(asked) == reader.pages
        reader.page.close()


@pytest.fixture
def reader(opened, report) -> Reader:
    return opened(report)


def test_every_figure_is_drawn_and_controls_work_without_error_or_request(reader):
    for figure, lines in FIGURES.items():
        assert reader.count(f"#{figure}-plot .scatterlayer .trace") >= lines, figure
    reader.page.select_option("#progress-choice", "d64")
    reader.page.wait_for_function("document.querySelectorAll('#progress-plot .shapelayer path').length > 0")


def test_a_model_is_reached_from_the_overview_and_left_again(opened, structure):
    reader = opened(structure)
    follow(reader, f"#models-table a:has-text('{GROUP}')")
    assert reader.page.locator("h1").inner_text() == f"Structure of {GROUP}"
    assert reader.count(".plot .main-svg") > 0
    follow(reader, "text=Next")
    assert reader.page.locator("h1").inner_text() == f"Structure of {POLYNOMIAL}"
    follow(reader, "text=Overview")
    assert reader.page.locator("h1").inner_text() == "structure"


def follow(reader: Reader, link: str) -> None:
    reader.page.click(link)
    reader.page.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
    reader.pages += 1


@pytest.mark.parametrize(
    ("model", "lines"),
    [
        (
            CYCLIC,
            {"key-frequencies": 6, "neuron-clusters": 8, "heads-frequency": 8, "diagonal": 1, "component-loss": 6},
        ),
        (GROUP, {"irrep-logits": 7, "irrep-shares": 20, "irrep-clusters": 2, "component-loss": 4}),
        (POLYNOMIAL, {"diagonal": 2, "progress": 2}),
    ],
)
def test_every_figure_of_a_model_is_drawn(opened, structure, model, lines):
    reader = opened(structure.with_name(f"structure-{model}.html"))
    for panel in reader.page.eval_on_selector_all(".plot", "all => all.map((plot) => plot.dataset.panel)"):
        assert reader.count(f"#{panel}-plot .main-svg") > 0, panel
    for panel, n in lines.items():
        assert reader.count(f"#{panel}-plot .scatterlayer .trace") >= n, panel
    for panel in ("embedding-spectrum", "neuron-logit-spectrum"):
        assert reader.count(f"#{panel}-plot .heatmaplayer image") == 1


def test_sliders_of_a_model_show_each_step_as_it_was_stored(opened, structure):
    reader = opened(structure.with_name(f"structure-{CYCLIC}.html"))
    stored = arrays()
    planes = stored[CYCLIC, "embedding_circle"].transpose("step", "frequency", "token", "axis")
    for press, step in (("Home", 0), ("ArrowRight", 1), ("End", 500)):
        reader.page.locator("#circles-step").press(press)
        assert reader.page.locator("#circles-at").inner_text() == str(step)
        x, y = reader.drawn("circles", 1)
        found = {(round(a, 4), round(b, 4)) for a, b in zip(x, y, strict=True)}
        assert found == {tuple(round(float(v), 4) for v in at) for at in planes.sel(step=step, frequency=7).to_numpy()}

        reader.page.locator("#neuron-fits-step").press(press)
        best, share = (stored[CYCLIC, name].sel(step=step).to_numpy() for name in ("neuron_frequency", "neuron_share"))
        _, shares = reader.drawn("neuron-fits")
        assert sorted(shares) == pytest.approx(sorted(share.tolist()))
        assert reader.data("neuron-fits", 0, "customdata") == sorted(range(40), key=lambda i: (best[i], share[i]))
        counts = [sum(pair) for pair in zip(*(reader.data("neuron-fits", bars, "y") for bars in (1, 2)), strict=True)]
        assert counts == [int((best == k).sum()) for k in range(len(counts))]
        assert sum(counts) == 40

        reader.page.locator("#logit-spectrum-step").press(press)
        shown = reader.data("logit-spectrum", 0, "z")
        power = stored[CYCLIC, "logit_spectrum_group"].sel(step=step)
        for a, b in ((3, 7), (7, 3)):
            assert shown[b][a] == pytest.approx(math.log10(max(power.values[a, b], 1e-5)), abs=0.0051)


def test_another_order_is_shown_at_the_step_that_was_chosen(opened, structure):
    reader = opened(structure.with_name(f"structure-{POLYNOMIAL}.html"))
    reader.page.locator("#logit-spectrum-step").press("Home")
    reader.page.keyboard.press("ArrowRight")
    before = reader.data("logit-spectrum", 0, "z")
    reader.page.select_option("#logit-spectrum-choice", "discrete logarithms (multiplicative)")
    reader.page.wait_for_function(
        "(old) => document.getElementById('logit-spectrum-plot')._fullData[0].z[3][2] !== old", arg=before[3][2]
    )
    assert reader.page.locator("#logit-spectrum-at").inner_text() == "1"
    power = arrays()[POLYNOMIAL, "logit_spectrum_multiplicative"].sel(step=1).values
    shown = reader.data("logit-spectrum", 0, "z")
    assert shown[3][2] == pytest.approx(math.log10(max(power[2, 3], 1e-5)), abs=0.0051)


@pytest.mark.parametrize(
    ("which", "width"), [("overview", 800), ("overview", 1200), ("overview", 1600), (CYCLIC, 800), (CYCLIC, 1600)]
)
def test_page_fits_its_window(browser, report, structure, width, which):
    page = browser.new_page(viewport={"width": width, "height": 900})
    Reader(page, report if which == "overview" else structure.with_name(f"structure-{which}.html"))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widths = page.evaluate(
        "[...document.querySelectorAll('.main-svg')].map((svg) => svg.getBoundingClientRect().right)"
    )
    assert widths
    assert max(widths) <= width
    page.close()


def test_the_buttons_of_a_figure_cover_nothing_of_it(opened, structure):
    reader = opened(structure.with_name(f"structure-{CYCLIC}.html"))
    ends = reader.page.evaluate(
        """[...document.querySelectorAll(".plot")].map((plot) => [".modebar", ".main-svg"].map(
            (part) => plot.querySelector(part).getBoundingClientRect()).map((at) => [at.top, at.bottom, at.height]))"""
    )
    assert len(ends) > 10
    for (_, bottom, height), (top, *_) in ends:
        assert height > 10
        assert bottom <= top


@pytest.mark.parametrize("width", [1000, 1200, 1400])
def test_tables_of_long_names_show_all_their_columns(browser, long_names, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    Reader(page, long_names)
    for table in ("models-table", "sizes-table"):
        inside, shown, names = page.evaluate(
            f"""(() => {{ const table = document.getElementById("{table}"), cells = table.querySelectorAll("tbody th");
            return [table.scrollWidth, table.parentElement.clientWidth,
                    [...cells].map((cell) => [cell.scrollWidth, cell.clientWidth])] }})()"""
        )
        assert inside <= shown
        assert all(text <= cell for text, cell in names)
    page.close()


def test_a_table_that_scrolls_shows_it(browser, long_names):
    page = browser.new_page(viewport={"width": 500, "height": 900})
    Reader(page, long_names)
    scrolls = "document.querySelector('.scroll:has(#models-table)')"
    assert page.evaluate(f"{scrolls}.scrollWidth > {scrolls}.clientWidth")
    assert page.evaluate(f"getComputedStyle({scrolls}).backgroundImage").count("gradient") == 4
    assert page.evaluate(f"getComputedStyle({scrolls}).backgroundAttachment") == "local, local, scroll, scroll"
    page.close()


def test_an_old_browser_is_told_what_is_missing(browser, report):
    page = browser.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(report.as_uri())
    page.wait_for_selector("#problem:not([hidden])")
    assert "2023" in page.locator("#problem").inner_text()
    assert page.locator("#models-table tbody tr").count() == 12
    page.close()
