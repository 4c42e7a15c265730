"""Early warning: from measures up to a step, will a run generalize, and when? Scored on held-out runs.

At each step t, of the runs at risk (not generalized by t, and still observed):

1. features: of each measure, its last value at or before t, and its slope over the last half of training, t/2 to t;
2. folds: whole groups are held out, and everything, standardization included, is fitted on the other folds;
3. whether, within the budget: logistic regression with an L2 penalty;
4. when: the log of the remaining steps, normal about a linear function of the features; runs that had not generalized
   when they ended are censored there (`probe.measures.transition.censored`);
5. the same with the baseline's measures only, without any features (the share of the training folds that generalize),
   and with outcomes that are shuffled between runs, which must show no skill;
6. scores: Brier score and AUC of whether, concordance of when; intervals from resampled groups, as percentiles. They
   hold the fitted models fixed, so they leave out how models would differ with other training runs. AUC and
   concordance compare runs of one fold only, which one model predicts. Between folds each model is fitted on the
   other's runs, and what they do lowers what it says of its own: useless features would score below 1/2.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe.measures.intervals import check_confidence
from probe.measures.transition.censored import fit_censored
from probe.measures.transition.concordance import earlier_pairs, pair_score
from probe.measures.transition.curves import Steps, check_named, checked_steps

MIN_AT_RISK = 10
MIN_OF_EACH_OUTCOME = 3
FOLDS = 5
RESAMPLES = 999
SHUFFLES = 5
_DEFAULT_STEPS = 12


@dataclass(frozen=True)
class EarlyWarning:
    """What `early_warning` found.

    Attributes:
        table: a row per step t:

            * ``step``, ``n_at_risk``, ``n_events`` (of them, runs that generalize later, within the budget), ``reason``
              (why there are no scores, else empty);
            * for each score, ``brier`` (0 is best), ``auc`` and ``concordance`` (1 is best, 1/2 is chance): the score
              of all measures, ``_baseline`` (of the baseline's measures), ``_gain`` (how much better all measures are
              than the baseline; positive is better for Brier too), each with its interval ``_low``, ``_high``, and
              ``_shuffled`` (of shuffled outcomes, the mean of 5); nan where no fold holds a pair to compare;
            * ``brier_base_rate``: of the training folds' share.

        predictions: a row per step t and run at risk: ``step``, ``run``, ``generalized`` (its step, inf if it did not),
            ``fold``, and ``probability`` to generalize within the budget and median ``remaining`` steps, these two with
            ``_baseline`` too.
        measures: names, in order.
        baseline: of them, the baseline's.
        confidence: of the intervals.
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    measures: tuple[str, ...]
    baseline: tuple[str, ...]
    confidence: float


