"""What is told of a run against its results table, its arrays and its models; a run that goes on; suites alone."""

import json
import math
import shutil

import numpy as np
import pytest

import probe
from circuits import Graph, eap_ig, formation_of, logit_difference, pairs_from_task
from circuits.viewer import answers as answers_module
from circuits.viewer import stored_map
from circuits.viewer.answers import Answers
from circuits.viewer.edge_scores import places_of
from circuits.viewer.messages import QUESTIONS, Curve, Map, Scores
from circuits.viewer.questions import thinned
from probe.scaling.transitions import transitions
from tests.circuits.viewer.small_run import ARGUMENTS, BATCH, FACTS, made

SMALL, LARGE = "d8-s0", "d12-s0"
STEPS = [0, 60, 120, 180]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made(BATCH, tmp_path_factory.mktemp("small") / "run")


@pytest.fixture(scope="module")
def answers(folder):
    return Answers.of(folder)


@pytest.fixture(scope="module")
def results(folder):
    return probe.results(folder)


@pytest.fixture(scope="module")
def graphs(folder):
    suite = probe.open_suite(f"{folder}/suite")
    return {name: Graph.of(suite[name, 0].load()) for name in suite.models}


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    return made(FACTS, tmp_path_factory.mktemp("facts") / "run")


def copied(folder, tmp_path, without=()):
    """A copy of a run that lacks some files."""
    to = tmp_path / "copy"
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(*without))
    return to


def test_run_tells_what_there_is(answers, folder, graphs):
    run = answers.answer("run", {})
    assert [(model.name, model.steps, model.scored) for model in run.models] == [
        (SMALL, STEPS, STEPS),
        (LARGE, STEPS, STEPS),
    ]
    for model in run.models:
        graph = graphs[model.name]
        assert (model.graph.sources, model.graph.destinations) == (
            list(graph.source_names),
            list(graph.destination_names),
        )
        assert model.graph.n_before == graph.n_before.tolist()
        assert (model.graph.n_layers, model.graph.n_heads) == (graph.n_layers, graph.n_heads)
    assert run.models[0].n_params < run.models[1].n_params
    assert (run.name, run.address, run.metric, run.ablation) == ("small", folder, "logit_difference", "mean")
    assert (run.live, run.running, run.notes) == (True, False, [])
    assert (run.task.family, run.task.title, run.task.n_examples, run.task.mapped) == (
        "modular",
        "a+b mod 11",
        121,
        True,
    )
    assert run.task.tokens == [*map(str, range(11)), "="]
    task = probe.open_suite(f"{answers._opened.address}/suite").by_name[SMALL].task
    asked = task.tokens.tolist().index(run.task.example)
    assert not task.train_mask[asked]
    assert task.train_mask[:asked].all()


@pytest.mark.parametrize("model", [SMALL, LARGE])
def test_scores_are_those_of_the_run_in_the_order_of_edges(answers, folder, results, graphs, model):
    stored = probe.arrays(folder, model, "circuit_edge_scores")
    graph = graphs[model]
    order = [(s, d) for d, n in enumerate(graph.n_before) for s in range(n)]
    for step in STEPS:
        told = answers.answer("scores", {"model": model, "step": str(step)})  # as in an address
        assert told.values == [float(stored.sel(step=step)[s, d]) for s, d in order]
        rows = results[
            (results.model == model) & (results.step == step) & (results.probe == "circuit_formation")
        ].set_index(["metric", "key"])["value"]
        inside = rows["in_circuit"]
        assert told.inside == [inside.get(str(graph.edge(s, d)), 0.0) == 1 for s, d in order]
        assert any(told.inside)
        expected = {
            "faithfulness": ("faithfulness", "own"),
            "low": ("faithfulness_low", "own"),
            "high": ("faithfulness_high", "own"),
            "random": ("faithfulness", "random"),
            "metric_whole": ("metric", "whole"),
            "metric_none": ("metric", "none"),
        }
        for field, place in expected.items():
            value = rows[place]
            assert getattr(told, field) == (value if math.isfinite(value) else None), field


