"""Logistic probes against direct calls of scikit-learn and a loop over folds."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probe.measures.classifiers import LogisticProbes, logistic
from probe.measures.controls import with_controls
from probe.measures.folds import HeldOut, assign_folds, difference


def classes(n: int, d: int, n_classes: int, seed: int, *batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels that follow the last entry's units with some noise; units of very different spreads, not about 0."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(*batch, n, d))
    logits = 2 * X.reshape(-1, n, d)[-1] @ rng.normal(size=(d, n_classes)) + rng.gumbel(size=(n, n_classes))
    return torch.from_numpy(X * np.logspace(0, -4, d) + 3), torch.from_numpy(logits.argmax(1)) + 10


def direct(X, y, C):
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-9, max_iter=10000)).fit(X, y)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("C", [1e-3, 1.0, 100.0])
def test_coefficients_are_those_of_scikit_learn(n_classes, C):
    X, y = classes(300, 6, n_classes, 0, 2)
    found = logistic(X, y[:, None], assign_folds(300), Cs=[C])
    assert found.coef.shape == (2, 1, 1 if n_classes == 2 else n_classes, 6)
    assert found.classes.tolist() == list(range(10, 10 + n_classes))
    for i in range(2):
        pipeline = direct(X[i], y, C)
        scale = torch.from_numpy(pipeline[0].scale_)
        # in the units of standardized activations, in which all coefficients are of one size
        theirs = pipeline[1].coef_
        np.testing.assert_allclose(found.coef[i, 0] * scale, theirs, atol=1e-3 * np.abs(theirs).max(), rtol=0)
        logits = X[i] @ found.coef[i, 0].T + found.intercept[i, 0]
        decided = pipeline.decision_function(X[i]).reshape(logits.shape)
        np.testing.assert_allclose(logits, decided, atol=1e-3 * np.abs(decided).max())


def test_c_and_held_out_errors_are_those_of_a_loop_over_folds():
    X, y = classes(120, 8, 3, 1)
    X[0] = 3 + 1000 * (X[0] - 3)  # seen by the standardization of the folds that train on it, and of no other
    fold = assign_folds(120, 4)
    Cs = [1.0, 1e-3, 1e-1, 100.0]  # in any order
    wrong, loss = np.empty((2, len(Cs), 4))
    for c, C in enumerate(Cs):
        for f in range(4):
            model = direct(X[fold != f], y[fold != f], C)
            p = model.predict_proba(X[fold == f])[np.arange(int((fold == f).sum())), y[fold == f] - 10]
            loss[c, f] = -np.log(p).sum()
            wrong[c, f] = (model.predict(X[fold == f]) != y[fold == f].numpy()).sum()
    found = logistic(X, y[:, None], fold, Cs)
    assert found.C.tolist() == [Cs[loss.sum(1).argmin()]]
    elsewhere = (loss.sum(1, keepdims=True) - loss).argmin(0)
    assert found.held_out.error[:, 0].tolist() == wrong[elsewhere, np.arange(4)].tolist()
    assert found.accuracy().value.item() == pytest.approx(1 - wrong[elsewhere, np.arange(4)].sum() / 120)
    assert found.held_out.score().value.item() == pytest.approx(found.accuracy().value.item())


def test_entries_and_columns_are_apart():
    X, y = classes(80, 4, 2, 0, 2, 2)
    labels = torch.stack([y, y.flip(0)], 1)
    fold = assign_folds(80)
    together = logistic(X, labels, fold)
    for i, j, t in np.ndindex(2, 2, 2):
        alone = logistic(X[i, j], labels[:, [t]], fold)
        torch.testing.assert_close(together.coef[i, j, t], alone.coef[0])
        torch.testing.assert_close(together.held_out.error[i, j, :, t], alone.held_out.error[:, 0])
        assert together.C[i, j, t] == alone.C[0]


def test_shuffled_labels_are_at_chance():
    X, y = classes(400, 6, 2, 0, 2)  # entry 0 knows nothing, entry 1 most
    controls = with_controls(y[:, None], n_shuffles=4)
    found = logistic(X, controls.Y, assign_folds(400), Cs=[0.01, 1.0])
    labels, shuffled = controls.split(found.held_out)
    assert labels.score().value[1] > 0.85
    assert ((shuffled.score().value - 0.5).abs() < 0.12).all()
    selectivity = difference(labels, shuffled)
    assert selectivity.low[1] > 0.2
    assert selectivity.low[0] < 0 < selectivity.high[0]


def test_interval_is_wilsons():
    sizes = torch.tensor([10, 10, 10])
    error = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]])
    probes = LogisticProbes(*[torch.zeros(0)] * 4, HeldOut(error, sizes[:, None].expand_as(error).double(), sizes))
    accuracy = probes.accuracy(0.95)
    n, z = 30, 1.959963984540054
    for t, p in enumerate([24 / 30, 1.0]):
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        assert accuracy.value[0, t].item() == pytest.approx(p)
        assert accuracy.low[0, t].item() == pytest.approx(centre - half)
        assert accuracy.high[0, t].item() == pytest.approx(centre + half)


def test_separable_classes_and_constant_units():
    X = torch.cat([torch.linspace(-1, 1, 40)[:, None], torch.ones(40, 1)], 1)
    found = logistic(X, (X[:, :1] > 0).long(), assign_folds(40))
    assert found.accuracy().value.item() >= 0.95
    assert found.coef[0, 0, 1].item() == 0
    assert found.coef.isfinite().all()


X, LABELS, FOLD = torch.ones(6, 2), torch.tensor([[0, 1]] * 3 + [[1, 0]] * 3), torch.tensor([0, 1, 2] * 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, LABELS[:, 0], FOLD), r"labels: got shape \(6,\); expected \[6, target\]"),
        ((X, LABELS.double(), FOLD), r"labels: got torch\.float64; expected integers"),
        ((X * float("nan"), LABELS, FOLD), "X: got nan or infinite values; expected finite"),
        ((X, LABELS, FOLD + 1), r"fold: got folds \[1, 2, 3\]; expected 0, 1, \.\.\., at least two"),
        ((X, LABELS, FOLD * 0), r"fold: got folds \[0\]; expected"),
        ((X, LABELS * 0, FOLD), r"labels: got the one class \[0\]; expected at least two"),
        (
            (X, LABELS, torch.tensor([0, 0, 0, 1, 1, 1])),
            "class 0 outside fold 0 in column 0; expected each class in at",
        ),
        ((X, LABELS, FOLD, [1.0, 0.0]), r"Cs: got 0\.0; expected positive numbers"),
        ((X, LABELS, FOLD, []), "Cs: got none; expected positive numbers"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        logistic(*arguments)
