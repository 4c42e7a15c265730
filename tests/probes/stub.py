"""Observations made by hand, so that what a probe should say of them is known."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from probe.activations.sites import LOGITS
from probe.measures.performance import outcomes
from probe.probes import Observation, Row
from probe.suites.architecture import Architecture, Shape
from probe.tasks import ModularArithmetic, Task

APPLY = {
    "a+b": lambda a, b, p: (a + b) % p,
    "a-b": lambda a, b, p: (a - b) % p,
    "a*b": lambda a, b, p: a * b % p,
    "a/b": lambda a, b, p: a * pow(b, -1, p) % p,
}


def observation(
    task: Task,
    logits=None,
    weights=None,
    of_model=None,
    shape: Shape | None = None,
    activations=None,
    model=None,
    checkpoint=None,
    scored_logits=None,
):
    """Of a model that does not exist; ``logits`` [example, answer] get a large logit of "=" added, to be ignored.

    ``scored_logits`` [example, token, answer]: of answers of several tokens.
    """
    arch = Architecture.of(shape or Shape(d_model=8, n_heads=2), task)
    activations = dict(activations or {})
    if logits is not None:
        activations[LOGITS] = torch.cat([torch.as_tensor(logits), torch.full((len(logits), 1), 50.0)], dim=1)
    model_of = SimpleNamespace(task=task, architecture=arch)
    checkpoint = checkpoint or SimpleNamespace(task=task, model=model_of, exposures=task.exposures)
    if logits is not None:
        scored_logits = torch.as_tensor(logits)[:, None]
    token_outcomes = None if scored_logits is None else outcomes(scored_logits, task.scored_answers)
    return Observation(checkpoint, weights or {}, activations, of_model or {}, model, token_outcomes)


def discrete_log(p: int) -> dict[int, int]:
    """Exponent of each unit of a prime, to the smallest base that reaches them all."""
    for g in range(1, p):
        powers = [pow(g, i, p) for i in range(p - 1)]
        if len(set(powers)) == p - 1:
            return {power: i for i, power in enumerate(powers)}
    raise AssertionError(p)


def cosine_logits(task: ModularArithmetic, amplitudes: dict[int, float]) -> Tensor:
    """Logits sum_k A_k cos(w_k (x + y - z)): the Fourier algorithm, in the group in which the operation adds.

    Written with the operation itself: x + y - z is how far the answer z is from the right one.
    """
    p, multiplicative = task.p, task.operation in ("a*b", "a/b")
    log = discrete_log(p) if multiplicative else {t: t for t in range(p)}
    n = p - 1 if multiplicative else p
    logits = np.zeros((len(task.answers), p))
    for example, (a, b) in enumerate(task.operands.tolist()):
        right = APPLY[task.operation](a, b, p)
        for c in range(p):
            if right in log and c in log:
                turns = (log[right] - log[c]) / n
                logits[example, c] = sum(A * np.cos(2 * np.pi * k * turns) for k, A in amplitudes.items())
    return torch.tensor(logits)


def keys(*frequencies: int) -> dict[str, list[Row]]:
    seen = [Row("logit_cosine", 0.1, LOGITS, str(k)) for k in (1, 2, 3)]
    found = [Row("is_key", 1.0, LOGITS, str(k)) for k in frequencies]
    return {"key_frequencies": [*seen, *found, Row("null_quantile", 0.1, LOGITS)]}


def values(rows, metric: str) -> dict[str, float]:
    """Values of a metric by key."""
    found = [(row.key, row.value) for row in rows if isinstance(row, Row) and row.metric == metric]
    assert len(dict(found)) == len(found), f"a key of {metric} is there twice"
    return dict(found)
