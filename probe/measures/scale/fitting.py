"""Every form fitted at every node of its grid, with or without a scatter of models about it.

At a node a form is linear, so its coefficients are weighted least squares, with the variances of the sampling error.
Models of a family are off any curve by more: all variances are then larger by one factor, the variance inflation of
quasi-likelihood (Burnham & Anderson 2002, section 2.5). So a share scatters little near 0 and 1, where it has little
room, and much in between. Where nothing is known of the sampling error, all sizes have one variance, and the factor is
that. Its likeliest value has a closed form either way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from probe.measures.scale.forms import Form, forms
from probe.measures.scale.noise import Sizes

RESOLUTION = 1e-3
"""Scatter is not taken below this share of the range of the values: a published number is not exact."""
_CLOSER = 2  # finer grids
_RIDGE = 1e-10  # of the squares of a column
_UNSEEN = 1e-6  # mean square of a column that no size shows


@dataclass(frozen=True)
class Fit:
    """A form at all nodes of its grid.

    Attributes:
        form: which, with its nodes.
        log_volume: of the part of the grid that each node stands for.
        log_likelihood: without and with a scatter, or with it alone where the sampling error is unknown; -inf where the
            coefficients have not the form.
        coefficients: of its columns.
        covariance: of the coefficients, for an inflation of 1.
        inflation: what variances of the sampling error are multiplied with; variances where that is unknown.
        n: sizes fitted.
        noise_unknown: whether nothing is known of the sampling error, so that there is a scatter in any case.
    """

    form: Form
    log_volume: Float[np.ndarray, " node"]
    log_likelihood: Float[np.ndarray, "node scatter"]
    coefficients: Float[np.ndarray, "node column"]
    covariance: Float[np.ndarray, "node column column"]
    inflation: Float[np.ndarray, "node scatter"]
    n: int
    noise_unknown: bool

    @property
    def scatters(self) -> bool:
        """Whether there is a scatter beyond sampling error: it is a parameter, and AIC says that it is worth one."""
        return self.noise_unknown or bool(self.log_likelihood.max() > self.log_likelihood[:, 0].max() + 1)

    @property
    def best(self) -> tuple[int, int]:
        """Node of the greatest likelihood, and whether with a scatter: not if it is not worth a parameter."""
        counted = self.log_likelihood if self.scatters else self.log_likelihood[:, :1]
        node, scatter = np.unravel_index(int(counted.argmax()), counted.shape)
        return int(node), int(scatter)

    @property
    def largest(self) -> float:
        """Log likelihood at the best."""
        return float(self.log_likelihood[self.best])

    @property
    def n_parameters(self) -> int:
        """Of the form, and the scatter if there is one."""
        return self.form.n_parameters + self.scatters

    def profile(self) -> Float[np.ndarray, " node"]:
        """Log likelihood of each node; with the scatter that is likeliest there, if it is worth a parameter."""
        counted = self.log_likelihood if self.scatters else self.log_likelihood[:, :1]
        return np.asarray(counted.max(axis=1))

    def at(self, u: Float[np.ndarray, " size"]) -> Float[np.ndarray, " size"]:
        """The likeliest curve."""
        node = self.best[0]
        return self.form.level + self.form.columns(u)[node] @ self.coefficients[node]

    def variance(self, sizes: Sizes) -> Float[np.ndarray, " size"]:
        """Of the values about the likeliest curve."""
        return self.inflation[self.best] * (np.ones(self.n) if sizes.variance is None else sizes.variance)

    def excess(self, sizes: Sizes) -> float:
        """Scatter beyond sampling error, a standard deviation in units of the values: the root mean square of sizes."""
        known = np.zeros(self.n) if sizes.variance is None else sizes.variance
        return float(np.sqrt(np.maximum(self.variance(sizes) - known, 0).mean()))

    def ahead(
        self, u: Float[np.ndarray, " held"], variance: Float[np.ndarray, " held"] | None
    ) -> tuple[Float[np.ndarray, " part"], Float[np.ndarray, "part held"], Float[np.ndarray, "part held"]]:
        """What it says of other sizes: log weights by likelihood, means and standard deviations of a normal mixture.

        Args:
            u: which sizes.
            variance: of the sampling error there; None if unknown.
        """
        log_weight = self.log_likelihood + self.log_volume[:, None]
        log_weight -= logsumexp(log_weight)
        columns = self.form.columns(u)
        mean = self.form.level + (columns @ self.coefficients[..., None])[..., 0]
        unsure = np.maximum(((columns @ self.covariance) * columns).sum(-1), 0)
        own = np.ones(len(u)) if variance is None else variance
        spread = np.sqrt(self.inflation[..., None] * (own + unsure[:, None]))
        means = np.broadcast_to(mean[:, None], spread.shape)
        return log_weight.ravel(), means.reshape(-1, len(u)), spread.reshape(-1, len(u))


def aic(fit: Fit) -> float:
    """-2 log likelihood + 2 k (Akaike 1974)."""
    return 2 * (fit.n_parameters - fit.largest)


def criterion_of(fit: Fit) -> float:
    """AIC; where a scatter is estimated, with the correction for few sizes: 2 k n / (n - k - 1) instead of 2 k.

    The correction (Hurvich & Tsai 1989, Biometrika 76, 297) is what the estimate of a variance costs. Of a variance
    that is known, as sampling error is, AIC has no bias in linear models, however few the sizes. inf where there are
    too few for so many parameters and a scatter.
    """
    if not fit.scatters:
        return aic(fit)
    k = fit.n_parameters
    room = fit.n - k - 1
    return -2 * fit.largest + 2 * k * fit.n / room if room > 0 else np.inf


def fit_all(u: Float[np.ndarray, " size"], sizes: Sizes, chance: float | None) -> list[Fit]:
    """Fit every form that has the coefficients for it."""
    every = (fit_form(form, u, sizes) for form in forms(u, bool((sizes.value > 0).all()), chance))
    return [fit for fit in every if np.isfinite(fit.largest)]


def fit_form(form: Form, u: Float[np.ndarray, " size"], sizes: Sizes) -> Fit:
    """Fit one form to values at u: on its grid, then on finer ones, each around the likeliest node so far."""
    fit = _fit_nodes(form, u, sizes)
    grid = form.nodes
    between = grid and "jump" not in grid and len(form.columns(u)) > 1
    for _ in range(_CLOSER if between and np.isfinite(fit.largest) else 0):
        finer = fit.form.closer(fit.best[0], grid)
        fit, grid = _joined(fit, _fit_nodes(finer, u, sizes)), finer.nodes
    return fit


def _joined(first: Fit, second: Fit) -> Fit:
    nodes = {name: np.concatenate([values, second.form.nodes[name]]) for name, values in first.form.nodes.items()}
    return replace(
        first,
        form=replace(second.form, nodes=nodes),
        log_volume=np.concatenate([first.log_volume, second.log_volume]),
        log_likelihood=np.concatenate([first.log_likelihood, second.log_likelihood]),
        coefficients=np.concatenate([first.coefficients, second.coefficients]),
        covariance=np.concatenate([first.covariance, second.covariance]),
        inflation=np.concatenate([first.inflation, second.inflation]),
    )


def _fit_nodes(form: Form, u: Float[np.ndarray, " size"], sizes: Sizes) -> Fit:
    y = sizes.value - form.level
    design = form.columns(u)
    n, reach = len(y), np.ptp(sizes.value)
    variance = np.ones(n) if sizes.variance is None else sizes.variance
    coefficients, covariance = _least_squares(design, y, 1 / variance)
    squares = ((y - (design @ coefficients[..., None])[..., 0]) ** 2 / variance).sum(-1)
    if sizes.variance is None:
        inflation = np.maximum(squares / n, (RESOLUTION * reach) ** 2 + np.finfo(float).tiny)[:, None]
    else:
        inflation = np.stack([np.ones(len(squares)), np.maximum(squares / n, 1)], axis=1)
    constant = np.log(2 * np.pi * variance).sum()
    log_likelihood = -(squares[:, None] / inflation + n * np.log(inflation) + constant) / 2
    log_likelihood = np.where(form.allowed(coefficients)[:, None], log_likelihood, -np.inf)
    volume = np.full(len(design), form.log_volume)
    return Fit(form, volume, log_likelihood, coefficients, covariance, inflation, n, sizes.variance is None)


def _least_squares(
    design: Float[np.ndarray, "node size column"], y: Float[np.ndarray, " size"], weights: Float[np.ndarray, " size"]
) -> tuple[Float[np.ndarray, "node column"], Float[np.ndarray, "node column column"]]:
    """Coefficients by weighted least squares, and their covariance where the weights are inverse variances.

    A column that adds nothing to the others gets a coefficient of 0 or next to it.
    """
    n_columns = design.shape[2]
    weighted = (design * weights[:, None]).transpose(0, 2, 1)
    square = weighted @ design
    right = weighted @ y
    diagonal = np.einsum("gpp->gp", square)
    ridge = _RIDGE * diagonal + np.finfo(float).tiny
    square = square + ridge[..., None] * np.eye(n_columns)
    covariance = 1 / square if n_columns == 1 else np.linalg.inv(square)
    coefficients = (covariance @ right[..., None])[..., 0]
    return coefficients, np.where(diagonal[..., None] > _UNSEEN * weights.sum(), covariance, 0)
