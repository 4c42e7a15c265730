"""The viewer as a person uses it, in a real browser, on answers that are known."""

import re
import time

import numpy as np
import pytest

from circuits.graph import Edge
from circuits.viewer.saved.export import write_page
from tests.circuits.viewer.browsing import IN_BROWSER, Looker, chromium, served
from tests.circuits.viewer.pictures import take
from tests.circuits.viewer.synthetic import SCRIPT, SyntheticAnswers

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = IN_BROWSER
LARGE = "l2-h4"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def answers():
    return SyntheticAnswers()


@pytest.fixture(scope="module")
def address(answers):
    with served(answers) as address:
        yield address


@pytest.fixture
def look(browser, address):
    lookers = []

    def open_page(hash="", **options):
        lookers.append(Looker(browser, f"{address}#{hash}", **options))
        return lookers[-1]

    yield open_page
    for looker in lookers:
        looker.close()


def largest(answers, model, step, n):
    graph, values = answers.graphs[model], answers.values(model, step)
    order = np.argsort(np.where(graph.mask, -np.abs(values), 1), axis=None)[: min(n, graph.n_edges)]
    return {str(graph.edge(*np.unravel_index(index, values.shape))) for index in order}


def test_it_opens_on_the_largest_model_at_its_last_step_with_its_largest_edges(look, answers):
    page = look()
    assert page.state()["model"] == LARGE
    assert page.state()["step"] == answers.steps[-1]
    assert set(page.drawn()) == largest(answers, LARGE, answers.steps[-1], 100)
    assert page.page.title().startswith("made-up")
    assert page.at("status").inner_text() == ""


def test_steps_move_everything_by_keys_by_slider_and_by_dragging_the_timeline(look, answers):
    page = look("top=10&step=50&selected=L0.H1")
    assert set(page.drawn()) == largest(answers, LARGE, 50, 10)
    page.at("step-slider").focus()
    page.page.keyboard.press("ArrowRight")
    page.until("window.grokscope.state().step === 60 && location.hash.includes('step=60')")
    page.page.wait_for_timeout(200)
    assert set(page.drawn()) == largest(answers, LARGE, 60, 10)
    chart = page.at("timeline").locator("svg").first.bounding_box()
    page.page.mouse.move(chart["x"] + chart["width"] * 0.9, chart["y"] + 50)
    page.page.mouse.down()
    page.page.mouse.move(chart["x"] + 60, chart["y"] + 50, steps=8)
    page.page.mouse.up()
    page.until("window.grokscope.state().step <= 10")
    page.page.get_by_role("button", name="Next step").click()
    page.until("window.grokscope.state().step >= 10")
    before = page.page.evaluate("window.grokscope.cy().nodes().map((n) => n.position())")
    page.at("play").click()
    page.until("window.grokscope.state().step === 110")
    # nodes stay where they are while edges come
    assert page.page.evaluate("window.grokscope.cy().nodes().map((n) => n.position())") == before


def test_size_is_a_slider_and_keeps_the_step(look, answers):
    page = look("step=30")
    page.at("size-slider").focus()
    page.page.keyboard.press("ArrowLeft")
    page.until("window.grokscope.state().model === 'l2-h2'")
    page.until("window.grokscope.cy().nodes().length === 8")
    assert page.state()["step"] == 30
    page.page.wait_for_timeout(200)
    assert set(page.drawn()) == largest(answers, "l2-h2", 30, 100)


def test_a_threshold_the_circuit_and_a_node_s_ways_leave_edges_away(look, answers):
    page = look()
    page.at("threshold").fill("1.5")
    page.at("threshold").press("Enter")
    page.until("window.grokscope.state().threshold === 1.5")
    page.page.wait_for_timeout(200)
    values, graph = answers.values(LARGE, 110), answers.graphs[LARGE]
    above = {str(graph.edge(*place)) for place in np.argwhere(np.abs(values) >= 1.5)}
    assert set(page.drawn()) == above
    page.at("threshold").fill("")
    page.at("threshold").press("Enter")
    page.at("circuit").check()
    page.page.wait_for_timeout(300)
    inside = {str(graph.edge(*place)) for place in np.argwhere(np.abs(values) > 1)}
    assert set(page.drawn()) == inside
    page.at("search").fill("L1.H0")
    page.at("search").press("Enter")
    page.at("focus").check()
    page.page.wait_for_timeout(300)
    led = set(page.drawn())
    assert led < inside
    assert led == {name for name in inside if " -> L1.H0." in name or "L1.H0 ->" in name} | {
        name for name in led if " -> L1.H0." not in name and "L1.H0 ->" not in name
    }
    assert not any(name.startswith("L1.H1") or " L1.H1." in name for name in led)  # beside it, not before or after


