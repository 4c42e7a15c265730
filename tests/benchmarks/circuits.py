"""Edge attribution of a GPT-2-shaped random model against TransformerLens' own attribution_patch in edge mode.

The shape is half of GPT-2 small in every direction: 6 layers, 6 heads, d_model 384, 8 pairs of 16 tokens. Theirs goes
through the pairs one by one, and through positions and edges in Python.

Memory is the peak of a process of its own, beyond what it has once there is a model. What theirs takes does not depend
on the number of pairs, ours batches as many as fit a budget that is the same for all models: so it is told for GPT-2
small itself as well, of which theirs goes through two pairs, and ours through 32.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GPT2Config

from circuits import Pairs, eap, eap_ig, logit_difference
from probe.suites.bridges import hooked
from tests.benchmarks.timing import seconds
from tests.circuits.oracle import their_scores

LAYERS, HEADS, WIDTH, VOCABULARY = 6, 6, 384, 5_000
PAIRS, POSITIONS = 8, 16
STEPS = 5
GPT2_SMALL = (12, 12, 768, 50_257)


def rows() -> Iterator[tuple[str, str, str]]:
    """What was compared, the ratio, and what it has to be."""
    yield from speed()
    yield from memory()


def model_and_pairs(layers: int, heads: int, width: int, vocabulary: int, n_pairs: int) -> tuple[Any, Pairs]:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=layers, n_head=heads, n_embd=width, vocab_size=vocabulary, n_positions=POSITIONS)
    model = hooked(AutoModelForCausalLM.from_config(config).eval(), "random")
    clean, corrupted = np.random.default_rng(0).integers(vocabulary, size=(2, n_pairs, POSITIONS))
    right, wrong = 1, 2  # theirs knows one metric for all pairs
    return model, Pairs(clean, corrupted, np.full(n_pairs, right), vocabulary, np.full(n_pairs, wrong))


def speed() -> Iterator[tuple[str, str, str]]:
    model, pairs = model_and_pairs(LAYERS, HEADS, WIDTH, VOCABULARY, PAIRS)
    found: dict[str, Any] = {}

    def theirs() -> None:
        found["theirs"] = their_scores(model, pairs)

    def ours() -> None:
        found["ours"] = eap(model, pairs, logit_difference)

    took = seconds(
        {"theirs": theirs, "ours": ours, "ig": lambda: eap_ig(model, pairs, logit_difference, steps=STEPS)}, rounds=2
    )
    scores = found["ours"]
    graph = scores.graph
    places = zip(*np.nonzero(graph.mask), strict=True)
    named = {(graph.source_names[s], graph.destination_names[d]): scores.values[s, d] for s, d in places}
    assert named.keys() == found["theirs"].keys()
    largest = np.abs(scores.values).max()
    for edge, score in named.items():
        assert abs(score - found["theirs"][edge]) < 1e-3 * largest, edge
    yield "edge attribution, 8 pairs, ours / attribution_patch", f"{took['ours'] / took['theirs']:.3f}", "at most 1.2"
    yield f"the same, EAP-IG of {STEPS} steps / EAP", f"{took['ig'] / took['ours']:.2f}", f"at most {STEPS + 2}"


ALONE = """
import gc, json, sys
import torch
torch.set_num_threads(1)
from circuits import eap, logit_difference
from tests.benchmarks.circuits import model_and_pairs
from tests.circuits.oracle import their_scores

def kib(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field))

shape, batch_size = json.loads(sys.argv[1]), json.loads(sys.argv[2])
model, pairs = model_and_pairs(*shape)
gc.collect()
before = kib("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # the peak is that from now on
if batch_size == "theirs":
    their_scores(model, pairs)
else:
    eap(model, pairs, logit_difference, batch_size=batch_size)
print(json.dumps(kib("VmHWM") - before))
"""


def memory() -> Iterator[tuple[str, str, str]]:
    """Peaks beyond the model's own memory."""

    def peak(shape: tuple[int, ...], batch_size: int | str | None) -> int:
        command = [sys.executable, "-c", ALONE, json.dumps(shape), json.dumps(batch_size)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    half = (LAYERS, HEADS, WIDTH, VOCABULARY, PAIRS)
    theirs = peak(half, "theirs")
    yield "the same, peak memory, ours / attribution_patch", f"{peak(half, None) / theirs:.2f}", ""
    yield "the same, two pairs at a time", f"{peak(half, 2) / theirs:.2f}", ""
    theirs = peak((*GPT2_SMALL, 2), "theirs")
    yield "peak memory, GPT-2 small, 32 pairs", f"{peak((*GPT2_SMALL, 32), None) / theirs:.2f}", "at most 1"
