import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress

from probe.measures.complexity import activation_regions, linear_connectivity, linear_mapping_number

DOUBLE = torch.float64


def network(widths, activation, seed=0, dtype=DOUBLE):
    generator = torch.Generator().manual_seed(seed)
    layers = [
        (torch.randn(a, b, generator=generator, dtype=DOUBLE).to(dtype), torch.randn(b, generator=generator).to(dtype))
        for a, b in itertools.pairwise(widths)
    ]

    def function(x):
        for W, b in layers[:-1]:
            x = activation(x @ W + b)
        return x @ layers[-1][0] + layers[-1][1]

    return function


def points(n, d, seed=1):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def slowly(function, x):
    """L, pair by pair and output by output, by regression."""
    L = np.eye(len(x))
    line = np.linspace(0, 1, 21)
    for i, j in itertools.permutations(range(len(x)), 2):
        y = np.array([function(x[i : i + 1] + t * (x[j : j + 1] - x[i : i + 1]))[0].tolist() for t in line])
        L[i, j] = np.mean([linregress(line, column).rvalue ** 2 for column in y.T])
    return L


def entropy_number(L):
    shares = np.abs(np.linalg.eigvals(L))
    shares = shares[shares > 0] / shares.sum()
    return 2 ** -(shares * np.log2(shares)).sum()


@pytest.mark.parametrize("activation", [torch.relu, torch.nn.functional.silu, torch.sin])
def test_connectivity_is_the_mean_squared_correlation_with_the_place_on_the_line(activation):
    function, x = network([3, 8, 4], activation), points(7, 3)
    L = linear_connectivity(function, x)
    np.testing.assert_allclose(L.numpy(), slowly(function, x), atol=1e-9)
    assert torch.equal(L, L.T)
    assert linear_mapping_number(L) == pytest.approx(entropy_number(L.numpy()))


@pytest.mark.parametrize("pairs_per_call", [1, 4, 6, 1000])
def test_the_number_of_pairs_at_a_time_changes_nothing(pairs_per_call):
    function, x = network([3, 8, 4], torch.relu), points(6, 3)
    rows = []

    def watched(x):
        rows.append(len(x))
        return function(x)

    L = linear_connectivity(watched, x, pairs_per_call=pairs_per_call)
    torch.testing.assert_close(L, linear_connectivity(function, x))
    assert sum(rows) == 15 * 21
    assert max(rows) == 21 * min(pairs_per_call, 15)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_linear_network_has_one_mapping(dtype):
    deep = network([5, 9, 9, 3], lambda h: h, dtype=dtype)
    L = linear_connectivity(deep, points(12, 5).to(dtype))
    assert L.dtype == DOUBLE
    assert linear_mapping_number(L) == pytest.approx(1, abs=1e-5)


def test_an_output_that_does_not_change_is_as_straight_as_any():
    x = points(6, 2)
    constant = linear_connectivity(lambda x: torch.full((len(x), 3), 0.1, dtype=x.dtype), x)
    assert torch.equal(constant, torch.ones(6, 6, dtype=DOUBLE))
    assert linear_mapping_number(constant) == pytest.approx(1)
    # one dead output of two: L is the mean of 1 and the other's
    alive = linear_connectivity(lambda x: x.square()[:, :1], x)
    both = linear_connectivity(lambda x: torch.stack([x[:, 0].square(), 0 * x[:, 0] + 7.3], dim=1), x)
    torch.testing.assert_close(both, (1 + alive) / 2)
    # one along which all examples agree
    x[:, 1] = 0.3
    torch.testing.assert_close(
        linear_connectivity(lambda x: torch.sin(x[:, 1:]), x), torch.ones(6, 6, dtype=DOUBLE), rtol=0, atol=0
    )


def test_rounding_is_not_taken_for_a_curve_nor_a_small_curve_for_rounding():
    x = torch.linspace(-1, 1, 5)[:, None]
    level = 1000 + torch.zeros(1)
    assert linear_connectivity(lambda x: level + 1e-4 * x, x).min() == 1  # two roundings in float32
    curved = linear_connectivity(lambda x: level.double() + 1e-6 * x.square(), x.double())
    torch.testing.assert_close(curved, linear_connectivity(lambda x: x.square(), x.double()), rtol=1e-3, atol=1e-3)


def test_a_symmetric_curve_is_not_linear_at_all():
    ends = torch.tensor([[-1.0], [1.0]], dtype=DOUBLE)
    for function in (torch.abs, torch.square, torch.cosh):
        L = linear_connectivity(function, ends)
        assert L[0, 1].item() == pytest.approx(0, abs=1e-12)
        assert linear_mapping_number(L) == pytest.approx(2)