def test_history_of_an_edge_and_of_a_node(answers, folder, results, graphs):
    edge = "L0.H1 -> L0.MLP"
    told = answers.answer("history", {"name": edge})
    assert [line.model for line in told.lines] == [SMALL, LARGE]
    for line in told.lines:
        graph, stored = graphs[line.model], probe.arrays(folder, line.model, "circuit_edge_scores")
        place = next((s, d) for s, d in np.argwhere(graph.mask) if str(graph.edge(s, d)) == edge)
        assert line.step == STEPS
        assert line.score == [float(value) for value in stored[:, place[0], place[1]]]
        mine = results[(results.model == line.model) & (results.metric == "in_circuit") & (results.key == edge)]
        assert line.inside == [step in set(mine[mine.value == 1].step) for step in STEPS]
    for node in ("embed", "L0.H1", "L0.MLP", "logits", "L1.H0"):
        told = answers.answer("history", {"name": node})
        assert [line.model for line in told.lines] == ([LARGE] if node.startswith("L1") else [SMALL, LARGE])
        for line in told.lines:
            graph, stored = graphs[line.model], probe.arrays(folder, line.model, "circuit_edge_scores")
            touching = [
                tuple(place)
                for place in np.argwhere(graph.mask)
                if node in (str(graph.edge(*place).source), str(graph.edge(*place).destination))
            ]
            assert line.inside is None
            for step, score in zip(line.step, line.score, strict=True):
                values = stored.sel(step=step).to_numpy()
                assert score == pytest.approx(sum(abs(float(values[place])) for place in touching), rel=1e-6)


def test_places_of_a_part_are_edges(graphs):
    graph = graphs[LARGE]
    assert places_of(graph, "L1.MLP").sum() == graph.n_before[graph.destination_names.index("L1.MLP")] + 1
    assert not (places_of(graph, "L1.H0") & ~graph.mask).any()
    assert not places_of(graph, "L1.H0 -> L0.MLP").any()
    assert not places_of(graph, "L2.H0").any()


def test_curves_and_dates(answers, results):
    told = answers.answer("curves", {"model": SMALL})
    by_name = {curve.name: curve for curve in told.curves}
    rows = results[results.model == SMALL]

    def over_steps(of, metric, key):
        chosen = rows[(rows.probe == of) & (rows.metric == metric) & (rows.key == key)].sort_values("step")
        return chosen["value"].tolist()

    places = {
        "test accuracy": ("performance", "accuracy", "test", "accuracy", "share right"),
        "train accuracy": ("performance", "accuracy", "train", "accuracy", "share right"),
        "test loss": ("performance", "loss", "test", "loss", "nats"),
        "train loss": ("performance", "loss", "train", "loss", "nats"),
        "sum-FVE": ("fourier_progress", "sum_fve", "", "variance", "share of variance"),
        "faithfulness of random circuits": ("circuit_formation", "faithfulness", "random", "circuit", "share"),
        "edges shared with the final circuit": ("circuit_formation", "jaccard", "", "circuit", "share"),
    }
    for name, (of, metric, key, group, unit) in places.items():
        curve = by_name[name]
        assert (curve.step, curve.group, curve.unit) == (STEPS, group, unit)
        assert curve.value == pytest.approx(over_steps(of, metric, key))
        assert curve.low is None
        assert curve.high is None
    for name, key in (("final circuit", "final"), ("circuit found here", "own")):
        curve = by_name[f"faithfulness of the {name}"]
        for end, values in (("", curve.value), ("_low", curve.low), ("_high", curve.high)):
            expected = over_steps("circuit_formation", f"faithfulness{end}", key)
            assert values == [value if math.isfinite(value) else None for value in expected]
            assert values[-1] is not None
    dated = transitions(results).set_index("model").loc[SMALL]
    faithful = formation_of(results).models.set_index("model").loc[SMALL, "faithful_step"]
    expected = [dated["memorized_step"], dated["generalized_step"], faithful]
    assert list(told.dates) == ["memorized", "generalized", "circuit faithful"]
    assert list(told.dates.values()) == [None if math.isnan(step) else step for step in expected]
    assert None not in (told.dates["memorized"], told.dates["circuit faithful"])


def test_dates_are_those_of_the_model(folder):
    asked = Answers.of(folder)
    asked.answer("run", {})
    asked._opened.look(anew=False).formation.models["faithful_step"] = [60.0, math.nan]
    dates = [asked.answer("curves", {"model": model}).dates["circuit faithful"] for model in (SMALL, LARGE)]
    assert dates == [60.0, None]


