"""What a standard error says, and sizes that are no sizes."""

import numpy as np
import pytest

from probe.measures.scale.noise import checked_sizes


def test_sizes_are_put_in_order_with_all_that_belongs_to_them():
    found = checked_sizes([100, 1, 10], [3.0, 1.0, 2.0], [0.3, 0.1, 0.2])
    assert found.scale.tolist() == [1, 10, 100]
    assert found.value.tolist() == [1, 2, 3]
    np.testing.assert_allclose(found.variance, [0.01, 0.04, 0.09])
    np.testing.assert_allclose(found.x, [0, 1, 2])
    np.testing.assert_allclose(found.unit, [0, 0.5, 1])
    assert found.n_items is None
    assert np.array([100, 1, 10])[found.order].tolist() == [1, 10, 100]
    assert found.first(2).variance.tolist() == found.variance[:2].tolist()
    assert checked_sizes([1, 2], [0, 1]).variance is None


def test_none_right_has_an_error_too():
    n = 200
    share = np.array([0, 2, 100, 200]) / n
    found = checked_sizes([1, 2, 3, 4], share, np.sqrt(share * (1 - share) / n))
    np.testing.assert_allclose(found.n_items, n)
    near = np.array([1, 3, 101, 201]) / (n + 2)
    np.testing.assert_allclose(found.variance, np.maximum(share * (1 - share), near * (1 - near)) / n)


def test_the_error_that_is_given_is_never_made_smaller():
    share = np.array([0.5, 0.97])
    found = checked_sizes([1, 2], share, [0.02, 0.02])
    assert (found.variance >= 0.0004).all()
    losses = checked_sizes([1, 2], [2.5, 1.5], [0.02, 0.01])
    np.testing.assert_allclose(losses.variance, [4e-4, 1e-4])
    percent = checked_sizes([1, 2], [0.2, 0.9], [0.7, 0.8])  # an error that no share has
    np.testing.assert_allclose(percent.variance, [0.49, 0.64])


@pytest.mark.parametrize(
    ("scale", "value", "stderr", "message"),
    [
        ([1, 1, 2], [0, 1, 2], None, "scale: 1 given 2 times, expected each size once"),
        ([1, np.nan], [0, 1], None, "scale: nan given, expected the size of every model"),
        ([1, 0], [0, 1], None, "scale: 0.0 given, expected the size of every model, a number above 0"),
        ([], [], None, r"scale: shape \(0,\) given"),
        ([[1, 2]], [[0, 1]], None, r"scale: shape \(1, 2\) given, expected one number per size"),
        ([1, 2], [0, 1, 2], None, r"value: shape \(3,\) given, expected \(2,\)"),
        ([1, 2], [0, np.inf], None, "value: inf given, expected finite numbers"),
        ([1, 2], [0, 1], [0.1, -0.1], "stderr: -0.1 given, expected numbers from 0 on"),
        ([1, 2], [0, 1], [0.1, np.nan], "stderr: nan given"),
        ([1, 2, 3], [0, 1, 0], [0.1, 0.1], r"stderr: shape \(2,\) given, expected one number, or 3"),
        ([1, 2], [0, 1], 0, "stderr: 0 given for 0, and nothing tells how many items that is of"),
        ([1, 2], [2.0, 3.0], [0.0, 0.1], "stderr: 0 given for 2, and nothing tells how many items"),
    ],
)
def test_what_is_no_curve_is_refused(scale, value, stderr, message):
    with pytest.raises(ValueError, match=message):
        checked_sizes(scale, value, stderr)
