"""The README's pictures of the viewer, light and dark, as the tests take them.

circuits form induction --out runs/induction
python -m tests.circuits.viewer.pictures runs/induction docs
"""

import sys
from pathlib import Path

from circuits.viewer.answers import Answers
from tests.circuits.viewer.browsing import Looker, chromium, served

SHOWN = "model=d64-l2-s0&step=160&top=14&selected=L1.H1"


def take(browser, address, folder, shown=""):
    """One picture in each scheme; their paths."""
    paths = []
    for scheme in ("light", "dark"):
        looker = Looker(browser, f"{address}#{shown}", color_scheme=scheme)
        looker.page.wait_for_timeout(1000)
        looker.page.wait_for_selector("[aria-busy=true]", state="detached", timeout=60_000)
        paths.append(Path(folder) / f"viewer-{scheme}.png")
        looker.page.screenshot(path=paths[-1])
        looker.close()
    return paths


if __name__ == "__main__":
    with chromium() as browser, served(Answers.of(sys.argv[1])) as address:
        print(*take(browser, address, sys.argv[2], SHOWN), sep="\n")
