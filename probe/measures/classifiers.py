"""Logistic probes by scikit-learn, cross-validated on the same folds as the ridge probes.

A logistic fit cannot be had from moments: it needs the examples themselves, again and again. So this holds them in
memory, and loops over the entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe.measures.folds import Estimate, HeldOut, at_setting, check_examples, select_setting

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

CS = tuple(10.0**k for k in range(-4, 3))


@dataclass(frozen=True)
class LogisticProbes:
    """Logistic regressions fitted on all examples, and the errors on held-out ones of those fitted on the others.

    Attributes:
        classes: the labels, ascending.
        coef, intercept: of the logits ``x @ coef.T + intercept``, a row per class; of two classes, one row, of the
            second. For x as given, not standardized.
        C: the chosen inverse penalties, for standardized units.
        held_out: wrong answers beside the number of examples.
    """

    classes: Int[Tensor, " class"]
    coef: Float[Tensor, "*batch target row unit"]
    intercept: Float[Tensor, "*batch target row"]
    C: Float[Tensor, "*batch target"]
    held_out: HeldOut

    def accuracy(self, confidence: float = 0.95) -> Estimate:
        """Share of held-out examples that are classified right, with Wilson's interval.

        The interval is over independent examples: with examples that repeat each other, such as (a, b) and (b, a), it
        is too narrow, and ``held_out.score()``, whose interval is over folds, is the one to report.
        """
        from probe.measures.shares import wilson  # loads scipy

        n = int(self.held_out.sizes.sum())
        right = n - self.held_out.error.sum(-2)
        low, high = (torch.as_tensor(end) for end in wilson(right.round().cpu().numpy(), n, confidence))
        return Estimate(right / n, low, high)


def logistic(
    X: Float[Tensor | np.ndarray, "*batch example unit"],
    labels: Int[Tensor | np.ndarray, "example target"],
    fold: Int[Tensor | np.ndarray, " example"],
    Cs: Sequence[float] = CS,
) -> LogisticProbes:
    """Logistic regression of each column of labels, by scikit-learn's LogisticRegression; C is cross-validated.

    Units are standardized with the mean and spread of the training folds: without it the solver stops early on
    activations, whose units differ by orders of magnitude. C is the one with the least held-out log loss; each fold
    is scored at the C that is best on the others (see `select_setting`). Along increasing C each fit starts from the
    one before. All columns have the same classes, as labels and their shuffled controls have. Results are on the CPU.

    Raises ValueError for shapes that do not fit, nan or infinite values, a C that is not positive, fewer than two
    classes, or a class that some training folds do not have.
    """
    X, labels, fold = (torch.as_tensor(x).detach().cpu() for x in (X, labels, fold))
    _check(X, labels, fold, Cs)
    classes, coded = labels.unique(return_inverse=True)
    _check_classes(classes, coded, fold)
    batch, n_targets, n_units = X.shape[:-2], labels.shape[1], X.shape[-1]
    Cs = sorted(Cs)

    each = torch.arange(n_targets)
    coefs, intercepts, chosen, errors = [], [], [], []
    for x in X.reshape(-1, *X.shape[-2:]).double().numpy():
        wrong, loss = _held_out(x, coded.numpy(), fold.numpy(), Cs)
        best, elsewhere = select_setting(loss, each)
        errors.append(at_setting(wrong, elsewhere))
        chosen.append(torch.tensor(Cs, dtype=torch.float64)[best])
        for y, C in zip(coded.numpy().T, chosen[-1].tolist(), strict=True):
            coef, intercept = _fit(x, y, C)
            coefs.append(torch.from_numpy(coef))
            intercepts.append(torch.from_numpy(intercept))
    sizes = fold.bincount()
    error = torch.stack(errors).reshape(*batch, len(sizes), n_targets)
    return LogisticProbes(
        classes,
        torch.stack(coefs).reshape(*batch, n_targets, -1, n_units),
        torch.stack(intercepts).reshape(*batch, n_targets, -1),
        torch.stack(chosen).reshape(*batch, n_targets),
        HeldOut(error, sizes.double().unsqueeze(-1).expand_as(error), sizes),
    )


def _held_out(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, Cs: Sequence[float]
) -> tuple[Float[Tensor, "C fold target"], Float[Tensor, "C fold target"]]:
    """Number of wrong answers and log loss in each fold of fits on the others."""
    from sklearn.preprocessing import StandardScaler

    n_folds = fold.max() + 1
    wrong, loss = np.empty((2, len(Cs), n_folds, y.shape[1]))
    for f in range(n_folds):
        scaler = StandardScaler().fit(x[fold != f])
        train, test = scaler.transform(x[fold != f]), scaler.transform(x[fold == f])
        for target, (known, right) in enumerate(zip(y[fold != f].T, y[fold == f].T, strict=True)):
            model = _model()
            for c, C in enumerate(Cs):  # ascending: each fit starts from the one before
                with np.errstate(divide="ignore"):  # a probability may round to 0
                    log_p = model.set_params(C=C).fit(train, known).predict_log_proba(test)
                wrong[c, f, target] = (log_p.argmax(1) != right).sum()
                # an infinite loss would be no better than another; beyond this size it makes no difference
                loss[c, f, target] = -log_p[np.arange(len(right)), right].clip(-700).sum()
    return torch.from_numpy(wrong), torch.from_numpy(loss)


def _fit(x: np.ndarray, y: np.ndarray, C: float) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and intercept for x as given."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    model = _model().set_params(C=C).fit(scaler.transform(x), y)
    coef = model.coef_ / scaler.scale_
    return coef, model.intercept_ - coef @ scaler.mean_


def _model() -> LogisticRegression:
    from sklearn.linear_model import LogisticRegression

    # with the default tolerance of 1e-4 weakly penalized coefficients are right to 1e-2 only
    return LogisticRegression(tol=1e-6, max_iter=5000, warm_start=True)


def _check(X: Tensor, labels: Tensor, fold: Tensor, Cs: Sequence[float]) -> None:
    check_examples(X, labels, fold, "labels")
    if labels.is_floating_point():
        raise ValueError(f"labels: got {labels.dtype}; expected integers")
    wrong = [C for C in Cs if not 0 < C < float("inf")]
    if wrong or not Cs:
        raise ValueError(f"Cs: got {wrong[0] if wrong else 'none'}; expected positive numbers")


def _check_classes(classes: Tensor, coded: Tensor, fold: Tensor) -> None:
    if len(classes) < 2:
        raise ValueError(f"labels: got the one class {classes.tolist()}; expected at least two")
    for target, y in enumerate(coded.T):
        for f in fold.unique():
            lacking = set(range(len(classes))) - set(y[fold != f].tolist())
            if lacking:
                raise ValueError(
                    f"labels: got no example of class {classes[min(lacking)].item()} outside fold {int(f)} in column "
                    f"{target}; expected each class in at least two folds"
                )
