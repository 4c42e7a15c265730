"""A circuit followed over 50 checkpoints, against loops that load and attribute each of them anew.

The suite is a small transformer trained on addition modulo 53. What is measured is what a batch does on a suite that is
there: per checkpoint it is opened and loaded, edges are attributed by EAP-IG of 5 steps on 64 pairs, the faithfulness
of the final circuit, of the one found there and of 10 random ones is read, and rows and arrays are written. The report
is not written.

TransformerLens' attribution_patch does no more than attribute, by one gradient. It goes through the pairs one by one.
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import probe
from circuits import Graph, Pairs, eap_ig, faithfulness_of, greedy, logit_difference, pairs_from_task, smallest_circuit
from circuits.discovery import Budget, chosen_by
from probe.activations.store import read_array
from probe.batch.measure import measure_units
from probe.batch.plan import Run
from probe.suites.architecture import Architecture, Shape
from probe.suites.hooked import HookedTransformer
from probe.tasks import ModularArithmetic
from probe.training.ensemble import Member
from probe.training.run import train
from probe.training.settings import Schedule, TrainingSettings
from tests.benchmarks.timing import seconds
from tests.circuits.oracle import their_scores

MODEL, STEPS = "d48-s0", tuple(range(0, 500, 10))
PAIRS, RANDOM = 64, 10

ByEdge = dict[tuple[str, str], float]


def rows() -> Iterator[tuple[str, str, str]]:
    """What was compared, the ratio, and what it has to be."""
    with tempfile.TemporaryDirectory() as folder:
        suite, found, numbers = _trained(folder), {}, count()

        def batch(steps: int) -> Run:
            return _measured(suite, f"{folder}/run{next(numbers)}", steps)

        contenders = {
            "ours": lambda: found.update(ours=batch(5)),
            "one step": lambda: found.update(one=batch(1)),
            "plain": lambda: found.update(plain=_plain_loop(suite)),
            "theirs": lambda: found.update(theirs=_their_loop(suite)),
        }
        took = seconds(contenders, rounds=1)
        _check_plain(found["ours"], found["plain"])
        _check_theirs(found["one"], found["theirs"])
    name = f"formation over {len(STEPS)} checkpoints"
    yield f"{name}, loop of attribution_patch / ours", f"{took['theirs'] / took['ours']:.1f}", "at least 3"
    yield "the same, ours with one step too", f"{took['theirs'] / took['one step']:.1f}", ""
    yield "the same, loop of our own functions / ours", f"{took['plain'] / took['ours']:.2f}", ""


def _trained(folder: str) -> str:
    task = ModularArithmetic(53, train_fraction=0.5)
    settings = TrainingSettings(STEPS[-1], checkpoints=Schedule(log_until=0, every=None, steps=STEPS))
    suite = f"{folder}/suite"
    member = Member(MODEL, task, 0, 3e-3, 2.0)
    train(Architecture.of(Shape(d_model=48), task), [member], settings, suite, device="cpu")
    return suite


def _measured(suite: str, folder: str, steps: int) -> Run:
    """A run in which a batch has measured all of a suite."""
    arguments = {"n_pairs": PAIRS, "steps": steps}
    batch = {
        "name": "formation",
        "suite": {"source": "folder", "path": suite},
        "probes": [
            {"name": "final_circuit", "args": arguments},
            {"name": "circuit_formation", "args": {**arguments, "n_random": RANDOM}},
        ],
    }
    run = Run(folder, probe.Batch.model_validate(batch))
    for units in run.units(MODEL):
        measure_units(run, units)
    return run


def _plain_loop(suite: str) -> dict[int, dict[str, float]]:
    """The same numbers by the functions that a notebook would call."""
    last = probe.open_suite(suite)[MODEL, STEPS[-1]]
    pairs = pairs_from_task(last.task, PAIRS)
    model = last.load()
    final = smallest_circuit(model, pairs, logit_difference, eap_ig(model, pairs, logit_difference))
    table = {}
    for step in STEPS:
        model = probe.open_suite(suite)[MODEL, step].load()
        scores = eap_ig(model, pairs, logit_difference)
        own = chosen_by(scores, greedy, Budget(n_edges=final.n_edges))
        there = faithfulness_of(model, pairs, logit_difference, final, n_random=RANDOM)
        table[step] = {
            "faithfulness of final": float(there.faithfulness().estimate),
            "faithfulness of random": float(there.control().estimate.mean()),
            "completeness of final": float(there.completeness().estimate),
            "agreement of final": there.agreement()[0],
            "faithfulness of own": float(
                faithfulness_of(model, pairs, logit_difference, own, n_random=0).faithfulness().estimate
            ),
            "jaccard of ": own.jaccard(final),
        }
    return table


def _their_loop(suite: str) -> dict[int, ByEdge]:
    """Scores of every edge at every step by attribution_patch, which knows one answer at a time."""
    pairs = pairs_from_task(probe.open_suite(suite)[MODEL, STEPS[-1]].task, PAIRS)
    assert pairs.wrong_answers is not None
    each = [
        Pairs(pairs.clean[i], pairs.corrupted[i], pairs.answers[i], pairs.d_vocab, pairs.wrong_answers[i])
        for i in np.arange(PAIRS)[:, None]
    ]
    table = {}
    for step in STEPS:
        model: Any = probe.open_suite(suite)[MODEL, step].load()
        _as_they_know_it(model)
        scores: ByEdge = defaultdict(float)
        for pair in each:
            for edge, score in their_scores(model, pair).items():
                scores[edge] += score / PAIRS
        table[step] = scores
    return table


def _as_they_know_it(model: HookedTransformer) -> None:
    """Give our model what theirs asks of a bridge: switches, which do nothing here, and inputs by other names."""
    for switch in ("use_attn_result", "use_split_qkv_input", "use_hook_mlp_in"):
        object.__setattr__(model, f"set_{switch}", lambda on: None)
    for layer in range(model.cfg.n_layers):
        for hook in ("hook_q_input", "hook_k_input", "hook_v_input"):
            for by_name in (model.hook_dict, model.mod_dict):
                by_name[f"blocks.{layer}.attn.{hook}"] = by_name[f"blocks.{layer}.{hook}"]


def _check_plain(run: Run, plain: dict[int, dict[str, float]]) -> None:
    table = pd.concat([pd.read_parquet(path) for path in Path(run.folder).glob("results/*.parquet")])
    table = table[table["probe"] == "circuit_formation"]
    value = table.assign(name=table["metric"] + " of " + table["key"]).set_index(["step", "name"])["value"]
    for step, numbers in plain.items():
        for name, number in numbers.items():
            np.testing.assert_allclose(value[step, name], number, rtol=1e-4, atol=1e-5, err_msg=f"{name}, step {step}")


def _check_theirs(run: Run, theirs: dict[int, ByEdge]) -> None:
    stored = read_array(run.folder, MODEL, STEPS, "circuit_edge_scores")
    assert stored is not None
    graph = Graph.of(run.suite[MODEL, STEPS[-1]].load())
    places = list(zip(*np.nonzero(graph.mask), strict=True))
    for step, scores in theirs.items():
        found = {
            (graph.source_names[s], graph.destination_names[d]): float(stored.sel(step=step)[s, d]) for s, d in places
        }
        assert found.keys() == scores.keys()
        for edge, score in found.items():
            np.testing.assert_allclose(score, scores[edge], rtol=1e-4, atol=1e-4, err_msg=f"{edge}, step {step}")
