import functools

import numpy as np
import pandas as pd
import pytest
import torch

from probe.measures.transition.forecasting import _percentiles, early_warning

NAN, INF = float("nan"), float("inf")
BUDGET = 10_000
STEPS = np.concatenate([[0], np.unique(np.round(np.geomspace(10, BUDGET, 30)))])
SCORES = ("brier", "auc", "concordance")


@functools.cache
def suite(n=60, seed=0):
    """Runs that generalize at any time; structure rises from a third of it on, test accuracy when it is there."""
    rng = np.random.default_rng(seed)
    dates = np.exp(rng.normal(np.log(6000), 0.8, size=n))

    def rise(date, width, noise):
        share = 1 / (1 + np.exp(-np.clip((np.log(STEPS + 1) - np.log(date)[:, None]) / width, -500, 500)))
        return share + noise * rng.normal(size=share.shape)

    measures = {
        "train_accuracy": rise(np.full(n, 150.0), 0.1, 0.01),
        "test_accuracy": rise(0.93 * dates, 0.02, 0.01),
        "structure": rise(0.35 * dates, 0.35, 0.02),
    }
    return measures, np.where(dates <= BUDGET, dates, INF)


@functools.cache
def result():
    return early_warning(STEPS, *suite(), at=(119, 1425, 2424, 9000))


def row(found, step):
    (one,) = found.table[found.table["step"] == step].to_dict("records")
    return one


def test_structure_that_rises_before_accuracy_warns_where_accuracy_does_not():
    found = result()
    assert found.measures == ("train_accuracy", "test_accuracy", "structure")
    assert found.baseline == ("train_accuracy", "test_accuracy")
    _, dates = suite()
    for step in (1425, 2424):
        one = row(found, step)
        assert one["n_at_risk"] == (dates > step).sum()
        assert one["n_events"] == (np.isfinite(dates) & (dates > step)).sum()
        assert one["reason"] == ""
        assert one["auc"] > 0.9
        assert one["concordance"] > 0.9
        assert one["brier"] < 0.5 * one["brier_base_rate"]
        for score in SCORES:
            assert one[f"{score}_gain_low"] > 0
            assert one[f"{score}_low"] <= one[score] <= one[f"{score}_high"]
        assert one["auc_baseline_low"] < 0.5
        # runs that the budget cut off are known to take longer than it, not as long as it
        cut = found.predictions[(found.predictions["step"] == step) & np.isinf(found.predictions["generalized"])]
        assert cut["remaining"].median() > BUDGET - step
        # the times predicted are near those to come
        runs = found.predictions[(found.predictions["step"] == step) & np.isfinite(found.predictions["generalized"])]
        error = np.log(runs["remaining"] / (runs["generalized"] - step))
        assert error.abs().median() < 0.35
        assert (
            error.abs().median()
            < 0.7 * np.log(runs["remaining_baseline"] / (runs["generalized"] - step)).abs().median()
        )


def test_before_structure_rises_there_is_no_skill():
    one = row(result(), 119)
    for score in ("auc", "concordance"):
        assert one[f"{score}_low"] < 0.5
        assert one[f"{score}_gain_low"] < 0


def test_a_step_without_enough_outcomes_says_so():
    one = row(result(), 9000)
    assert "fewer than 3" in one["reason"]
    assert all(np.isnan(one[f"{score}{part}"]) for score in SCORES for part in ("", "_low", "_high", "_shuffled"))
    assert 9000 not in set(result().predictions["step"])


