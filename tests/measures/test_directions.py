"""Mass-mean and LDA from moments against class means of the examples and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from probe.measures.directions import class_means, lda, mass_mean
from probe.measures.folds import assign_folds
from probe.measures.moments import Moments, accumulate


def classes(n_classes: int, seed: int = 0, n: int = 300, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Correlated Gaussians about 5 with unequal shares."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(n_classes), rng.choice(n_classes, n - n_classes, p=shares(n_classes))])
    means, mixing = rng.normal(size=(n_classes, d)), rng.normal(size=(d, d))
    return 5 + means[labels] + rng.normal(size=(n, d)) @ mixing, labels


def shares(n_classes: int) -> np.ndarray:
    return np.arange(1, n_classes + 1) / np.arange(1, n_classes + 1).sum()


def moments_of(X: np.ndarray, labels: np.ndarray) -> Moments:
    return accumulate([(X, np.eye(labels.max() + 1)[labels], assign_folds(len(labels), 3))], 3)


def test_means_of_classes():
    X, labels = classes(4)
    expected = np.stack([X[labels == c].mean(0) for c in range(4)])
    np.testing.assert_allclose(class_means(moments_of(X, labels)), expected, rtol=1e-12)
    X, labels = classes(2)
    difference = X[labels == 1].mean(0) - X[labels == 0].mean(0)
    np.testing.assert_allclose(mass_mean(moments_of(X, labels)), difference, rtol=1e-10)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0])
def test_lda_is_that_of_scikit_learn(n_classes, shrinkage):
    X, labels = classes(n_classes)
    found = lda(moments_of(X, labels), shrinkage)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage or None).fit(X, labels)
    np.testing.assert_allclose(found.coef, theirs.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.intercept, theirs.intercept_, rtol=1e-6, atol=1e-8)
    # the eigen solver leaves out what is the same for all classes
    eigen = LinearDiscriminantAnalysis(solver="eigen", shrinkage=shrinkage or None).fit(X, labels)
    logits = X @ found.coef.numpy().T + found.intercept.numpy()
    theirs_logits = eigen.decision_function(X).reshape(logits.shape)
    if n_classes > 2:
        logits, theirs_logits = (z - z.mean(1, keepdims=True) for z in (logits, theirs_logits))
    np.testing.assert_allclose(logits, theirs_logits, rtol=1e-6, atol=1e-6)


def test_entries_are_apart():
    pairs = [classes(3, seed, n=100) for seed in (0, 0)]
    X, labels = np.stack([pairs[0][0], pairs[0][0][:, ::-1] * 2 + 1]), pairs[0][1]
    together = lda(moments_of(X, labels), 0.1)
    for i in range(2):
        alone = lda(moments_of(X[i], labels), 0.1)
        torch.testing.assert_close(together.coef[i], alone.coef)
        torch.testing.assert_close(together.intercept[i], alone.intercept)


def test_fully_shrunk_the_direction_is_that_of_the_means():
    X, labels = classes(2)
    direction, means = lda(moments_of(X, labels), 1.0).coef[0], mass_mean(moments_of(X, labels))
    assert torch.cosine_similarity(direction, means, dim=0).item() == pytest.approx(1.0)


def test_equal_units_have_a_discriminant_too():
    X, labels = classes(3)
    doubled = lda(moments_of(np.concatenate([X, X], axis=1), labels))
    once = lda(moments_of(X, labels))
    torch.testing.assert_close(doubled.coef[:, :6] + doubled.coef[:, 6:], once.coef)
    torch.testing.assert_close(doubled.coef[:, :6], doubled.coef[:, 6:])


def test_what_is_refused():
    X, labels = classes(3)
    with pytest.raises(ValueError, match="Y: got 3 classes; expected 2; `class_means`"):
        mass_mean(moments_of(X, labels))
    with pytest.raises(ValueError, match=r"shrinkage: got 1\.5; expected a number from 0 to 1"):
        lda(moments_of(X, labels), 1.5)
    without_examples = accumulate([(X, np.eye(4)[labels], assign_folds(300, 3))], 3)
    with pytest.raises(ValueError, match=r"Y: got \[.*, 0\] examples by class; expected at least one of each"):
        class_means(without_examples)
    for not_one_hot in (labels[:, None], np.eye(3)[labels] * 2 - 1, np.eye(3)[labels][:, :2], np.full((300, 2), 0.5)):
        moments = accumulate([(X, not_one_hot, assign_folds(300, 3))], 3)
        with pytest.raises(ValueError, match=r"Y: got targets with means .*; expected one-hot classes"):
            class_means(moments)
