"""CKA and Procrustes between representations of the same tokens."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.measures.representation import compared_with_null, debiased_cka, linear_cka, procrustes_distance, similarity

MEASURES = [linear_cka, debiased_cka, procrustes_distance]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_cka(X, Y):
    n = len(X)
    H = np.eye(n) - 1 / n

    def hsic(A, B):
        return np.trace(A @ A.T @ H @ B @ B.T @ H)

    return hsic(X, Y) / math.sqrt(hsic(X, X) * hsic(Y, Y))


def slow_debiased(X, Y):
    """Song et al., equation 5, over matrices without their diagonals."""
    n, one = len(X), np.ones(len(X))

    def hsic(A, B):
        K, L = A @ A.T, B @ B.T
        np.fill_diagonal(K, 0)
        np.fill_diagonal(L, 0)
        middle = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
        return (np.trace(K @ L) + middle - 2 / (n - 2) * one @ K @ L @ one) / (n * (n - 3))

    return hsic(X, Y) / math.sqrt(hsic(X, X) * hsic(Y, Y))


def slow_procrustes(X, Y):
    """With an explicit rotation, of matrices filled up to the same width."""
    X, Y = ((Z - Z.mean(0)) / np.linalg.norm(Z - Z.mean(0)) for Z in (X, Y))
    width = max(X.shape[1], Y.shape[1])
    X, Y = (np.pad(Z, ((0, 0), (0, width - Z.shape[1]))) for Z in (X, Y))
    turn, _ = scipy.linalg.orthogonal_procrustes(Y, X)
    return np.linalg.norm(X - Y @ turn)


@settings(deadline=None)
@given(n=st.integers(4, 30), d=st.integers(1, 9), e=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_all_are_their_definitions(n, d, e, seed):
    """Few units and many: both ways of computing the products."""
    X, Y = normal(n, d, seed=seed) + 2, normal(n, e, seed=seed + 1)
    Y[:, 0] += X[:, 0]
    for measure, slow in zip(MEASURES, (slow_cka, slow_debiased, slow_procrustes), strict=True):
        assert measure(X, Y) == pytest.approx(slow(X.numpy(), Y.numpy()), abs=1e-8)


def test_which_axes_scale_and_origin_does_not_matter():
    X, Y = normal(15, 4), normal(15, 6, seed=1)
    turned = 3 * X @ torch.linalg.qr(normal(9, 4, seed=2)).Q.T + normal(9, seed=3)
    for measure, itself in zip(MEASURES, (1, 1, 0), strict=True):
        assert measure(X, turned) == pytest.approx(itself, abs=1e-7)
        assert measure(turned, Y) == pytest.approx(measure(X, Y), abs=1e-9)
        assert measure(Y, X) == pytest.approx(measure(X, Y), abs=1e-9)
    stretched = X * torch.tensor([1.0, 5.0, 1.0, 1.0])
    assert linear_cka(X, stretched) < 0.9
    assert procrustes_distance(X, stretched) > 0.3


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(("n", "d", "e"), [(6, 8, 5), (30, 3, 5)])
def test_leading_dimensions_broadcast_to_all_pairs(measure, n, d, e, monkeypatch):
    steps, others = normal(4, n, d), normal(2, 3, n, e, seed=1)
    expected = [[[measure(x, y) for y in row] for x in steps] for row in others]
    found = measure(steps[:, None], others[:, None])
    assert found.shape == (2, 4, 3)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    monkeypatch.setattr(similarity, "BLOCK", 3 * n * (d + e))  # a few entries at a time
    torch.testing.assert_close(measure(steps[:, None], others[:, None]), found)
    torch.testing.assert_close(measure(steps[0], others[0]), found[0, 0])
    assert isinstance(expected[0][0][0], float)
    assert measure(steps[0].float().numpy(), others[0, 0]) == pytest.approx(expected[0][0][0], abs=1e-5)


def test_unrelated_representations():
    """As many units as tokens: the biased estimate is near 1 for noise, the debiased one near 0 on average."""
    pairs = normal(200, 2, 20, 20)
    biased, unbiased = linear_cka(pairs[:, 0], pairs[:, 1]), debiased_cka(pairs[:, 0], pairs[:, 1])
    assert biased.mean() > 0.45
    assert abs(unbiased.mean().item()) < 4 * unbiased.std().item() / 200**0.5
    X, Y = normal(20, 20, seed=1), normal(20, 20, seed=2)
    for measure, related in ((linear_cka, 1), (debiased_cka, 1), (procrustes_distance, 0)):
        null = compared_with_null(lambda x, m=measure: m(x, Y), X, n_shuffles=100)
        assert null.null_low - 0.05 < null.value < null.null_high + 0.05
        alike = compared_with_null(lambda x, m=measure: m(x, X), X, n_shuffles=40)
        assert alike.value == pytest.approx(related, abs=1e-6)
        assert not alike.null_low - 0.05 < alike.value < alike.null_high + 0.05


def test_procrustes_is_a_metric():
    shapes = normal(12, 8, 3)
    d = procrustes_distance(shapes[:, None], shapes[None])
    assert d.diagonal().max() < 1e-7
    assert (d <= 2**0.5).all()
    assert (d[:, :, None] + d[None] >= d[:, None] - 1e-9).all()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (normal(5, 3), normal(6, 3), "second: 6 tokens beside 5 in first given"),
        (normal(3).expand(13, 3), normal(13, 3), "first: the same row"),
        (normal(5, 3), torch.zeros(5, 3), "second: the same row"),
        (normal(2, 5, 3), normal(3, 5, 3), r"second: batch \(3,\) beside \(2,\) in first"),
        (normal(5), normal(5), "first: shape"),
        (torch.full((5, 3), torch.nan), normal(5, 3), "first: nan"),
        (normal(1, 3), normal(1, 3), "first: the same row"),
    ],
)
def test_wrong_representations_are_refused(measure, first, second, message):
    with pytest.raises(ValueError, match=message):
        measure(first, second)


def test_debiased_needs_four_tokens_at_different_distances():
    with pytest.raises(ValueError, match="expected the same 4 or more"):
        debiased_cka(normal(3, 2), normal(3, 2))
    with pytest.raises(ValueError, match="first: tokens all equally far apart"):
        debiased_cka(torch.eye(6), normal(6, 2))