def test_scores_are_those_of_the_predictions():
    found = result()
    one, p = row(found, 1425), found.predictions[found.predictions["step"] == 1425]
    happened, fold = np.isfinite(p["generalized"]).to_numpy(), p["fold"].to_numpy()
    for suffix in ("", "_baseline"):
        q = p["probability" + suffix].to_numpy()
        assert one["brier" + suffix] == pytest.approx(np.mean((q - happened) ** 2))
        pairs = [
            0.5 * (q[i] == q[j]) + (q[i] > q[j])
            for i in np.flatnonzero(happened)
            for j in np.flatnonzero(~happened & (fold == fold[i]))
        ]
        assert one["auc" + suffix] == pytest.approx(np.mean(pairs))
        times = np.minimum(p["generalized"].to_numpy(), BUDGET)
        later = p["remaining" + suffix].to_numpy()
        right = [
            0.5 * (later[i] == later[j]) + (later[i] < later[j])
            for i in np.flatnonzero(happened)
            for j in range(len(p))
            if times[i] < times[j] and fold[i] == fold[j]
        ]
        assert one["concordance" + suffix] == pytest.approx(np.mean(right))
    assert one["brier_gain"] == pytest.approx(one["brier_baseline"] - one["brier"])
    assert one["auc_gain"] == pytest.approx(one["auc"] - one["auc_baseline"])


def test_nothing_after_t_is_used():
    measures, dates = suite()
    t = STEPS[20]
    seen = t >= STEPS
    changed = {name: np.where(seen, curve, 1e3 * np.sin(np.arange(31))) for name, curve in measures.items()}
    first, second = (early_warning(STEPS, m, dates, at=[t]) for m in (measures, changed))
    assert first.predictions.equals(second.predictions)
    assert first.table.equals(second.table)
    # but all that there is by t is
    newest = np.arange(31) == seen.sum() - 1
    other = {**measures, "structure": np.where(newest, 0.5, measures["structure"])}
    assert not early_warning(STEPS, other, dates, at=[t]).predictions.equals(first.predictions)


def test_shuffled_outcomes_give_no_skill():
    one = row(result(), 2424)
    assert 0.3 < one["auc_shuffled"] < 0.6
    assert 0.35 < one["concordance_shuffled"] < 0.6
    assert one["brier_shuffled"] > one["brier_base_rate"]
    measures, dates = suite()
    order = np.random.default_rng(0).permutation(len(dates))
    unrelated = row(early_warning(STEPS, measures, dates[order], at=[900]), 900)
    assert unrelated["auc_low"] < 0.5
    assert unrelated["concordance_low"] < 0.5


def grouped(n_groups=12, size=5):
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(n_groups), size)
    dates = np.where(np.arange(n_groups) % 2 == 0, 5000.0, INF)[group]
    identity = {f"is_{g}": (group == g)[:, None] * np.ones(31) for g in range(n_groups)}
    noise = {"noise": rng.normal(size=(len(group), 31))}
    return group, dates + np.arange(len(group)), {**identity, **noise}


def test_the_identity_of_a_group_helps_only_if_groups_are_split():
    group, dates, measures = grouped()
    leaking = row(early_warning(STEPS, measures, dates, at=[1000]), 1000)
    assert leaking["auc"] > 0.9
    held_out = row(early_warning(STEPS, measures, dates, at=[1000], groups=[f"g{g}" for g in group]), 1000)
    assert held_out["auc"] < 0.6
    assert held_out["brier"] > held_out["brier_base_rate"] - 0.02


def test_a_measure_that_says_nothing_scores_chance():
    """Models of different folds differ in what they say of all runs, against the outcomes: no pair is of two folds."""
    dates = np.where(np.arange(41) < 13, 5000.0 + 100 * np.arange(41), INF)
    one = row(early_warning(STEPS, {"x": np.ones((41, 31))}, dates, at=[1000]), 1000)
    for score in ("auc", "concordance"):
        assert (one[score], one[f"{score}_low"], one[f"{score}_high"]) == (0.5, 0.5, 0.5)
        assert one[f"{score}_shuffled"] == 0.5


def test_folds_hold_two_groups_where_there_are_enough():
    measures, dates = suite(30)
    for n_groups, n_folds in ((30, 5), (10, 5), (7, 3), (4, 2), (3, 2), (2, 2)):
        groups = np.arange(30) % n_groups
        p = early_warning(STEPS, measures, dates, groups=groups, at=[1425]).predictions
        by_fold = pd.Series(groups[p["run"]]).groupby(p["fold"].to_numpy()).nunique()
        assert len(by_fold) == n_folds
        assert by_fold.sum() == len(set(groups[p["run"]]))
        assert n_groups < 4 or by_fold.min() >= 2


