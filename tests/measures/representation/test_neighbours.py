"""Neighbours in the representation and for the task."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from probe.measures.representation import compared_with_null, cyclic_distances, neighbour_agreement


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def circle_of(p, k):
    angle = 2 * math.pi * k * torch.arange(p, dtype=torch.float64) / p
    return torch.stack([angle.cos(), angle.sin()], dim=1)


@settings(deadline=None)
@given(n=st.integers(4, 15), data=st.data(), seed=st.integers(0, 10**6))
def test_without_ties_it_is_the_overlap_of_two_lists_of_neighbours(n, data, seed):
    m = data.draw(st.integers(1, n - 1))
    X, Y = normal(n, 3, seed=seed), normal(n, 2, seed=seed + 1)
    lists = [NearestNeighbors(n_neighbors=m).fit(Z).kneighbors(return_distance=False) for Z in (X.numpy(), Y.numpy())]
    expected = np.mean([len(set(a) & set(b)) / m for a, b in zip(*lists, strict=True)])
    assert neighbour_agreement(X, torch.cdist(Y, Y), m) == pytest.approx(expected)
    assert neighbour_agreement(X, torch.cdist(X, X).square(), m) == pytest.approx(1)


@pytest.mark.parametrize("p", [7, 12, 113])
@pytest.mark.parametrize("k", [1, 5])
def test_a_circle_has_the_neighbours_of_its_frequency(p, k):
    X = circle_of(p, k) + 1e3  # rounding of distances is not to decide between tied neighbours
    for m in (2, 4):
        assert neighbour_agreement(X, cyclic_distances(p, k), m) == pytest.approx(1)
    # two at the same distance share one place: each is taken in half of the draws, by both in a quarter, twice
    assert neighbour_agreement(X, cyclic_distances(p, k), 1) == pytest.approx(0.5)
    assert neighbour_agreement(X, cyclic_distances(p, k), 3) == pytest.approx((2 + 0.5) / 3)
    assert neighbour_agreement(circle_of(p, 1), cyclic_distances(p, 5), 2) == 0


def test_rounding_does_not_decide_between_tied_neighbours():
    """The task asks for the next token round the circle; in the representation it is as near as the one before."""
    p = 40
    t = torch.arange(p)
    ahead = (t - t[:, None]) % p
    angle = 2 * math.pi * t.double() / p + 3e-14 * t.double() ** 2
    X = torch.stack([angle.cos(), angle.sin()], dim=1)
    step = (X - X.roll(-1, 0)).norm(dim=1)
    assert (step < step.roll(1)).double().mean().item() < 0.3
    assert neighbour_agreement(X, ahead, 1) == pytest.approx(0.5)
    spiral = (1.5**t)[:, None]  # the nearest one is the one before, for all but the first
    assert neighbour_agreement(spiral, ahead, 1) == pytest.approx(1 / p)
    assert neighbour_agreement(spiral, ahead.T, 1) == pytest.approx((p - 1) / p)


@given(p=st.integers(2, 30), k=st.integers(-40, 40))
def test_cyclic_distances(p, k):
    if math.gcd(k, p) != 1:
        with pytest.raises(ValueError, match=f"k: {k} on Z_{p} given"):
            cyclic_distances(p, k)
        return
    distances = cyclic_distances(p, k)
    for a in range(p):
        for b in range(p):
            steps = [s for s in range(p) if (k * (a - b) - s) % p == 0 or (k * (a - b) + s) % p == 0]
            assert distances[a, b] == min(steps)


@pytest.mark.parametrize("m", [1, 3, 6])
def test_chance_is_m_of_the_others_whatever_the_ties(m):
    task = cyclic_distances(13)
    compared = compared_with_null(lambda X: neighbour_agreement(X, task, m), normal(13, 4), n_shuffles=400)
    assert compared.null_mean == pytest.approx(m / 12, abs=0.02)
    assert compared.null_low < m / 12 < compared.null_high
    # all at one distance: every draw is as good
    assert neighbour_agreement(torch.eye(13), task, m) == pytest.approx(m / 12)
    assert neighbour_agreement(normal(13, 4), torch.zeros(13, 13), m) == pytest.approx(m / 12)


def test_the_diagonal_is_not_looked_at_and_batches():
    X, task = normal(2, 3, 9, 4), cyclic_distances(9)
    expected = [neighbour_agreement(one, task, 2) for one in X.flatten(0, 1)]
    found = neighbour_agreement(X, task, 2)
    assert found.dtype == torch.float64
    assert found.flatten().tolist() == pytest.approx(expected, rel=1e-14)
    assert neighbour_agreement(torch.eye(13), cyclic_distances(13), 3) == pytest.approx(3 / 12, rel=1e-14)
    assert neighbour_agreement(X[0, 0].float().numpy(), (task + 50 * torch.eye(9)).numpy(), 2) == expected[0]


@pytest.mark.parametrize(
    ("X", "task", "m", "message"),
    [
        (normal(5, 2), cyclic_distances(6), 2, "distances: of 6 tokens given, expected 5"),
        (normal(5, 2), normal(5, 4), 2, "distances: shape"),
        (normal(5, 2), cyclic_distances(5), 5, "m: 5 given, expected 1 to 4"),
        (normal(5, 2), cyclic_distances(5), 0, "m: 0 given"),
        (normal(5), cyclic_distances(5), 2, "representation: "),
    ],
)
def test_wrong_arguments_are_refused(X, task, m, message):
    with pytest.raises(ValueError, match=message):
        neighbour_agreement(X, task, m)