def test_live_scores_of_a_run_are_of_its_own_pairs(answers):
    """The mean of what is computed of an edge is what the batch stored."""
    run = answers.answer("run", {})
    names = [
        f"{source} -> {destination}"
        for destination, n in zip(run.models[1].graph.destinations, run.models[1].graph.n_before, strict=True)
        for source in run.models[1].graph.sources[:n]
    ]
    stored = answers.answer("scores", {"model": LARGE, "step": 180})
    for edge in ("embed -> L0.H0.v", "L0.MLP -> L1.MLP", "L1.H1 -> logits"):
        told = answers.answer("edge", {"model": LARGE, "step": 180, "edge": edge})
        assert told.score.mean == pytest.approx(stored.values[names.index(edge)], rel=1e-4, abs=1e-6)
        assert (told.metric, told.ablation, told.score.n) == ("logit_difference", "mean", ARGUMENTS["n_pairs"])
        assert told.whole.mean == pytest.approx(stored.metric_whole, rel=1e-5)


def test_a_run_is_followed(folder, tmp_path):
    whole = Answers.of(folder).answer("run", {})
    growing = copied(folder, tmp_path, ["*.parquet", "step_00000120.safetensors", "step_00000180.safetensors"])
    asked = Answers.of(growing)
    seen = [asked.answer("run", {})]
    assert (seen[0].running, [model.steps for model in seen[0].models]) == (True, [[0, 60], [0, 60]])
    assert [model.scored for model in seen[0].models] == [[], []]
    assert asked.answer("run", {}) == seen[0]
    assert asked.answer("curves", {"model": SMALL}).curves == []
    with pytest.raises(ValueError, match="step: d8-s0 has no edge scores at 60; it has none yet"):
        asked.answer("scores", {"model": SMALL, "step": 60})
    shutil.copytree(f"{folder}/suite", growing / "suite", dirs_exist_ok=True)
    seen.append(asked.answer("run", {}))
    assert (seen[1].running, seen[1].models[0].steps, seen[1].models[0].scored) == (True, STEPS, [])
    files = sorted((growing.parent / folder / "results").iterdir())
    for file in files[:-1]:
        shutil.copy(file, growing / "results" / file.name)
    assert asked.answer("curves", {"model": SMALL}).curves == []  # until `run` is asked, nothing changes
    seen.append(asked.answer("run", {}))
    assert seen[2].running
    shutil.copy(files[-1], growing / "results" / files[-1].name)
    seen.append(asked.answer("run", {}))
    assert seen[3] == whole.model_copy(update={"address": str(growing)})
    assert asked.answer("curves", {"model": SMALL}).curves
    assert len({run.revision for run in seen}) == 4


def test_results_that_were_left_do_not_end_a_run(folder, tmp_path):
    """As many results as there are units, and one more, one of which is of something else."""
    growing = copied(folder, tmp_path)
    files = sorted((growing / "results").iterdir())
    assert not Answers.of(growing).answer("run", {}).running
    shutil.copy(files[0], growing / "results" / f"{'0' * 64}.parquet")
    assert not Answers.of(growing).answer("run", {}).running
    shutil.copy(files[0], growing / "results" / f"{'1' * 64}.parquet")
    files[1].unlink()
    assert Answers.of(growing).answer("run", {}).running


def test_training_that_was_stopped_is_told_and_not_waited_for(folder, tmp_path):
    stopped = copied(folder, tmp_path, ["step_00000180.safetensors"])
    asked = Answers.of(stopped)
    first = asked.answer("run", {})
    assert (first.running, first.notes) == (True, [])
    for model in (SMALL, LARGE):
        reason = {"step": 180, "reason": f"the loss of {model} was nan"}
        (stopped / "suite" / model / "stopped.json").write_text(json.dumps(reason))
    then = asked.answer("run", {})
    assert then.notes == [f"Training of {model} was stopped: the loss of {model} was nan" for model in (SMALL, LARGE)]
    assert then.revision != first.revision


def test_a_run_that_has_no_model_yet(folder, tmp_path):
    shutil.copy(f"{folder}/batch.yaml", tmp_path)
    asked = Answers.of(tmp_path)
    run = asked.answer("run", {})
    assert (run.models, run.task, run.metric, run.live, run.running) == ([], None, None, False, True)
    assert any("still to be trained" in note for note in run.notes)
    with pytest.raises(ValueError, match="model: got 'd8-s0'"):
        asked.answer("curves", {"model": SMALL})


