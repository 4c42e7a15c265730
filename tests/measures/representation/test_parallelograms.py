"""Representation quality: parallelograms of equal sums."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.measures.representation import compared_with_null, parallelogram_quality, parallelograms


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def modular(p):
    t = torch.arange(p)
    return (t[:, None] + t) % p


def line(p, d, noise=0.0, seed=0):
    return torch.arange(p, dtype=torch.float64)[:, None] * (0.5 + normal(d, seed=7).abs()) + noise * normal(
        p, d, seed=seed
    )


def slow_counts(E, sums=None, in_data=None):
    """Closed ones and all: all pairs of different pairs, one by one."""
    E = np.asarray(E, dtype=float)
    p = len(E)
    E = (E - E.mean(0)) / E.std(0, ddof=1)
    pairs = [(i, j) for i in range(p) for j in range(i, p) if in_data is None or in_data[i, j] or in_data[j, i]]
    closed = total = 0
    for (i, j), (m, n) in itertools.combinations(pairs, 2):
        if (i + j == m + n) if sums is None else (sums[i, j] == sums[m, n]):
            total += 1
            closed += np.mean((E[i] + E[j] - E[m] - E[n]) ** 2) < 0.01
    return closed, total


def slow_quality(*arguments):
    closed, total = slow_counts(*arguments)
    return closed / total


@settings(deadline=None)
@given(p=st.integers(3, 9), d=st.integers(1, 4), noise=st.floats(0, 0.6), seed=st.integers(0, 10**6))
def test_it_is_the_share_of_all_of_them(p, d, noise, seed):
    E = line(p, d, noise, seed)
    assert parallelogram_quality(E) == pytest.approx(slow_quality(E))
    assert parallelogram_quality(E, modular(p)) == pytest.approx(slow_quality(E, modular(p)))


@settings(deadline=None)
@given(p=st.integers(4, 8), seed=st.integers(0, 10**6), share=st.floats(0.3, 1))
def test_pairs_in_the_data_and_any_symmetric_table(p, seed, share):
    E = line(p, 2, 0.3, seed)
    in_data = torch.rand(p, p, generator=torch.Generator().manual_seed(seed)) < share
    in_data[0, 1:3] = in_data[1, 2] = in_data[0, 3] = True  # 0 + 3 = 1 + 2
    product = torch.arange(p)[:, None] * torch.arange(p) % p
    assert parallelogram_quality(E, None, in_data) == pytest.approx(slow_quality(E, None, in_data))
    in_data[:] |= torch.eye(p, dtype=torch.bool)
    in_data[0] = True  # all products with 0 are the same
    assert parallelogram_quality(E, product.numpy(), in_data.numpy()) == pytest.approx(
        slow_quality(E, product, in_data)
    )


def test_as_many_parallelograms_as_the_published_code_lists():
    """For its ten tokens: i < j <= m < n with i + n = j + m."""
    tokens = range(10)
    listed = sum(i < j <= m < n and i + n == j + m for i, j, m, n in itertools.product(tokens, tokens, tokens, tokens))
    one_gap = line(10, 1)
    one_gap[0] -= 20.0  # breaks those of token 0, and those only
    closed, total = slow_counts(one_gap)
    assert total == listed
    assert listed - closed == sum(j + m in tokens for j in range(1, 10) for m in range(j, 10))
    assert parallelogram_quality(one_gap) == pytest.approx(closed / listed)


def test_a_line_is_structured_and_a_circle_is_not():
    assert parallelogram_quality(line(113, 20)) == 1
    angle = 2 * math.pi * torch.arange(113) / 113
    circle = torch.stack([angle.cos(), angle.sin()], dim=1).double()
    assert parallelogram_quality(circle, modular(113)) < 0.2
    assert parallelogram_quality(normal(113, 20)) == 0


def test_threshold_is_on_the_mean_square_of_standardized_units():
    """Tokens -1, x, 1 have one parallelogram, 0 + 2 = 1 + 1; standardized, its squared gap is 4 x^2 / (1 + x^2 / 3)."""
    for mean_square, closed in ((0.00999, 1.0), (0.01001, 0.0)):
        square = 2 * mean_square
        x = math.sqrt(square / (4 - square / 3))
        # half of the units have the whole gap
        E = torch.tensor([[-1, -1, -1, -1], [x, -x, 0, 0], [1, 1, 1, 1]], dtype=torch.float64)
        assert parallelogram_quality(E * torch.tensor([1.0, 10.0, 0.1, 3.0]) + 5) == closed


def test_units_that_do_not_vary_are_left_out():
    E = line(7, 3, 0.25)
    more = torch.cat([E, torch.full((7, 5), 0.1, dtype=torch.float64)], dim=1)
    assert 0 < parallelogram_quality(E) < 1
    assert parallelogram_quality(more) == parallelogram_quality(E)
    with pytest.raises(ValueError, match="embedding: the same row for every token"):
        parallelogram_quality(more[:, 3:])


def test_batches_blocks_and_float32(monkeypatch):
    E = torch.stack([line(12, 3, noise, 5) for noise in (0.0, 0.2, 0.4, 0.8)]).unflatten(0, (2, 2))
    expected = [parallelogram_quality(one, modular(12)) for one in E.flatten(0, 1)]
    assert len(set(expected)) == 4
    monkeypatch.setattr(parallelograms, "BLOCK", 1)
    assert parallelogram_quality(E, modular(12)).flatten().tolist() == pytest.approx(expected)
    assert parallelogram_quality(E[0, 1].float().numpy(), modular(12).numpy()) == pytest.approx(expected[1])


def test_the_null_is_of_chance():
    compared = compared_with_null(parallelogram_quality, line(20, 5), n_shuffles=40)
    assert compared.value == 1
    assert compared.null_high < 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((normal(5),), "embedding: shape"),
        ((normal(5, 2), modular(6)), r"sums: shape \(6, 6\) given, expected \(5, 5\)"),
        ((normal(5, 2), modular(5).double()), "sums: a table not symmetric or not of integers"),
        ((normal(5, 2), torch.arange(25).reshape(5, 5)), "sums: a table not symmetric"),
        ((normal(5, 2), None, torch.ones(5, 4, dtype=torch.bool)), "in_data: shape"),
        ((normal(5, 2), None, torch.ones(5, 5)), "in_data: torch.float32 given, expected booleans"),
        ((normal(5, 2), None, torch.eye(5, dtype=torch.bool)), "no two pairs with the same sum"),
        ((normal(2, 2),), "no two pairs with the same sum"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        parallelogram_quality(*arguments)