def test_a_kink_at_the_middle_has_the_correlation_worked_out_by_hand():
    # y = relu(x) on x = -10..10: sum x y = 385, sum y = 55, sum y^2 = 385, sum x^2 = 770, 21 points
    L = linear_connectivity(torch.relu, torch.tensor([-10.0, 10.0, 20.0], dtype=DOUBLE))
    assert L[0, 1].item() == pytest.approx((385 / 21) ** 2 / ((770 / 21) * (385 / 21 - (55 / 21) ** 2)))
    assert L[1, 2].item() == 1


def test_the_number_of_linear_pieces_is_another_number():
    # two pieces, five examples in each: the number would be 2 if a line across the kink were never straight
    x = torch.cat([torch.linspace(0.1, 0.9, 5), torch.linspace(1.1, 1.9, 5)]).to(DOUBLE)
    L = linear_connectivity(lambda x: (x - 1).abs(), x)
    torch.testing.assert_close(L[:5, :5], torch.ones(5, 5, dtype=DOUBLE))
    torch.testing.assert_close(L[5:, 5:], torch.ones(5, 5, dtype=DOUBLE))
    assert L[4, 5] < 1e-12  # .9 and 1.1, even about the kink
    assert L[0, 5] > 0.97  # .1 and 1.1: nearly all of the line on one side
    np.testing.assert_allclose(L.numpy(), slowly(lambda x: (x - 1).abs()[:, None], x), atol=1e-9)
    assert linear_mapping_number(L) == pytest.approx(4.765, abs=1e-3)
    assert activation_regions((x - 1)[:, None]).count == 2


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5), seed=st.integers(0, 1000))
def test_clusters_count_as_two_to_the_entropy_of_their_sizes(sizes, seed):
    order = np.random.default_rng(seed).permutation(sum(sizes))
    member = np.repeat(np.arange(len(sizes)), sizes)[order]
    L = (member[:, None] == member[None, :]).astype(float)
    shares = np.array(sizes) / sum(sizes)
    expected = 2 ** -(shares * np.log2(shares)).sum()
    assert linear_mapping_number(L) == pytest.approx(expected, abs=1e-6)
    if len(set(sizes)) == 1:
        assert linear_mapping_number(L) == pytest.approx(len(sizes), abs=1e-6)
    regions = activation_regions(np.eye(len(sizes))[member])
    assert regions.count == len(sizes)
    assert regions.effective == pytest.approx(expected)


def test_negative_eigenvalues_count_by_their_size():
    L = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.9], [0.0, 0.9, 1.0]])  # 1, 1 +- .9 sqrt(2)
    assert np.linalg.eigvalsh(L).min() < 0
    assert linear_mapping_number(L) == pytest.approx(entropy_number(L))


def test_leading_dimensions_are_a_batch():
    x = points(6, 2)
    L = torch.stack([linear_connectivity(network([2, 5, 2], torch.tanh, seed), x) for seed in range(4)])
    together = linear_mapping_number(L.reshape(2, 2, 6, 6))
    assert together.shape == (2, 2)
    assert together.flatten().tolist() == pytest.approx([linear_mapping_number(each) for each in L])
    assert isinstance(linear_mapping_number(L[0]), float)


def test_scales_and_shifts_of_inputs_and_outputs_do_not_matter():
    function, x = network([2, 6, 3], torch.tanh), points(6, 2)
    scale = torch.tensor([2.0, -30.0, 1e-3], dtype=DOUBLE)
    L = linear_connectivity(function, x)
    torch.testing.assert_close(linear_connectivity(lambda x: function(x) * scale + 5, x), L, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(linear_connectivity(lambda x: function(x / 7 - 1), 7 * (x + 1)), L)


def test_inputs_and_outputs_may_have_any_dimensions():
    function, x = network([6, 8, 4], torch.tanh), points(5, 6)

    def of_two_positions(x):
        assert x.shape[1:] == (2, 3)
        return function(x.flatten(1)).reshape(-1, 2, 2)

    torch.testing.assert_close(
        linear_connectivity(of_two_positions, x.reshape(5, 2, 3).flip(0).numpy()[::-1]),
        linear_connectivity(function, x),
    )


def test_the_network_of_more_curves_has_more_mappings():
    x = torch.linspace(-3, 3, 40, dtype=DOUBLE)[:, None]
    numbers = [linear_mapping_number(linear_connectivity(lambda x: torch.sin(k * x), x)) for k in (0.1, 1, 2, 4)]  # noqa: B023
    assert numbers == sorted(numbers)
    assert numbers[0] < 1.2
    assert numbers[-1] > 2 * numbers[1]


def one_dimensional(x):
    """relu(x), relu(x - 1), relu(-x - 1), then relu(h1 - 2 h2 - 1/2), whose kinks are x = .5 and 1.5."""
    first = torch.stack([x, x - 1, -x - 1], dim=1)
    second = (torch.relu(first) @ torch.tensor([1.0, -2.0, 0.0]) - 0.5)[:, None]
    return first, second


def test_regions_of_a_network_on_a_line_counted_by_hand():
    x = torch.linspace(-3, 3, 601) + 1e-4
    first, second = one_dimensional(x)
    one = activation_regions(first)
    assert one.count == 4  # kinks at -1, 0 and 1
    two = activation_regions([first, second])
    assert two.count == 6  # and at .5 and 1.5
    edges = torch.tensor([-1.0, 0.0, 0.5, 1.0, 1.5])
    by_hand = torch.bucketize(x, edges)
    assert len({(a, b) for a, b in zip(by_hand.tolist(), two.region.tolist(), strict=True)}) == 6
    shares = np.bincount(by_hand) / 601
    assert two.effective == pytest.approx(2 ** -(shares * np.log2(shares)).sum())
    # within a region the network is linear: its slope takes one value
    slope = torch.diff(torch.relu(second[:, 0])) / torch.diff(x)
    inside = two.region[1:] == two.region[:-1]
    for region in range(6):
        assert slope[inside & (two.region[1:] == region)].std() < 1e-3


def test_regions_no_example_is_in_are_not_counted():
    first, second = one_dimensional(torch.tensor([-2.0, -2.5, 0.2]))
    regions = activation_regions([first, second])
    assert regions.count == 2
    assert regions.effective == pytest.approx(2 ** -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3)))
    assert regions.region[0] == regions.region[1] != regions.region[2]


