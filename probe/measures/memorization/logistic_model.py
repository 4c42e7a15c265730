"""Logistic regression of whether facts are known, with Firth's penalty, and intervals by its profile.

The penalty (Firth 1993, Biometrika 80, 27) is half the log determinant of the Fisher information: it takes most of the
bias of small samples away and leaves an estimate where features tell right from wrong without error, where maximum
likelihood has none. Intervals end where twice the penalized log likelihood has fallen by the square of a quantile
(Heinze & Schemper 2002, Statistics in Medicine 21, 2409). For facts that depend on each other the quantile is stretched
by what a jackknife over clusters says of the error (Chandler & Bate 2007, Biometrika 94, 167), and never shrunk. Where
a coefficient tells right from wrong the better the larger it is, without end, its interval has no end on that side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from scipy import linalg, optimize
from scipy.special import expit, log_expit
from scipy.stats import norm, t

from probe.measures.memorization.arguments import Labels
from probe.measures.memorization.clustered import memberships, n_clusters

Matrix = Float[np.ndarray, "fact feature"]
Vector = Float[np.ndarray, " feature"]
_SEPARATES = 1e-5
_CONVERGED = 1e-9


@dataclass(frozen=True)
class LogisticModel:
    """A fit; inside, features are orthonormal: features = basis @ triangle.

    Attributes:
        basis: [fact, feature].
        triangle: [feature, feature].
        right: items of each fact that are right.
        n_items: items of each fact.
        labels: what facts share; None: they are independent of each other.
        scaled: triangle @ coefficients.
        log_likelihood: with the penalty, at its maximum.
    """

    basis: Matrix
    triangle: Float[np.ndarray, "feature feature"]
    right: Float[np.ndarray, " fact"]
    n_items: Float[np.ndarray, " fact"]
    labels: Labels | None
    scaled: Vector
    log_likelihood: float

    @property
    def coefficients(self) -> Vector:
        """Log odds per unit of each feature."""
        return linalg.solve_triangular(self.triangle, self.scaled)

    @cached_property
    def separated(self) -> bool:
        """Whether features tell all right from all wrong ones, in part or whole: maximum likelihood has no estimate."""
        return self._ascent(self._sides[0].sum(0)) > _SEPARATES

    def interval(self, direction: Vector, confidence: float) -> tuple[float, float, float]:
        """Sum of the coefficients times ``direction``, and the ends of its interval."""
        value, width = float(direction @ self.coefficients), self.quantile(direction, confidence)
        step = width * self.error(direction)
        ends = []
        for side in (-1, 1):
            endless = self.separated and self._ascent(side * self._along(direction)) > _SEPARATES
            ends.append(side * np.inf if endless else self.end(lambda at: (direction, at), width, value, side * step))
        return value, ends[0], ends[1]

    def quantile(self, direction: Vector, confidence: float) -> float:
        """How many of the model's own standard errors the interval of this sum is wide, to each side."""
        tail = (1 + confidence) / 2
        if self.labels is None:
            return float(norm.ppf(tail))
        along = self._along(direction)
        stretch = np.sqrt(along @ self._clustered @ along) / self.error(direction)
        return float(t.ppf(tail, n_clusters(self.labels) - 2) * max(stretch, 1.0))

    def error(self, direction: Vector) -> float:
        """Standard error of this sum by the Fisher information."""
        along = self._along(direction)
        return float(np.sqrt(along @ np.linalg.solve(self._information, along)))

    def end(
        self,
        constraint: Callable[[float], tuple[Vector, float]],
        width: float,
        start: float,
        step: float,
        last: float = np.inf,
    ) -> float:
        """Where an interval ends, of what ``constraint`` fixes: a direction and the sum of coefficients along it.

        It is looked for from ``start``, which the fit itself meets, ``step`` by step; ``last``, if it is not before.
        """

        def excess(trial: float) -> float:
            direction, value = constraint(trial)
            along = self._along(direction)
            # the Wald path starts close to the constrained maximum
            lean = np.linalg.solve(self._information, along)
            begin = self.scaled + lean * (value - along @ self.scaled) / (along @ lean)
            found = _maximum(self.basis, self.right, self.n_items, begin, along)[1]
            return float(np.sqrt(max(2 * (self.log_likelihood - found), 0.0))) - width

        inside = start
        for _ in range(60):
            outside = inside + step
            if abs(outside - start) >= abs(last - start):
                outside = last
            if excess(outside) >= 0:
                return float(optimize.brentq(excess, inside, outside, xtol=1e-6 * abs(step)))
            if outside == last:
                break
            inside, step = outside, 1.5 * step
        return last

    def _along(self, direction: Vector) -> Vector:
        return linalg.solve_triangular(self.triangle, direction, trans="T")

    @cached_property
    def _weight(self) -> Float[np.ndarray, " fact"]:
        share = expit(self.basis @ self.scaled)
        return self.n_items * share * (1 - share)

    @cached_property
    def _information(self) -> Float[np.ndarray, "feature feature"]:
        return self.basis.T @ (self._weight[:, None] * self.basis)

    @cached_property
    def _clustered(self) -> Float[np.ndarray, "feature feature"]:
        assert self.labels is not None
        residual = self.right - self.n_items * expit(self.basis @ self.scaled)
        return jackknife_variance(self.basis, self._weight, residual[None], self.labels)[0]

    @cached_property
    def _sides(self) -> tuple[Matrix, Matrix]:
        """Features of facts that are all right and, turned around, all wrong; and those of facts that are neither."""
        sign = np.sign(2 * self.right - self.n_items)[:, None]
        pure: Bool[np.ndarray, " fact"] = (self.right == 0) | (self.right == self.n_items)
        features = self.basis * np.sqrt(len(self.basis))
        return np.unique((sign * features)[pure], axis=0), np.unique(features[~pure], axis=0)

    def _ascent(self, goal: Vector) -> float:
        """How far coefficients within -1 and 1 that never lower the likelihood reach towards ``goal``."""
        pure, mixed = self._sides
        found = optimize.linprog(
            -goal / max(np.linalg.norm(goal), 1e-300),
            A_ub=-pure if len(pure) else None,
            b_ub=np.zeros(len(pure)) if len(pure) else None,
            A_eq=mixed if len(mixed) else None,
            b_eq=np.zeros(len(mixed)) if len(mixed) else None,
            bounds=(-1, 1),
        )
        return -float(found.fun)


