"""Effective rank and participation ratio."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probe.measures.representation import compared_with_null, effective_rank, participation_ratio


def with_singular_values(values, n=12, d=7, seed=0):
    """A matrix whose columns have mean 0."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(n, len(values), generator=generator, dtype=torch.float64)
    left = torch.linalg.qr(left - left.mean(0)).Q
    right = torch.linalg.qr(torch.randn(d, len(values), generator=generator, dtype=torch.float64)).Q
    return left * torch.tensor(values, dtype=torch.float64) @ right.T


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=6), st.integers(0, 1000))
def test_both_are_functions_of_the_singular_values(values, seed):
    X = with_singular_values(values, seed=seed)
    entropy = -sum(v / sum(values) * math.log(v / sum(values)) for v in values)
    assert effective_rank(X) == pytest.approx(math.exp(entropy), rel=1e-6)
    squares = [v * v for v in values]
    ratio = sum(squares) ** 2 / sum(s * s for s in squares)
    assert participation_ratio(X) == pytest.approx(ratio, rel=1e-9)
    assert participation_ratio(X) <= effective_rank(X) + 1e-6


def test_equal_directions_count_one_each():
    X = with_singular_values([2.0] * 5)
    assert effective_rank(X) == pytest.approx(5)
    assert participation_ratio(X) == pytest.approx(5)
    assert effective_rank(torch.eye(4)) == pytest.approx(4)
    assert participation_ratio(torch.eye(4)) == pytest.approx(3)  # without the mean


def test_the_mean_counts_in_one_and_not_in_the_other():
    X = with_singular_values([3.0, 1.0])
    assert participation_ratio(X + 5) == pytest.approx(participation_ratio(X))
    assert effective_rank(X + 5) != pytest.approx(effective_rank(X), abs=0.1)


def test_batches_and_float32():
    X = torch.stack([with_singular_values([1.0, 2.0]), with_singular_values([1.0, 1.0, 1.0])])
    for measure in (effective_rank, participation_ratio):
        assert measure(X).tolist() == pytest.approx([measure(one) for one in X])
        assert measure(X.float().numpy())[1].item() == pytest.approx(3, abs=1e-3)


def test_a_control_has_more_directions():
    """Units shuffled by themselves have nothing in common, whatever two directions they had."""
    compared = compared_with_null(participation_ratio, with_singular_values([3.0, 3.0], 40, 10), "units", 40)
    assert compared.value == pytest.approx(2)
    assert compared.null_low > 4


def test_what_has_no_spread_is_refused():
    with pytest.raises(ValueError, match="matrix: zeros only given"):
        effective_rank(torch.zeros(2, 3))
    for X in (torch.tensor([0.1, 0.7, 1 / 3], dtype=torch.float64).expand(13, 3), torch.ones(1, 3)):
        with pytest.raises(ValueError, match="representation: the same row"):
            participation_ratio(X)


@pytest.mark.parametrize("scale", [1e-170, 1e150, 1e300])
def test_extreme_scales_do_not_matter(scale):
    X = with_singular_values([3.0, 2.0, 1.0])
    for measure in (effective_rank, participation_ratio):
        assert measure(scale * X) == pytest.approx(measure(X))
