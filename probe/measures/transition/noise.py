"""Fits of a form to one curve whose deviations hang together along training, with honest intervals.

What a curve does beside a form (noise of evaluation, instabilities, and the form not being quite right) is not
independent from one evaluation to the next, and it is larger where the curve is steep: an accuracy of 0 or 1 hardly
varies. Intervals that ignore this are several times too narrow (those of a form that is far from right are too wide:
`probe.measures.transition.course` tells what a curve does beside it from noise). So:

1. the form is fitted by least squares;
2. the law of the deviations is estimated from the residuals: first-order autoregressive from one evaluation to the
   next, its variance growing with the squared slope of the form, 1 + growth (slope / largest slope)^2; both parameters
   by restricted likelihood (Patterson & Thompson 1971, Biometrika 58, 545), on a grid;
3. the variance of a parameter is that of least squares under this law, and its interval has t of
   n (1 - rho) / (1 + rho) degrees of freedom, the effective number of evaluations (rho of at most .95 there).

Forms are compared by the likelihood of an autoregressive law of one variance at a generalized least-squares fit, with
the penalty of BIC corrected for few evaluations (McQuarrie & Tsai 1998, section 2.4): k log(n) n / (n - k - 2) - 2 log
likelihood. That fit sees increments rather than levels, so the dates do not come from it: one bump would move them.
With a variance that grows with the slope, the form with the widest stretch at exactly 1 would win, however bad.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy import optimize, signal, stats

MIN_EVALUATIONS = 10
MAX_EVALUATIONS = 400
_ROUNDS = 2
_AUTOCORRELATIONS = np.linspace(-0.5, 0.98, 75)
_FEWER_AUTOCORRELATIONS = _AUTOCORRELATIONS[2::4]  # beside a smooth remainder, whose variance is searched as well
_GROWTHS = (0.0, 1.0, 10.0, 100.0, 1000.0)
_SMALLEST_DEVIATION = 1e-6  # of a curve's range: below it, a better fit is a matter of rounding


@dataclass(frozen=True)
class Form:
    """What a form says at its parameters: values [step], their derivatives [parameter, step], and its slope [step]."""

    values: Float[np.ndarray, " step"]
    derivatives: Float[np.ndarray, "parameter step"]
    slope: Float[np.ndarray, " step"]


FormAt = Callable[[Float[np.ndarray, " parameter"]], Form]


@dataclass(frozen=True)
class Noise:
    """Law of the deviations: ``scale`` x an AR(1) series of innovations with the standard deviation ``sigma``."""

    autocorrelation: float
    scale: Float[np.ndarray, " step"]
    sigma: float

    def whiten(self, rows: Float[np.ndarray, "*row step"]) -> Float[np.ndarray, "*row step"]:
        """Rows of deviations (or derivatives) as innovations, which are independent and of one variance."""
        scaled = rows / self.scale
        white = scaled.copy()
        white[..., 1:] -= self.autocorrelation * scaled[..., :-1]
        white[..., 0] *= np.sqrt(1 - self.autocorrelation**2)
        return white

    def color(self, innovations: Float[np.ndarray, "*row step"]) -> Float[np.ndarray, "*row step"]:
        """Inverse of `whiten`."""
        started = innovations.copy()
        started[..., 0] /= np.sqrt(1 - self.autocorrelation**2)
        return np.asarray(signal.lfilter([1.0], [1.0, -self.autocorrelation], started)) * self.scale

    def quantile(self, confidence: float, n_parameters: float) -> float:
        """Of t with the degrees of freedom that the autocorrelation leaves, two-sided."""
        n, rho = len(self.scale), min(self.autocorrelation, 0.95)
        freedom = max(min(n - n_parameters, n * (1 - rho) / (1 + rho)), 1.0)
        return float(stats.t.ppf((1 + confidence) / 2, freedom))


@dataclass(frozen=True)
class CurveFit:
    """A form fitted to a curve by least squares.

    Attributes:
        parameters: of the form.
        form: what it says there.
        noise: law of the residuals.
        bic: criterion by which forms are compared; the least is the best.
    """

    parameters: Float[np.ndarray, " parameter"]
    form: Form
    noise: Noise
    bic: float

    def raised(self, level: float) -> CurveFit:
        """The same fit of the curve raised by ``level``, which is the first parameter of every form here."""
        parameters = self.parameters.copy()
        parameters[0] += level
        return replace(self, parameters=parameters, form=replace(self.form, values=self.form.values + level))

    def half_widths(self, confidence: float) -> Float[np.ndarray, " parameter"]:
        """Half the width of each parameter's interval; inf if the curve does not determine them all."""
        derivatives = self.form.derivatives
        k, n = derivatives.shape
        sizes = np.linalg.norm(derivatives, axis=1, keepdims=True)
        if (sizes == 0).any() or np.linalg.cond(derivatives / sizes) > 1e6:
            return np.full(k, np.inf)
        # how far an innovation at each evaluation moves each parameter
        influence = np.linalg.pinv((derivatives / sizes).T) / sizes @ self.noise.color(np.eye(n)).T
        return self.noise.sigma * np.linalg.norm(influence, axis=1) * self.noise.quantile(confidence, k)