def test_a_node_is_told_of_when_it_is_clicked(look):
    page = look()
    page.tap("L0.H1")
    page.until("window.grokscope.state().selected === 'L0.H1'")
    panel = page.at("panel")
    panel.get_by_text("Roles").wait_for()
    said = panel.inner_text()
    assert "+1.25 [+0.75, +1.75] logit_difference" in said
    assert "previous token" in said
    assert page.at("pattern").count() == 1
    # what looks like a tag is a token
    assert SCRIPT in said
    assert page.page.title() != "run"
    page.page.get_by_role("button", name="3", exact=True).click()
    page.until("window.grokscope.state().example === 3")
    page.tap("logits")
    panel.get_by_role("heading", name="logits").wait_for()


def test_an_edge_is_told_of_when_it_is_clicked_and_ablated_live(look, answers):
    name = max(largest(answers, LARGE, 110, 5), key=len)
    page = look("top=5")
    page.tap(name)
    page.until("(name) => window.grokscope.state().selected === name", argument=name)
    page.at("edge-change").wait_for()
    score = answers.values(LARGE, 110)[answers.graphs[LARGE].place(Edge.named(name))]
    rows = page.at("edge-change").inner_text()
    assert "64 pairs" in rows
    assert f"{abs(score):.3g}" in rows
    # another step asks again
    n = sum(asked == "edge" for asked, _ in answers.asked)
    page.page.get_by_role("button", name="Previous step").click()
    page.until("window.grokscope.state().step === 100")
    page.page.wait_for_timeout(300)
    assert sum(asked == "edge" for asked, _ in answers.asked) == n + 1


def test_a_prompt_is_run_and_its_answer_changes_without_a_node(look, answers):
    page = look("tab=prompt")
    page.at("predictions").wait_for()
    assert page.at("predictions").locator("tbody tr").first.inner_text().startswith("3")
    page.at("prompt-input").fill("1 2 nonsense")
    page.at("prompt-run").click()
    page.page.get_by_text("got nonsense; expected tokens of the task").wait_for()
    page.at("prompt-input").fill("1 3 =")
    page.at("prompt-input").press("Enter")
    page.at("predictions").wait_for()
    assert answers.asked[-1][1]["tokens"] == [1, 3, 4]
    page.tap("L0.MLP")
    page.until("window.grokscope.cy().nodes('.ablated').map((one) => one.data('name')).join() === 'L0.MLP'")
    page.until("document.querySelector('[data-testid=predictions] tbody tr').innerText.startsWith('1')")
    assert "without ablating" in page.at("predictions").inner_text()
    assert answers.asked[-1][1]["ablated"] == ["L0.MLP"]
    page.at("prompt-other").fill("3 3 =")
    page.at("prompt-run").click()
    page.page.wait_for_timeout(300)
    assert answers.asked[-1][1]["other"] == [3, 3, 4]
    page.tap("logits")
    page.page.get_by_text("logits cannot be ablated here").wait_for()
    page.page.get_by_role("button", name="Ablate L0.MLP no more").click()
    page.until("window.grokscope.state().ablated.length === 0")


def test_the_memorization_map_tells_each_question(look):
    page = look("tab=map&step=40")
    page.page.get_by_text("of 16 right at step 40").wait_for()
    canvas = page.at("map").locator("canvas").bounding_box()
    page.page.mouse.move(canvas["x"] + canvas["width"] * 0.9, canvas["y"] + canvas["height"] * 0.1)
    said = page.at("map").inner_text()
    assert f"{SCRIPT}, 3" in said
    assert "P(right) 75 %" in said
    assert "says 3, right" in said
    assert "shown 0 times" in said


def test_two_states_are_pinned_side_by_side_with_their_difference(look, answers):
    page = look("top=10&step=110")
    page.at("compare-select").select_option("l2-h4@0")
    page.at("difference").wait_for()
    before, now = (largest(answers, LARGE, step, 10) for step in (0, 110))
    for title, n in (("gained", len(now - before)), ("lost", len(before - now)), ("changed", len(now & before))):
        assert re.search(rf"{title}: {n or 'none'}\b", page.at("difference").inner_text()), title
    assert page.page.locator(".pinned .canvas canvas").count() > 0
    page.at("pin").click()
    page.until("window.grokscope.state().compare.step === 110")
    page.page.get_by_text("changed: none").wait_for()