def test_patterns_may_be_booleans_or_preactivations():
    h = points(30, 4)
    from_numbers, from_booleans, from_numpy = (
        activation_regions(h),
        activation_regions(h > 0),
        activation_regions(h.numpy()),
    )
    assert torch.equal(from_numbers.region, from_booleans.region)
    assert torch.equal(from_numbers.region, from_numpy.region)
    assert activation_regions(torch.tensor([[0.0], [-1.0], [1e-9]])).region.tolist() == [0, 0, 1]


def test_a_linear_network_has_one_region():
    regions = activation_regions(torch.ones(9, 4))
    assert (regions.count, regions.effective) == (1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": torch.ones(1, 2)}, r"inputs: torch.float32 of shape \(1, 2\) given"),
        ({"inputs": torch.ones(())}, r"inputs: torch.float32 of shape \(\) given"),
        ({"inputs": torch.arange(6)}, r"inputs: torch.int64 of shape \(6,\) given"),
        ({"inputs": torch.tensor([[1.0], [math.nan]])}, r"inputs: nan given at \[1, 0\]"),
        ({"pairs_per_call": 0}, "pairs_per_call: 0 given"),
        ({"function": lambda x: x[:1]}, r"function: torch\.float32 of shape \(1, 3\) given for 63 inputs"),
        ({"function": lambda x: x.sum()}, r"function: torch\.float32 of shape \(\) given for 63 inputs"),
        ({"function": lambda x: x.numpy()}, "function: ndarray given, expected a tensor of outputs"),
        ({"function": lambda x: x > 0}, r"function: torch\.bool of shape \(63, 3\) given for 63 inputs"),
        ({"function": lambda x: x / 0}, "function: .* given at"),
        ({"function": lambda x: x[:, :0]}, "function: shape .* none of them empty"),
    ],
)
def test_what_makes_no_line_is_refused(change, message):
    arguments = {"function": torch.relu, "inputs": torch.eye(3)} | change
    with pytest.raises(ValueError, match=message):
        linear_connectivity(**arguments)


@pytest.mark.parametrize(
    ("L", "message"),
    [
        ([[1.0, 0.5], [0.4, 1.0]], "connectivity: expected a symmetric matrix with ones on its diagonal"),
        ([[1.0, 0.5], [0.5, 0.9]], "connectivity: expected a symmetric matrix with ones on its diagonal"),
        ([[1.0, math.nan], [0.5, 1.0]], r"connectivity: nan given at \[0, 1\]"),
        (np.ones((2, 3)), r"connectivity: shape \(2, 3\) given"),
    ],
)
def test_what_is_no_connectivity_is_refused(L, message):
    with pytest.raises(ValueError, match=message):
        linear_mapping_number(np.array(L))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "layers: none given"),
        ([torch.ones(3, 2), torch.ones(4, 2)], r"layers: \[3, 4\] examples given"),
        (torch.ones(3), r"layers\[0\]: shape \(3,\) given"),
        ([torch.ones(3, 2), torch.full((3, 1), math.nan)], r"layers\[1\]: nan given"),
    ],
)
def test_what_are_no_patterns_is_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        activation_regions(layers)