def fit_logistic_model(
    features: Matrix,
    right: Float[np.ndarray, " fact"],
    n_items: Float[np.ndarray, " fact"],
    labels: Labels | None = None,
) -> LogisticModel:
    """Fit to the number of right items of each fact. Features must be linearly independent."""
    basis, triangle = np.linalg.qr(features)
    scaled, log_likelihood = _maximum(basis, right, n_items, np.zeros(features.shape[1]))
    return LogisticModel(basis, triangle, right, n_items, labels, scaled, log_likelihood)


def jackknife_variance(
    features: Matrix,
    weight: Float[np.ndarray, " fact"],
    residual: Float[np.ndarray, "batch fact"],
    labels: Labels,
) -> Float[np.ndarray, "batch feature feature"]:
    """Variance of coefficients: sum over clusters of the squared changes when one is left out, to first order.

    Of linear regression the changes are exact, and the variance is what is called CR3, of facts by themselves HC3.
    """
    n = features.shape[1]
    groups = memberships(labels)
    outer = (weight[:, None, None] * features[:, :, None] * features[:, None, :]).reshape(-1, n * n)
    whole = outer.sum(0).reshape(n, n)
    scores = (features.T[None] * residual[:, None, :]).reshape(-1, len(features)).T
    # a cluster that a feature is known from alone cannot be left out: the pseudo-inverse leaves that feature as it is
    without = np.linalg.pinv(whole - (groups[0] @ outer).reshape(-1, n, n), hermitian=True, rcond=1e-10)
    changes = np.einsum("gij,gbj->gbi", without, (groups[0] @ scores).reshape(-1, len(residual), n))
    variance = np.einsum("gbi,gbj->bij", changes, changes)
    if len(groups) == 1:
        return variance
    changes = np.einsum("ij,gbj->gbi", np.linalg.inv(whole), (groups[1] @ scores).reshape(-1, len(residual), n))
    independent = np.einsum("gbi,gbj->bij", changes, changes)
    difference = variance - independent
    # not less than if facts of different pairs were independent, in any direction
    return independent + _positive_part(difference - independent)


def _positive_part(matrices: Float[np.ndarray, "batch n n"]) -> Float[np.ndarray, "batch n n"]:
    values, vectors = np.linalg.eigh(matrices)
    return np.einsum("bik,bk,bjk->bij", vectors, np.maximum(values, 0), vectors)


def _maximum(
    basis: Matrix,
    right: Float[np.ndarray, " fact"],
    n_items: Float[np.ndarray, " fact"],
    start: Vector,
    fixed: Vector | None = None,
) -> tuple[Vector, float]:
    """Maximum of the penalized log likelihood, along which ``fixed`` @ coefficients stay as they are at ``start``."""
    free = np.eye(len(start)) if fixed is None else linalg.null_space(fixed[None])
    at, height, slope, information = (start, *_penalized(basis, right, n_items, start))
    if not free.shape[1]:
        return at, height
    for _ in range(200):
        step = free @ np.linalg.solve(free.T @ information @ free, free.T @ slope)
        step *= min(1.0, 5 / max(np.abs(basis @ step).max(), 1e-300))
        while True:
            trial = at + step
            found = _penalized(basis, right, n_items, trial)
            if found[0] >= height or np.abs(step).max() < 1e-12:
                break
            step = step / 2
        gain = found[0] - height
        if gain < 0:
            break
        at, (height, slope, information) = trial, found
        if gain < _CONVERGED:
            break
    return at, height


def _penalized(
    basis: Matrix, right: Float[np.ndarray, " fact"], n_items: Float[np.ndarray, " fact"], at: Vector
) -> tuple[float, Vector, Float[np.ndarray, "feature feature"]]:
    """Penalized log likelihood, its gradient, and the Fisher information."""
    level = basis @ at
    share = expit(level)
    weight = n_items * share * expit(-level)
    information = basis.T @ (weight[:, None] * basis)
    sign, log_determinant = np.linalg.slogdet(information)
    if sign <= 0 or not np.isfinite(log_determinant):
        return -np.inf, np.zeros_like(at), information
    log_likelihood = float(right @ log_expit(level) + (n_items - right) @ log_expit(-level) + log_determinant / 2)
    leverage = weight * np.einsum("fi,fi->f", basis @ np.linalg.inv(information), basis)
    return log_likelihood, basis.T @ (right - n_items * share + leverage * (0.5 - share)), information
