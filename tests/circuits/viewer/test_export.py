"""The saved file: it answers what the page asks of what it lists, it is safe, and it is as large as it may be."""

import base64
import hashlib
import json
import math
import re
import sys
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace
from urllib.parse import parse_qsl

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from circuits.viewer.commands import export
from circuits.viewer.messages import QUESTIONS, Run
from circuits.viewer.page import bundle_file
from circuits.viewer.saved.encoding import answer_json, key_of, script_json
from circuits.viewer.saved.export import write_page
from circuits.viewer.saved.recording import spread
from probe.storage import read_bytes, readable_size
from tests.circuits.viewer.fake_answers import CIRCUIT, EDGES, ODD, SOURCES, FakeAnswers


class Scripts(HTMLParser):
    """Elements of a page, and the text of its scripts and styles."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.within = [], [], False

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style", "title"):
            self.texts.append([tag, dict(attrs), ""])
            self.within = True

    def handle_endtag(self, tag):
        self.within = False

    def handle_data(self, data):
        if self.within:
            self.texts[-1][2] += data


def read(path):
    parsed = Scripts()
    parsed.feed(path.read_text("utf-8"))
    return parsed


def data_of(path):
    (text,) = [text for tag, attrs, text in read(path).texts if attrs.get("id") == "grokscope-data"]
    return json.loads(text)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "run.html"
    answers = FakeAnswers()
    written = write_page(answers, str(path))
    assert written == path.stat().st_size
    return path


def parameters_of(key):
    name, _, said = key.partition("?")
    return name, dict(parse_qsl(said, keep_blank_values=True))


def test_it_answers_what_its_run_lists(saved):
    data = data_of(saved)
    run = Run.model_validate(data["run"])
    assert not run.live
    assert not run.running
    assert any("saved file" in note for note in run.notes)
    asked = {("run", ())}
    for model in run.models:
        assert model.steps == model.scored
        asked.add(("curves", (("model", model.name),)))
        for step in model.steps:
            at = (("model", model.name), ("step", str(step)))
            example = ",".join(map(str, run.task.example))
            asked |= {("scores", at), ("map", at), ("forward", (*at, ("tokens", example)))}
            asked |= {("edge", (("edge", edge), *at)) for edge in CIRCUIT}
            asked |= {("node", (*at[:1], ("node", node), *at[1:])) for node in [*SOURCES, "logits"]}
    found = {(name, tuple(sorted(given.items()))) for name, given in map(parameters_of, data)}
    assert found == asked


def test_answers_are_those_of_the_run_to_five_digits(saved):
    answers = FakeAnswers()
    for key, told in data_of(saved).items():
        name, given = parameters_of(key)
        if name == "run":
            continue
        if "tokens" in given:
            given["tokens"] = [int(token) for token in given["tokens"].split(",")]
        said = QUESTIONS[name][1].model_validate(told)
        wanted = answers.answer(name, given)
        assert json.loads(answer_json(said)) == told
        assert told == json.loads(answer_json(wanted))
    scores = data_of(saved)["scores?model=d16-s0&step=20"]
    assert scores["values"][:2] == [2.8571, 3]
    assert scores["high"] is None


def test_keys_are_as_the_page_writes_them():
    edge = {"edge": "L0.H1 -> L1.H0.k", "model": "d16-s0", "step": 20}
    assert key_of("run", {}) == "run"
    assert key_of("edge", dict(reversed(edge.items()))) == "edge?edge=L0.H1%20-%3E%20L1.H0.k&model=d16-s0&step=20"
    node = {"node": "L0.H1", "model": "a b&c=d/é!'()*~", "step": 0}
    at = "node?{}model=a%20b%26c%3Dd%2F%C3%A9!'()*~&node=L0.H1&step=0"
    assert key_of("node", node) == key_of("node", node | {"example": 0}) == at.format("")
    assert key_of("node", node | {"example": 3}) == at.format("example=3&")
    prompt = {"model": "a", "step": 0, "tokens": [3, 1, 4], "ablated": []}
    assert key_of("forward", prompt) == "forward?model=a&step=0&tokens=3%2C1%2C4"
    with pytest.raises(ValueError, match="name: got 'nodes'; expected one of run, "):
        key_of("nodes", node)
    with pytest.raises(ValueError, match="edge"):
        key_of("node", edge)


def test_what_is_in_a_run_stays_data(saved):
    """A name and tokens with an end of a script element in them."""
    page = read(saved)
    assert "alert(1)</script>" not in saved.read_text("utf-8")
    assert not any("\u2028" in text for tag, _, text in page.texts if tag == "script")
    scripts = [attrs for tag, attrs in page.elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "grokscope-data"}, {"type": "module"}]
    data = data_of(saved)
    assert data["run"]["name"] == ODD
    assert data["run"]["task"]["tokens"][-1] == ODD
    assert [unescape(text) for tag, _, text in page.texts if tag == "title"] == [ODD]


def test_nothing_is_fetched_and_no_other_script_runs(saved):
    page = read(saved)
    for tag, attrs in page.elements:
        assert "src" not in attrs
        assert attrs.get("href", "data:,") == "data:,", tag
    (policy,) = [attrs["content"] for tag, attrs in page.elements if "http-equiv" in attrs]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    (script,) = [text for tag, attrs, text in page.texts if attrs.get("type") == "module"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'"
    # before anything that it is about
    tags = [tag for tag, attrs in page.elements]
    assert tags.index("meta") < tags.index("style")
    assert page.elements[tags.index("meta")][1] == {"charset": "utf-8"}


def test_the_front_end_is_in_it(saved):
    page = read(saved)
    (script,) = [text for tag, attrs, text in page.texts if attrs.get("type") == "module"]
    bundle = bundle_file("viewer.js").decode()
    body = bundle[: bundle.rindex("export")]
    assert script.startswith(body)
    assert re.search(r"mount: \w+", script[len(body) :])
    assert "export" not in script[len(body) :]
    assert f"<!--\n{bundle_file('LICENSES.txt').decode()}\n-->" in saved.read_text("utf-8")  # as the licenses ask
    (style,) = [text for tag, _, text in page.texts if tag == "style"]
    assert style == bundle_file("viewer.css").decode()


def test_only_some_models_and_steps(tmp_path):
    path = tmp_path / "some.html"
    answers = FakeAnswers({"a": list(range(0, 100, 10)), "b": [5]})
    write_page(answers, str(path), models=["a"], n_steps=3, live=False)
    data = data_of(path)
    (model,) = data["run"]["models"]
    assert (model["name"], model["steps"]) == ("a", [0, 40, 90])
    assert {name for name, _ in map(parameters_of, data)} == {"run", "curves", "scores"}
    assert [given["step"] for name, given in map(parameters_of, data) if name == "scores"] == ["0", "40", "90"]
    assert {name for name, _ in answers.asked} == {"run", "curves", "scores"}


def test_steps_without_scores_and_models_without_any(tmp_path):
    """Of a model with scores, its scored steps are kept; of one without, all, for what is computed on it."""
    path = tmp_path / "some.html"
    answers = FakeAnswers({"a": [0, 10, 20, 30], "b": [0, 5]}, scored={"a": [10, 30], "b": []})
    write_page(answers, str(path))
    data = data_of(path)
    assert [(model["steps"], model["scored"]) for model in data["run"]["models"]] == [
        ([10, 30], [10, 30]),
        ([0, 5], []),
    ]
    asked = list(map(parameters_of, data))
    assert [given["step"] for name, given in asked if name == "scores"] == ["10", "30"]
    assert {(given["model"], given["step"]) for name, given in asked if name == "node"} == {
        ("a", "10"),
        ("a", "30"),
        ("b", "0"),
        ("b", "5"),
    }
    assert {given["model"] for name, given in asked if name == "edge"} == {"a"}


def test_without_a_model_at_hand_nothing_is_computed(tmp_path):
    answers = FakeAnswers(live=False)
    write_page(answers, str(tmp_path / "run.html"))
    assert {name for name, _ in answers.asked} == {"run", "curves", "scores"}


def test_it_may_be_written_to_a_store():
    written = write_page(FakeAnswers(), "memory://export/run.html", live=False)
    assert len(read_bytes("memory://export/run.html")) == written


def test_a_file_may_be_as_large_as_it_is_and_no_less(tmp_path):
    path = tmp_path / "run.html"
    least = write_page(FakeAnswers(), str(path), live=False)
    assert write_page(FakeAnswers(), str(path), live=False, max_mb=least / 1e6) == least
    path.write_text("old")
    with pytest.raises(ValueError, match=r"max_mb: got .* the file would have .*; expected fewer models or steps"):
        write_page(FakeAnswers(), str(path), live=False, max_mb=(least - 1) / 1e6)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["run.html"]


def test_answers_of_models_fill_the_room_that_is_left(tmp_path):
    path = tmp_path / "run.html"
    least = write_page(FakeAnswers(), str(path), live=False)
    most = write_page(FakeAnswers(), str(path))
    n_most = len(data_of(path))
    room = (least + most) // 2
    assert room - 2500 < write_page(FakeAnswers(), str(path), max_mb=room / 1e6) <= room
    data = data_of(path)
    assert 0 < len(data) < n_most
    assert any(re.search(r"Of 45 answers that models give it has \d+\.", note) for note in data["run"]["notes"])
    # the last step of each model comes first
    last = {"d16-s0": "40", "d32-s0": "20"}
    live = [given for name, given in map(parameters_of, data) if QUESTIONS[name][2]]
    turns = [given["step"] == last[given["model"]] for given in live]
    assert turns == sorted(turns, reverse=True)
    assert True in turns


def test_the_last_steps_come_first(tmp_path):
    path = tmp_path / "run.html"
    write_page(FakeAnswers({"a": list(range(0, 100, 10)), "b": [5, 6]}), str(path))
    steps = [(given["model"], int(given["step"])) for name, given in map(parameters_of, data_of(path)) if name == "map"]
    assert steps == [("a", 90), ("b", 6), ("a", 80), ("b", 5), ("a", 50), ("a", 30), ("a", 0)]


def test_an_answer_that_a_model_does_not_give_is_left_out(tmp_path):
    answers, path = FakeAnswers(), tmp_path / "run.html"

    def only_heads(asked):
        if asked.node == "logits":
            raise ValueError("node: got 'logits'; expected a head")
        return FakeAnswers.node(answers, asked)

    answers.node = only_heads
    write_page(answers, str(path))
    data = data_of(path)
    assert [given["node"] for name, given in map(parameters_of, data) if name == "node"].count("embed") == 5
    assert not any(given.get("node") == "logits" for _, given in map(parameters_of, data))
    assert "Of 45 answers that models give it has 40." in data["run"]["notes"]


def test_a_file_is_not_written_without_what_the_run_should_answer(tmp_path):
    answers = FakeAnswers()

    def broken(asked):
        raise ValueError("model: d16-s0 has no curves")

    answers.curves = broken
    with pytest.raises(ValueError, match="has no curves"):
        write_page(answers, str(tmp_path / "run.html"))
    assert list(tmp_path.iterdir()) == []


def test_mistakes_name_the_field(tmp_path):
    with pytest.raises(ValueError, match="models: got 'c'; expected one of d16-s0, d32-s0"):
        write_page(FakeAnswers(), str(tmp_path / "a.html"), models=["c"])
    with pytest.raises(ValueError, match="steps: got 0; expected at least 1"):
        write_page(FakeAnswers(), str(tmp_path / "a.html"), n_steps=0)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=1, max_size=80).map(sorted), st.integers(1, 100))
def test_steps_are_spread_evenly(steps, n):
    kept = spread(steps, n)
    assert len(kept) == min(n, len(steps))
    assert kept[-1] == steps[-1]
    places = [steps.index(step) for step in kept]
    if n > 1:
        assert kept[0] == steps[0]
        gaps = [after - before for before, after in pairwise(places)]
        assert not gaps or max(gaps) - min(gaps) <= 1
    assert spread(steps, None) == steps


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda one: st.lists(one) | st.dictionaries(st.text(), one),
    )
)
@settings(max_examples=50)
def test_json_in_a_script_is_the_same_json(value):
    text = script_json(value)
    assert json.loads(text) == value
    assert not set("<\u2028\u2029") & set(text)


@given(st.floats())
def test_numbers_keep_five_digits(value):
    answer = FakeAnswers().answer("scores", {"model": "d16-s0", "step": 0}).model_copy(update={"faithfulness": value})
    told = json.loads(answer_json(answer))["faithfulness"]
    if not math.isfinite(value):
        assert told is None
    elif abs(value) < 1.7976e308:  # the largest number that stays one when it is rounded
        assert told == pytest.approx(value, rel=5.1e-5, abs=0)
        assert len(json.dumps(told).lstrip("-")) <= len("1000000000000000.0")


def test_edges_are_named_in_the_order_of_their_scores(saved):
    data = data_of(saved)
    graph = data["run"]["models"][0]["graph"]
    names = [
        f"{source} -> {destination}"
        for destination, n in zip(graph["destinations"], graph["n_before"], strict=True)
        for source in graph["sources"][:n]
    ]
    assert names == EDGES
    inside = data["scores?model=d16-s0&step=40"]["inside"]
    assert [name for name, one in zip(names, inside, strict=True) if one] == CIRCUIT


def command(monkeypatch, *arguments):
    stub = SimpleNamespace(Answers=SimpleNamespace(of=lambda address, *, device: FakeAnswers()))
    monkeypatch.setitem(sys.modules, "circuits.viewer.answers", stub)
    app = typer.Typer()
    app.command()(export)
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_command_writes_the_file_and_says_how_large_it_is(monkeypatch, tmp_path):
    path = tmp_path / "run.html"
    said = command(monkeypatch, "runs/one", "-o", path, "--models", "d16-s0, d32-s0", "--steps", 2, "--no-live")
    assert said.exit_code == 0, said.output
    assert said.stdout == f"{path}: {readable_size(path.stat().st_size)}\n"
    assert [model["steps"] for model in data_of(path)["run"]["models"]] == [[0, 40], [0, 20]]
    assert not any(name == "node" for name, _ in map(parameters_of, data_of(path)))
    live = command(monkeypatch, "runs/one", "--out", path)
    assert live.exit_code == 0, live.output
    assert any(name == "node" for name, _ in map(parameters_of, data_of(path)))


def test_the_command_says_mistakes_in_words(monkeypatch, tmp_path):
    path = tmp_path / "run.html"
    for more, words in [
        (("--models", "d16-s0,nobody"), "error: models: got 'nobody'; expected one of d16-s0, d32-s0"),
        (("--max-mb", "0.001"), "error: max_mb: got 0.001, and the file would have "),
    ]:
        said = command(monkeypatch, "runs/one", "-o", path, *more)
        assert said.exit_code == 1
        assert words in said.stderr
    assert not path.exists()
