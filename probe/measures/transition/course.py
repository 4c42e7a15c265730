"""The course of a curve, however lopsided, told from the noise around it.

A curve of training is seldom one logistic: it creeps before it jumps, overshoots, jumps twice. What one logistic does
not describe then looks like noise that hangs together from the first evaluation to the last, and no date is certain.
So its course is

1. a sum of one to three logistics, each further one begun from what those before leave over, as long as the BIC of
   `probe.measures.transition.noise` falls;
2. beside them, where the curve asks for it, a smooth remainder: a line and bends, whose curvature is normal and
   independent from one stretch between knots to the next (a cubic smoothing spline, Wahba 1978, JRSS B 40, 364).
   Its variance, beside the law of the noise, is chosen by restricted likelihood, which tells the two apart by
   roughness: noise changes by its own size within few evaluations, a course does not. It has to raise the log
   likelihood by log(n), as for one parameter that was searched for.

What is left is the noise. Deviations that are smooth from one evaluation to the next are thus part of the course.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from probe.measures.transition.logistic import logistics, start_of_logistic
from probe.measures.transition.noise import (
    CurveFit,
    Noise,
    about_its_mean,
    fit_form,
    information_added,
    likeliest_law,
    unit_rows,
)

_MAX_LOGISTICS = 3
_MAX_BENDS = 40
_RATIOS = 10.0 ** np.arange(12)  # of the variance of curvature to that of innovations, for x from 0 to 1


@dataclass(frozen=True)
class Course:
    """What a curve does beside noise.

    Attributes:
        values: of the course.
        noise: law of what is left.
        n_parameters: of the course; those of bends count as much as the curve determines them.
    """

    values: Float[np.ndarray, " step"]
    noise: Noise
    n_parameters: float


def course_of(x: Float[np.ndarray, " step"], curve: Float[np.ndarray, " step"], logistic: CurveFit) -> Course:
    """The course of a curve to which one logistic was fitted, at the evaluations of that fit."""
    curve, level = about_its_mean(curve)
    fit = _sum_of_logistics(x, curve, logistic.raised(-level))
    residual, n_parameters = curve - fit.form.values, len(fit.parameters)
    along = (x - x[0]) / np.ptp(x)
    beside = replace(fit.form, derivatives=np.vstack([fit.form.derivatives, along]))
    bends, curve_range = _bends(along), float(np.ptp(curve))
    without = likeliest_law(residual, beside, curve_range)
    found = likeliest_law(residual, beside, curve_range, bends, _RATIOS)
    if found.log_likelihood - without.log_likelihood < np.log(len(x)):
        return Course(fit.form.values + level, fit.noise, n_parameters)
    noise = found.noise
    rows = np.vstack([unit_rows(beside.derivatives), bends])
    white, prior = noise.whiten(rows), information_added(n_parameters + 1, len(bends), found.ratio)
    inverse = np.linalg.inv(white @ white.T + np.diag(prior))
    values = fit.form.values + noise.whiten(residual) @ white.T @ inverse @ rows
    return Course(values + level, noise, len(rows) - float(np.diagonal(inverse) @ prior))


def _sum_of_logistics(x: Float[np.ndarray, " step"], curve: Float[np.ndarray, " step"], first: CurveFit) -> CurveFit:
    best = first
    for n_logistics in range(2, _MAX_LOGISTICS + 1):
        # a level, 3 parameters and a search for each, 2 of the law, and the penalty needs 3 evaluations more
        if len(x) < 4 * n_logistics + 6:
            break
        further = start_of_logistic(x, curve - best.form.values)
        start = np.concatenate([best.parameters, further[1:]])
        start[0] += further[0]
        fit = fit_form(curve, logistics(x), start, searched=n_logistics)
        if fit.bic >= best.bic:
            break
        best = fit
    return best


def _bends(along: Float[np.ndarray, " step"]) -> Float[np.ndarray, "bend step"]:
    """What a unit of curvature (over the root of its length) in each stretch between knots makes of a curve."""
    n_knots = min(len(along), _MAX_BENDS + 1)
    knots = np.interp(np.linspace(0, len(along) - 1, n_knots), np.arange(len(along)), along)
    turned = np.maximum(along - knots[:, None], 0) ** 2 / 2
    return (turned[:-1] - turned[1:]) / np.sqrt(np.diff(knots))[:, None]
