"""The pages of a report: which there are, how they lead to each other, and that any sections make one."""

import re
from dataclasses import replace
from html import unescape
from urllib.parse import unquote

import pytest
import xarray as xr

from probe.report import (
    Link,
    Panel,
    Section,
    accuracy_figure,
    render_page,
    render_report,
    report_pages,
    structure_models,
    write_report,
)
from probe.report.overview import LISTED_PAGES
from tests.report.synthetic_structure import CYCLIC, GROUP, PLAIN, POLYNOMIAL, arrays, structure_data
from tests.report.test_html import Page, figures


@pytest.fixture(scope="module")
def data():
    return structure_data()


@pytest.fixture(scope="module")
def pages(data):
    return dict(report_pages(data))


def without(data, *probes):
    return replace(data, results=data.results[~data.results["probe"].isin(probes)])


def missing(html: str) -> list[str]:
    return [unescape(text) for text in re.findall(r'<p class="missing">(.*?)</p>', html)]


# --- which pages there are, and their links ---

TWO = ["transition.html", "report.html"]


def test_a_page_for_each_model_that_has_structure_and_the_overview_last(data, pages):
    assert structure_models(data.results) == [CYCLIC, GROUP, POLYNOMIAL]
    assert list(pages) == [f"structure-{model}.html" for model in (CYCLIC, GROUP, POLYNOMIAL)] + TWO


def test_every_link_leads_to_a_page_or_a_place_that_is_there(data, tmp_path):
    overview = write_report(data, tmp_path / "new" / "results of a&b.html")
    written = {path.name for path in overview.parent.iterdir()}
    assert len(written) == 5
    reached = set()
    for path in overview.parent.iterdir():
        page = Page(path.read_text("utf-8"))
        ids = {value for name, value in page.attributes if name == "id"}
        assert len(ids) == len([value for name, value in page.attributes if name == "id"])
        links = [value for name, value in page.attributes if name == "href" and value != "data:,"]
        for link in links:
            assert link[1:] in ids if link.startswith("#") else unquote(link) in written
        inside = {unquote(link) for link in links if not link.startswith("#")}
        reached |= {(path.name, other) for other in inside}
    models = [f"structure-{model}.html" for model in (CYCLIC, GROUP, POLYNOMIAL)]
    assert {(overview.name, page) for page in (*models, "transition.html")} <= reached
    assert ("transition.html", overview.name) in reached
    assert {(model, overview.name) for model in models} <= reached
    assert (models[0], models[1]) in reached
    assert (models[1], models[0]) in reached
    assert (models[0], models[2]) not in reached
    assert all(page != other for page, other in reached)


def test_names_in_the_table_lead_to_the_pages(pages):
    table = re.search(r'<table id="models-table">(.*?)</table>', pages["report.html"], re.DOTALL)[1]
    assert dict(re.findall(r'<th scope="row"><a href="([^"]*)">([^<]*)</a>', table)) == {
        "structure-d32-s0.html": CYCLIC,
        "structure-S4-s0.html": GROUP,
        "structure-a2%2Bb2-s0.html": POLYNOMIAL,
    }
    assert f'<th scope="row">{PLAIN}</th>' in table


def test_contents_list_the_pages_as_long_as_they_are_few(data, pages):
    nav = re.search(r'<nav id="pages".*?</nav>', pages["report.html"])[0]
    of_models = [f"Structure of {model}" for model in (CYCLIC, GROUP, POLYNOMIAL)]
    assert re.findall(r">([^<]+)</a>", nav) == ["When each thing happened, and what moved first", *of_models]
    many = {f"m{i}": f"structure-m{i}.html" for i in range(LISTED_PAGES + 1)}
    nav = re.search(r'<nav id="pages".*?</nav>', render_report(data, structure=many))[0]
    assert re.findall(r'href="([^"]*)">([^<]+)<', nav) == [("#models", f"Structure of each of {len(many)} models")]


@pytest.mark.parametrize("model", ["org/model", "a b", "<b>&x", "x.html?y#z", "ü"])
def test_any_name_of_a_model_gives_one_file_that_is_reached(data, tmp_path, model):
    renamed = data.results["model"].replace(GROUP, model)
    few = data.results.assign(model=renamed)[renamed == model]
    path = write_report(replace(data, results=few), tmp_path / "report.html")
    (other,) = [found for found in tmp_path.iterdir() if found.name not in TWO]
    links = [value for name, value in Page(path.read_text("utf-8")).attributes if name == "href"]
    assert other.name in map(unquote, links)
    page = Page(other.read_text("utf-8"))
    assert f"Structure of {model}" in page.text


def test_pages_ask_for_nothing_outside_the_report(pages):
    for html in pages.values():
        page = Page(html)
        outside = [value for name, value in page.attributes if name in ("src", "srcset", "data", "action", "href")]
        assert all(
            value.startswith(("#", "data:", "structure-", "report.html", "transition.html")) for value in outside
        )
        assert "default-src 'none'" in html
        assert len(html) < 6e6


def test_a_run_without_structure_says_which_probes_give_it(data):
    only = without(data, *(set(data.results["probe"]) - {"performance", "weights"}))
    made = dict(report_pages(only))
    assert list(made) == TWO
    html = made["report.html"]
    assert any("No structure page" in text and "embedding_spectrum" in text for text in missing(html))
    assert "structure-" not in html


def test_arrays_are_read_as_their_page_is_made_and_not_kept(data):
    read = []

    def spy(model: str, name: str) -> xr.DataArray | None:
        read.append((model, name))
        return arrays().get((model, name))

    found = report_pages(replace(data, arrays=spy))
    for model in (CYCLIC, GROUP, POLYNOMIAL):
        read.clear()
        next(found)
        assert {whose for whose, _ in read} <= {model}
        assert len(read) == len(set(read))
        assert (model, "embedding_circle") in read or model != CYCLIC
    read.clear()
    next(found)
    assert read == []


# --- any page ---


def test_a_page_of_any_sections(data):
    panel = Panel("p", "Title of <it>", "Caption & more.", {"": accuracy_figure(data.results)})
    sections = [
        Section("one", "One & <only>", (panel,), ("Left out: <x>.",), body="<p>words</p>"),
        Section("two", "Two"),
    ]
    html = render_page("A <title>", "A description & more", sections, [Link("other.html?a&b", "Other <page>")])
    page = Page(html)
    assert page.sections == ["one", "two"]
    for text in ("One & <only>", "A <title>", "A description & more", "Left out: <x>.", "words", "Other <page>"):
        assert text in page.text
    assert [value for name, value in page.attributes if name == "href"][1:] == ["#one", "#two", "other.html?a&b"]
    assert list(figures(html)) == ["p"]
    assert 'class="pair"' not in html


def test_a_page_without_figures_does_not_carry_plotly():
    assert len(render_page("t", "", [Section("one", "One", body="<p>words</p>")])) < 20_000


def test_panels_side_by_side(data):
    panels = tuple(Panel(f"p{i}", "t", "c", {"": accuracy_figure(data.results)}) for i in range(2))
    assert render_page("t", "", [Section("s", "S", panels, side_by_side=True)]).count('class="pair"') == 1
    assert 'class="pair"' not in render_page("t", "", [Section("s", "S", panels[:1], side_by_side=True)])
