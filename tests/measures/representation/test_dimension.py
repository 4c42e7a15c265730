"""Intrinsic dimension on manifolds whose dimension is known."""

import math

import numpy as np
import pytest
import torch

from probe.measures.representation import compared_with_null, dimension, levina_bickel, two_nn

ESTIMATORS = [two_nn, levina_bickel]


def circles(n, n_circles, n_units=10, seed=0, batch=()):
    """Points at random on a product of circles, turned into more units."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(*batch, n, n_circles, generator=generator, dtype=torch.float64)
    plane = torch.linalg.qr(torch.randn(n_units, 2 * n_circles, generator=generator, dtype=torch.float64)).Q
    return torch.cat([angle.cos(), angle.sin()], dim=-1) @ plane.T + 100


def gaussian(n, d, seed=0, batch=()):
    return torch.randn(*batch, n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("estimate", ESTIMATORS)
@pytest.mark.parametrize(
    ("cloud", "expected"),
    [
        (circles(1500, 1), 1),
        (circles(1500, 2), 2),
        (circles(1500, 3), 3),
        (gaussian(1500, 2), 2),
        (gaussian(1500, 5), 5),
    ],
)
def test_known_manifolds(estimate, cloud, expected):
    found = estimate(cloud)
    assert found.value == pytest.approx(expected, rel=0.08)
    assert found.low < found.value < found.high
    assert found.high / found.low < 1.25
    assert estimate(1e-3 * cloud.float()).value == pytest.approx(found.value, rel=2e-2)
    assert estimate(1e12 * cloud).value == pytest.approx(found.value)


def slow_two_nn(X):
    ratios = []
    for i, x in enumerate(X):
        near = sorted(np.linalg.norm(x - y) for j, y in enumerate(X) if j != i)[:2]
        ratios.append(math.log(near[1] / near[0]))
    ratios.sort()
    kept = len(ratios) - len(ratios) // 10
    return (kept - 1) / (sum(ratios[:kept]) + (len(ratios) - kept) * ratios[kept - 1])


def slow_levina_bickel(X, k):
    inverse = []
    for i, x in enumerate(X):
        near = sorted(np.linalg.norm(x - y) for j, y in enumerate(X) if j != i)[:k]
        inverse.append(np.mean([math.log(near[-1] / near[j]) for j in range(k - 1)]))
    return 1 / np.mean(inverse)


@pytest.mark.parametrize("n", [12, 25])
def test_estimates_are_their_definitions(n, monkeypatch):
    X = gaussian(n, 3, seed=n)
    monkeypatch.setattr(dimension, "BLOCK", 5 * n)  # a few points at a time
    assert two_nn(X).value == pytest.approx(slow_two_nn(X.numpy()))
    for k in (3, 10):
        assert levina_bickel(X, k).value == pytest.approx(slow_levina_bickel(X.numpy(), k))
    batch = torch.stack([X, 2 * gaussian(n, 3, seed=1)]).unsqueeze(1)
    for estimate in ESTIMATORS:
        found = estimate(batch)
        one = estimate(batch[1, 0])
        assert found.value.shape == (2, 1)
        assert (found.low[1, 0].item(), found.value[1, 0].item(), found.high[1, 0].item()) == pytest.approx(
            (one.low, one.value, one.high)
        )


def test_the_line_of_facco_et_al_says_the_same():
    """A line through the origin, -log(1 - F) against log m, without the last tenth: their estimate."""
    for seed in range(3):
        X = gaussian(1000, 4, seed=seed)
        distance = torch.cdist(X, X).fill_diagonal_(torch.inf).topk(2, largest=False).values
        logs = (distance[:, 1] / distance[:, 0]).log().sort().values[:900]
        rise = -torch.log(1 - torch.arange(900, dtype=torch.float64) / 1000)
        line = (logs @ rise) / (logs @ logs)
        found = two_nn(X)
        assert found.low < line.item() < found.high
        assert found.value == pytest.approx(line.item(), rel=0.07)


@pytest.mark.parametrize("estimate", ESTIMATORS)
@pytest.mark.parametrize("n_circles", [1, 2])
def test_intervals_hold_the_mean_of_the_estimator_in_most_samples(estimate, n_circles):
    found = estimate(circles(150, n_circles, batch=(400,)))
    mean = found.value.mean()
    inside = ((found.low <= mean) & (mean <= found.high)).double().mean().item()
    assert 0.9 <= inside <= 0.98
    # as wide as the estimates are spread
    width = (found.high / found.low).log().mean().item() / (2 * 1.96)
    assert width == pytest.approx(found.value.log().std().item(), rel=0.15)


def test_the_control_has_as_many_dimensions_as_units_allow():
    compared = compared_with_null(lambda X: two_nn(X).value, circles(200, 1), "units", 40)
    assert compared.value < 1.3 < 4 < compared.null_low


def test_tokens_of_a_circle_are_a_lattice():
    angle = 2 * math.pi * torch.arange(113, dtype=torch.float64) / 113
    lattice = torch.stack([angle.cos(), angle.sin()], dim=1)
    with pytest.raises(ValueError, match="expected a sample, not a lattice"):
        two_nn(lattice)
    assert two_nn(lattice + 1e-3 * gaussian(113, 2)).value > 10  # as the docstring warns
    assert levina_bickel(lattice).value == pytest.approx(1.38, abs=0.01)


def test_too_few_points_and_points_that_coincide_are_refused():
    twice = gaussian(20, 2)
    twice[7] = twice[3]
    for estimate in ESTIMATORS:
        with pytest.raises(ValueError, match=r"representation: point \[3\] coincides with another"):
            estimate(twice)
        with pytest.raises(ValueError, match=r"representation: 9 points given, expected at least 1[02]"):
            estimate(gaussian(9, 2))
        with pytest.raises(ValueError, match="representation: "):
            estimate(torch.full((20, 2), torch.nan))
    with pytest.raises(ValueError, match="n_neighbours: 2 given"):
        levina_bickel(gaussian(20, 2), 2)
    with pytest.raises(ValueError, match="neighbours all equally far"):
        levina_bickel(torch.eye(20))