def early_warning(
    steps: Steps,
    measures: Mapping[str, Float[np.ndarray | Tensor, "run step"]],
    generalized: Sequence[float | None] | Float[np.ndarray | Tensor, " run"],
    *,
    baseline: Sequence[str] | None = None,
    groups: Sequence[Hashable] | None = None,
    at: Sequence[float] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> EarlyWarning:
    """Whether and when runs generalize, predicted at each step of ``at`` from nothing later than it.

    ``measures`` are curves [run, step], nan where a run was not evaluated. ``generalized`` is the step at which each
    run generalized; None, nan or inf: not by its last evaluation, where it is censored. A run that ended so before the
    last step counts for when, but not for whether: nobody knows. Runs that lack a value of a measure by t are left out
    at t. Runs of one of ``groups`` (one configuration, one seed) are held out and resampled together; by default each
    run is a group. ``baseline`` names measures, by default train_accuracy and test_accuracy as far as they are given;
    without any, its columns are nan. ``at`` is by default 12 evaluated steps, evenly spaced in their logarithm.

    A step gets scores if there are 10 runs at risk whose outcome is known, 3 of either outcome, and two groups. Few
    runs give wide intervals. Measured on 360 to 390 simulated suites with noise for measures in each of 6 settings (20
    to 100 runs, a fifth or half of which generalize): mean AUC and concordance were .494 to .510. Intervals of 95 % lay
    above 1/2 in 2 to 6 % of suites and below in 2 to 8 %, and ``_gain_low`` above 0 in 1 to 5 % (2.5 % would be exact):
    one step with a slight gain is no evidence. With 10 groups of 4 runs alike intervals of AUC are too narrow: 10 % lay
    above and 10 % below. Were runs of different folds compared too, 7 to 13 % would lie below, 23 % with such groups.

    Raises ValueError for shapes that do not fit, infinite measures, a ``generalized`` beyond the last step, unknown
    names, an ``at`` outside the steps, or if no step can be scored.
    """
    grid = checked_steps(steps, at_least=2)
    curves = _checked_measures(measures, len(grid))
    dates = _checked_dates(generalized, len(next(iter(curves.values()))), grid[-1])
    default = [name for name in ("train_accuracy", "test_accuracy") if name in curves]
    names = tuple(default if baseline is None else baseline)
    for name in names:
        if name not in curves:
            raise ValueError(f"baseline: {name!r} given, expected names of measures: {', '.join(curves)}")
    check_confidence(confidence)
    members = _checked_groups(groups, len(dates))
    values = np.stack(list(curves.values()))
    in_baseline = np.array([name in names for name in curves])
    seen = np.isfinite(values).any(axis=0)
    last = grid[len(grid) - 1 - seen[:, ::-1].argmax(axis=1)]  # of each run; all nan: never at risk, whatever it is
    rows, predictions = [], []
    for t in _checked_at(at, grid):
        upto = grid <= t
        features, complete = _features(grid[upto], values[..., upto], float(t))
        end = np.where(np.isfinite(dates), dates, last)
        runs = np.flatnonzero(complete & (end > t))
        outcomes = _Outcomes(
            features=features[:, :, runs],
            remaining=end[runs] - t,
            reached=np.isfinite(dates[runs]),
            known=np.isfinite(dates[runs]) | (last[runs] == grid[-1]),
            group=members[runs],
        )
        row, found = _at_step(outcomes, in_baseline, confidence, seed)
        rows.append({"step": t, **row})
        if found is not None:
            columns = {"step": np.full(len(runs), t), "run": runs, "generalized": dates[runs]}
            predictions.append(pd.DataFrame({**columns, **found}))
    if not predictions:
        reasons = "; ".join(f"step {row['step']:g}: {row['reason']}" for row in rows)
        raise ValueError(f"generalized: no step of at can be scored ({reasons})")
    table = pd.DataFrame(rows)
    return EarlyWarning(table, pd.concat(predictions, ignore_index=True), tuple(curves), names, confidence)


@dataclass(frozen=True)
class _Outcomes:
    """Runs at risk: features, steps until the event or the end of observation, and what is known of them."""

    features: Float[np.ndarray, "kind measure run"]
    remaining: Float[np.ndarray, " run"]
    reached: Bool[np.ndarray, " run"]
    known: Bool[np.ndarray, " run"]
    group: Int[np.ndarray, " run"]


def _at_step(
    runs: _Outcomes, in_baseline: Bool[np.ndarray, " measure"], confidence: float, seed: int
) -> tuple[dict[str, Any], dict[str, np.ndarray] | None]:
    """The scores of one step, as columns, and the predictions for each run."""
    n, events = int(runs.known.sum()), int(runs.reached.sum())
    row: dict[str, Any] = {"n_at_risk": len(runs.known), "n_events": events, "reason": ""}
    if n < MIN_AT_RISK:
        row["reason"] = f"{n} runs at risk with a known outcome, fewer than {MIN_AT_RISK}"
    elif min(events, n - events) < MIN_OF_EACH_OUTCOME:
        row["reason"] = f"{events} runs generalize and {n - events} do not, fewer than {MIN_OF_EACH_OUTCOME}"
    elif len(np.unique(runs.group)) < 2:
        row["reason"] = "all runs are of one group"
    if row["reason"]:
        return row, None
    fold = _folds(runs, seed)
    everything = np.ones(len(in_baseline), bool)
    all_measures = _predict(runs, everything, fold, np.arange(len(fold)))
    base_rate = _predict(runs, ~everything, fold, np.arange(len(fold)))
    has_baseline = bool(in_baseline.any())
    baseline = _predict(runs, in_baseline, fold, np.arange(len(fold))) if has_baseline else None
    rng = np.random.default_rng(seed)
    shuffled = []
    for _ in range(SHUFFLES):
        order = rng.permutation(len(fold))
        predicted = _predict(runs, everything, fold, order)
        shuffled.append(_scores(runs, fold, order, predicted, np.ones((1, len(fold))))[:, 0])
    # the first weights are the runs as they are, the others resample groups
    _, group = np.unique(runs.group, return_inverse=True)
    n_groups = int(group.max()) + 1
    counts = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=RESAMPLES)
    weights = np.concatenate([np.ones((1, len(group))), counts[:, group]]).astype(float)
    own = np.arange(len(fold))
    scores = _scores(runs, fold, own, all_measures, weights)
    others = np.full_like(scores, np.nan) if baseline is None else _scores(runs, fold, own, baseline, weights)
    for name, sign, score, other, null in zip(
        ("brier", "auc", "concordance"), (-1, 1, 1), scores, others, np.mean(shuffled, axis=0), strict=True
    ):
        for suffix, draws in (("", score), ("_baseline", other), ("_gain", sign * (score - other))):
            row[name + suffix] = draws[0]
            row[f"{name}{suffix}_low"], row[f"{name}{suffix}_high"] = _percentiles(draws[1:], confidence)
        row[f"{name}_shuffled"] = null
    row["brier_base_rate"] = _scores(runs, fold, own, base_rate, weights[:1])[0, 0]
    found = {"fold": fold, "probability": all_measures[0], "remaining": np.exp(all_measures[1])}
    if baseline is not None:
        found |= {"probability_baseline": baseline[0], "remaining_baseline": np.exp(baseline[1])}
    return row, found