def test_the_address_says_what_is_shown_and_brings_it_back(look, address):
    page = look("top=7&step=70&selected=L0.H0+-%3E+L1.H1.k&compare=l2-h2%4020&tab=prompt&prompt=1+2+%3D&ablated=L0.H0")
    shown = page.state()
    assert shown["selected"] == "L0.H0 -> L1.H1.k"
    assert shown["compare"] == {"model": "l2-h2", "step": 20}
    page.at("tab-part").click()
    page.until("!location.hash.includes('tab=')")
    page.page.reload()
    page.page.wait_for_selector("[data-ready]")
    assert page.state() == shown | {"tab": "part"}
    # an address that says what is not there shows what is
    wrong = look("model=nobody&step=12345&top=-3&compare=x%401")
    assert wrong.state()["model"] == LARGE
    assert wrong.state()["step"] == 110
    assert wrong.state()["compare"] is None


def test_pictures_and_the_python_call_are_saved(look, tmp_path):
    page = look("top=20&step=80&selected=L0.H1")
    for button, begin in (("export-png", b"\x89PNG"), ("export-svg", b"<svg")):
        with page.page.expect_download() as download:
            page.at(button).click()
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        assert file.read_bytes().startswith(begin)
        assert file.name.startswith("made-up-l2-h4-step80.")
    drawn = file.read_text()
    assert drawn.count("<path") == 20
    assert "L0.H1 -&gt;" in drawn
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.at("copy-python").click()
    page.page.get_by_text("Copied the Python call").wait_for()
    said = page.page.evaluate("navigator.clipboard.readText()")
    assert said == (
        'import circuits\n\ncircuits.view("runs/made-up", model="l2-h4", step=80, top=20, selected="L0.H1")'
    )
    page.at("tab-prompt").click()
    page.until("window.grokscope.state().tab === 'prompt'")
    page.page.wait_for_timeout(500)
    page.at("copy-python").click()
    page.until("navigator.clipboard.readText().then((text) => text.includes('tab=prompt'))")
    state = page.page.evaluate("location.hash.slice(1)")
    assert page.page.evaluate("navigator.clipboard.readText()") == (
        f'import circuits\n\nviewer = circuits.view("runs/made-up")\nviewer.state = "{state}"\nviewer'
    )


class Lacking(SyntheticAnswers):
    """The small model's edges cannot be told apart, and of the large one the scores of a step are lost."""

    def _run(self, asked):
        run = super()._run(asked)
        run.models[0].graph = None
        return run

    def _scores(self, asked):
        if asked.step == 50:
            raise ValueError("step: the scores at 50 are damaged")
        return super()._scores(asked)


def test_nothing_is_drawn_of_what_is_not_there(browser):
    with served(Lacking()) as address:
        page = Looker(browser, f"{address}#step=40")
        assert page.drawn()
        page.page.get_by_role("button", name="Next step").click()
        page.page.get_by_text("the scores at 50 are damaged").wait_for()
        assert page.drawn() == []  # and not what is at the step before
        page.page.get_by_role("button", name="Next step").click()
        page.until("window.grokscope.cy().edges(':visible').length > 0")
        assert page.at("status").inner_text() == ""
        page.at("size-slider").focus()
        page.page.keyboard.press("ArrowLeft")
        page.page.get_by_text("edges of l2-h2 cannot be told apart").wait_for()
        assert not page.at("graph").is_visible()
        page.page.keyboard.press("ArrowRight")
        page.at("graph").wait_for()
        page.problems.clear()  # the browser says of the damaged step what the page said
        page.close()


class Unscored(SyntheticAnswers):
    """Of models of which nothing says what to ask them."""

    def _run(self, asked):
        run = super()._run(asked)
        for model in run.models:
            model.scored = []
        return run.model_copy(update={"metric": None, "ablation": None})

    def _curves(self, asked):
        return super()._curves(asked).model_copy(update={"curves": [], "dates": {}})


def test_without_scores_nodes_can_be_looked_at(browser):
    answers = Unscored()
    with served(answers) as address:
        page = Looker(browser, address)
        page.page.wait_for_timeout(300)
        assert page.drawn() == []
        assert not page.at("timeline").is_visible()
        page.at("search").fill("L0.H1")
        page.at("search").press("Enter")
        page.at("panel").get_by_text("Roles").wait_for()
        assert "scores" not in {name for name, _ in answers.asked}
        page.close()


class Slow(SyntheticAnswers):
    """Takes its time over the curves of the small model."""

    def _curves(self, asked):
        if asked.model == "l2-h2":
            time.sleep(0.5)
        return super()._curves(asked).model_copy(update={"dates": {asked.model: 50.0}})


def test_curves_are_those_of_the_model_that_is_shown(browser):
    with served(Slow()) as address:
        page = Looker(browser, address)
        dates = page.at("timeline").locator("text.date")
        dates.first.wait_for()
        page.at("size-slider").focus()
        page.page.keyboard.press("ArrowLeft")
        page.until("window.grokscope.state().model === 'l2-h2'")
        page.page.wait_for_timeout(100)
        page.page.keyboard.press("ArrowRight")
        page.page.wait_for_timeout(800)
        assert dates.all_text_contents() == [LARGE]
        page.close()


