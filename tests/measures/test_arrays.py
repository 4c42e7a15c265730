import warnings

import numpy as np
import pytest
import torch

from probe.measures.arrays import at_first, checked, integers, number, unit_scale, valid


def test_arrays_of_any_kind_come_out_in_float64():
    for array in ([[1, 2], [3, 4]], np.float32([[1, 2], [3, 4]]), torch.tensor([[1, 2], [3, 4]], dtype=torch.float16)):
        found = checked(array, "x", "row column")
        assert found.dtype == torch.float64
        assert found.tolist() == [[1, 2], [3, 4]]
    assert valid(torch.ones(2, dtype=torch.bfloat16), "x", "row").dtype == torch.bfloat16


def test_numpy_arrays_that_torch_would_not_take():
    read_only = np.arange(4.0)
    read_only.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checked(read_only, "x", "row").tolist() == [0, 1, 2, 3]
        assert checked(read_only[::-1], "x", "row").tolist() == [3, 2, 1, 0]


def test_a_gradient_stops_here():
    assert not checked(torch.ones(3, requires_grad=True), "x", "row").requires_grad


@pytest.mark.parametrize(
    ("shape", "dims", "fits"),
    [
        ((3, 3), "p p", True),
        ((3, 4), "p p", False),
        ((3, 4), "p d", True),
        ((2, 5, 3, 3), "*batch p p", True),
        ((3, 3), "*batch p p", True),
        ((3,), "*batch p p", False),
        ((2, 3, 3), "p p", False),
        ((7, 2), "p 2", True),
        ((7, 3), "p 2", False),
        ((2,), "*batch", True),
        ((), "*batch", True),
        ((0, 3), "p d", False),
    ],
)
def test_dimensions(shape, dims, fits):
    if fits:
        assert checked(torch.ones(shape), "x", dims).shape == shape
    else:
        with pytest.raises(ValueError, match=r"x: shape \(.* given, expected \["):
            checked(torch.ones(shape), "x", dims)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_value_that_is_not_finite_is_named(value):
    x = np.ones((2, 3))
    x[1, 2] = value
    with pytest.raises(ValueError, match=rf"x: {value} given at \[1, 2\], expected finite numbers"):
        checked(x, "x", "row column")


def test_a_sum_that_overflows_is_no_reason():
    assert checked(np.full(3, 1e308), "x", "row").tolist() == [1e308] * 3


@pytest.mark.parametrize("array", ["abc", [[1, 2], [3]], {"a": 1}, None])
def test_what_is_no_array_of_numbers(array):
    with pytest.raises(ValueError, match=r"x: .* given, expected"):
        checked(array, "x", "row")


def test_complex_numbers_are_refused():
    with pytest.raises(ValueError, match="x: complex numbers given"):
        checked(np.ones(2) * 1j, "x", "row")


def test_one_number_is_a_float_and_several_are_a_tensor():
    assert isinstance(number(torch.tensor(2.0)), float)
    assert number(torch.tensor([2.0, 3.0])).tolist() == [2, 3]


def test_integers_of_any_kind():
    for given in ([3, 1], (3, 1), range(3, 0, -2), np.array([3, 1]), [np.int64(3), 1], torch.tensor([3, 1])):
        found = integers(given, "k")
        assert found == [3, 1]
        assert {type(k) for k in found} == {int}
    assert integers([], "k") == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2.5], r"k: 2\.5 given, expected an integer"),
        (["2"], "k: '2' given, expected an integer"),
        (torch.tensor([2.0]), r"k: tensor\(2\.\) given, expected an integer"),
        (5, "k: 5 given, expected several integers"),
        (None, "k: None given, expected several integers"),
        (torch.tensor(5), r"k: tensor\(5\) given, expected several integers"),
        (torch.tensor([2, 1, 2]), r"k: \[2, 1, 2\] given, expected each number once"),
    ],
)
def test_what_are_no_integers_or_some_twice(given, message):
    with pytest.raises(ValueError, match=message):
        integers(given, "k")


def test_a_unit_scale_keeps_squares_in_range():
    values = torch.tensor([[[1e200, -4e200]], [[0.0, 0.0]], [[-1e-200, 5e-201]]], dtype=torch.float64)
    torch.testing.assert_close(
        unit_scale(values, 2), torch.tensor([[[0.25, -1.0]], [[0.0, 0.0]], [[-1.0, 0.5]]], dtype=torch.float64)
    )
    torch.testing.assert_close(unit_scale(values[:1, 0].mT, 1), torch.tensor([[1.0], [-1.0]], dtype=torch.float64))


def test_which_of_a_batch_is_wrong():
    assert at_first(torch.tensor([[False, True], [False, True]])) == " at [0, 1]"
    assert at_first(torch.tensor(True)) == ""