def test_a_suite_without_a_run_is_scored_when_asked(folder, graphs, monkeypatch):
    asked = Answers.of(f"{folder}/suite")
    run = asked.answer("run", {})
    assert (run.name, run.metric, run.ablation, run.running) == ("suite", "logit_difference", "corrupted", False)
    assert [model.scored for model in run.models] == [STEPS, STEPS]
    assert any("computed when asked" in note for note in run.notes)
    assert any("performance" in note for note in run.notes)
    assert asked.answer("curves", {"model": SMALL}).model_dump() == {"model": SMALL, "curves": [], "dates": {}}
    checkpoint = probe.open_suite(f"{folder}/suite")[LARGE, 120]
    pairs = pairs_from_task(checkpoint.task, 64)
    expected = eap_ig(checkpoint.load(), pairs, logit_difference, steps=5)
    told = asked.answer("scores", {"model": LARGE, "step": 120})
    graph = graphs[LARGE]
    order = [(s, d) for d, n in enumerate(graph.n_before) for s in range(n)]
    assert told.values == pytest.approx([expected.values[place] for place in order], rel=1e-5, abs=1e-7)
    assert told.metric_whole == pytest.approx(expected.clean.mean(), rel=1e-6)
    assert told.metric_none == pytest.approx(expected.corrupted.mean(), rel=1e-5)
    assert (told.inside, told.faithfulness, told.low, told.high, told.random) == (None,) * 5
    history = asked.answer("history", {"name": "L0.H0 -> logits"})
    assert [(line.model, line.step) for line in history.lines] == [(SMALL, []), (LARGE, [120])]
    assert history.lines[1].score == [pytest.approx(expected.values[graph.source_names.index("L0.H0"), -1], rel=1e-5)]
    assert history.lines[1].inside is None

    def computed(at):
        raise AssertionError("computed again")

    monkeypatch.setattr(answers_module, "computed_scores", computed)
    assert asked.answer("scores", {"model": LARGE, "step": 120}) == told


def test_computed_scores_are_kept_of_so_many(folder, monkeypatch):
    monkeypatch.setattr(answers_module, "KEPT_COMPUTED", 2)
    asked = Answers.of(f"{folder}/suite")
    for step in (0, 60, 0, 120):
        asked.answer("scores", {"model": SMALL, "step": step})
    lines = asked.answer("history", {"name": "embed"}).lines
    assert lines[0].step == [0, 120]


def test_a_run_without_scores_says_how_to_have_them(facts):
    run = Answers.of(facts).answer("run", {})
    assert run.models[0].scored == [0, 10, 20]
    assert [note for note in run.notes if "circuit_formation" in note]
    assert (run.task.title, run.task.mapped) == ("60 facts about 30 subjects", True)


def test_map_over_steps_is_what_recall_recorded(facts):
    asked = Answers.of(facts)
    told = asked.answer("map", {"model": SMALL, "step": 10})
    stored = {
        what: probe.arrays(facts, SMALL, f"recall_{what}").to_numpy()
        for what in ("exposures", "log_prob", "exact", "predicted")
    }
    task = probe.open_suite(f"{facts}/suite").by_name[SMALL].task
    shown = stored["exposures"][-1]
    rows = sorted(range(len(shown)), key=lambda row: (-shown[row], row))
    assert (told.kind, told.columns, told.column_title) == ("steps", ["0", "10", "20"], "training step")
    assert told.row_title == "120 questions, most shown first"
    assert len(set(shown)) > 2
    for place, row in enumerate(rows):
        assert told.exposures[place] == stored["exposures"][:, row].tolist()
        assert told.right[place] == pytest.approx(np.exp(stored["log_prob"][:, row]).tolist())
        assert told.correct[place] == (stored["exact"][:, row] == 1).tolist()
        assert told.held_out[place] == [not task.train_mask[row]] * 3
        assert told.answer[place] == [f"r{value // 4}={value % 4}" for value in stored["predicted"][:, row, 0]]
    assert told.rows[0].split()[task.tokens[rows[0]].argmax()].startswith("r")


