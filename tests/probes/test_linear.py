"""The Fourier probe finds frequencies that are planted, in every operation that is an addition, and no others."""

import numpy as np
import pytest
import torch

from probe.probes.linear import FourierProbe
from probe.tasks import ModularArithmetic
from tests.probes.stub import discrete_log, observation

SITES = ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post")


def planted(task, frequencies, seed=0):
    """Activations that hold the cosine and sine of the answer, in the group's own order, in random directions."""
    n, multiplicative = task.cyclic_form.order, task.operation in ("a*b", "a/b")
    log = discrete_log(task.p) if multiplicative else {t: t for t in range(task.p)}
    c = torch.tensor([log.get(int(answer), 0) for answer in task.answers])  # products of 0 are in no group: whatever
    generator = torch.Generator().manual_seed(seed)
    x = 0.3 * torch.randn(len(c), 16, generator=generator)
    for k in frequencies:
        angle = 2 * torch.pi * k * c / n
        x += torch.outer(angle.cos(), torch.randn(16, generator=generator))
        x += torch.outer(angle.sin(), torch.randn(16, generator=generator))
    return x


def rows_of(task, activations):
    found = FourierProbe().measure(observation(task, activations=dict(zip(SITES, activations, strict=True))))
    return {(row.metric, row.site, row.key): row.value for row in found}


@pytest.mark.parametrize(("operation", "p"), [("a+b", 23), ("a-b", 22), ("a*b", 23), ("a/b", 19)])
def test_the_planted_frequencies_and_no_others(operation, p):
    task = ModularArithmetic(p, operation)
    rows = rows_of(task, [planted(task, []), planted(task, [2, 5])])
    n = task.cyclic_form.order
    assert {key for metric, _, key in rows if metric == "r2"} == {str(k) for k in range(1, n // 2 + 1)}
    for k in range(1, n // 2 + 1):
        value, low = rows["r2", SITES[1], str(k)], rows["selectivity_low", SITES[1], str(k)]
        if k in (2, 5):
            assert value > 0.8
            assert low > 0.3
        else:
            assert value < 0.1
        assert rows["r2_low", SITES[1], str(k)] <= value <= rows["r2_high", SITES[1], str(k)]
        assert rows["r2", SITES[0], str(k)] < 0.1
        difference = rows["selectivity", SITES[1], str(k)]
        assert rows["selectivity_low", SITES[1], str(k)] <= difference <= rows["selectivity_high", SITES[1], str(k)]


def test_a_pair_and_its_mirror_are_held_out_together():
    """Activations that say which unordered pair it is, and nothing of its sum: with a leak, they would give it away."""
    task = ModularArithmetic(11)
    low, high = np.sort(task.operands, axis=1).T
    pair = np.unique(low * 11 + high, return_inverse=True)[1]
    code = torch.randn(pair.max() + 1, 200, generator=torch.Generator().manual_seed(0))[pair]
    rows = rows_of(task, [code, code])
    assert max(value for (metric, *_), value in rows.items() if metric == "r2") < 0.15


def test_it_refuses_what_is_no_addition():
    with pytest.raises(ValueError, match="not an addition in a cyclic group"):
        FourierProbe().check(ModularArithmetic(9, "a^2+b^2"))
