"""What `local_learning_coefficient` refuses, and how it says so."""

import math

import numpy as np
import pytest
import torch

from probe.measures.complexity import local_learning_coefficient

DOUBLE = torch.float64
OTHER = torch.ones(2, requires_grad=True)
SGLD = {"sampler": "sgld", "step_size": 1e-4}


def square(w):
    return w.square().sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 1}, "n: 1 given, expected the number of examples"),
        ({"sampler": "hmc"}, "sampler: 'hmc' given, expected 'mala' or 'sgld'"),
        ({"gamma": 0.0}, r"gamma: 0\.0 given, expected a positive number"),
        ({"gamma": math.inf}, "gamma: inf given"),
        ({"gamma": math.nan}, "gamma: nan given"),
        ({"n_chains": 1}, "n_chains: 1 given, expected at least 2"),
        ({"n_draws": 3}, "n_draws: 3 given, expected at least 4"),
        ({"burn_in": 99}, "burn_in: 99 given, expected at least 100 to find a step size in"),
        ({"burn_in": -1, "step_size": 0.1}, "burn_in: -1 given"),
        ({"step_size": 0.0}, r"step_size: 0\.0 given"),
        ({"step_size": math.nan}, "step_size: nan given"),
        ({"sampler": "sgld"}, "step_size: none given, expected one for 'sgld'"),
        ({"batch_size": 10}, "batch_size: 10 given, expected none for 'mala'"),
        ({"batch_size": 0, **SGLD}, "batch_size: 0 given, expected 1 to n = 100"),
        ({"batch_size": 101, **SGLD}, "batch_size: 101 given, expected 1 to n = 100"),
        ({"confidence": 95}, "confidence: 95 given"),
        ({"weights": {}}, "weights: none given"),
        ({"weights": np.zeros(2)}, "weights: ndarray given, expected a floating-point tensor, or several by name"),
        ({"weights": [0.0]}, "weights: list given"),
        ({"weights": {"a": torch.zeros(0)}}, "weights: none given"),
        ({"weights": torch.zeros(2, dtype=torch.int64)}, r"weights: torch\.int64 given, expected a floating-point"),
        ({"weights": {"a": np.zeros(2)}}, r"weights\['a'\]: ndarray given, expected a floating-point tensor"),
        ({"weights": {"mask": torch.ones(2) > 0}}, r"weights\['mask'\]: torch\.bool given"),
        ({"weights": torch.tensor([0.0, math.nan])}, "weights: nan or infinity given"),
        ({"loss_fn": lambda w: w}, r"loss_fn: shape \(2,\) given, expected a tensor of one number"),
        ({"loss_fn": lambda w: 1.0}, "loss_fn: float given, expected a tensor of one number"),
        ({"loss_fn": lambda w: w.sum() / 0}, "loss_fn: nan given at the weights"),
        ({"loss_fn": lambda w: w.detach().sum()}, "loss_fn: the loss has no gradient"),
        ({"loss_fn": lambda w: torch.tensor(3.0)}, "loss_fn: the loss has no gradient"),
        ({"loss_fn": lambda w: OTHER.sum()}, "loss_fn: the loss has no gradient"),
        ({"loss_fn": lambda w, i: OTHER.sum(), "batch_size": 10, **SGLD}, "loss_fn: the loss has no gradient"),
        ({"loss_fn": lambda w: torch.where((w == 0).all(), w.sum(), math.nan)}, "loss_fn: no finite loss found near"),
    ],
)
def test_what_makes_no_sense_is_refused(change, message):
    arguments = {"loss_fn": square, "weights": torch.zeros(2, dtype=DOUBLE), "n": 100, "burn_in": 100} | change
    with pytest.raises(ValueError, match=message):
        local_learning_coefficient(arguments.pop("loss_fn"), arguments.pop("weights"), arguments.pop("n"), **arguments)
