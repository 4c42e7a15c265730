"""Shuffled targets and probes that are not linear."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge

from probe.measures.controls import kernel_ridge, mlp, with_controls
from probe.measures.folds import assign_folds, difference
from probe.measures.linear import ridge
from probe.measures.moments import accumulate

# --- shuffled targets ---


@given(n=st.integers(2, 30), n_shuffles=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_shuffles_exchange_whole_rows(n, n_shuffles, seed):
    Y = torch.arange(2 * n).reshape(n, 2)
    controls = with_controls(Y, n_shuffles, seed)
    copies = controls.Y.unflatten(1, (1 + n_shuffles, 2)).movedim(1, 0)
    assert torch.equal(copies[0], Y)
    for copy in copies:
        assert torch.equal(copy[copy[:, 0].argsort()], Y)
    assert torch.equal(controls.Y, with_controls(Y, n_shuffles, seed).Y)


def test_shuffles_differ():
    copies = with_controls(torch.arange(50)[:, None], 3).Y
    assert len({tuple(column.tolist()) for column in copies.T}) == 4
    assert not torch.equal(copies, with_controls(torch.arange(50)[:, None], 3, seed=1).Y)


def test_types_keep_one_row():
    """The control task: another function of the answer."""
    answers = np.random.default_rng(0).integers(0, 7, size=60)
    Y = np.stack([answers, answers**2], 1)
    for copy in with_controls(Y, 5, types=answers).Y.numpy().reshape(60, 6, 2).swapaxes(0, 1)[1:]:
        by_type = {int(t): {tuple(row) for row in copy[answers == t].tolist()} for t in range(7)}
        assert all(len(rows) == 1 for rows in by_type.values())
        assert {rows.pop() for rows in by_type.values()} == {(t, t * t) for t in range(7)}


def test_selectivity_in_one_pass():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(2, 400, 10, generator=generator, dtype=torch.float64)
    Y = X[1] @ torch.randn(10, 3, generator=generator, dtype=torch.float64)
    Y = Y + torch.randn(400, 3, generator=generator, dtype=torch.float64)
    fold, controls = assign_folds(400), with_controls(Y, 4)
    with_them = ridge(accumulate([(X, controls.Y, fold)]), alpha_groups=controls.labels())
    without = ridge(accumulate([(X, Y, fold)]))
    torch.testing.assert_close(with_them.coef[:, :3], without.coef)
    torch.testing.assert_close(with_them.alpha[:, :3], without.alpha)

    targets, shuffled = controls.split(with_them.held_out)
    assert shuffled.error.shape == (4, 2, 5, 3)
    torch.testing.assert_close(targets.error, without.held_out.error)
    assert (shuffled.score().value.abs() < 0.06).all()
    assert shuffled.score().value.mean() < 0.005
    alone = ridge(accumulate([(X, controls.Y[:, 6:9], fold)]))
    torch.testing.assert_close(shuffled.error[1], alone.held_out.error)
    selectivity = difference(targets, shuffled)
    torch.testing.assert_close(selectivity.value, targets.score().value - shuffled.score().value.mean(0))
    assert (selectivity.low[1] > 0.5).all()
    assert (selectivity.low[0] < 0.01).all()
    by_group = difference(targets.grouped([0, 0, 1]), shuffled.grouped([0, 0, 1]))
    assert by_group.value.shape == (2, 2)


def test_units_that_tell_types_apart_learn_the_control_task():
    """One-hot units of the answer: any function of it is linear, so R2 is 1 and selectivity 0."""
    answers = torch.arange(100) % 10
    X = torch.nn.functional.one_hot(answers).double()
    Y = torch.randn(10, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)[answers]
    for types, learned in ((answers, True), (None, False)):
        controls = with_controls(Y, 3, types=types)
        found = ridge(accumulate([(X, controls.Y, assign_folds(100))]), [1e-6], controls.labels())
        targets, shuffled = controls.split(found.held_out)
        assert (targets.score().value > 0.999).all()
        assert (shuffled.score().value.mean() > 0.999) == learned
        assert (difference(targets, shuffled).value.abs().max() < 1e-3) == learned


def test_labels_of_columns():
    controls = with_controls(torch.zeros(4, 2), 2)
    assert controls.labels() == [(0, 0), (0, 0), (1, 0), (1, 0), (2, 0), (2, 0)]
    assert controls.labels(["a", "b"]) == [(0, "a"), (0, "b"), (1, "a"), (1, "b"), (2, "a"), (2, "b")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(4),), r"Y: got shape \(4,\); expected \[example, target\]"),
        ((torch.zeros(4, 1), 0), "n_shuffles: got 0; expected at least 1"),
        ((torch.zeros(4, 1), 1, 0, [1, 2]), r"types: got shape \(2,\); expected \(4,\), one per example"),
    ],
)
def test_shuffles_that_cannot_be_made(arguments, message):
    with pytest.raises(ValueError, match=message):
        with_controls(*arguments)


# --- probes that are not linear ---


def products(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """An exclusive or of the signs of two units, and a linear function of them; entry 1 has nothing to do with them."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(2, n, 2, generator=generator, dtype=torch.float64)
    return 5 + 3 * X, torch.stack([X[0].prod(1).sign(), X[0].sum(1)], 1)


