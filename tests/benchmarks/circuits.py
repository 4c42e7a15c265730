"""Edge attribution of a GPT-2-shaped random model against TransformerLens' own attribution_patch in edge mode.

The shape is half of GPT-2 small in every direction: 6 layers, 6 heads, d_model 384, 8 pairs of 16 tokens. Theirs goes
through the pairs one by one, and through positions and edges in Python.
"""

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


def rows() -> Iterator[tuple[str, str, str]]:
    """What was compared, the ratio, and what it has to be."""
    torch.manual_seed(0)
    config = GPT2Config(n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, vocab_size=VOCABULARY, n_positions=POSITIONS)
    model = hooked(AutoModelForCausalLM.from_config(config).eval(), "random")
    drawn = np.random.default_rng(0)
    clean, corrupted = drawn.integers(VOCABULARY, size=(2, PAIRS, POSITIONS))
    right, wrong = 1, 2  # theirs knows one metric for all pairs
    pairs = Pairs(clean, corrupted, np.full(PAIRS, right), VOCABULARY, np.full(PAIRS, wrong))
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
