import numpy as np
import pytest
import torch

from probe.measures.transition.curves import (
    check_named,
    checked_accuracies,
    checked_curve,
    checked_curves,
    checked_steps,
    off_scale,
    on_scale,
    reached,
)

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("steps", [[0, 10, 500], np.array([0, 10, 500]), torch.tensor([0, 10, 500]), range(0, 501, 10)])
def test_steps_of_any_kind(steps):
    found = checked_steps(steps)
    assert found.dtype == np.float64
    assert found.tolist() == [float(step) for step in steps]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "steps: 0 given, expected at least 1"),
        ([0, 5, 5], "steps: 5 given after 5, expected ascending"),
        ([0, 5, 3], "steps: 3 given after 5, expected ascending"),
        ([-1, 5], "steps: -1 given, expected whole numbers from 0"),
        ([0, 0.5], "steps: 0.5 given, expected whole numbers"),
        ([0, NAN], "steps: nan given"),
        ([0, INF], "steps: inf given"),
        ([[0, 1]], "steps: shape"),
        (["a"], "steps: "),
        (None, "steps: "),
        (5, "steps: "),
    ],
)
def test_steps_that_are_none(steps, message):
    with pytest.raises(ValueError, match=message):
        checked_steps(steps)


def test_too_few_steps():
    with pytest.raises(ValueError, match="steps: 3 given, expected at least 4"):
        checked_steps([0, 1, 2], at_least=4)
    assert len(checked_steps([0, 1, 2, 3], at_least=4)) == 4


@pytest.mark.parametrize("check", [checked_curves, checked_curve, checked_accuracies])
@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ([0.1, NAN], "loss: nan given at"),
        ([0.1, INF], "loss: inf given at"),
        ([0.1], r"loss: shape \(1,\) given, expected"),
        ([0.1, 0.2, 0.3], r"loss: shape \(3,\) given, expected"),
        (0.1, "loss: shape"),
        ([None, 0.1], "loss: "),
    ],
)
def test_curves_that_are_none(check, curve, message):
    with pytest.raises(ValueError, match=message):
        check(curve, "loss", 2)


def test_one_run_or_many():
    batch = torch.rand(3, 4, 2, dtype=torch.float32)
    assert checked_curves(batch, "loss", 2).shape == (3, 4, 2)
    with pytest.raises(ValueError, match=r"loss: shape \(3, 4, 2\) given, expected \(2,\), the curve of one run"):
        checked_curve(batch, "loss", 2)


def test_a_percentage_is_no_accuracy():
    for wrong in (99.0, -0.01, 1.01):
        with pytest.raises(ValueError, match=f"train: {wrong:g} given, expected accuracies between 0 and 1"):
            checked_accuracies([0.5, wrong], "train", 2)
    assert checked_accuracies([0.0, 1.0 + 1e-7], "train", 2).shape == (2,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_a_threshold_is_a_number_of_the_type_of_the_accuracies(dtype, threshold):
    at = torch.tensor(threshold, dtype=dtype)
    below = torch.nextafter(at, torch.zeros_like(at)) if dtype.itemsize > 2 else at - torch.finfo(dtype).eps / 2
    assert below < at
    curve = torch.stack([below, at, torch.ones_like(at), torch.zeros_like(at)])
    assert reached(curve, "x", 4, threshold).tolist() == [False, True, True, False]
    if dtype != torch.bfloat16:
        assert reached(curve.numpy(), "x", 4, threshold).tolist() == [False, True, True, False]


def test_a_threshold_of_counts_and_lists():
    assert reached([0, 1, 1], "x", 3, 0.9).tolist() == [False, True, True]
    assert reached(torch.tensor([[False, True]]), "x", 2, 1).tolist() == [[False, True]]
    assert reached([0.9, 0.8999999], "x", 2, 0.9).tolist() == [True, False]


@pytest.mark.parametrize("threshold", [99, 0, -1, 1.0001, NAN, INF])
def test_a_threshold_is_an_accuracy(threshold):
    with pytest.raises(ValueError, match=f"threshold: {threshold} given, expected an accuracy above 0 and at most 1"):
        reached([0.5], "x", 1, threshold)


def test_measures_come_by_name():
    check_named({"m": [1.0]}, "[step]")
    for given, said in (({}, "none"), ([1.0], "list"), (np.ones((2, 3)), "ndarray"), (None, "NoneType"), ("m", "str")):
        with pytest.raises(ValueError, match=rf"measures: {said} given, expected one or more by name, .* \[step\]"):
            check_named(given, "[step]")


def test_scales():
    steps = np.array([0.0, 1.0, 999.0])
    assert on_scale(steps, "linear").tolist() == steps.tolist()
    assert on_scale(steps, "log").tolist() == pytest.approx([0, np.log(2), np.log(1000)])
    for scale in ("log", "linear"):
        assert [off_scale(x, scale) for x in on_scale(steps, scale)] == pytest.approx(steps.tolist())
    with pytest.raises(ValueError, match="scale: 'sqrt' given, expected 'log' or 'linear'"):
        on_scale(steps, "sqrt")