def test_the_address_is_not_written_more_often_than_browsers_allow(look):
    page = look()
    page.page.evaluate(
        """() => {
            window.written = 0;
            const replace = history.replaceState.bind(history);
            history.replaceState = (...given) => { window.written++; replace(...given); };
        }"""
    )
    page.at("step-slider").focus()
    for _ in range(5):
        page.page.keyboard.press("ArrowLeft")
        page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("ArrowLeft")
    page.until("location.hash.includes('step=100')")
    assert 1 <= page.page.evaluate("window.written") <= 3


def test_a_run_that_goes_on_is_followed(browser):
    growing = SyntheticAnswers(n_steps=4)
    growing.running = True
    with served(growing) as address:
        page = Looker(browser, address)
        assert page.state()["step"] == 30
        growing.steps.append(40)
        growing.revision = "2"
        page.page.get_by_text("The run has grown: 5 steps").wait_for(timeout=15_000)
        page.until("window.grokscope.state().step === 40")
        page.close()


def share_of_range(values):
    """From 0 at the first to 1 at the last."""
    return ((values - values[0]) / (values[-1] - values[0])).tolist()


def heights(page, model):
    """The line of a model in the chart of a part's history, likewise: pixels go with the number that they stand for."""
    chart = page.at("panel").locator("svg[aria-label^='Score of']")
    models = page.at("panel").locator("svg[aria-label^='Score of'] + .key span").all_inner_texts()
    drawn = chart.locator("path.line").nth(models.index(model)).get_attribute("d")
    return share_of_range(np.array([float(place.split(" ")[1]) for place in re.split("[ML]", drawn)[1:]]))


def test_a_saved_file_opens_by_itself_and_says_what_it_lacks(browser, tmp_path):
    answers = SyntheticAnswers()
    file = tmp_path / "saved.html"
    write_page(answers, str(file))
    page = Looker(browser, file.as_uri())
    page.at("step-slider").focus()
    page.page.keyboard.press("ArrowLeft")
    page.until("window.grokscope.state().step === 100")
    page.page.keyboard.press("ArrowRight")
    graph, edge = answers.graphs[LARGE], min(largest(answers, LARGE, 110, 100), key=str)
    values = np.array([answers.values(LARGE, step) for step in answers.steps])
    page.at("search").fill("L0.H1")
    page.at("search").press("Enter")
    page.at("panel").get_by_text("Roles").wait_for()
    places = np.argwhere(graph.mask)
    touching = [place for place in places if "L0.H1" in re.split(r" -> |\.[qkv]$", str(graph.edge(*place)))]
    sizes = np.abs(values[:, *np.transpose(touching)]).sum(axis=1)
    assert heights(page, LARGE) == pytest.approx(share_of_range(sizes), abs=0.01)
    page.page.get_by_text("Edges drawn: ").click()
    page.page.get_by_role("button", name=edge, exact=True).click()
    page.page.get_by_text("Score over steps").wait_for()
    of_edge = values[:, *graph.place(Edge.named(edge))]
    assert heights(page, LARGE) == pytest.approx(share_of_range(of_edge), abs=0.01)
    page.at("tab-prompt").click()
    page.at("predictions").wait_for()
    page.at("prompt-input").fill("1 3 =")
    page.at("prompt-input").press("Enter")
    page.page.get_by_text("not in the saved file").wait_for()
    page.at("tab-map").click()
    page.page.get_by_text("of 16 right").wait_for()
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_controls_have_names_and_what_is_written_can_be_read(look, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    for hash, size in (
        ("selected=L0.H1", (1280, 800)),
        ("tab=prompt&compare=l2-h2%4020", (640, 800)),
        ("tab=map", (640, 800)),
    ):
        page = look(hash, size=size, color_scheme=scheme)
        page.page.wait_for_timeout(500)
        found = axe.Axe().run(page.page).response["violations"]
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == []
        # nothing is wider than the window
        assert page.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_every_part_can_be_reached_by_keys(look):
    page = look("top=3")
    page.page.get_by_text("Edges drawn: ").click()
    first = page.at("edge-table").get_by_role("button").first
    first.focus()
    page.page.keyboard.press("Enter")
    name = first.inner_text()
    page.until("(name) => window.grokscope.state().selected === name", argument=name)
    page.page.wait_for_timeout(200)
    # the list was written anew, and whoever was at an edge in it still is
    assert page.page.evaluate("document.activeElement.textContent") == name
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_pictures_differ_by_scheme_and_are_not_blank(browser, address, tmp_path):
    light, dark = take(browser, address, tmp_path, "selected=L0.H1")
    assert min(light.stat().st_size, dark.stat().st_size) > 40_000
    assert light.read_bytes() != dark.read_bytes()
