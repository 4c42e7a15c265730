"""The mean of independent estimates and its t interval."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from scipy.stats import t
from torch import Tensor

from probe.measures.intervals import Interval, check_confidence


def t_interval(values: Float[Tensor, " estimate"], confidence: float) -> Interval:
    """Mean of two or more independent values, and Student's interval of it.

    Raises ValueError for a confidence outside (0, 1).
    """
    check_confidence(confidence)
    values, n = values.to(torch.float64), len(values)
    mean = values.mean().item()
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * values.std().item() / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)
