"""When circuits formed: a table made by hand; the probes in a batch against the same calls by hand; going on."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import probe
from circuits import (
    answer_loss,
    eap_ig,
    faithfulness_of,
    formation_of,
    greedy,
    logit_difference,
    pairs_from_task,
    smallest_circuit,
)
from circuits.cli import app
from circuits.discovery import Budget, chosen_by
from circuits.graph import Edge, Graph
from circuits.probes import CircuitFormation, FinalCircuit
from probe import storage
from probe.probes import Observation, Row

A, B, C, D = "embed -> L0.H0.v", "L0.H0 -> logits", "L0.MLP -> logits", "embed -> L0.MLP"
STEPS = (0, 10, 20, 30, 40)
BATCH = {
    "name": "small",
    "suite": {
        "source": "train",
        "task": {"p": 11, "operation": "a+b", "train_fraction": 0.7},
        "shapes": [{"d_model": 16, "n_heads": 2}],
        "vary": {"seed": [0], "learning_rate": [1e-2], "weight_decay": [1.0]},
        "training": {"steps": 60, "checkpoints": {"log_until": 0, "every": 30}},
    },
    "probes": [
        "performance",
        {"name": "final_circuit", "args": {"n_pairs": 20}},
        {"name": "circuit_formation", "args": {"n_pairs": 20, "n_random": 4}},
    ],
}


def table(model, accuracy, faithful, jaccard, edges, final):
    """Rows of one model; of an edge, for each step its score, and whether it is in the circuit found."""
    rows = []

    def add(step, of, metric, value, key=""):
        rows.append({"model": model, "seed": 0, "n_params": len(model), "step": step, "probe": of} | {
            "metric": metric, "site": "m", "key": key, "value": value})  # fmt: skip

    for number, step in enumerate(STEPS):
        for subset in ("train", "test"):
            add(step, "performance", "accuracy", accuracy[number], subset)
        value = faithful[number]
        for end, shift in (("", 0), ("_low", -0.1), ("_high", 0.1)):
            add(step, "circuit_formation", f"faithfulness{end}", value + shift, "final")
            add(step, "circuit_formation", f"faithfulness{end}", value, "own")
        add(step, "circuit_formation", "faithfulness", 0.2, "random")
        add(step, "circuit_formation", "jaccard", jaccard[number])
        for edge, (scores, inside) in edges.items():
            if scores[number] is not None:
                add(step, "circuit_formation", "edge_score", scores[number], edge)
                add(step, "circuit_formation", "in_circuit", inside[number], edge)
    for edge, score in final.items():
        add(STEPS[-1], "final_circuit", "edge_score", score, edge)
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def made():
    """One model that generalizes at step 20, and one that never does, lacks an edge at some steps and finds one never.

    B has the wrong sign at first, is in the circuit, leaves it and comes again; C comes at the step of generalizing.
    """
    grown = table(
        "big", (0.1, 0.5, 1, 1, 1), (-0.7, 0.9, 0.5, 0.85, 1), (0.2, 0.6, 0.4, 0.5, 1),
        {A: ((-1, -2, -4, -5, -8), (1, 1, 1, 1, 1)), B: ((3, 4, -6, -6, -6), (0, 1, 0, 1, 1)),
         C: ((2, 0, 2, 9, 2), (0, 0, 1, 1, 1)), D: ((0, 0, 0, 9, 1), (0, 0, 0, 1, 0))},
        {A: -8.0, B: -6.0, C: 2.0},
    )  # fmt: skip
    never = table(
        "m", (0.1, 0.2, 0.3, 0.3, 0.3), (0.9, 1.7, 0.9, 0.9, 0.25), (1, 1, 1, 1, 1),
        {A: ((None, None, 5, 5, 5), (0, 0, 1, 1, 1)), B: ((None, None, 0, 1, 1), (0, 0, 0, 0, 0))},
        {A: 5.0, B: 2.0},
    )  # fmt: skip
    return pd.concat([grown, never], ignore_index=True)


def test_edges_are_dated_as_said(made):
    edges = formation_of(made).edges.set_index(["model", "edge"])
    # smaller models first; D is in no final circuit
    assert list(edges.index) == [("m", A), ("m", B), ("big", A), ("big", B), ("big", C)]
    columns = ["final_score", "first_step", "entered_step", "half_step"]
    assert edges.loc[("big", A), columns].tolist() == [-8, 0, 0, 20]
    assert edges.loc[("big", B), columns].tolist() == [-6, 10, 30, 20]
    assert edges.loc[("big", C), columns].tolist() == [2, 20, 20, 20]
    assert edges.loc[("m", A), columns].tolist() == [5, 20, 20, 20]
    np.testing.assert_equal(edges.loc[("m", B), columns].to_numpy(float), [2, np.nan, np.nan, 30])
    assert edges["before_generalizing"].tolist() == [pd.NA, pd.NA, True, False, False]


def test_models_are_dated_as_said(made):
    models = formation_of(made).models.set_index("model")
    big, m = models.loc["big"], models.loc["m"]
    assert (big["edges"], m["edges"]) == (3, 2)
    assert (big["n_params"], m["n_params"]) == (3, 1)
    assert (big["generalized_step"], big["memorized_step"]) == (20, 20)
    assert big["before_generalizing"] == 1 / 3
    assert big["faithful_step"] == 30  # at 10 it was, at 20 no more
    assert big["settled_step"] == 30
    assert np.isnan([m["generalized_step"], m["before_generalizing"], m["faithful_step"]]).all()
    for level, step in ((0.2, 10), (0.85, 30), (0.86, 40)):
        assert formation_of(made, level=level).models.set_index("model").loc["big", "faithful_step"] == step
    # faithful enough, but its interval reaches below the random circuits: not known to be there
    assert np.isnan(formation_of(made, level=0.2).models.set_index("model").loc["m", "faithful_step"])


def test_steps_have_a_column_for_each_measure(made):
    steps = formation_of(made).steps
    row = steps[(steps["model"] == "big") & (steps["step"] == 10)].iloc[0]
    assert (row["faithfulness_final"], row["faithfulness_final_low"], row["faithfulness_random"]) == (0.9, 0.8, 0.2)
    assert row["jaccard"] == 0.6
    assert len(steps) == 10


def test_a_figure_of_each_model(made):
    formed = formation_of(made)
    figure = formed.figure("big")
    assert figure.layout.xaxis.title.text == "training step"
    by_name = {trace.name: trace for trace in figure.data}
    assert [list(trace.x) for trace in figure.data] == [list(STEPS)] * 4
    np.testing.assert_allclose(by_name["final edges that have entered (share)"].y, [1 / 3, 1 / 3, 2 / 3, 1, 1])
    assert list(by_name["faithfulness of the final circuit"].y) == [-0.5, 0.9, 0.5, 0.85, 1]
    assert list(by_name["of random circuits (mean)"].y) == [0.2] * 5
    assert list(by_name["edges shared with the final circuit (Jaccard)"].y) == [0.2, 0.6, 0.4, 0.5, 1]
    assert [note.text for note in figure.layout.annotations] == ["memorized and generalized"]
    other = formed.figure("m")
    assert not other.layout.annotations
    assert list(other.data[0].y) == [0.9, 1.5, 0.9, 0.9, 0.25]
    assert other.layout.title.text == "m: 2 edges of the final circuit"
    with pytest.raises(ValueError, match="model: got 'd9'; expected one of m, big"):
        formed.figure("d9")


def test_where_nothing_says_when_a_model_generalized(made):
    models = formation_of(made[made["probe"] != "performance"]).models.set_index("model")
    assert models.loc["big", "settled_step"] == 30
    assert models[["memorized_step", "generalized_step", "before_generalizing"]].isna().all(axis=None)


def test_what_is_refused(made):
    with pytest.raises(ValueError, match="expected a batch with final_circuit and circuit_formation among"):
        formation_of(made[made["probe"] == "performance"])
    with pytest.raises(ValueError, match="level: got 0"):
        formation_of(made, level=0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n_pairs": 1}, "n_pairs: got 1; expected 2 or more"),
        ({"metric": "f1"}, "metric: got 'f1'; expected one of logit_difference"),
        ({"ablation": "none"}, "ablation: got 'none'"),
        ({"level": 0.0}, "level: got 0.0"),
        ({"level": 1.1}, "level: got 1.1; expected above 0 and at most 1"),
        ({"steps": 0}, "steps: got 0"),
    ],
)
def test_arguments_of_the_probes(arguments, said):
    for probe_ in (FinalCircuit, CircuitFormation):
        with pytest.raises(ValueError, match=said):
            probe_(**arguments)
    with pytest.raises(ValueError, match="n_random: got 0"):
        CircuitFormation(n_random=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return probe.run(
        probe.Batch.model_validate(BATCH), tmp_path_factory.mktemp("run") / "run", workers=1, progress=False
    )


def test_the_probes_give_what_the_functions_give(folder):
    results, suite = probe.results(folder), probe.open_suite(f"{folder}/suite")
    last = suite["d16-s0", 60]
    pairs = pairs_from_task(last.task, 20)
    model = last.load()
    scores = eap_ig(model, pairs, logit_difference)
    circuit = smallest_circuit(model, pairs, logit_difference, scores)
    final = results[results["probe"] == "final_circuit"].set_index("key")["value"]
    assert dict(final) == pytest.approx({str(edge): score for edge, score in circuit.edges()})

    rows = results[results["probe"] == "circuit_formation"]
    for step in (0, 60):
        at = rows[rows["step"] == step]
        model = suite["d16-s0", step].load()
        scores = eap_ig(model, pairs, logit_difference)
        own = chosen_by(scores, greedy, Budget(n_edges=circuit.n_edges))
        value = at.set_index(["metric", "key"])["value"]
        for key, of in (("final", scores.circuit(circuit.mask)), ("own", own)):
            found = faithfulness_of(model, pairs, logit_difference, of, n_random=4)
            ratio = found.faithfulness()
            for end, expected in (("", ratio.estimate), ("_low", ratio.low), ("_high", ratio.high)):
                assert value[f"faithfulness{end}", key] == pytest.approx(float(expected), rel=1e-4)
            if key == "final":
                assert value["completeness", key] == pytest.approx(float(found.completeness().estimate), rel=1e-4)
                assert value["agreement", key] == found.agreement()[0]
                assert value["faithfulness", "random"] == pytest.approx(found.control().estimate.mean(), rel=1e-4)
        assert value["jaccard", ""] == pytest.approx(own.jaccard(circuit))
        inside = at[at["metric"] == "in_circuit"].set_index("key")["value"]
        assert {edge for edge, there in inside.items() if there} == {str(edge) for edge, _ in own.edges()}
        assert set(inside.index) >= set(final.index)
    assert value["jaccard", ""] == 1
    assert value["faithfulness", "final"] >= 0.9 - 1e-6


def test_every_argument_of_the_probes_counts(folder):
    """Asked otherwise than by default in everything, on the last checkpoint, with a final circuit that is given."""
    at = probe.open_suite(f"{folder}/suite")["d16-s0", 60]
    model, metric, about = at.load(), answer_loss, {"operand": 1, "subset": "train", "seed": 3}
    pairs = pairs_from_task(at.task, 12, **about)
    arguments = {"n_pairs": 12, "metric": "answer_loss", "ablation": "zero", "level": 0.5, "steps": 2, **about}
    scores = eap_ig(model, pairs, metric, steps=2, ablation="zero")

    def measured(by, **of_model):
        found = by.measure(Observation(at, {}, {}, of_model, model))
        rows = [row for row in found if isinstance(row, Row)]
        assert {row.site for row in rows} == {"answer_loss"}
        return rows

    expected = smallest_circuit(model, pairs, metric, scores, level=0.5)
    assert expected != smallest_circuit(model, pairs, metric, scores)
    found = measured(FinalCircuit(**arguments))
    assert [(row.key, row.value) for row in found] == [(str(edge), score) for edge, score in expected.edges()]

    given = [A, "L0.H1 -> L0.MLP", C]
    rows = measured(
        CircuitFormation(**arguments, n_random=2), final_circuit=[Row("edge_score", 1.0, "", key) for key in given]
    )
    value = {(row.metric, row.key): row.value for row in rows}
    mask = np.zeros_like(scores.graph.mask)
    for name in given:
        mask[scores.graph.place(Edge.named(name))] = True
    there = faithfulness_of(model, pairs, metric, scores.circuit(mask), n_random=2)
    own = chosen_by(scores, greedy, Budget(n_edges=3))
    for name, values in (("whole", there.whole), ("none", there.none), ("final", there.circuit)):
        assert value["metric", name] == pytest.approx(values.mean(), rel=1e-5)
    assert value["faithfulness", "final"] == pytest.approx(float(there.faithfulness().estimate), rel=1e-4)
    assert value["faithfulness", "random"] == pytest.approx(float(there.control().estimate.mean()), rel=1e-4)
    assert [value[f"agreement{end}", "final"] for end in ("", "_low", "_high")] == list(there.agreement())
    alone = faithfulness_of(model, pairs, metric, own, n_random=0)
    assert value["faithfulness", "own"] == pytest.approx(float(alone.faithfulness().estimate), rel=1e-4)
    assert value["jaccard", ""] == own.jaccard(scores.circuit(mask)) < 1
    either = {edge: scores[Edge.named(edge)] for edge in {*given, *(str(edge) for edge, _ in own.edges())}}
    assert {key: number for (name, key), number in value.items() if name == "edge_score"} == pytest.approx(either)
    for kind in (FinalCircuit, CircuitFormation):
        with pytest.raises(ValueError, match="subset: got 'tests'"):
            kind(subset="tests").check(at.task)


def test_scores_of_all_edges_are_stored(folder):
    stored = probe.arrays(folder, "d16-s0", "circuit_edge_scores").sel(step=60)
    graph = Graph.of(probe.open_suite(f"{folder}/suite")["d16-s0", 60].load())
    assert stored.sizes == dict(zip(("source", "destination"), graph.mask.shape, strict=True))
    formed = formation_of(probe.results(folder))
    assert len(formed.edges)
    for row in formed.edges.itertuples():
        assert float(stored[graph.place(Edge.named(row.edge))]) == pytest.approx(row.final_score, rel=1e-4)


def form(batch, out, *options):
    return CliRunner().invoke(app, ["form", str(batch), "--out", str(out), "--workers", "1", *options])


def test_the_command_says_when_circuits_formed(made, tmp_path, monkeypatch):
    (tmp_path / "batch.yaml").write_text(probe.Batch.model_validate(BATCH).to_yaml())
    asked = []
    monkeypatch.setattr("probe.batch.run.run", lambda batch, out, workers: asked.append((out, workers)) or out)
    monkeypatch.setattr("probe.batch.results.results", lambda folder: made if folder == str(tmp_path / "run") else None)
    said = form(tmp_path / "batch.yaml", tmp_path / "run", "--level", "0.2")
    assert said.exit_code == 0, said.output
    assert asked == [(str(tmp_path / "run"), 1)]
    lines = [line.split("  ") for line in said.stdout.splitlines()]
    cells = {line[0]: line[1:] for line in ([cell.strip() for cell in line if cell.strip()] for line in lines) if line}
    assert cells["model"] == ["edges", "memorized", "circuit faithful", "generalized", "entered before"]
    assert cells["big"] == ["3", "20", "10", "20", "33%"]
    assert cells["m"] == ["2", "not seen", "not seen", "not seen", "unknown"]
    assert "faithful: at least 0.2 from there on" in said.stdout
    formed = formation_of(made, 0.2)
    for name in ("steps", "edges", "models"):
        written = pd.read_csv(tmp_path / "run" / f"formation_{name}.csv")
        expected = getattr(formed, name)
        assert list(written.columns) == list(expected.columns)
        np.testing.assert_allclose(written.select_dtypes("number"), expected[written.select_dtypes("number").columns])
    page = (tmp_path / "run" / "formation.html").read_text()
    assert f"Tables and figures: {tmp_path / 'run'}/formation.html" in said.stdout
    assert page.index("m: 2 edges of the final circuit") < page.index("big: 3 edges of the final circuit")
    assert len(page) < 6e6  # plotly once, not once a figure


def test_an_interrupted_run_goes_on_where_it_was(folder, tmp_path, monkeypatch):
    """Stopped at every kind of file: of the final circuit, of a checkpoint, of the tables."""
    (tmp_path / "batch.yaml").write_text(probe.Batch.model_validate(BATCH).to_yaml())
    run, write, measured = tmp_path / "run", storage.write_atomically, []

    for kind in (FinalCircuit, CircuitFormation):

        def noted(self, observation, measure=kind.measure):
            measured.append((self.name, observation.checkpoint.step))
            return measure(self, observation)

        monkeypatch.setattr(kind, "measure", noted)

    def stopped_at(name, count):
        """Run until the file of this name that comes after ``count`` others; what was measured until then."""
        seen = []

        def stops(path, data):
            if name in path:
                seen.append(path)
                if len(seen) > count:
                    raise KeyboardInterrupt
            write(path, data)

        monkeypatch.setattr(storage, "write_atomically", stops)
        measured.clear()
        said = form(tmp_path / "batch.yaml", run)
        assert said.exit_code == (130 if len(seen) > count else 0), said.output
        assert ("the same command goes on from here" in said.stderr) == (len(seen) > count)
        return list(measured)

    def done():
        return {path: path.stat().st_mtime_ns for path in run.glob("results/*.parquet")}

    last, every = BATCH["suite"]["training"]["steps"], [("circuit_formation", step) for step in (0, 30, 60)]
    assert stopped_at(".parquet", 0) == [("final_circuit", last)]
    assert stopped_at(".parquet", 2) == [("final_circuit", last), *every[:2]]
    before = done()
    assert len(before) == 2
    assert stopped_at("formation_edges", 0) == every[1:]
    assert (run / "formation_steps.csv").exists()
    assert not (run / "formation_edges.csv").exists()
    whole = done()
    assert len(whole) == 4
    assert whole | before == whole
    assert stopped_at("nothing", 0) == []
    assert done() == whole
    pd.testing.assert_frame_equal(probe.results(run), probe.results(folder), check_exact=True)
    formed = formation_of(probe.results(folder))
    for name in ("steps", "edges", "models"):
        assert (run / f"formation_{name}.csv").read_text() == getattr(formed, name).to_csv(index=False)
    assert not list(Path(run).rglob("*.tmp"))


def test_an_edge_is_read_as_it_is_written():
    for name in (A, B, C, "L0.H0 -> L1.KV1.k", "L0.MLP -> L1.MLP"):
        assert str(Edge.named(name)) == name
    for wrong in ("embed", "embed -> x", "logits -> L0.MLP", "embed->L0.MLP"):
        with pytest.raises(ValueError, match="expected"):
            Edge.named(wrong)