def test_many_rows_are_thinned(facts, monkeypatch):
    asked = Answers.of(facts)
    whole = asked.answer("map", {"model": SMALL, "step": 10})
    monkeypatch.setattr(stored_map, "MOST_ROWS", 7)
    told = asked.answer("map", {"model": SMALL, "step": 10})
    assert told.row_title == "7 of 120 questions, most shown first"
    assert told.rows == [whole.rows[place] for place in thinned(120, 7)]
    assert told.right == [whole.right[place] for place in thinned(120, 7)]
    monkeypatch.setattr(stored_map, "MOST_SAID", 0)
    assert asked.answer("map", {"model": SMALL, "step": 10}).answer is None


def test_thinned_numbers_are_even_and_all_where_they_fit():
    assert thinned(5, 5).tolist() == [0, 1, 2, 3, 4]
    assert thinned(101, 5).tolist() == [0, 25, 50, 75, 100]


def test_every_answer_is_json_and_back(answers):
    at = {"model": LARGE, "step": 180}
    asked = {
        "run": {},
        "curves": {"model": LARGE},
        "scores": at,
        "history": {"name": "L0.H0"},
        "map": at,
        "node": at | {"node": "L0.H0"},
        "edge": at | {"edge": "embed -> logits"},
        "forward": at | {"tokens": [1, 2, 11]},
    }
    assert asked.keys() == QUESTIONS.keys()
    for name, parameters in asked.items():
        told = answers.answer(name, parameters)
        kind = QUESTIONS[name][1]
        assert type(told) is kind
        text = told.model_dump_json()
        assert kind.model_validate_json(text) == told
        assert "NaN" not in text
        assert "Infinity" not in text


def test_numbers_that_are_not_finite_are_null():
    curve = Curve(name="a", group="b", unit="c", step=[0, 1, 2], value=[math.nan, 1.5, -math.inf], low=[math.inf] * 3)
    assert curve.value == [None, 1.5, None]
    assert curve.low == [None] * 3
    none = dict.fromkeys(("inside", "faithfulness", "low", "high", "random", "metric_none"))
    scores = Scores(model="m", step=0, values=[math.nan], metric_whole=math.nan, **none)
    assert (scores.values, scores.metric_whole) == ([None], None)
    titles = dict.fromkeys(("row_title", "column_title"), "")
    empty = {"answer": None, "correct": [[None]], "held_out": None, "exposures": [[math.nan]]}
    told = Map(model="m", step=0, kind="steps", rows=["a"], columns=["b"], right=[[math.nan]], **titles, **empty)
    assert (told.right, told.exposures) == ([[None]], [[None]])


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("nix", {}, "name: got 'nix'; expected one of run, curves"),
        ("run", {"model": SMALL}, "model: got an unknown field"),
        ("curves", {}, "model: got nothing; expected"),
        ("curves", {"model": "d8-s1"}, "model: got 'd8-s1'; expected one of d8-s0, d12-s0 .did you mean 'd8-s0'"),
        ("scores", {"model": "d8-s1", "step": 0}, "model: got 'd8-s1'"),
        ("scores", {"model": SMALL, "step": "x"}, "step: got 'x'; expected a whole number"),
        ("scores", {"model": SMALL, "step": 121}, "step: d8-s0 has no edge scores at 121; the nearest are at 120"),
        ("map", {"model": SMALL, "step": 61}, "step: d8-s0 has no checkpoint at 61; the nearest is at 60"),
        ("node", {"model": SMALL, "step": 60, "node": "L0.H7"}, "node: got 'L0.H7'; expected .* such as L0.H[01]"),
        ("node", {"model": SMALL, "step": 60, "node": "L0.H0", "example": -1}, "example: got -1; expected"),
        ("node", {"model": SMALL, "step": 60, "node": "L0.H0", "example": 121}, "example: got 121; expected 0 to 120"),
        ("edge", {"model": SMALL, "step": 60, "edge": "L0.H0 -> L0.H0.q"}, "edge: got 'L0.H0 -> L0.H0.q'; expected"),
        ("history", {"name": "L1.H0 -> L1.H0.q"}, "name: got 'L1.H0 -> L1.H0.q'; .* such as L0.H0 -> L1.H0.q"),
        ("history", {"name": "L2.MLP"}, "name: got 'L2.MLP'; .* such as L[01].MLP"),
    ],
)
def test_bad_questions_are_refused_in_words(answers, name, parameters, said):
    with pytest.raises(ValueError, match=said):
        answers.answer(name, parameters)


def test_an_address_with_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no suite"):
        Answers.of(tmp_path)