def about_its_mean(curve: Float[np.ndarray, " step"]) -> tuple[Float[np.ndarray, " step"], float]:
    """The curve about its mean, and the mean: beside a large level, what a curve does is nothing to a fit."""
    level = float(curve.mean())
    return curve - level, level


def fit_form(
    curve: Float[np.ndarray, " step"], form_at: FormAt, start: Float[np.ndarray, " parameter"], searched: int = 0
) -> CurveFit:
    """The form fitted to ``curve`` from ``start``, as the module says.

    Of the parameters, ``searched`` are breaks, which count twice in BIC: the best of many places fits noise better
    than one parameter of an ordinary kind (Kim & Kim 2016, Statistica Sinica 26, 1149: BIC3).
    """
    size = float(np.ptp(curve))
    independent = Noise(0.0, np.ones_like(curve), 1.0)
    parameters = _least_squares(curve, form_at, np.asarray(start, dtype=np.float64), independent)
    form = form_at(parameters)
    noise = likeliest_law(curve - form.values, form, size).noise
    generalized, law = parameters, Noise(noise.autocorrelation, independent.scale, 1.0)
    for _ in range(_ROUNDS):
        generalized = _least_squares(curve, form_at, generalized, law)
        found = likeliest_law(curve - form_at(generalized).values, None, size)
        law = found.noise
    # the parameters of this law are its variance and its autocorrelation
    k, n = len(parameters) + searched + 2, len(curve)
    bic = k * np.log(n) * n / (n - k - 2) - 2 * found.log_likelihood
    return CurveFit(parameters, form, noise, float(bic))


def forms_without_transition(x: Float[np.ndarray, " step"], curve: Float[np.ndarray, " step"]) -> dict[str, CurveFit]:
    """The fits that a form with a transition has to beat: a level, and a straight line."""
    flat, straight = np.ones((1, len(x))), np.stack([np.ones_like(x), x - x[0]])
    return {
        "constant": fit_form(curve, lambda p: Form(p @ flat, flat, np.zeros_like(x)), np.zeros(1)),
        "linear": fit_form(curve, lambda p: Form(p @ straight, straight, np.full_like(x, p[1])), np.zeros(2)),
    }


def thinned(x: Float[np.ndarray, " step"]) -> np.ndarray:
    """Which evaluations a fit uses: all, or of more than 400 those nearest to 400 that are evenly spread over x.

    Neighbours in a dense curve add nothing, and those of a long tail would outvote the transition.
    """
    if len(x) <= MAX_EVALUATIONS:
        return np.arange(len(x))
    even = np.linspace(x[0], x[-1], MAX_EVALUATIONS)
    after = np.clip(np.searchsorted(x, even), 1, len(x) - 1)
    return np.unique(after - (even - x[after - 1] < x[after] - even))


