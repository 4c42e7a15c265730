"""Moments against the same sums over all examples at once, however they came."""

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probe.measures.folds import assign_folds
from probe.measures.moments import Moments, accumulate, pooled, training_mean_error


def data(n: int, d: int, n_targets: int, seed: int, *batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(*batch, n, d, generator=generator, dtype=torch.float64)
    return X + 3, torch.randn(n, n_targets, generator=generator, dtype=torch.float64) + X[..., :1].sum() / n


def of(moments: Moments) -> dict[str, torch.Tensor]:
    return {field.name: getattr(moments, field.name) for field in fields(moments)}


def assert_same(a: Moments, b: Moments, rtol: float = 1e-11) -> None:
    for name, value in of(a).items():
        torch.testing.assert_close(of(b)[name], value, rtol=rtol, atol=rtol * float(value.abs().max()), msg=name)


def written_out(X, Y, fold, n_folds):
    """Each moment as its definition says."""
    parts = [(X[..., fold == f, :], Y[fold == f]) for f in range(n_folds)]
    centred = [(x - x.mean(-2, keepdim=True), y - y.mean(0)) for x, y in parts]
    return Moments(
        torch.tensor([len(y) for _, y in parts]),
        torch.stack([x.mean(-2) for x, _ in parts], -2),
        torch.stack([y.mean(0) for _, y in parts]),
        torch.stack([torch.einsum("...ni,...nj->...ij", x, x) for x, _ in centred], -3),
        torch.stack([torch.einsum("...ni,nt->...it", x, y) for x, y in centred], -3),
        torch.stack([(y**2).sum(0) for _, y in centred]),
    )


def test_moments_are_what_they_say():
    X, Y = data(50, 4, 3, 0, 2, 2)
    fold = assign_folds(50, 3)
    assert_same(written_out(X, Y, fold, 3), accumulate([(X, Y, fold)], 3))


@given(
    cuts=st.lists(st.integers(0, 30), max_size=8).map(sorted),
    n_folds=st.integers(2, 4),
    seed=st.integers(0, 10**6),
    reverse=st.booleans(),
)
def test_the_batching_makes_no_difference(cuts, n_folds, seed, reverse):
    X, Y = data(30, 3, 2, seed, 2)
    fold = assign_folds(30, n_folds, seed)
    ends = [0, *cuts, 30]
    batches = [(X[:, a:b], Y[a:b], fold[a:b]) for a, b in pairwise(ends)]  # some are empty
    moments = accumulate(reversed(batches) if reverse else batches, n_folds)
    assert_same(accumulate([(X, Y, fold)], n_folds), moments)


@given(cut=st.integers(0, 30), seed=st.integers(0, 10**6))
def test_two_passes_add_up(cut, seed):
    X, Y = data(30, 3, 2, seed, 2)
    fold = assign_folds(30, 3, seed)
    first, second = (accumulate([(X[:, s], Y[s], fold[s])], 3) for s in (slice(cut), slice(cut, None)))
    before = {name: value.clone() for name, value in of(first).items()}
    assert_same(accumulate([(X, Y, fold)], 3), first + second)
    assert_same(accumulate([(X, Y, fold)], 3), second + first)
    assert all(torch.equal(before[name], value) for name, value in of(first).items())  # a sum changes neither


def test_folds_together_are_the_moments_of_all_examples():
    X, Y = data(40, 3, 2, 0, 2)
    together = pooled(accumulate([(X, Y, assign_folds(40, 5))], 5))
    whole = written_out(X, Y, torch.zeros(40), 1)
    assert together.count == 40
    for name in ("mean_x", "mean_y", "xx", "xy", "yy"):
        value = getattr(whole, name).squeeze(-2 if name in ("mean_x", "mean_y", "yy") else -3)
        torch.testing.assert_close(getattr(together, name), value)


@pytest.mark.parametrize("order", ["as drawn", "sorted"])
@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_a_mean_much_larger_than_the_spread_costs_digits_once_not_twice(offset, order):
    """Against extended precision. Sums of raw squares would be off by (offset / spread)^2 roundings, 1e14 and more."""
    rng = np.random.default_rng(0)
    spread = np.array([1, 1, 1, 1e-3])
    X, Y = offset + rng.normal(size=(600, 4)) * spread, offset + rng.normal(size=(600, 2))
    X = np.sort(X, axis=0) if order == "sorted" else X
    fold = assign_folds(600, 3).numpy()
    moments = accumulate(((X[i : i + 50], Y[i : i + 50], fold[i : i + 50]) for i in range(0, 600, 50)), 3)
    unit_rounding = 8 * 2.0**-53 * offset / spread
    for f in range(3):
        x, y = (z[fold == f].astype(np.longdouble) for z in (X, Y))
        x, y = x - x.mean(0), y - y.mean(0)
        variance, n = np.outer(x.std(0), x.std(0)), len(x)
        xx_error = np.abs(moments.xx[f].numpy() - x.T @ x) / (n * variance)
        assert (xx_error < unit_rounding + unit_rounding[:, None]).all()
        assert (np.abs(moments.yy[f].numpy() / (y * y).sum(0) - 1) < unit_rounding[0]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_inputs_are_summed_in_float64(dtype):
    X, Y = data(500, 4, 2, 0)
    X = (100 * X).to(dtype)
    fold = assign_folds(500, 2)
    moments = accumulate([(X, Y, fold)], 2)
    assert moments.xx.dtype == torch.float64
    assert_same(accumulate([(X.double(), Y, fold)], 2), moments)


def test_parameters_will_do():
    X, Y = data(20, 3, 2, 0)
    fold = assign_folds(20, 2)
    moments = accumulate([(X.clone().requires_grad_(), Y, fold)], 2)
    assert not moments.xx.requires_grad
    assert_same(accumulate([(X, Y, fold)], 2), moments)


def test_numpy_and_one_hot_integers_will_do():
    X, _ = data(20, 3, 2, 0)
    labels = torch.arange(20) % 2
    one_hot = torch.nn.functional.one_hot(labels)
    fold = assign_folds(20, 2)
    expected = accumulate([(X, one_hot.double(), fold)], 2)
    assert_same(expected, accumulate([(X.numpy(), one_hot.bool().numpy(), fold.numpy())], 2))


def test_entries_are_worked_on_a_few_at_a_time(monkeypatch):
    X, Y = data(20, 3, 2, 0, 2, 3)
    fold = assign_folds(20, 2)
    at_once = accumulate([(X, Y, fold)], 2)
    monkeypatch.setattr("probe.measures.moments.BLOCK", 60)  # two entries of a fold
    assert_same(at_once, accumulate([(X, Y, fold)], 2))
    X[1, 2, 4, 0] = float("inf")
    with pytest.raises(ValueError, match=r"X: got nan or infinite values, at \(\*batch, unit\) = \[1, 2, 0\]"):
        accumulate([(X, Y, fold)], 2)


def test_memory_is_that_of_units_and_targets_not_of_examples():
    sizes = []
    for n in (50, 500):
        X, Y = data(n, 6, 3, 0, 2)
        moments = accumulate([(X, Y, assign_folds(n))])
        sizes.append(sum(value.numel() for value in of(moments).values()))
    assert sizes[0] == sizes[1] == 5 * (1 + 2 * 6 + 3 + 2 * 36 + 2 * 18 + 3)


def test_error_of_the_training_mean():
    _, Y = data(30, 1, 2, 0)
    constants = torch.tensor([0.1, 1 / 3, 1e5 + 0.7, 0.0], dtype=torch.float64)
    Y = torch.cat([Y, constants.expand(30, -1)], 1)  # most have means that are rounded
    fold = assign_folds(30, 4)
    error = training_mean_error(accumulate([(torch.zeros(30, 0), Y, fold)], 4))
    for f in range(4):
        expected = ((Y[fold == f] - Y[fold != f].mean(0)) ** 2).sum(0)
        torch.testing.assert_close(error[f, :2], expected[:2])
    assert (error[:, 2:] == 0).all()


X, Y, FOLD = torch.ones(2, 6, 3), torch.ones(6, 2), torch.tensor([0, 1] * 3)
BROKEN = X.clone()
BROKEN[1, 4, 2] = float("nan")


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "batches: got none; expected at least one"),
        ([(X[0, 0], Y, FOLD)], r"X: got shape \(3,\); expected \[\*batch, example, unit\]"),
        ([(X, Y[:5], FOLD)], r"Y: got shape \(5, 2\); expected \[6, target\]"),
        ([(X, Y[:, 0], FOLD)], r"Y: got shape \(6,\); expected \[6, target\]"),
        ([(X, Y, FOLD[:5])], r"fold: got int64 of shape \(5,\); expected 6 integers"),
        ([(X, Y, FOLD / 2)], r"fold: got float32 of shape \(6,\); expected 6 integers"),
        ([(X, Y, FOLD + 1)], "fold: got 2; expected 0 to 1, since n_folds is 2"),
        ([(X, Y, FOLD - 1)], "fold: got -1; expected 0 to 1"),
        (
            [(X, Y, FOLD), (X[:, :, :2], Y, FOLD)],
            r"batches: got X with .* \(2, 2\) and 2 targets after .* \(2, 3\) and 2",
        ),
        ([(X, Y, FOLD), (X, Y[:, :1], FOLD)], r"batches: .* 1 targets"),
        ([(X, Y, FOLD), (BROKEN, Y, FOLD)], r"X: got nan or infinite values, at \(\*batch, unit\) = \[1, 2\]"),
        ([(X, Y * float("inf"), FOLD)], r"Y: got nan or infinite values, at target = \[0\]"),
    ],
)
def test_wrong_batches_are_refused(batches, message):
    with pytest.raises(ValueError, match=message):
        accumulate(batches, 2)


def test_different_moments_do_not_add_up():
    with pytest.raises(ValueError, match=r"moments: got .* \(\(2,\), 3, 3, 2\) beside \(\(2,\), 2, 3, 2\)"):
        accumulate([(X, Y, FOLD)], 2) + accumulate([(X, Y, FOLD)], 3)
