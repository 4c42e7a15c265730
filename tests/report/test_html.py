"""The overview: what it holds, what it says, and that it degrades in words instead of failing."""

import base64
import gzip
import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest

from probe.report import render_report, verdict
from probe.scaling import by_size, transitions
from tests.report.synthetic import BUDGET, report_data
from tests.report.synthetic_structure import GROUP, structure_data

SECTIONS = ["verdict", "models", "curves", "progress", "scale", "reproduce"]
FIGURES = ["accuracy", "loss", "progress", "final-accuracy", "time"]


class Page(HTMLParser):
    """Sections, table cells, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.text = ""
        self._table, self._cell, self._quiet = "", False, False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._quiet = tag in ("script", "style")
        if tag == "section":
            self.sections.append(named["id"])
        if tag == "table":
            self._table = named["id"]
            self.rows[self._table] = []
        if tag == "tr":
            self.rows[self._table].append([])
        if tag in ("td", "th"):
            self._cell = True
            self.rows[self._table][-1].append("")

    def handle_endtag(self, tag):
        self._cell = self._cell and tag not in ("td", "th")
        self._quiet = False

    def handle_data(self, text):
        if not self._quiet:
            self.text += text
        if self._cell:
            self.rows[self._table][-1][-1] += text


def figures(html: str) -> dict:
    packed = re.search(r'id="packed-figures">([^<]*)<', html)
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


@pytest.fixture(scope="module")
def data():
    return report_data()


@pytest.fixture(scope="module")
def html(data):
    return render_report(data)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_sections_and_figures_are_there_in_order(html, page):
    assert page.sections == SECTIONS
    assert list(figures(html)) == FIGURES
    assert [int(n) for n in re.findall(r"<b>Figure (\d+)", html)] == list(range(1, 6))


def test_file_is_below_six_megabytes(html):
    assert 1_500_000 < len(html.encode()) < 6_000_000


def test_page_asks_for_nothing_outside_itself(html, page):
    outside = [(name, value) for name, value in page.attributes if name in ("src", "href", "srcset", "data", "action")]
    assert outside
    assert all(value.startswith(("#", "data:")) for _, value in outside)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in html


def test_table_of_models_holds_the_input(data, page):
    table = transitions(data.results)
    head, *rows = page.rows["models-table"]
    assert len(rows) == len(table) == 12
    assert {len(row) for row in [head, *rows]} == {11}
    for row, model in zip(rows, table.to_dict("records"), strict=True):
        generalized = model["generalized_step"]
        assert row[:5] == [
            model["model"],
            model["size"],
            str(model["seed"]),
            f"{model['n_params']:,}",
            f"{model['memorized_step']:,.0f}",
        ]
        assert row[5] == (f"not within {BUDGET:,}" if np.isnan(generalized) else f"{generalized:,.0f}")
        assert row[6] == ("—" if np.isnan(generalized) else f"{generalized - model['memorized_step']:,.0f}")
        assert row[7] == (", ".join(map(str, model["key_frequencies"])) or "—")
        for cell, subset in zip(row[8:], ("train", "test", "test_nonmirror"), strict=True):
            assert float(cell) == pytest.approx(model[f"final_{subset}_accuracy"], abs=5e-5)


def test_an_overview_alone_says_nothing_of_other_pages(html, page):
    assert "structure page" not in page.text.lower()
    assert '<nav id="pages"' not in html


def test_first_shown_are_all_sizes(html):
    assert re.findall(r"<option selected>([^<]*)", html) == ["all sizes"]


def test_verdict_counts_and_does_not_overclaim(data, page):
    assert "11 of 12 models grokked within 20,000 steps" in page.text
    assert "12 of 12 models memorized" in page.text
    assert "d16-s1 had not generalized by the last step" in page.text
    assert "with 3, such an interval covers the true median 75% of the time at best" in page.text
    sizes = by_size(transitions(data.results)).to_dict("records")
    _, *rows = page.rows["sizes-table"]
    for row, size in zip(rows, sizes, strict=True):
        assert row[0] == size["size"]
        assert row[3] == f"{size['n_memorized']} of 3"
        assert row[4] == f"{size['n_generalized']} of 3"
        assert row[6].startswith(f"{size['generalized_step_median']:,.0f} [{size['generalized_step_low']:,.0f}, ")


def test_a_model_that_diverged_counts_as_not_generalized_and_is_named():
    data, _, _ = degraded()["diverged"]
    table = transitions(data.results)
    said = verdict(table, by_size(table))
    assert said.headline.startswith("2 of 4 models grokked")
    assert any("stopped being finite in d16-s0" in sentence for sentence in said.sentences)
    assert Page(render_report(data)).rows["models-table"][1][0].startswith("d16-s0 diverged at ")


def test_what_was_not_measured_is_not_counted_as_failure():
    data, _, _ = degraded()["no performance"]
    table = transitions(data.results)
    assert verdict(table, by_size(table)).headline.startswith("Accuracy was not measured")


def test_overlapping_intervals_are_not_called_a_difference():
    table = transitions(report_data(sizes={"d32": 1000, "d64": 2000}, never=()).results)
    assert any("do not tell the two sizes apart" in sentence for sentence in verdict(table, by_size(table)).sentences)


def test_generalizing_without_a_plateau_is_not_called_grokking(data):
    table = transitions(data.results).assign(plateau=0.0)
    said = verdict(table, by_size(table))
    assert said.headline.startswith("0 of 12 models grokked")
    assert any("without a plateau, which is not grokking" in sentence for sentence in said.sentences)


def test_how_to_reproduce_is_escaped_text(data):
    page = Page(render_report(replace(data, batch_yaml="task: <a & b>", command="probe run 'x<y'", suite="<b>s</b>")))
    for text in ("task: <a & b>", "probe run 'x<y'", "<b>s</b>", "CPU, 2 cores", "torch 2.13.0", "seeds 0 to 2"):
        assert text in page.text


def test_every_caption_names_its_source(html):
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html, re.DOTALL)
    assert len(captions) == 5
    for caption in captions:
        assert "12 models, seeds 0 to 2, steps 0 to 20,000 (76 evaluations)" in caption


@cache
def degraded() -> dict[str, tuple]:
    full = report_data(sizes={"d16": 9000, "d32": 24400}, seeds=(0, 1))
    results = full.results
    broken = results.copy()
    after = (broken["model"] == "d16-s0") & (broken["step"] > 500)
    broken.loc[after, "value"] = np.nan
    is_fourier = results["probe"].isin(["key_frequencies", "fourier_progress"])
    no_test = results["key"].isin(["test", "test_nonmirror"])
    is_performance = results["probe"] == "performance"
    return {
        "one model": (report_data(sizes={"d16": 9000}, seeds=(0,)), "One seed a size", FIGURES),
        "no test subset": (
            replace(full, results=results[~no_test]),
            "generalization was not measured",
            FIGURES,
        ),
        "nothing memorized": (
            replace(full, results=results[results["step"] < 30]),
            "0 of 4 models grokked",
            FIGURES,
        ),
        "no Fourier form": (
            replace(full, results=results[~is_fourier & (results["probe"] != "embedding_spectrum")]),
            "probe key_frequencies not asked for",
            ["accuracy", "loss", "progress", "final-accuracy", "time"],
        ),
        "performance only": (
            replace(full, results=results[is_performance]),
            "hold no progress measure",
            ["accuracy", "loss", "final-accuracy", "time"],
        ),
        "no performance": (
            replace(full, results=results[~is_performance]),
            "probe performance was not run",
            ["progress"],
        ),
        "diverged": (replace(full, results=broken), "2 of 4 models grokked", FIGURES),
        "one evaluation": (
            replace(full, results=results[results["step"] == BUDGET]),
            "generalization was not measured",
            FIGURES,
        ),
        "no results": (replace(full, results=results.iloc[:0]), "hold no model", []),
    }


@pytest.mark.parametrize("case", list(degraded()))
def test_what_is_missing_is_said_and_never_an_error(case):
    data, sentence, drawn = degraded()[case]
    html = render_report(data)
    page = Page(html)
    assert page.sections == SECTIONS
    assert list(figures(html)) == drawn
    assert sentence in page.text
    assert not re.search(r"\b(nan|inf|None)\b", page.text)


def test_progress_of_groups_is_that_of_their_irreps():
    data = structure_data()
    html = render_report(replace(data, results=data.results[data.results["model"] == GROUP]))
    (spec,) = figures(html)["progress"].values()
    titles = [annotation["text"] for annotation in spec["layout"]["annotations"]]
    assert titles[:4] == [
        "restricted loss, all pairs (irreps)",
        "excluded loss, train pairs (irreps)",
        "logit FVE (irreps)",
        "class-FVE (irreps)",
    ]
    assert "left out" not in Page(html).text