def test_where_no_fold_holds_a_pair_there_is_no_score():
    group = np.repeat([0, 1], 12)
    dates = np.where(group == 0, 5000.0, INF)
    one = row(early_warning(STEPS, {"x": np.ones((24, 31))}, dates, groups=group, at=[1000]), 1000)
    assert np.isnan(one["auc"])
    assert np.isnan(one["auc_low"])
    assert one["brier"] > 0


def test_resampling_groups_widens_intervals():
    measures, dates = suite(20)
    copies = {name: np.repeat(curve, 3, axis=0) for name, curve in measures.items()}
    groups = np.repeat(np.arange(20), 3)
    found = early_warning(STEPS, copies, np.repeat(dates, 3), groups=groups, at=[1425])
    one, p = row(found, 1425), found.predictions
    square = (p["probability"] - np.isfinite(p["generalized"])) ** 2
    deviation = square.groupby(groups[p["run"]]).mean().std(ddof=0) / np.sqrt(p["run"].nunique() / 3)
    assert one["brier_high"] - one["brier_low"] == pytest.approx(2 * 1.96 * deviation, rel=0.15)


def test_ends_of_intervals():
    assert _percentiles(np.append(np.arange(1001.0), NAN), 0.9) == (pytest.approx(50), pytest.approx(950))
    assert np.isnan(_percentiles(np.array([NAN]), 0.9)).all()


def test_runs_that_ended_early_count_for_when_only():
    measures, dates = suite()
    stopped = np.flatnonzero(np.isinf(dates))[:4]
    shorter = {name: curve.copy() for name, curve in measures.items()}
    for curve in shorter.values():
        curve[np.ix_(stopped, STEPS > 4000)] = NAN
    one = early_warning(STEPS, shorter, dates, at=[1425, 6000])
    full = early_warning(STEPS, measures, dates, at=[1425, 6000])
    assert row(one, 1425)["n_at_risk"] == row(full, 1425)["n_at_risk"]
    assert row(one, 6000)["n_at_risk"] == row(full, 6000)["n_at_risk"] - 4
    # scored as of the other runs
    p = one.predictions[(one.predictions["step"] == 1425) & ~one.predictions["run"].isin(stopped)]
    happened = np.isfinite(p["generalized"])
    assert row(one, 1425)["brier"] == pytest.approx(((p["probability"] - happened) ** 2).mean())
    assert row(one, 1425)["concordance"] > 0.9


def test_runs_that_ended_early_do_not_teach_that_such_runs_fail():
    measures, dates = suite()
    stopped = np.flatnonzero((dates > 4000) & (dates < 9000))[::2]
    shorter = {name: curve.copy() for name, curve in measures.items()}
    for curve in shorter.values():
        curve[np.ix_(stopped, STEPS > 4000)] = NAN
    cut = dates.copy()
    cut[stopped] = INF
    p = early_warning(STEPS, shorter, cut, at=[2424]).predictions
    assert len(stopped) >= 8
    assert p.loc[p["run"].isin(stopped), "probability"].median() > 0.75


def test_runs_without_a_value_of_every_measure_are_left_out_and_gaps_are_bridged():
    measures, dates = suite()
    late = {**measures, "structure": measures["structure"].copy()}
    late["structure"][:5, STEPS < 2000] = NAN
    late["structure"][5:, 3::7] = NAN
    found = early_warning(STEPS, late, dates, at=[1425, 2424])
    at_risk = np.flatnonzero(dates > 1425)
    assert found.predictions.query("step == 1425")["run"].tolist() == [r for r in at_risk if r >= 5]
    assert row(found, 2424)["n_at_risk"] == (dates > 2424).sum()
    assert row(found, 2424)["auc"] > 0.9


