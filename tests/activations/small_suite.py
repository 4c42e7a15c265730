"""Suites of ours made in no time, of noisy weights. What they should give is computed by the plain forward pass."""

import torch

from probe.suites import format as suite_format
from probe.suites import open_suite
from probe.suites.architecture import Architecture, Shape
from probe.tasks import ModularArithmetic, task_to_dict
from tests.suites.plain import noisy_weights, plain_forward

TASK = ModularArithmetic(7, train_fraction=0.5)
SHAPES = {
    "small": Shape(d_model=8, n_heads=2, n_layers=1, normalization="LN", biases=True),
    "large": Shape(d_model=12, n_heads=3, n_layers=2, normalization="LN", biases=True),
}
STEPS = (0, 10, 20)


def architecture(model):
    return Architecture.of(SHAPES[model], TASK)


def weights(model, step):
    return noisy_weights(architecture(model), seed=int(step) + len(model))


def write_suite(folder, models=tuple(SHAPES), steps=STEPS):
    """A suite of ours in a folder, opened."""
    for model in models:
        config = {
            "architecture": architecture(model).to_dict(),
            "task": task_to_dict(TASK),
            "seed": 0,
            "examples_per_step": 5,
        }
        suite_format.write_json(suite_format.config_path(str(folder), model), config)
        for step in steps:
            path = suite_format.step_path(str(folder), model, step)
            suite_format.write_tensors(path, weights(model, step), {"step": step})
    return open_suite(str(folder))


def expected(model, step, tokens):
    """Logits, and every activation by hook name with the position as second axis, of examples of one length."""
    logits, seen = plain_forward(architecture(model), weights(model, step), torch.as_tensor(tokens))
    by_query = ("hook_pattern", "hook_attn_scores")
    return logits, {name: x.transpose(1, 2) if name.endswith(by_query) else x for name, x in seen.items()}
