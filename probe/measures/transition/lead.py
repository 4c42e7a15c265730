"""Which progress measure moves before test accuracy, and by how many steps.

Every curve is dated by the same rule: when it has covered a share (one half; .1 for a first departure) of its way
from its value at memorization to its final one, up or down. That date is read off the curve and not off a fitted form,
because real curves creep before they jump, and a form misses that.

The interval comes from the noise: curves with the course of the observed ones (`probe.measures.transition.course`)
and noise of the same law, autocorrelated and larger where the curve is steep, are drawn anew and dated by the same
rule, all measures of a run together, their innovations correlated as those that were observed. It says how far noise
and the spacing of evaluations may have moved a date in this run, not how far another seed would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from probe.measures.intervals import Interval, bootstrap_interval, check_confidence
from probe.measures.transition.course import course_of
from probe.measures.transition.curves import (
    Curve,
    Steps,
    check_named,
    checked_accuracies,
    checked_curve,
    checked_steps,
)
from probe.measures.transition.dates import generalized_step, memorized_step
from probe.measures.transition.logistic import logistic_fits
from probe.measures.transition.noise import MIN_EVALUATIONS, CurveFit, thinned

DRAWS = 199


@dataclass(frozen=True)
class Lead:
    """When one measure moved.

    Attributes:
        direction: of its way from memorization to the end.
        date: when it had covered the share of its way, in steps; None if it shows no transition.
        lead: date of test accuracy minus its own, in steps, negative if the measure lags; None without either date.
    """

    direction: Literal["rising", "falling"] | None
    date: Interval | None
    lead: Interval | None


@dataclass(frozen=True)
class LeadTimes:
    """The measures of one run against its test accuracy.

    Attributes:
        share: of the way that dates are for.
        start: step of memorization, or the first; None: not memorized within ``last_step``, so nothing is dated.
        last_step: of the last evaluation: the budget.
        accuracy: date of test accuracy; None: it did not generalize within ``last_step``, or not after ``start``.
        measures: by name, in the order given.
    """

    share: float
    start: int | None
    last_step: int
    accuracy: Interval | None
    measures: dict[str, Lead]


@dataclass(frozen=True)
class SeedLeads:
    """Lead of one measure over the runs of several seeds.

    Attributes:
        lead: median over the runs that generalized and its bootstrap interval, in steps; -inf where the measure shows
            no transition in most of them; None if no run generalized.
        n_censored: runs that did not generalize within their budget. They say nothing about the lead and are left out,
            so ``lead`` is that of runs that generalize in time.
        n_without_transition: runs that generalized although the measure shows no transition.
    """

    lead: Interval | None
    n_censored: int
    n_without_transition: int


def lead_times(
    steps: Steps,
    test_accuracy: Curve,
    measures: Mapping[str, Curve],
    train_accuracy: Curve | None = None,
    share: float = 0.5,
    confidence: float = 0.95,
    seed: int = 0,
) -> LeadTimes:
    """Dates of all measures of one run by one rule, and how long before test accuracy each of them moves.

    * The way of a curve goes from its value at memorization (without ``train_accuracy``: at the first evaluation) to
      the mean of its values in the last tenth of the steps from there. It depends on the budget for a curve that is
      still moving at the end.
    * Its date is where its closest monotone curve (isotonic regression) has covered ``share`` of the way,
      interpolated between evaluations.
    * A measure has a transition if a logistic in log(step + 1) describes it better than a constant and a line
      (`fit_logistic`), and if its way goes in the direction of the logistic and is at least half as long. Test
      accuracy has one if the run generalizes (`generalized_step`) after the start and ends above its value there.
    * No interval is narrower than the evaluations around the dates: a lead shorter than their spacing is not told
      from 0, and the lead of test accuracy over itself is 0.

    Measured on 100 simulations each of two logistics, noise of .04 of the height, everywhere alike or in proportion to
    the slope, autocorrelations of 0 to .8, shares of .1 and .5: 95 % intervals of the lead covered 93 to 99 % with 100
    evaluations and 94 to 99 % with 40, where the spacing of evaluations adds to them. On 60 each of lopsided curves
    (creep then jump, Gompertz, exponential approach, logistic in steps, tail of a bump before it, waves), 50
    evaluations, noise of .003, or of .02 in proportion to the slope: 95 to 100 %, and 2.0 to 3.4 times as wide as the
    evaluations around a date lie apart, where 2 is the least. They stay wide where noise with an autocorrelation near
    1 cannot be told from what the course misses: up to a quarter of the budget for a ramp that breaks off in a jump
    within 3 evaluations, and for waves of .06 of the height in noise of .01 many times the scatter of the dates.

    Raises ValueError for curves as `phases` does, fewer than 10 evaluations from the start on, no measure, or a share
    or confidence that is not between 0 and 1.
    """
    at = checked_steps(steps, MIN_EVALUATIONS)
    accuracy = checked_curve(checked_accuracies(test_accuracy, "test_accuracy", len(at)), "test_accuracy", len(at))
    if not 0 < share < 1:
        raise ValueError(f"share: {share} given, expected a number between 0 and 1, such as 0.5")
    check_confidence(confidence)
    check_named(measures, "[step]")
    curves = {name: checked_curve(curve, f"measures[{name!r}]", len(at)) for name, curve in measures.items()}
    start: int | None = int(at[0])
    if train_accuracy is not None:
        checked_curve(train_accuracy, "train_accuracy", len(at))
        start = memorized_step(at, train_accuracy)
    last = int(at[-1])
    if start is None:
        return LeadTimes(share, None, last, None, {name: Lead(None, None, None) for name in curves})
    first = int(np.searchsorted(at, start))
    at = at[first:]
    if len(at) < MIN_EVALUATIONS:
        raise ValueError(f"steps: {len(at)} from memorization on given, expected at least {MIN_EVALUATIONS}")
    dated = [_Dated.of(at, curve[first:], share) for curve in (accuracy, *curves.values())]
    generalized = generalized_step(at, test_accuracy[first:])
    has_date = generalized is not None and generalized > start and dated[0].way > 0
    dated[0] = replace(dated[0], moves=has_date)
    drawn = _drawn_dates(at, dated, share, confidence, seed)
    found = {}
    for i, name in enumerate(curves, start=1):
        date = lead = None
        if dated[i].moves:
            date = _date(at, dated[i], *drawn[i])
            if has_date:
                before, after = dated[0].around[0] - dated[i].around[1], dated[0].around[1] - dated[i].around[0]
                moved, quantile = drawn[0][0] - drawn[i][0], max(drawn[0][1], drawn[i][1])
                lead = _around(dated[0].date - dated[i].date, moved, quantile, (before, after), len(at))
        direction: Literal["rising", "falling"] = "rising" if dated[i].way > 0 else "falling"
        found[name] = Lead(direction if dated[i].way else None, date, lead)
    return LeadTimes(share, start, last, _date(at, dated[0], *drawn[0]) if has_date else None, found)


def leads_over_seeds(runs: Sequence[LeadTimes], confidence: float = 0.95) -> dict[str, SeedLeads]:
    """Median lead of every measure over the runs of several seeds, with its bootstrap interval.

    A measure that shows no transition in a run that generalized has a lead of -inf there: it moves later than
    everything that was seen. Few seeds give intervals that are too narrow (`bootstrap_interval`).

    Raises ValueError for no runs, or runs of different measures or shares.
    """
    if not runs:
        raise ValueError("runs: none given, expected one or more")
    for run in runs:
        if run.share != runs[0].share or list(run.measures) != list(runs[0].measures):
            raise ValueError(
                f"runs: share {run.share} of {list(run.measures)} given, expected that of the first run, "
                f"{runs[0].share} of {list(runs[0].measures)}"
            )
    generalized = [run for run in runs if run.accuracy is not None]
    found = {}
    for name in runs[0].measures:
        leads = [run.measures[name].lead for run in generalized]
        behind = [np.inf if lead is None else -lead.estimate for lead in leads]
        lead = None
        if behind:
            lag = bootstrap_interval(behind, "median", confidence)  # which takes +inf
            lead = Interval(-lag.estimate, -lag.high, -lag.low, lag.n)
        found[name] = SeedLeads(lead, len(runs) - len(generalized), sum(x is None for x in leads))
    return found


@dataclass(frozen=True)
class _Dated:
    """A curve from the start on, its date and the evaluations around it in steps, and its logistic fit."""

    curve: Float[np.ndarray, " step"]
    date: float
    around: tuple[float, float]
    way: float
    fit: CurveFit
    moves: bool

    @classmethod
    def of(cls, at: Float[np.ndarray, " step"], curve: Float[np.ndarray, " step"], share: float) -> _Dated:
        fit, others = logistic_fits(np.log1p(at), curve)
        way = float(way_of(at, curve))
        height = fit.parameters[1]
        moves = all(fit.bic < other.bic for other in others.values()) and way * height >= height**2 / 2
        date = float(_share_dates(at, curve[None], share)[0])
        after = int(np.clip(np.searchsorted(at, date), 1, len(at) - 1))
        return cls(curve, date, (float(at[after - 1]), float(at[after])), way, fit, bool(moves))


def way_of(at: Float[np.ndarray, " step"], curve: Float[np.ndarray, "*draw step"]) -> Float[np.ndarray, "*draw"]:
    """The way of a curve: from its first value to the mean of those in the last tenth of the steps."""
    return curve[..., at >= at[-1] - (at[-1] - at[0]) / 10].mean(axis=-1) - curve[..., 0]


def _share_dates(
    at: Float[np.ndarray, " step"], curves: Float[np.ndarray, "draw step"], share: float
) -> Float[np.ndarray, " draw"]:
    """The step at which the closest monotone curve has covered ``share`` of the way; the last if it never does.

    Isotonic regression lies above the share from where the sum of what values lie below it, so far, is largest; its
    values there and just before are the least and the largest mean of values from there on and back (min-max formula).
    """
    way = way_of(at, curves)
    dates = np.full(len(curves), at[-1])
    moving = np.flatnonzero(way)
    above = (curves[moving] - curves[moving, :1]) / way[moving, None] - share
    so_far = np.pad(np.cumsum(above, axis=1), ((0, 0), (1, 0)))
    after = so_far.argmin(axis=1)  # not 0: the first value has covered nothing
    covers = after < len(at)
    moving, so_far, after = moving[covers], so_far[covers], after[covers]
    n_on = np.arange(len(at) + 1) - after[:, None]
    mean = (so_far - np.take_along_axis(so_far, after[:, None], axis=1)) / np.where(n_on == 0, 1, n_on)
    at_last = np.where(n_on > 0, mean, np.inf).min(axis=1)
    before = np.where(n_on < 0, mean, -np.inf).max(axis=1)
    dates[moving] = at[after - 1] - before / (at_last - before) * (at[after] - at[after - 1])
    return dates


def _drawn_dates(
    at: Float[np.ndarray, " step"], dated: Sequence[_Dated], share: float, confidence: float, seed: int
) -> dict[int, tuple[Float[np.ndarray, " draw"], float]]:
    """How far the dates of curves with fresh noise lie from those of their courses, and the quantile, by place.

    Of the curves that move: the others get no date.
    """
    x = np.log1p(at)
    used = thinned(x)
    moving = [i for i, one in enumerate(dated) if one.moves]
    if not moving:
        return {}
    courses = [course_of(x[used], dated[i].curve[used], dated[i].fit) for i in moving]
    white = np.stack([c.noise.whiten(dated[i].curve[used] - c.values) for i, c in zip(moving, courses, strict=True)])
    size = np.linalg.norm(white, axis=1, keepdims=True)
    white = white / np.where(size > 0, size, 1)
    root = np.linalg.svd(white, full_matrices=False)
    draws = np.random.default_rng(seed).normal(size=(DRAWS, len(root[1]), len(used)))
    innovations = np.einsum("ci,i,dit->cdt", root[0], root[1], draws)
    found = {}
    for i, course, fresh in zip(moving, courses, innovations, strict=True):
        curves = course.values + course.noise.color(course.noise.sigma * fresh)
        dates = _share_dates(at[used], np.concatenate([course.values[None], curves]), share)
        found[i] = dates[1:] - dates[0], course.noise.quantile(confidence, course.n_parameters)
    return found


def _date(at: Float[np.ndarray, " step"], one: _Dated, moved: Float[np.ndarray, " draw"], quantile: float) -> Interval:
    """A date within training: not before the start, and inf where it may lie beyond the last step."""
    found = _around(one.date, moved, quantile, one.around, len(at))
    return Interval(found.estimate, max(found.low, at[0]), found.high if found.high <= at[-1] else np.inf, found.n)


def _around(
    estimate: float, moved: Float[np.ndarray, " draw"], quantile: float, least: tuple[float, float], n: int
) -> Interval:
    """The estimate and ``quantile`` root mean squares of how far draws moved, at least to the ends of ``least``."""
    half = quantile * float(np.sqrt((moved**2).mean()))
    return Interval(estimate, min(estimate - half, least[0]), max(estimate + half, least[1]), n)
