"""Activation patching of every head at every position against TransformerLens' own, which is a loop of single patches.

The model is GPT-2-shaped and random: 4 layers, 4 heads, d_model 64; 4 pairs of 8 tokens, so 128 patches of each. Both
do the same arithmetic: where that is what takes the time, on a CPU from a d_model of some hundreds on, they are equal.
"""

import io
from collections.abc import Iterator
from contextlib import redirect_stderr
from typing import Any

import numpy as np
import torch
from transformer_lens.patching import get_act_patch_attn_head_out_by_pos
from transformers import AutoModelForCausalLM, GPT2Config

from circuits import Pairs, logit_difference
from circuits.patching import patch_activations
from probe.suites.bridges import hooked
from tests.benchmarks.timing import seconds

LAYERS, HEADS, WIDTH, VOCABULARY = 4, 4, 64, 200
PAIRS, POSITIONS = 4, 8


def rows() -> Iterator[tuple[str, str, str]]:
    """What was compared, the ratio, and what it has to be."""
    torch.manual_seed(0)
    config = GPT2Config(n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, vocab_size=VOCABULARY, n_positions=POSITIONS)
    model: Any = hooked(AutoModelForCausalLM.from_config(config).eval(), "random")
    drawn = np.random.default_rng(0)
    clean, corrupted = drawn.integers(VOCABULARY, size=(2, PAIRS, POSITIONS))
    answers = drawn.integers(VOCABULARY, size=PAIRS)
    pairs = Pairs(clean, corrupted, answers, VOCABULARY, (answers + 1) % VOCABULARY)
    right, wrong = torch.tensor(pairs.answers)[:, None], torch.tensor(pairs.wrong_answers)[:, None]
    found: dict[str, Any] = {}

    def mean_difference(logits: torch.Tensor) -> torch.Tensor:
        return (logits[:, -1].gather(1, right) - logits[:, -1].gather(1, wrong)).mean()

    def theirs() -> None:
        with torch.no_grad(), redirect_stderr(io.StringIO()):  # where it shows its progress
            _, cache = model.run_with_cache(torch.tensor(clean))
            found["theirs"] = get_act_patch_attn_head_out_by_pos(model, torch.tensor(corrupted), cache, mean_difference)

    def ours() -> None:
        apart = ("layer", "head", "position")
        found["ours"] = patch_activations(model, pairs, logit_difference, "z", apart=apart)

    took = seconds({"theirs": theirs, "ours": ours}, rounds=2)
    means = found["ours"].values.mean("pair").transpose("layer", "position", "head").to_numpy()
    np.testing.assert_allclose(means, found["theirs"].numpy(), atol=1e-5)
    name = f"patching {HEADS * LAYERS} heads x {POSITIONS} positions, loop of single patches / ours"
    yield name, f"{took['theirs'] / took['ours']:.1f}", "at least 3"
