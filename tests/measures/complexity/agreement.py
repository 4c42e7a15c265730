"""How estimates of the learning coefficient are compared with exact values."""

import math

import torch

DOUBLE = torch.float64


def n_beta(n):
    return n / math.log(n)


def agrees(llc, exact, precision):
    """Whether the estimate is within four standard errors of ``exact``, and these small enough to mean something."""
    error = (llc.by_chain.std() / math.sqrt(len(llc.by_chain))).item()
    return abs(llc.estimate - exact) < 4 * error and error < precision * exact
