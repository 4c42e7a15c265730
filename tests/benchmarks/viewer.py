"""The viewer in a browser: how soon there is something to see, a step of the slider, a live ablation, the saved file.

Seconds are of this machine, so that nothing asserts them; the issue's bounds are beside them. Rows are left out where
there is no Chromium.
"""

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from circuits.graph import Graph
from circuits.viewer.answers import Answers
from circuits.viewer.saved.export import write_page
from tests.circuits.viewer.browsing import CHROMIUM, Looker, chromium, served
from tests.circuits.viewer.small_run import BATCH, made
from tests.circuits.viewer.synthetic import SyntheticAnswers

MODELS = ((2, 2), (2, 4), (4, 4), (4, 5))
STEPS = 60
STEPS_LOOKED_AT = 30
GRAPHS = {"500": (4, 4), "5,000": (7, 8)}


def rows() -> Iterator[tuple[str, str, str]]:
    """What was measured, the number, and what it has to be."""
    if shutil.which(CHROMIUM) is None:
        return
    with chromium() as browser:
        run = SyntheticAnswers(MODELS, STEPS)
        with served(run) as address:
            paints = [_first_paint(browser, address) for _ in range(3)]
        yield "viewer, first paint of 4 models x 60 steps", f"{statistics.median(paints):.2f} s", "under 1.5 s"
        for edges, shape in GRAPHS.items():
            with served(SyntheticAnswers((shape,), STEPS)) as address:
                took = _redraws(browser, address, Graph(*shape).n_edges)
            bound = "50 ms" if edges == "500" else "200 ms"
            yield f"viewer, a step of {edges} edges, median", f"{took:.0f} ms", f"within {bound}"
        with tempfile.TemporaryDirectory() as folder:
            size = write_page(run, f"{folder}/saved.html")
            yield "viewer, saved file of 4 models x 60 steps", f"{size / 1e6:.1f} MB", "under 8 MB"
            yield "viewer, live ablation of an edge, 2 layers", f"{_ablation(browser, folder):.0f} ms", "within 150 ms"


def _first_paint(browser, address: str) -> float:  # type: ignore[no-untyped-def]
    looker = Looker(browser, address)
    seconds = looker.page.evaluate("performance.getEntriesByName('grokscope:first-paint')[0].startTime") / 1000
    looker.close()
    return float(seconds)


def _redraws(browser, address: str, n_edges: int) -> float:  # type: ignore[no-untyped-def]
    looker = Looker(browser, f"{address}#top={n_edges}&step=0")
    looker.page.wait_for_timeout(1500)
    n = looker.page.evaluate("window.grokscope.timings.length")
    looker.at("step-slider").focus()
    for _ in range(STEPS_LOOKED_AT):
        looker.page.keyboard.press("ArrowRight")
        looker.page.wait_for_timeout(250)
    took = looker.page.evaluate("(n) => window.grokscope.timings.slice(n)", n)
    looker.close()
    return float(statistics.median(took))


def _ablation(browser, folder: str) -> float:  # type: ignore[no-untyped-def]
    """From asking for an edge to having its answer, each time at another one."""
    made(BATCH, Path(folder) / "run")
    with served(Answers.of(f"{folder}/run")) as address:
        looker = Looker(browser, address)
        took = looker.page.evaluate(
            """async () => {
                const took = [];
                const names = window.grokscope.cy().edges(":visible").map((edge) => edge.data("name"));
                for (const name of names.filter(Boolean).slice(0, 12)) {
                    const { model, step } = window.grokscope.state();
                    const began = performance.now();
                    await (await fetch(`api/edge?${new URLSearchParams({ model, step, edge: name })}`)).json();
                    took.push(performance.now() - began);
                }
                return took.slice(2);
            }"""
        )
        looker.close()
    return float(statistics.median(took))
