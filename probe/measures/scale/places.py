"""Where a form changes, how steep a power law is, and what changed in all: with intervals.

The interval holds all that lowers the log likelihood, maximized over all else, by no more than a quantile of chi
squared allows; where the sampling error was not given, by no more than Student's t does. It is widened to the next
nodes of the grid, and ends at 0 or inf where the grid of midpoints or exponents ends.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from probe.measures.intervals import Interval
from probe.measures.scale.fitting import Fit
from probe.measures.scale.noise import Sizes

_PLACES = ("midpoint", "break", "turn")


def place_of(fit: Fit, sizes: Sizes, confidence: float) -> Interval | None:
    """Scale of the midpoint, break or turn; of a jump the first size after it, and the sizes that it is between."""
    if "jump" in fit.form.nodes:
        at, low, high = np.searchsorted(sizes.unit, _interval(fit, "jump", confidence, widened=False))
        return Interval(float(sizes.scale[at]), float(sizes.scale[low - 1]), float(sizes.scale[high]), fit.n)
    for name in _PLACES:
        if name in fit.form.nodes:
            u = np.array(_interval(fit, name, confidence))
            estimate, low, high = (10 ** (sizes.x[0] + u * np.ptp(sizes.x))).tolist()
            return Interval(estimate, low, high, fit.n)
    return None


def exponent_of(fit: Fit, sizes: Sizes, confidence: float) -> Interval | None:
    """b of scale^-b."""
    if "exponent" not in fit.form.nodes:
        return None
    range_in_e = np.ptp(sizes.x) * np.log(10)
    estimate, low, high = (float(b / range_in_e) for b in _interval(fit, "exponent", confidence))
    return Interval(estimate, low, high, fit.n)


def _interval(fit: Fit, name: str, confidence: float, widened: bool = True) -> tuple[float, float, float]:
    """The likeliest node of a grid and the ends of its interval, infinite where the grid ends and the form does not."""
    if fit.noise_unknown:
        freedom = max(fit.n - fit.form.n_parameters, 1)
        reach = fit.n * np.log1p(stats.t.ppf((1 + confidence) / 2, freedom) ** 2 / freedom) / 2
    else:
        reach = stats.chi2.ppf(confidence, 1) / 2
    grid = fit.form.nodes[name]
    within = grid[fit.profile() >= fit.largest - reach]
    places = np.unique(grid)
    low, high = (int(i) for i in np.searchsorted(places, [within.min(), within.max()]))
    ends = [places[max(low - widened, 0)], places[min(high + widened, len(places) - 1)]]
    if name == "midpoint" and low == 0:
        ends[0] = -np.inf
    if name in ("midpoint", "exponent") and high == len(places) - 1:
        ends[1] = np.inf
    return float(grid[fit.best[0]]), float(ends[0]), float(ends[1])


def change_of(sizes: Sizes, confidence: float) -> Interval:
    """Of a least-squares line in log scale, from the smallest size to the largest, with Student's interval."""
    n = len(sizes.x)
    weights = np.ones(n) if sizes.variance is None else 1 / sizes.variance
    design = np.stack([np.ones(n), sizes.unit], axis=1)
    covariance = np.linalg.inv(design.T @ (weights[:, None] * design))
    coefficients = covariance @ (design.T @ (weights * sizes.value))
    misfit = float((weights * (sizes.value - design @ coefficients) ** 2).sum() / (n - 2))
    scale = misfit if sizes.variance is None else max(misfit, 1.0)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 2) * np.sqrt(scale * covariance[1, 1]))
    return Interval(float(coefficients[1]), float(coefficients[1] - half), float(coefficients[1] + half), n)