def test_features_are_the_last_value_and_the_slope_of_the_last_half():
    # value and slope at t = 100 of curves that differ only in the slope after t / 2, or only before it
    rng = np.random.default_rng(0)
    steps = np.arange(0, 210, 10)
    late = np.arange(40) % 2 == 0
    dates = np.where(late, INF, 150.0 + np.arange(40))
    noise = 1e-3 * rng.normal(size=(40, 21))
    before = np.where(steps <= 50, 50, steps) * 0.0 + np.where(late[:, None], np.maximum(40 - steps, 0), 0)
    within = np.where(late[:, None], 100 - steps, 0.0)
    for curve, skill in ((before, False), (within, True)):
        one = row(early_warning(steps, {"x": curve + noise}, dates, at=[100]), 100)
        assert (one["auc"] > 0.95) == skill
        assert np.isnan(one["auc_baseline"])


def test_where_evaluations_are_sparse_the_slope_is_of_the_last_two():
    late = np.arange(40) % 2 == 0
    curve = np.where(late[:, None], [0.0, 0.5, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0])
    dates = np.where(late, INF, 150.0)
    assert row(early_warning([0, 10, 100, 200], {"x": curve}, dates, at=[100]), 100)["auc"] == 1


def test_default_steps_and_inputs():
    measures, dates = suite(24, seed=1)
    chosen = {"structure": torch.from_numpy(measures["structure"]).float(), "test_accuracy": measures["test_accuracy"]}
    found = early_warning(STEPS.tolist(), chosen, [None if np.isinf(d) else float(d) for d in dates], confidence=0.8)
    assert set(found.table["step"]) <= set(STEPS[1:-1])
    assert 8 <= len(found.table) <= 12
    assert found.table["step"].is_monotonic_increasing
    assert found.baseline == ("test_accuracy",)
    assert found.confidence == 0.8
    other = early_warning(STEPS, chosen, dates, baseline=["structure"], at=[1425])
    assert row(other, 1425)["auc_baseline"] > 0.9
    assert row(other, 1425)["auc_gain_low"] < 0


def test_bad_input_is_refused():
    measures, dates = suite()
    bad = np.where(STEPS == 10, INF, measures["structure"])
    for arguments, options, match in (
        ((STEPS, {}, dates), {}, r"^measures: none"),
        ((STEPS, np.zeros((60, 31)), dates), {}, r"^measures: ndarray given, expected one or more by name"),
        ((STEPS, {"x": np.zeros(31)}, dates), {}, r"^measures\['x'\]: shape \(31,\)"),
        ((STEPS, {"x": np.zeros((60, 30))}, dates), {}, r"^measures\['x'\]: shape \(60, 30\)"),
        ((STEPS, {**measures, "x": np.zeros((59, 31))}, dates), {}, r"^measures\['x'\]: shape \(59, 31\)"),
        ((STEPS, {"x": bad}, dates), {}, r"^measures\['x'\]: inf"),
        ((STEPS, {"x": "no"}, dates), {}, r"^measures\['x'\]: str"),
        ((STEPS[::-1], measures, dates), {}, r"^steps: "),
        ((STEPS, measures, dates[:-1]), {}, r"^generalized: shape \(59,\)"),
        ((STEPS, measures, np.full(60, 2e4)), {}, r"^generalized: 20000"),
        ((STEPS, measures, np.full(60, -1)), {}, r"^generalized: -1"),
        ((STEPS, measures, np.full(60, INF)), {"at": [100]}, r"^generalized: no step .* 100: 0 runs generalize and 60"),
        ((STEPS, measures, dates), {"groups": ["a"] * 60, "at": [100]}, r"^generalized: .* one group"),
        ((STEPS, measures, dates), {"groups": [1, 2]}, r"^groups: 2 given"),
        ((STEPS, measures, dates), {"baseline": ["loss"]}, r"^baseline: 'loss'"),
        ((STEPS, measures, dates), {"at": [BUDGET]}, r"^at: "),
        ((STEPS, measures, dates), {"at": []}, r"^at: "),
        ((STEPS, measures, dates), {"at": [NAN]}, r"^at: "),
        ((STEPS, measures, dates), {"confidence": 1.5}, r"^confidence: 1.5"),
        ((STEPS, {"x": np.zeros((9, 31))}, dates[:9]), {"at": [100]}, r"9 runs at risk .* fewer than 10"),
    ):
        with pytest.raises(ValueError, match=match):
            early_warning(*arguments, **options)
