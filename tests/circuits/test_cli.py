"""The command ``circuits``: what it prints and saves is what the functions give; mistakes are said in words."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from circuits import (
    Budget,
    Circuit,
    Graph,
    acdc,
    answer_loss,
    eap,
    faithfulness_of,
    logit_difference,
    minimality,
    pairs_from_task,
)
from circuits.cli import app
from circuits.discovery import chosen_by, greedy
from probe.suites import open_suite
from tests.suites.hub_format import save_neox, tokenizer

BATCH = """
name: tiny
description: a batch of a few seconds
suite:
  task: {p: 11, operation: a+b, train_fraction: 0.7}
  shapes: [{d_model: 16, n_heads: 2}, {d_model: 8, n_heads: 2}]
  vary: {seed: [0], learning_rate: [1.0e-2], weight_decay: [1.0]}
  training: {steps: 60, checkpoints: {log_until: 0, every: 30}}
probes:
  - performance
  - {name: final_circuit, args: {n_pairs: 16}}
  - {name: circuit_formation, args: {n_pairs: 16, n_random: 3}}
"""


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def circuit_of(graph, mask, scores):
    about = {"metric": "logit_difference", "direction": 1, "method": "eap", "ablation": "zero"}
    return Circuit.chosen(graph, mask, scores, **about)


@pytest.fixture(scope="module")
def formed(tmp_path_factory):
    """A run of the batch by ``circuits form``, and what was printed."""
    folder = tmp_path_factory.mktemp("formed")
    (folder / "batch.yaml").write_text(BATCH)
    said = run("form", folder / "batch.yaml", "--out", folder / "run", "--workers", 1)
    assert said.exit_code == 0, said.output
    return folder / "run", said.stdout


@pytest.fixture(scope="module")
def suite(formed):
    return formed[0] / "suite"


@pytest.fixture(scope="module")
def saved(suite, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "circuit.json"
    found = run("find", suite, "--model", "d16-s0", "--out", path)
    assert found.exit_code == 0, found.output
    return path


@pytest.fixture(scope="module")
def deeper(tmp_path_factory):
    """A circuit of a model that has two layers, which says nothing of its weights."""
    graph = Graph(n_layers=2, n_heads=2)
    path = tmp_path_factory.mktemp("deeper") / "deeper.json"
    circuit_of(graph, graph.mask, np.arange(graph.mask.size, 0.0, -1).reshape(graph.mask.shape)).save(str(path))
    return path


def test_form_writes_tables_and_figures_and_goes_on(formed):
    folder, said = formed
    models = pd.read_csv(folder / "formation_models.csv")
    assert list(models["model"]) == ["d8-s0", "d16-s0"]
    for name in models["model"]:
        assert name in said
    assert {"step", "faithfulness_final", "jaccard"} <= set(pd.read_csv(folder / "formation_steps.csv").columns)
    assert len(pd.read_csv(folder / "formation_edges.csv")) == models["edges"].sum()
    page = (folder / "formation.html").read_text()
    assert page.count("Plotly.newPlot(") == 2
    assert "training step" in page
    before = {path: path.stat().st_mtime_ns for path in folder.glob("results/*.parquet")}
    again = run("form", folder / "batch.yaml", "--out", folder, "--workers", 1, "--level", 0.5)
    assert again.exit_code == 0, again.output
    assert "at least 0.5" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.glob("results/*.parquet")} == before


def test_find_saves_the_smallest_circuit_that_is_faithful(suite, saved):
    at = open_suite(str(suite))["d16-s0", 60]
    circuit = Circuit.load(str(saved), at.digest)
    assert circuit.step == 60
    assert 0 < circuit.n_edges < circuit.graph.n_edges


def test_find_by_score_and_budget(suite, tmp_path):
    found = run(
        *("find", suite, "--model", "d16-s0", "--step", 30, "--method", "eap", "--edges", 6, "--n-pairs", 20),
        *("--operand", 1, "--ablation", "mean", "--subset", "train", "--seed", 3, "--out", tmp_path / "c.json"),
    )
    assert found.exit_code == 0, found.output
    at = open_suite(str(suite))["d16-s0", 30]
    pairs = pairs_from_task(at.model.task, 20, operand=1, subset="train", seed=3)
    scores = eap(at.load(), pairs, logit_difference, ablation="mean")
    wanted = chosen_by(scores, greedy, Budget(n_edges=6), model_digest=at.digest, step=30)
    assert Circuit.load(str(tmp_path / "c.json")) == wanted
    assert wanted.text() in found.stdout
    assert "faithfulness: " in found.stdout
    assert "ablation: mean, 20 pairs" in found.stdout


def test_find_by_acdc(suite, tmp_path):
    path = tmp_path / "c.json"
    found = run(
        "find", suite, "--model", "d8-s0", "--method", "acdc", "--threshold", 0.1, "--n-pairs", 12, "--out", path
    )
    assert found.exit_code == 0, found.output
    at = open_suite(str(suite))["d8-s0", 60]
    pairs = pairs_from_task(at.model.task, 12)
    wanted = acdc(
        at.load(), pairs, logit_difference, budget=Budget(threshold=0.1), model_digest=at.digest, step=at.step
    )
    assert Circuit.load(str(path)) == wanted


def test_score_on_other_pairs_and_by_edge(suite, saved):
    found = run("score", saved, suite, "--model", "d16-s0", "--by-edge", "--ablation", "zero", "--n-pairs", 30)
    assert found.exit_code == 0, found.output
    at, circuit = open_suite(str(suite))["d16-s0", 60], Circuit.load(str(saved))
    model, pairs = at.load(), pairs_from_task(at.task, 30, seed=1)
    assert faithfulness_of(model, pairs, logit_difference, circuit, ablation="zero", seed=1).text() in found.stdout
    table = minimality(model, pairs, logit_difference, circuit, ablation="zero")
    shown = [line.split() for line in found.stdout.splitlines() if " -> " in line]
    assert len(shown) == circuit.n_edges
    for cells, row in zip(shown, table.itertuples(), strict=True):
        between = f"{row.low:+.3f} to {row.high:+.3f}"
        assert " ".join(cells) == f"{row.edge} {row.score:+.3g} {row.adds:+.3f} {between}"


def test_score_of_another_checkpoint_has_to_be_asked_for(suite, saved):
    for other in (("d16-s0", 0), ("d8-s0", 60)):
        where = ("score", saved, suite, "--model", other[0], "--step", other[1], "--n-pairs", 20, "--operand", 1)
        refused = run(*where)
        assert refused.exit_code == 1
        assert f"{saved} is of another checkpoint than {other[0]} at step {other[1]}" in refused.stderr
        assert "give --transferred" in refused.stderr
        found = run(*where, "--transferred", "--subset", "train", "--metric", "answer_loss", "--seed", 4)
        assert found.exit_code == 0, found.output
        at = open_suite(str(suite))[other]
        pairs = pairs_from_task(at.task, 20, operand=1, subset="train", seed=4)
        expected = faithfulness_of(at.load(), pairs, answer_loss, Circuit.load(str(saved)), seed=4)
        assert found.stdout == f"{expected}\n"  # and nothing of single edges


def test_compare(tmp_path, monkeypatch):
    """Three circuits that all share one edge; of the others each has some that it shares with one, or with none."""
    monkeypatch.chdir(tmp_path)
    graph = Graph(n_layers=1, n_heads=2)
    numbers = {"one.json": (0, 1, 2, 3, 8), "two.json": (2, 3, 4, 5), "three.json": (3, 5, 6, 7, 8, 9)}
    scores = np.random.default_rng(0).normal(size=graph.mask.shape)
    for path, edges in numbers.items():
        mask = np.zeros(graph.mask.size, dtype=bool)
        mask[np.flatnonzero(graph.mask)[list(edges)]] = True
        circuit_of(graph, mask.reshape(graph.mask.shape), scores).save(path)
    found = run("compare", *numbers)
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    loaded = one, two, three = [Circuit.load(path) for path in numbers]
    rows = [line.split() for line in lines]
    assert ["circuit", "edges", "1", "2", "3"] in rows
    for number, (path, circuit) in enumerate(zip(numbers, loaded, strict=True), start=1):
        jaccards = [f"{circuit.jaccard(other):.3f}" for other in loaded]
        assert [str(number), path, str(circuit.n_edges), *jaccards] in rows
    parts = {"In all": (one & two & three, 1), "In one.json alone": (one - two - three, 2)}
    parts |= {"In two.json alone": (two - one - three, 1), "In three.json alone": (three - one - two, 3)}
    for title, (circuit, n_edges) in parts.items():
        at = lines.index(f"{title}: {n_edges} edges")
        edges = [f"  {edge}  {score:+.4g}" for edge, score in circuit.edges()]
        assert lines[at + 1 : at + 2 + n_edges] == [*edges, ""][: len(lines) - at - 1]


def test_of_many_edges_the_largest_are_shown(deeper):
    found = run("compare", deeper, deeper)
    assert found.exit_code == 0, found.output
    circuit = Circuit.load(str(deeper))
    after = found.stdout.split(f"In all: {circuit.n_edges} edges\n")[1].splitlines()
    assert after[:20] == [f"  {edge}  {score:+.4g}" for edge, score in circuit.edges()][:20]
    assert after[20] == f"  and {circuit.n_edges - 20} more"
    assert after[22] == f"In {deeper} alone: 0 edges"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("find", "SUITE"), "has several; expected --model and one of d"),
        (("find", "SUITE", "--model", "d9"), "model: got 'd9'; expected one of"),
        (("find", "SUITE", "--model", "d8-s0", "--step", 7), "7"),
        (("find", "SUITE", "--model", "d8-s0", "--metric", "f1"), "metric: got 'f1'; expected one of logit_difference"),
        (("find", "SUITE", "--model", "d8-s0", "--ablation", "noise"), "ablation: got 'noise'; expected one of"),
        (("find", "SUITE", "--model", "d8-s0", "--method", "acdc"), "threshold: got none; expected one with acdc"),
        (("find", "SUITE", "--model", "d8-s0", "--edges", 3, "--share", 0.1), "budget: got n_edges and share"),
        (("find", "SUITE", "--model", "d8-s0", "--pairs", "x.jsonl"), "has no tokenizer to read x.jsonl with"),
        (("compare", "CIRCUIT"), "circuits: got 1; expected two or more"),
        (("compare", "CIRCUIT", "missing.json"), "missing.json"),
        (("compare", "CIRCUIT", "BATCH"), "batch.yaml: circuit: not JSON"),
        (("compare", "CIRCUIT", "DEEPER"), "other: it is of Graph(n_layers=2"),
        (("score", "missing.json", "SUITE", "--model", "d8-s0"), "missing.json"),
        (("score", "CIRCUIT", "SUITE"), "has several; expected --model and one of d"),
        (("score", "CIRCUIT", "SUITE", "--model", "d16-s0", "--subset", "tests"), "subset: got 'tests'; expected one"),
        (("score", "CIRCUIT", "SUITE", "--model", "d16-s0", "--metric", "f1"), "metric: got 'f1'; expected one of"),
        (("score", "CIRCUIT", "SUITE", "--model", "d16-s0", "--ablation", "noise"), "ablation: got 'noise'"),
        (("score", "DEEPER", "SUITE", "--model", "d8-s0", "--transferred"), "circuit: it is of Graph(n_layers=2"),
        (("score", "DEEPER", "SUITE", "--model", "d8-s0", "--by-edge"), "circuit: it is of Graph(n_layers=2"),
        (("form", "grokking-demo-x"), "grokking-demo-x"),
        (("form", "CIRCUIT"), "circuit.json"),
        (("form", "BATCH", "--workers", 0), "workers: got 0; expected at least 1"),
    ],
)
def test_mistakes_are_said_in_words(arguments, said, formed, suite, saved, deeper):
    places = {"SUITE": suite, "CIRCUIT": saved, "DEEPER": deeper, "BATCH": formed[0].parent / "batch.yaml"}
    found = run(*(places.get(argument, argument) for argument in arguments))
    assert found.exit_code == 1, found.output
    assert said in found.stderr
    assert "Traceback" not in found.output


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (("- {name: final_circuit, args: {n_pairs: 16}}\n", "\n"), (), "circuit_formation needs final_circuit"),
        (("{n_pairs: 16, n_random: 3}", "{n_random: 0}"), (), "n_random: got 0; expected 1 or more"),
        (("{n_pairs: 16}", "{ablation: none}"), (), "ablation: got 'none'; expected one of corrupted"),
        (("  - {name: circuit_formation", "  # "), (), "expected final_circuit and circuit_formation among them"),
        (("", ""), ("--level", 0), "level: got 0.0; expected above 0"),
    ],
)
def test_what_cannot_be_formed_is_refused_before_anything_is_trained(tmp_path, change, options, said):
    (tmp_path / "batch.yaml").write_text(BATCH.replace(*change))
    refused = run("form", tmp_path / "batch.yaml", "--out", tmp_path / "run", "--workers", 1, *options)
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert not (tmp_path / "run").exists()


def test_pairs_from_a_file_are_read_with_the_models_tokenizer(tmp_path):
    lines = [
        {"clean": "The sun is", "corrupted": "The sea is", "answer": " hot", "wrong": " wet"},
        {"clean": "The old sun is very", "corrupted": "The old sea is very", "answer": " hot", "wrong": " wet"},
    ]
    words = ["The sun is hot", "The sea is wet", "The old sun is very hot", "sun sea hot wet is very The old"] * 50
    save_neox(tmp_path / "model", tokenizer=tokenizer(words, vocab_size=400))
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = run("find", tmp_path / "model", "--pairs", tmp_path / "pairs.jsonl", "--edges", 10)
    assert found.exit_code == 0, found.output
    assert "2 pairs" in found.stdout