@pytest.mark.parametrize("probe", [kernel_ridge, mlp])
def test_a_product_is_there_but_not_linearly(probe):
    X, Y = products(500)
    fold = assign_folds(500)
    linear = ridge(accumulate([(X, Y, fold)])).held_out
    found = probe(X, Y, fold)
    score = found.score()
    assert (linear.score().value[0, 0] < 0.05) & (linear.score().value[0, 1] > 0.99)
    assert score.value.shape == (2, 2)
    assert score.value[0, 0] > 0.6
    assert score.value[0, 1] > 0.95
    assert (score.value[1] < 0.02).all()
    assert difference(found, linear).low[0, 0] > 0.4


def test_kernel_errors_are_those_of_a_loop_over_folds():
    X, Y = products(60)
    fold = assign_folds(60, 3)
    found = kernel_ridge(X[0], Y, fold, alphas=[0.1])
    for f in range(3):
        x, y = X[0][fold != f].numpy(), Y[fold != f].numpy()
        z = (X[0].numpy() - x.mean(0)) / x.std(0)
        train, test = z[fold != f], z[fold == f]
        distances = [np.linalg.norm(a - b) for i, a in enumerate(train) for b in train[:i]]
        model = KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / (2 * np.median(distances) ** 2)).fit(
            train, y - y.mean(0)
        )
        error = ((model.predict(test) + y.mean(0) - Y[fold == f].numpy()) ** 2).sum(0)
        np.testing.assert_allclose(found.error[f], error, rtol=1e-8)
        np.testing.assert_allclose(found.reference[f], ((y.mean(0) - Y[fold == f].numpy()) ** 2).sum(0), rtol=1e-10)


def test_kernel_penalty_is_chosen_for_each_target():
    X, Y = products(100)
    Y[:, 1] = torch.randn(100, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fold = assign_folds(100)
    chosen = kernel_ridge(X[0], Y, fold, alphas=[1e-2, 1e4]).score().value
    small, large = (kernel_ridge(X[0], Y, fold, alphas=[alpha]).score().value for alpha in (1e-2, 1e4))
    torch.testing.assert_close(chosen, torch.stack([small[0], large[1]]))


def test_the_network_is_repeatable():
    X, Y = products(100)
    fold = assign_folds(100, 2)
    first, again, other = (mlp(X[0], Y[:, :1], fold, hidden=4, seed=seed).error for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_units_without_variance():
    _, Y = products(40)
    fold = assign_folds(40, 2)
    np.testing.assert_allclose(kernel_ridge(torch.ones(40, 2), Y, fold).score().value, 0, atol=1e-9)
    assert mlp(torch.ones(40, 2), Y, fold, hidden=4).error.isfinite().all()


def test_examples_are_checked():
    X, Y = products(10)
    for probe in (kernel_ridge, mlp):
        with pytest.raises(ValueError, match="Y: got nan or infinite values"):
            probe(X, Y * float("nan"), assign_folds(10, 2))
        with pytest.raises(ValueError, match=r"Y: got shape \(9, 2\); expected \[10, target\]"):
            probe(X, Y[:9], assign_folds(10, 2))
