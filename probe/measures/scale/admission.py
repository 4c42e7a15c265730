"""Which fits count as what they are called: a turn has to turn, a jump to be more than noise, and flat to be level.

A criterion that counts parameters takes a parabola for a U although one of its ends hardly turns, the largest of many
steps in noise for a jump, and any few values that differ for a constant with a large scatter. So

* a U shape is admitted if it fits better than every curve that never turns (the isotonic regressions, rising and
  falling) by ``TURN`` in chi squared;
* a jump if it fits better than a constant by more than the likeliest of all places for a jump in a flat curve does in
  5 % of cases (Bonferroni over the places);
* a constant as it is where its values differ by sampling error alone; with a scatter beyond it, or where sampling error
  is unknown, only if nothing of the order of sizes is in that scatter: neighbours have to differ as much as any two
  sizes (von Neumann 1941, Annals of Mathematical Statistics 12, 367), by a permutation test at ``ORDERED``. That is
  far more than 5 %, as it is the absence of a trend that is claimed.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.optimize import isotonic_regression

from probe.measures.scale.fitting import Fit
from probe.measures.scale.noise import Sizes

TURN = 4.0
ERROR = 0.05
ORDERED = 0.2
_PERMUTATIONS = 999


def admitted(fit: Fit, flat: Fit, sizes: Sizes) -> bool:
    """Whether a fit counts as its kind, beside a constant fitted to the same sizes."""
    if fit.form.kind == "flat":
        return not fit.scatters or bool(order_p(sizes.value) > ORDERED)
    if fit.form.kind == "jump":
        return 2 * (fit.largest - flat.largest) > _largest_of_noise(fit)
    if fit.form.kind in ("u_shape", "inverted_u"):
        return _turns(fit, sizes)
    return True


def order_p(value: Float[np.ndarray, " size"]) -> float:
    """Of all orders of the values, the share in which neighbours differ as little as in this one."""
    rng = np.random.default_rng(0)
    orders = np.argsort(rng.random((_PERMUTATIONS, len(value))), axis=1)
    least = (np.diff(value) ** 2).sum()
    others = (np.diff(value[orders], axis=1) ** 2).sum(axis=1)
    return float((1 + (others <= least * (1 + 1e-9)).sum()) / (_PERMUTATIONS + 1))


def _largest_of_noise(fit: Fit) -> float:
    places = fit.n - 1
    if not fit.noise_unknown:
        return float(stats.chi2.isf(ERROR / places, 1))
    t = stats.t.isf(ERROR / places / 2, fit.n - 2)
    return float(fit.n * np.log1p(t**2 / (fit.n - 2)))


def _turns(fit: Fit, sizes: Sizes) -> bool:
    weights = 1 / fit.variance(sizes)
    misfit = (weights * (sizes.value - fit.at(sizes.unit)) ** 2).sum()
    monotone = [isotonic_regression(sizes.value, weights=weights, increasing=up).x for up in (True, False)]
    return bool(min((weights * (sizes.value - curve) ** 2).sum() for curve in monotone) - misfit > TURN)