def _features(
    steps: Float[np.ndarray, " seen"], values: Float[np.ndarray, "measure run seen"], t: float
) -> tuple[Float[np.ndarray, "kind measure run"], Bool[np.ndarray, " run"]]:
    """Last value and slope of each measure up to t, and which runs have a value of every measure.

    The slope is that of least squares over the evaluations from t/2 on, the last two at least; of fewer than two
    values it is 0.
    """
    given = np.isfinite(values)
    newest = values.shape[-1] - 1 - given[..., ::-1].argmax(axis=-1)
    value = np.take_along_axis(values, newest[..., None], axis=-1)[..., 0]
    given = given & (steps >= min(t / 2, steps[-2:][0]))
    count = np.maximum(given.sum(axis=-1, keepdims=True), 1)
    x = np.where(given, steps, 0)
    x = np.where(given, x - x.sum(axis=-1, keepdims=True) / count, 0)
    square = (x**2).sum(axis=-1)
    product = (x * np.where(given, values, 0)).sum(axis=-1)
    slope = np.divide(product, square, out=np.zeros_like(product), where=square > 0)
    return np.stack([value, slope]), np.isfinite(value).all(axis=0)


def _folds(runs: _Outcomes, seed: int) -> Int[np.ndarray, " run"]:
    """Fold of each run: whole groups, with outcomes as evenly spread as they allow.

    Folds are so few that each can hold two groups: there is no pair to compare where all of a group end alike.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    smaller = min(int(runs.reached.sum()), int((~runs.reached).sum()))
    n = min(FOLDS, max(2, len(np.unique(runs.group)) // 2), smaller)
    splitter = StratifiedGroupKFold(n_splits=n, shuffle=True, random_state=seed)
    fold = np.empty(len(runs.reached), dtype=np.int64)
    for f, (_, held_out) in enumerate(splitter.split(runs.reached, runs.reached, runs.group)):
        fold[held_out] = f
    return fold


def _predict(
    runs: _Outcomes,
    chosen: Bool[np.ndarray, " measure"],
    fold: Int[np.ndarray, " run"],
    order: Int[np.ndarray, " run"],
) -> tuple[Float[np.ndarray, " run"], Float[np.ndarray, " run"]]:
    """Probability to generalize and median log of the remaining steps, of each run from the other folds.

    ``order`` says whose outcome each run is given. Without measures, all get what the training folds have in common.
    """
    from sklearn.linear_model import LogisticRegression

    X = runs.features[:, chosen].reshape(-1, len(fold)).T
    reached, known, log_remaining = runs.reached[order], runs.known[order], np.log(runs.remaining[order])
    probability, when = np.empty(len(fold)), np.empty(len(fold))
    for f in np.unique(fold):
        out, labelled = fold == f, (fold != f) & known
        probability[out] = reached[labelled].mean() if labelled.any() else 0.5
        spread = X[~out].std(axis=0)
        Z = (X - X[~out].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        if chosen.any() and 0 < reached[labelled].sum() < labelled.sum():
            model = LogisticRegression(C=1.0, solver="newton-cholesky").fit(Z[labelled], reached[labelled])
            probability[out] = model.predict_proba(Z[out])[:, 1]
        when[out] = log_remaining[~out].mean()
        if reached[~out].any():
            fit = fit_censored(Z[~out], log_remaining[~out], reached[~out], ridge=1.0)
            when[out] = fit.coefficients[0] + Z[out] @ fit.coefficients[1:]
    return probability, when


def _scores(
    runs: _Outcomes,
    fold: Int[np.ndarray, " run"],
    order: Int[np.ndarray, " run"],
    predicted: tuple[Float[np.ndarray, " run"], Float[np.ndarray, " run"]],
    weights: Float[np.ndarray, "resample run"],
) -> Float[np.ndarray, "score resample"]:
    """Brier score and AUC of runs whose outcome is known, and concordance of all, counted ``weights`` times."""
    (probability, when), together = predicted, fold[:, None] == fold
    reached, known = runs.reached[order], runs.known[order]
    counted = weights * known
    total = counted.sum(axis=1)
    square = counted @ (probability - reached) ** 2
    brier = np.divide(square, total, out=np.full(len(weights), np.nan), where=total > 0)
    auc = pair_score(~reached[:, None] & reached & together, probability, counted)
    earlier = earlier_pairs(runs.remaining[order], reached) & together
    return np.stack([brier, auc, pair_score(earlier, when, weights)])


def _percentiles(draws: Float[np.ndarray, " resample"], confidence: float) -> tuple[float, float]:
    """Ends of the interval; resamples in which the score does not exist are left out."""
    exists = draws[~np.isnan(draws)]
    if len(exists) == 0:
        return np.nan, np.nan
    low, high = np.quantile(exists, ((1 - confidence) / 2, (1 + confidence) / 2))
    return float(low), float(high)


def _checked_measures(
    measures: Mapping[str, Float[np.ndarray | Tensor, "run step"]], n_steps: int
) -> dict[str, Float[np.ndarray, "run step"]]:
    check_named(measures, "[run, step]")
    curves: dict[str, np.ndarray] = {}
    for name, given in measures.items():
        array = _as_float(given, f"measures[{name!r}]")
        shape = next(iter(curves.values())).shape if curves else (*array.shape[:1], n_steps)
        if array.ndim != 2 or array.shape != shape or 0 in shape:
            raise ValueError(
                f"measures[{name!r}]: shape {array.shape} given, expected [run, {n_steps}], the same for all"
            )
        if np.isinf(array).any():
            raise ValueError(f"measures[{name!r}]: inf given, expected numbers, or nan where not evaluated")
        curves[name] = array
    return curves


def _checked_dates(generalized: Any, n_runs: int, budget: float) -> Float[np.ndarray, " run"]:
    dates = _as_float(generalized, "generalized")
    if dates.shape != (n_runs,):
        raise ValueError(f"generalized: shape {dates.shape} given, expected ({n_runs},), one step per run")
    dates = np.where(np.isnan(dates), np.inf, dates)
    wrong = (dates < 0) | ((dates > budget) & np.isfinite(dates))
    if wrong.any():
        raise ValueError(f"generalized: {dates[wrong][0]:g} given, expected steps from 0 to {budget:g}, or nan or inf")
    return dates


def _checked_groups(groups: Sequence[Hashable] | None, n_runs: int) -> Int[np.ndarray, " run"]:
    if groups is None:
        return np.arange(n_runs)
    if len(groups) != n_runs:
        raise ValueError(f"groups: {len(groups)} given, expected {n_runs}, one per run")
    return np.asarray(pd.factorize(np.fromiter(groups, dtype=object, count=n_runs), use_na_sentinel=False)[0])


def _checked_at(at: Sequence[float] | None, grid: Float[np.ndarray, " step"]) -> Float[np.ndarray, " at"]:
    if at is None:
        candidates = grid[:-1][grid[:-1] > 0] if (grid[:-1] > 0).any() else grid[:1]
        spaced = np.geomspace(max(candidates[0], 1), max(candidates[-1], 1), _DEFAULT_STEPS)
        return np.unique(candidates[np.abs(candidates[:, None] - spaced).argmin(axis=0)])
    asked = np.atleast_1d(_as_float(at, "at"))
    wrong = ~((asked >= grid[0]) & (asked < grid[-1]))
    if asked.ndim != 1 or len(asked) == 0 or wrong.any():
        raise ValueError(f"at: {asked.tolist()} given, expected steps from {grid[0]:g} to before {grid[-1]:g}")
    return np.unique(asked)


def _as_float(given: Any, field: str) -> Float[np.ndarray, "*shape"]:
    try:
        return np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{field}: {type(given).__name__} given, expected numbers ({error})") from error