def _least_squares(curve: np.ndarray, form_at: FormAt, start: np.ndarray, noise: Noise) -> np.ndarray:
    found = optimize.least_squares(
        lambda p: noise.whiten(form_at(p).values - curve),
        start,
        jac=lambda p: noise.whiten(form_at(p).derivatives).T,
        method="lm",
        x_scale="jac",
        max_nfev=100,
    )
    return np.asarray(found.x)


@dataclass(frozen=True)
class LikeliestLaw:
    """Of residuals: the law, its log likelihood (up to a constant that all forms share), and the ratio for bends."""

    noise: Noise
    log_likelihood: float
    ratio: float


def likeliest_law(
    residual: Float[np.ndarray, " step"],
    form: Form | None,
    curve_range: float,
    bends: Float[np.ndarray, "bend step"] | None = None,
    ratios: Float[np.ndarray, " ratio"] | None = None,
) -> LikeliestLaw:
    """The most likely law of the residuals, on a grid.

    With the least-squares ``form`` that left them, by restricted likelihood, and with a variance that may grow with
    its slope; without, by the full likelihood, and of one variance. With ``bends``, of the residuals beside a sum of
    these, whose coefficients are normal with one of ``ratios`` times the variance of an innovation.
    Sums of products of an AR(1)-whitened series are quadratic in rho, so each growth costs one pass.
    """
    n, steepness = len(residual), np.zeros_like(residual)
    fixed, free = np.empty((0, n)), np.empty((0, n)) if bends is None else bends
    autocorrelations, ratios = (_AUTOCORRELATIONS, np.ones(1)) if ratios is None else (_FEWER_AUTOCORRELATIONS, ratios)
    if form is not None:
        steepest = np.abs(form.slope).max()
        steepness = (form.slope / steepest) ** 2 if steepest > 0 else steepness
        fixed = unit_rows(form.derivatives)
    rows, left = np.vstack([fixed, free, residual]), n - len(fixed)
    smallest = (_SMALLEST_DEVIATION * curve_range) ** 2 + np.finfo(float).tiny
    of_autocorrelation, rho = 0.5 * np.log1p(-(autocorrelations**2)), autocorrelations[:, None, None]
    best: LikeliestLaw | None = None
    for growth in _GROWTHS if np.ptp(steepness) > 0 else _GROWTHS[:1]:
        scale = np.sqrt(1 + growth * steepness)
        scaled = rows / scale
        lagged = scaled[:, 1:] @ scaled[:, :-1].T
        inner = scaled[:, 1:-1] @ scaled[:, 1:-1].T
        products = scaled @ scaled.T - rho * (lagged + lagged.T) + rho**2 * inner
        for ratio in ratios:
            added = np.diag([*information_added(len(fixed), len(free), ratio), smallest * left])
            # the pivots of the information bordered by the residual: the last is what its rows leave of the residual
            pivots = np.diagonal(np.linalg.cholesky(products + added), axis1=1, axis2=2)
            variance = pivots[:, -1] ** 2 / left
            log_likelihood = of_autocorrelation - np.log(scale).sum() - np.log(pivots[:, :-1]).sum(axis=1)
            log_likelihood -= len(free) / 2 * np.log(ratio) + left / 2 * (np.log(variance) + 1)
            at = int(log_likelihood.argmax())
            if best is None or log_likelihood[at] > best.log_likelihood:
                noise = Noise(float(autocorrelations[at]), scale, float(np.sqrt(variance[at])))
                best = LikeliestLaw(noise, float(log_likelihood[at]), float(ratio))
    assert best is not None
    return best


def unit_rows(rows: Float[np.ndarray, "row step"]) -> Float[np.ndarray, "row step"]:
    """Each row over its size; of no size, as it is."""
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(sizes > 0, sizes, 1)


def information_added(n_fixed: int, n_bends: int, ratio: float) -> Float[np.ndarray, " row"]:
    """To the information on each coefficient: that its variance is ``ratio``, for a bend.

    A parameter that the curve does not determine (no derivative) is not to make the information singular.
    """
    return np.concatenate([np.full(n_fixed, 1e-10), np.full(n_bends, 1 / ratio)])
