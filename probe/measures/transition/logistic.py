"""The date of a transition by a logistic fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from probe.measures.intervals import Interval, check_confidence
from probe.measures.transition.curves import (
    Curve,
    Scale,
    Steps,
    checked_curve,
    checked_steps,
    date_interval,
    off_scale,
    on_scale,
)
from probe.measures.transition.noise import (
    MIN_EVALUATIONS,
    CurveFit,
    Form,
    FormAt,
    about_its_mean,
    fit_form,
    forms_without_transition,
    thinned,
)


@dataclass(frozen=True)
class LogisticFit:
    """before + (after - before) / (1 + exp(-(x - date) / width)) beside a constant and a straight line.

    Attributes:
        form: the one with the least BIC: "constant", "linear" or "logistic".
        date: of half the way, in steps, with its interval; None if the form is another, or if half of the way lies
            outside the evaluated steps: no transition was seen. An end of the interval beyond the last step is inf.
        start: step at which a tenth of the way is covered; None where ``date`` is.
        end: step at which nine tenths are covered; it may lie beyond the last evaluation.
        before: level before the transition.
        after: level after it; below ``before`` if the curve falls.
        bic: of every form.
        autocorrelation: of the deviations from the logistic, from one evaluation to the next.
        n: evaluations used.
    """

    form: str
    date: Interval | None
    start: float | None
    end: float | None
    before: float
    after: float
    bic: dict[str, float]
    autocorrelation: float
    n: int

    @property
    def date_or_inf(self) -> float:
        """The date, +inf where there is none: `bootstrap_interval` of those of several seeds is theirs."""
        return np.inf if self.date is None else self.date.estimate


def fit_logistic(steps: Steps, curve: Curve, scale: Scale = "log", confidence: float = 0.95) -> LogisticFit:
    """When a curve (accuracy, loss, explained variance, norm) goes from one level to another, and whether it does.

    x is log(step + 1) (``scale="log"``) or step; in steps, cut a long tail off first, or its evaluations outvote the
    transition. Deviations may be autocorrelated and larger where the curve is steep: `probe.measures.transition.noise`.

    The interval is that of the center of one logistic, and all that the curve does beside it counts as deviation: of a
    smooth but lopsided curve it says how well a logistic describes it, and is wide although the curve has hardly any
    noise. When such a curve covered half of its way, and how far noise may have moved that, is for `lead_times`.

    Measured on 500 simulations each, logistics of 10 to 90 % in .22 of the range, deviations of .08 of the height,
    everywhere alike or in proportion to the slope: 95 % intervals covered 92 to 97 % with autocorrelations of 0 to .9
    and 100 or 300 evaluations, 92 to 98 % with up to .8 and 40, and 86 (in proportion to the slope) to 94 % with .9
    and 40. White noise, autocorrelated noise, random walks and noisy lines got a date in 0 to 5 % of cases.

    Raises ValueError for fewer than 10 evaluations, steps that do not ascend, another length, nan or infinite values.
    """
    at = checked_steps(steps, MIN_EVALUATIONS)
    values = checked_curve(curve, "curve", len(at))
    check_confidence(confidence)
    x = on_scale(at, scale)
    fit, others = logistic_fits(x, values)
    bic = {**{name: other.bic for name, other in others.items()}, "logistic": fit.bic}
    form = min(bic, key=lambda name: bic[name])
    before, height, center, log_width = (float(p) for p in fit.parameters)
    date = start = end = None
    if form == "logistic" and x[0] <= center <= x[-1]:
        used = x[thinned(x)]
        date = date_interval(center, *_interval(used, fit, confidence), used, scale)
        ten_to_fifty = np.log(9) * np.exp(log_width)
        start, end = (off_scale(max(center + side * ten_to_fifty, x[0]), scale) for side in (-1, 1))
    rho, n = fit.noise.autocorrelation, len(fit.form.values)
    return LogisticFit(form, date, start, end, before, before + height, bic, rho, n)


def _interval(x: Float[np.ndarray, " step"], fit: CurveFit, confidence: float) -> tuple[float, float]:
    """Ends of the interval of the center; of a transition between two evaluations, these."""
    center, log_width = fit.parameters[2:]
    after = int(np.clip(np.searchsorted(x, center), 1, len(x) - 1))
    if np.exp(log_width) < (x[after] - x[after - 1]) / 10:
        return x[after - 1], x[after]
    half = fit.half_widths(confidence)[2]
    return center - half, center + half


def logistic_fits(
    x: Float[np.ndarray, " step"], curve: Float[np.ndarray, " step"]
) -> tuple[CurveFit, dict[str, CurveFit]]:
    """The logistic fit (before, height, center, log width), and those of the forms without a transition."""
    used = thinned(x)
    x, (curve, level) = x[used], about_its_mean(curve[used])
    fit = fit_form(curve, logistics(x), start_of_logistic(x, curve), searched=1)
    return fit.raised(level), forms_without_transition(x, curve)


def logistics(x: Float[np.ndarray, " step"]) -> FormAt:
    """A level, and beside it a sum of logistics: a height, a center and a log width for each."""
    # beyond these a width makes no difference: a step, and a straight line
    narrowest, widest = np.log(np.diff(x).min()) - 7, np.log(np.ptp(x)) + 7

    def at(parameters: Float[np.ndarray, " parameter"]) -> Form:
        height, center, log_width = parameters[1:].reshape(-1, 3).T[..., None]
        width = np.exp(np.clip(log_width, narrowest, widest))
        z = np.clip((x - center) / width, -500, 500)
        share = expit(z)
        slope = height * share * (1 - share) / width
        of_each = np.stack([share, -slope, -slope * z * width], axis=1).reshape(-1, len(x))
        values = parameters[0] + (height * share).sum(axis=0)
        return Form(values, np.vstack([np.ones_like(x), of_each]), slope.sum(axis=0))

    return at


def start_of_logistic(x: Float[np.ndarray, " step"], curve: Float[np.ndarray, " step"]) -> Float[np.ndarray, " 4"]:
    """The best of a grid of centers and widths, whose two levels are found by linear least squares."""
    centers = np.linspace(x[0], x[-1], 51)[1:-1, None, None]
    widths = np.geomspace(np.diff(x).min() / 3, np.ptp(x) / 2, 16)[:, None]
    share = expit((x - centers) / widths)
    mean = share.mean(axis=-1)
    product = ((share - mean[..., None]) * (curve - curve.mean())).sum(axis=-1)
    square = ((share - mean[..., None]) ** 2).sum(axis=-1)
    explained = np.where(square > 1e-9, product**2 / np.maximum(square, 1e-9), -1)
    i, j = np.unravel_index(explained.argmax(), explained.shape)
    height = product[i, j] / square[i, j]
    return np.array([curve.mean() - height * mean[i, j], height, centers[i, 0, 0], np.log(widths[j, 0])])
