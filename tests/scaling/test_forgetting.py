"""Forgetting curves, baselines and their trend, from the results of learners that forget in a known way."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress, t

from probe.measures.intervals import bootstrap_interval
from probe.measures.memorization import fit_forgetting
from probe.scaling.forgetting import forgetting_by_size, forgetting_curves, forgetting_table
from probe.tasks import Facts
from tests.synthetic_forgetting import END, SINCE, STEPS, TASK, forgetter, forgetters
from tests.synthetic_memory import learner


def tabled(results, task=TASK):
    curves = forgetting_curves(results)
    return forgetting_table(curves, dict.fromkeys(curves["model"], task))


def test_curves_are_what_is_recalled_since_the_last_exposure_beside_what_is_still_shown_and_what_never_was():
    results = pd.concat([forgetter("d8-s1", 100, seed=1, unseen=0.1), forgetter("d4-s0", 50, draw=3)])
    curves = forgetting_curves(results.sample(frac=1, random_state=0))
    assert curves["model"].unique().tolist() == ["d4-s0", "d8-s1"]  # smallest first
    mine = curves[curves["model"] == "d8-s1"]
    assert mine["since"].tolist() == [0, *SINCE]
    assert mine["step"].tolist() == [END, *(END + SINCE)]
    np.testing.assert_allclose(mine["others"], mine["since"] / 4)
    of_special = results.query("model == 'd8-s1' and metric == 'accuracy' and key == 'special' and step >= @END")
    np.testing.assert_allclose(mine["recalled"], of_special["value"])
    assert set(mine["trained"]) == {0.95}
    assert set(mine["unseen"]) == {0.1}
    assert set(mine["gap"]) == {1}
    assert (mine["size"].iloc[0], mine["seed"].iloc[0], mine["n_params"].iloc[0]) == ("d8", 1, 100)


def test_where_the_last_step_of_the_batch_was_not_evaluated_what_is_open_is_said():
    results = forgetter("d8-s0", 100)
    sparse = results[~results["step"].isin([299, END, 301])]
    curves = forgetting_curves(sparse)
    assert curves["step"].iloc[0] == 302
    assert set(curves["gap"]) == {102}
    (row,) = tabled(sparse).to_dict("records")
    assert (row["last"], row["gap"]) == (302, 102)


def test_without_a_special_batch_or_its_exposures_there_are_no_curves():
    assert forgetting_curves(learner("d8-s0", 100, 30)).empty
    results = forgetter("d8-s0", 100)
    assert forgetting_curves(results[results["probe"] != "recall"]).empty
    assert tabled(learner("d8-s0", 100, 30)).empty
    with pytest.raises(ValueError, match="models: none given"):
        forgetting_by_size(tabled(learner("d8-s0", 100, 30)))


def test_without_a_control_nothing_is_said_beyond_it():
    results = forgetter("d8-s0", 100)
    (row,) = tabled(results[results["key"] != "test"]).to_dict("records")
    assert row["outcome"] == "plateau"
    assert np.isnan(row["control"])
    assert np.isnan(row["kept"])


def test_a_row_is_the_fit_to_the_curve_of_its_model():
    results = pd.concat([forgetter("d8-s0", 100), forgetter("d8-s1", 100, draw=1, baseline=0.5, seed=1)])
    curves = forgetting_curves(results)
    for row in tabled(results).to_dict("records"):
        mine = curves[curves["model"] == row["model"]]
        fit = fit_forgetting(mine["since"].to_numpy(), mine["recalled"].to_numpy(copy=True), 180)
        assert row["n_facts"] == 180
        for name, interval in (("baseline", fit.baseline), ("half_life", fit.half_life), ("tail", fit.tail)):
            assert row[name] == interval.estimate
        ends = [row["low"], row["high"], row["half_life_low"], row["half_life_high"], row["tail_low"], row["tail_high"]]
        assert ends == [end for part in (fit.baseline, fit.half_life, fit.tail) for end in (part.low, part.high)]
        assert (row["outcome"], row["start"], row["last"]) == (fit.outcome, fit.start, END)
        assert row["control"] == pytest.approx(0.06)
        assert row["kept"] == pytest.approx((fit.baseline.estimate - 0.06) / (fit.start - 0.06))


def test_a_fact_asked_in_several_phrasings_is_one_fact():
    task = Facts(100, phrasings=3, trained_phrasings=2, special=0.5, special_passes=2)
    assert task.subsets["special"].sum() == 360
    assert tabled(forgetter("d8-s0", 100), task)["n_facts"].tolist() == [180]


@pytest.mark.parametrize("planted", [{"baseline": 0.1}, {"baseline": 0.4, "half_life": 80.0}, {"start": 0.6}])
def test_planted_baselines_and_half_lives_are_covered(planted):
    truth = {"baseline": 0.3, "half_life": 40.0} | planted
    held = []
    for draw in range(16):
        (row,) = tabled(forgetter("d8-s0", 100, draw=draw, **planted)).to_dict("records")
        assert row["outcome"] == "plateau"
        held.append(
            [
                row["low"] <= truth["baseline"] <= row["high"],
                row["half_life_low"] <= truth["half_life"] <= row["half_life_high"],
            ]
        )
    assert (np.mean(held, axis=0) >= 0.85).all()
    assert row["high"] - row["low"] < 0.25


def test_too_few_evaluations_are_not_fitted_and_say_so():
    results = forgetter("d8-s0", 100)
    (row,) = tabled(results[results["step"] <= STEPS[12]]).to_dict("records")
    assert row["outcome"] == ""
    assert np.isnan(row["baseline"])
    found = forgetting_by_size(tabled(results[results["step"] <= STEPS[12]]))
    assert (found.trend(), found.slopes) == ("cannot tell", {})
    assert found.sizes[["n", "n_seen"]].iloc[0].tolist() == [1, 0]
    assert "3 models" in found.reason


def test_models_of_which_nothing_says_the_task_are_left_out():
    curves = forgetting_curves(pd.concat([forgetter("d8-s0", 100), forgetter("d8-s1", 100, seed=1)]))
    assert forgetting_table(curves, {"d8-s1": TASK})["model"].tolist() == ["d8-s1"]


@pytest.mark.parametrize(("slope", "trend"), [(0.15, "rises"), (-0.15, "falls")])
def test_a_planted_trend_is_found_and_held_by_its_interval(slope, trend):
    found = [forgetting_by_size(tabled(forgetters(slope, draw))) for draw in range(3)]
    assert all(one.trend() == trend for one in found)
    assert sum(one.slopes["baseline"].low < slope < one.slopes["baseline"].high for one in found) >= 2
    assert all(one.trend("control") == "cannot tell" for one in found)  # it was the same everywhere
    assert all(one.trend("kept") == trend for one in found)


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_intervals_of_slopes_hold_what_was_planted_as_often_as_they_say(slope):
    """Of 300 draws of baselines about a line; without a slope a trend is claimed in as few."""
    models, rng = tabled(forgetters(0.15)), np.random.default_rng(0)
    held, claimed = 0, 0
    for _ in range(300):
        drawn = 0.3 + slope * np.log10(models["n_params"] / 30_000) + 0.05 * rng.normal(size=len(models))
        found = forgetting_by_size(models.assign(baseline=drawn))
        held += found.slopes["baseline"].low < slope < found.slopes["baseline"].high
        claimed += found.trend() != "cannot tell"
    assert 0.92 <= held / 300 <= 0.98
    assert slope or claimed == 300 - held


def test_sizes_are_medians_over_seeds_and_slopes_a_line_through_all_models():
    models = tabled(forgetters(0.15))
    found = forgetting_by_size(models)
    assert found.sizes["n_params"].tolist() == [4000, 16_000, 64_000, 256_000]
    for row in found.sizes.to_dict("records"):
        mine = models[models["size"] == row["size"]]
        interval = bootstrap_interval(mine["baseline"].to_numpy(copy=True))
        assert (row["baseline"], row["low"], row["high"]) == (interval.estimate, interval.low, interval.high)
        assert (row["n"], row["n_seen"]) == (3, 3)
        assert row["control"] == pytest.approx(0.06)
    line = linregress(np.log10(models["n_params"]), models["baseline"])
    slope = found.slopes["baseline"]
    half = t.ppf(0.975, 10) * line.stderr
    assert (slope.estimate, slope.low, slope.high) == pytest.approx((line.slope, line.slope - half, line.slope + half))
    assert slope.n == 12
    assert found.reason == ""


def test_what_is_still_falling_has_no_baseline_and_is_in_no_slope():
    slow = forgetter("d4000-s3", 4000, baseline=0.0, half_life=3000.0, seed=3)
    models = tabled(pd.concat([forgetters(0.15), slow]))
    row = models[models["model"] == "d4000-s3"].iloc[0]
    assert row["outcome"] == "falling"
    assert np.isnan(row["baseline"])
    assert row["tail"] > 0.6
    found = forgetting_by_size(models)
    assert found.slopes["baseline"].n == 12
    assert found.sizes.loc[0, ["n", "n_seen"]].tolist() == [4, 3]
