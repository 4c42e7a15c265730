"""The command ``circuits``: what it prints and saves is what the functions give; mistakes are said in words."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from circuits import Budget, Circuit, acdc, eap, logit_difference, pairs_from_task
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
    found = run("score", saved, suite, "--model", "d16-s0", "--by-edge", "--ablation", "zero")
    assert found.exit_code == 0, found.output
    assert "ablation: zero" in found.stdout
    circuit = Circuit.load(str(saved))
    for edge, _ in circuit.edges():
        assert str(edge) in found.stdout


def test_score_of_another_checkpoint_has_to_be_asked_for(suite, saved):
    refused = run("score", saved, suite, "--model", "d16-s0", "--step", 0)
    assert refused.exit_code == 1
    assert "is of another checkpoint than d16-s0 at step 0" in refused.stderr
    assert run("score", saved, suite, "--model", "d16-s0", "--step", 0, "--transferred").exit_code == 0


def test_compare(suite, saved, tmp_path):
    other = tmp_path / "other.json"
    assert run("find", suite, "--model", "d16-s0", "--edges", 12, "--out", other).exit_code == 0
    found = run("compare", saved, other)
    assert found.exit_code == 0, found.output
    one, two = Circuit.load(str(saved)), Circuit.load(str(other))
    assert f"{one.jaccard(two):.3f}" in found.stdout
    assert f"In all: {(one & two).n_edges} edges" in found.stdout
    assert f"In {other} alone: {(two - one).n_edges} edges" in found.stdout


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
        (("form", "grokking-demo-x"), "grokking-demo-x"),
    ],
)
def test_mistakes_are_said_in_words(arguments, said, suite, saved):
    places = {"SUITE": suite, "CIRCUIT": saved}
    found = run(*(places.get(argument, argument) for argument in arguments))
    assert found.exit_code == 1, found.output
    assert said in found.stderr
    assert "Traceback" not in found.output


def test_a_batch_without_the_probes_is_told_which(formed, tmp_path):
    batch = tmp_path / "plain.yaml"
    probes = BATCH.index("  - {name: final_circuit")
    batch.write_text(BATCH[:probes])
    refused = run("form", batch, "--out", tmp_path / "run", "--workers", 1)
    assert refused.exit_code == 1
    assert "final_circuit and circuit_formation" in refused.stderr


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
