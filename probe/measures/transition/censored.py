"""Regression of log times on features, where of some runs only a time is known that was not enough.

y = b0 + X b + s e with e standard normal; of a censored run, only y > log of its budget is known (Tobin 1958,
Econometrica 26, 24). In the parameters b / s and 1 / s the log likelihood is concave (Olsen 1978, Econometrica 46,
1211), so that Newton's method finds its one maximum, for a whole batch of problems at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import log_ndtr

RESOLUTION = 0.01  # dates are steps of evaluations: a fit within 1 % is as good as an exact one
_ITERATIONS = 200


@dataclass(frozen=True)
class CensoredFit:
    """Coefficients (the intercept first), scatter s, and the log likelihood of the log times less the penalties."""

    coefficients: Float[np.ndarray, "*batch coefficient"]
    scatter: Float[np.ndarray, "*batch"]
    log_likelihood: Float[np.ndarray, "*batch"]


def fit_censored(
    X: Float[np.ndarray, "*batch run feature"],
    y: Float[np.ndarray, "*batch run"],
    observed: Bool[np.ndarray, " run"],
    counted: Bool[np.ndarray, "*batch run"] | None = None,
    ridge: float = 0.0,
) -> CensoredFit:
    """The most likely coefficients and scatter; y is the log time of ``observed`` runs, the log budget of others.

    Runs that are not ``counted`` do not enter. ``ridge`` is the penalty on (b / s)^2 / 2. Without it the observed
    runs must tell all coefficients apart.
    """
    batch = np.broadcast_shapes(X.shape[:-2], y.shape[:-1])
    n_runs, n_features = X.shape[-2:]
    y = np.broadcast_to(y, (*batch, n_runs))
    weight = np.ones(y.shape) if counted is None else np.broadcast_to(counted, y.shape).astype(float)
    n_counted, n_observed = weight.sum(-1), (weight * observed).sum(-1)
    # log times about their mean, in units of their spread, are well fitted by b = 0 and s = 1 to begin with
    center = (weight * y).sum(-1) / n_counted
    unit = np.sqrt((weight * (y - center[..., None]) ** 2).sum(-1) / n_counted) + RESOLUTION
    scaled = (y - center[..., None]) / unit[..., None]
    # z = (y - b0 - X b) / s is linear in the parameters (b0, b, 1) / s
    design = np.empty((*batch, n_runs, n_features + 2))
    design[..., 0], design[..., 1:-1], design[..., -1] = -1, -X, scaled
    penalty = np.zeros((*batch, n_features + 2))
    penalty[..., 1:-1] = ridge
    penalty[..., -1] = n_observed * (RESOLUTION / unit) ** 2

    def objective(parameters: Float[np.ndarray, "*batch parameter"]) -> Float[np.ndarray, "*batch"]:
        z = np.einsum("...rp,...p->...r", design, parameters)
        each = np.where(observed, np.log(parameters[..., -1:]) - z**2 / 2, log_ndtr(-z))
        return (weight * each).sum(-1) - (penalty * parameters**2).sum(-1) / 2

    parameters = np.zeros((*batch, n_features + 2))
    parameters[..., -1] = 1
    value = objective(parameters)
    for _ in range(_ITERATIONS):
        z = np.einsum("...rp,...p->...r", design, parameters)
        mills = np.exp(-(z**2) / 2 - np.log(2 * np.pi) / 2 - log_ndtr(-z))
        slope = weight * np.where(observed, -z, -mills)
        bend = weight * np.where(observed, 1.0, mills * (mills - z))
        gradient = np.einsum("...rp,...r->...p", design, slope) - penalty * parameters
        hessian = np.einsum("...rp,...r,...rq->...pq", design, bend, design)
        hessian += penalty[..., None] * np.eye(n_features + 2)
        gradient[..., -1] += n_observed / parameters[..., -1]
        hessian[..., -1, -1] += n_observed / parameters[..., -1] ** 2
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        if (gradient * step).sum(-1).max() < 1e-12:  # twice what the step can gain
            break
        # 1 / s stays positive, and a step that does not gain is halved until it does
        shrinks = np.maximum(-step[..., -1], 0) / parameters[..., -1]
        length = 0.9 / np.maximum(shrinks, 0.9)
        for _ in range(30):
            proposed = parameters + length[..., None] * step
            reached = objective(proposed)
            worse = reached < value - 1e-12 * (1 + np.abs(value))  # rounding is no loss
            if not worse.any():
                break
            length = np.where(worse, length / 2, length)
        parameters = np.where(worse[..., None], parameters, proposed)
        value = np.where(worse, value, reached)
    scatter = unit / parameters[..., -1]
    coefficients = parameters[..., :-1] * scatter[..., None]
    coefficients[..., 0] += center
    return CensoredFit(coefficients, scatter, value - n_observed * np.log(unit))
