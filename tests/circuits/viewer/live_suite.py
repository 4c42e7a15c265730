"""A suite of four models, each trained a little on a task of its own; and what is computed on them by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from probe.suites import open_suite
from probe.suites.architecture import Architecture, Shape
from probe.tasks import ModularArithmetic, RepeatedTokens, Subtraction
from probe.training.ensemble import Member
from probe.training.run import train
from probe.training.settings import Schedule, TrainingSettings

SUM, QUOTIENT, DIGITS, REPEATED = "sum", "quotient", "digits", "repeated"
STEP = 40
TASKS = {
    SUM: (ModularArithmetic(7, "a+b", 0.7), Shape(d_model=16, n_heads=2, n_layers=2)),
    QUOTIENT: (ModularArithmetic(7, "a/b", 0.7), Shape(d_model=8, n_heads=2)),
    DIGITS: (Subtraction("0-12", notation="digits"), Shape(d_model=8, n_heads=2)),
    REPEATED: (RepeatedTokens(64, 16, 4, 8, bos=True), Shape(d_model=16, n_heads=2, n_layers=2, attn_only=True)),
}


def suite_in(folder):
    """The suite, trained once in a folder."""
    for name, (task, shape) in TASKS.items():
        settings = TrainingSettings(STEP, batch_size=24, checkpoints=Schedule(log_until=0, every=20))
        train(Architecture.of(shape, task), [Member(name, task, 0, 1e-2, 1.0)], settings, str(folder), device="cpu")
    return open_suite(folder)


def at(model, step=STEP, **more):
    return {"model": model, "step": step, **more}


def interval(values):
    """A mean with Student's 95 % interval, as a message has it."""
    mean, half = np.mean(values), student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    told = {"mean": mean, "low": mean - half, "high": mean + half, "n": len(values)}
    return pytest.approx(told, rel=1e-5, abs=1e-6)


def written(model, node, tokens):
    """What a node writes on one question, [position, d_model], from a cache."""
    _, cache = model.run_with_cache(torch.tensor([tokens]))
    if node == "embed":
        return cache["blocks.0.hook_resid_pre"][0].detach()
    layer, part = node[1:].split(".")
    if part == "MLP":
        return cache[f"blocks.{layer}.hook_mlp_out"][0].detach()
    head = int(part[1:])
    return (cache[f"blocks.{layer}.attn.hook_z"][0, :, head] @ model.blocks[int(layer)].attn.W_O[head]).detach()
