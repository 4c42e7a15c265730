"""Leads, fits, outcomes, laws and forecasts that scaling reads off results tables whose truth is known."""

import math

import numpy as np
import pandas as pd
import pytest

from probe.scaling.fits import fit_table
from probe.scaling.foresight import foresight
from probe.scaling.fractions import fraction_laws, same_but
from probe.scaling.leads import RunLeads, lead_table, leads_over_runs, run_leads
from probe.scaling.measures import MEASURES, MEMORIZED, first_reached, measure_curves, share_of_way
from probe.scaling.outcomes import outcomes
from probe.scaling.transitions import transitions
from tests.report.synthetic_transition import (
    CRITICAL,
    EXPONENT,
    FVE,
    GINI,
    LEADS,
    LOSS,
    PHASES,
    STEPS,
    over_fractions,
    over_settings,
    run,
    three_seeds,
)

NAMES = {FVE: "logit FVE", LOSS: "test loss", GINI: "Gini of the spectrum of W_E"}


@pytest.fixture(scope="module")
def results():
    return three_seeds(n_late=1)


@pytest.fixture(scope="module")
def runs(results):
    return run_leads(results)


# --- curves ---


def test_measures_are_found_by_probe_metric_and_key_and_in_order(results):
    found = measure_curves(results[results["model"] == "d8-s0"].sample(frac=1, random_state=0))
    order = [measure.name for measure in MEASURES]
    assert list(found) == sorted(found, key=order.index)
    assert set(found) == {"train accuracy", "test accuracy", "train loss", *NAMES.values()}
    assert found["train accuracy"].index.tolist() == STEPS.tolist()
    assert found["train accuracy"].iloc[0] == 0.3
    assert first_reached(found["train accuracy"], MEMORIZED) == 100
    assert math.isnan(first_reached(pd.Series([0.5], index=[0]), MEMORIZED))


def test_values_that_are_not_finite_are_left_out_and_key_irreps_averaged():
    rows = [(step, "irrep_progress", "logit_cosine", key, v) for step, key, v in [(0, "1a", 0.2), (0, "2a", 0.6)]]
    rows += [(0, "irrep_progress", "logit_cosine", "3a", 0.9), (1, "irrep_progress", "logit_cosine", "1a", np.nan)]
    rows += [(9, "key_irreps", "is_key", key, value) for key, value in (("1a", 1.0), ("2a", 1.0), ("3a", 0.0))]
    table = pd.DataFrame(rows, columns=["step", "probe", "metric", "key", "value"])
    (curve,) = measure_curves(table).values()
    assert curve.to_dict() == {0: pytest.approx(0.4)}


def test_the_way_goes_from_memorization_to_the_mean_of_the_last_tenth():
    curve = pd.Series([9.0, 4.0, 3.0, 7.0, 1.0, 3.0], index=[0, 10, 50, 95, 100, 109])
    share = share_of_way(curve, 10)
    assert share.tolist() == pytest.approx([-2.5, 0.0, 0.5, -1.5, 1.5, 0.5])
    assert share_of_way(pd.Series([2.0, 2.0], index=[0, 1]), 0).tolist() == [0.0, 0.0]


# --- leads ---


def test_leads_are_those_that_were_put_in(runs):
    table = lead_table(runs).set_index(["model", "measure"])
    assert table.index.is_unique
    for seed in range(3):
        model = f"d8-s{seed}"
        assert table.loc[(model, "test accuracy"), "date"] == pytest.approx(600 + 100 * seed, abs=10)
        assert math.isnan(table.loc[(model, "test accuracy"), "lead"])
        for place, lead in LEADS.items():
            row = table.loc[(model, NAMES[place])]
            truth = lead + 25 * (seed - 1)
            assert row["lead"] == pytest.approx(truth, abs=12)
            assert row["lead_low"] <= truth <= row["lead_high"]
            assert row["date_low"] <= row["date"] <= row["date_high"]
            assert row["direction"] == ("falling" if place == LOSS else "rising")
    assert table.loc["d8-s3", "lead"].isna().all()


def test_over_runs_the_median_its_interval_and_the_counts(runs):
    over = leads_over_runs(runs).set_index("measure")
    assert list(over.index) == [NAMES[place] for place in (FVE, LOSS, GINI)]
    assert over["n"].tolist() == [3, 3, 3]
    assert over["n_censored"].tolist() == [0, 1, 0]  # the run that does not generalize holds the test loss only
    assert over["n_without_transition"].tolist() == [0, 0, 0]
    assert over["n_earlier"].tolist() == [3, 3, 0]
    told = lead_table(runs).query("lead_low > 0")["measure"].value_counts()
    assert over["n_told"].tolist() == [3, told[NAMES[LOSS]], 0]
    assert told[NAMES[LOSS]] < 3  # 25 steps are no more than the spacing of the evaluations
    for place, lead in LEADS.items():
        row = over.loc[NAMES[place]]
        assert row["lead"] == pytest.approx(lead, abs=12)
        assert (row["low"], row["high"]) == (pytest.approx(lead - 25, abs=12), pytest.approx(lead + 25, abs=12))


def test_a_single_run_has_its_own_interval(runs):
    row = leads_over_runs(runs.of(["d8-s1"])).set_index("measure").loc["logit FVE"]
    lead = runs.dated["d8-s1"].measures["logit FVE"].lead
    assert (row["lead"], row["low"], row["high"]) == (lead.estimate, lead.low, lead.high)


def test_runs_that_did_not_generalize_have_no_lead(runs):
    over = leads_over_runs(runs.of(["d8-s3"]))
    assert over["measure"].tolist() == ["test loss"]
    assert math.isnan(over["lead"].iloc[0])
    assert over[["n", "n_censored"]].iloc[0].tolist() == [0, 1]
    assert leads_over_runs(RunLeads({}, {}, pd.DataFrame())).empty


def test_a_measure_without_a_transition_is_later_than_everything():
    table = run("d8-s0", 600, {FVE: (400, 0.0, 0.9), GINI: (math.inf, 0.3, 0.6)})
    over = leads_over_runs(run_leads(table)).set_index("measure")
    row = over.loc[NAMES[GINI]]
    assert row["lead"] == -math.inf
    assert (row["n"], row["n_earlier"], row["n_without_transition"]) == (1, 0, 1)


def test_runs_that_cannot_be_dated_are_named_with_the_reason():
    late = run("late-s0", math.inf, {LOSS: (1990, 8.0, 1.0)}, memorized=1900)
    bare = run("bare-s0", 600)
    broken = run("broken-s0", 600, {LOSS: (500, 8.0, 0.1)})
    broken.loc[(broken["metric"] == "loss") & (broken["step"] == 1500), "value"] = np.nan
    untested = run("untested-s0", 600, {LOSS: (500, 8.0, 0.1)})
    untested = untested[~((untested["metric"] == "accuracy") & (untested["key"] == "test"))]
    never = run("never-s0", math.inf, {LOSS: (500, 8.0, 0.1)}, memorized=math.inf)
    found = run_leads(pd.concat([late, bare, broken, untested, never]))
    assert found.left_out == {
        "late-s0": "it holds 5 evaluations from memorization on, fewer than 10",
        "bare-s0": "no measure but accuracy was evaluated",
        "broken-s0": "its loss is not finite at step 1,500",
        "untested-s0": "train or test accuracy was not measured",
    }
    assert list(found.dated) == ["never-s0"]
    assert found.dated["never-s0"].start is None
    part = found.of(["late-s0"])
    assert (list(part.dated), list(part.left_out)) == ([], ["late-s0"])


def test_a_measure_on_a_coarser_grid_keeps_the_others_dates():
    measures = {FVE: (400, 0.0, 0.9), GINI: (750, 0.1, 0.6)}
    full = run("d8-s0", 600, measures)
    coarse = full[(full["metric"] != "gini") | (full["step"] % 100 == 0)]
    sparse = full[(full["metric"] != "gini") | (full["step"] % 500 == 0)]
    alone = run_leads(run("d8-s0", 600, {FVE: measures[FVE]})).dated["d8-s0"]
    found = run_leads(coarse).dated["d8-s0"]
    assert list(found.measures) == ["logit FVE", NAMES[GINI]]
    assert found.accuracy.estimate == alone.accuracy.estimate
    assert found.measures[NAMES[GINI]].lead.estimate == pytest.approx(-150, abs=40)
    assert list(run_leads(sparse).dated["d8-s0"].measures) == ["logit FVE"]


# --- fits ---


def test_fits_are_dated_where_the_curves_are(results):
    table = fit_table(results, ("test accuracy", "logit FVE", "Gini of the spectrum of W_E")).set_index(
        ["model", "measure"]
    )
    assert len(table) == 10
    for seed in range(3):
        row = table.loc[(f"d8-s{seed}", "test accuracy")]
        assert row["form"] == "logistic"
        assert row["date"] == pytest.approx(600 + 100 * seed, rel=0.01)
        assert row["low"] <= row["date"] <= row["high"]
        assert (row["before"], row["after"]) == (pytest.approx(0.02, abs=0.01), pytest.approx(1.0, abs=0.01))
        assert np.log1p(row["end"]) - np.log1p(row["date"]) == pytest.approx(0.08 * math.log(9), rel=0.05)
        assert row["first"] == 0
        assert table.loc[(f"d8-s{seed}", "logit FVE"), "first"] == 100
    assert table.loc[("d8-s3", "test accuracy"), ["form", "first"]].tolist() == ["constant", 0]
    assert math.isnan(table.loc[("d8-s3", "test accuracy"), "date"])


def test_too_few_evaluations_have_no_fit():
    assert fit_table(run("d8-s0", 600, grid=STEPS[:9])).empty
    assert len(fit_table(run("d8-s0", 600, grid=STEPS[:10]))) == 1
    assert fit_table(run("d8-s0", 600, {FVE: (400, 0.0, 1.0)}, memorized=math.inf), ("logit FVE",)).empty


# --- outcomes ---


def test_outcomes_are_the_phases_that_were_put_in():
    results, settings = over_settings()
    found = outcomes(results).set_index("model")
    for model, row in settings.iterrows():
        assert found.loc[model, "phase"] == PHASES[row["learning_rate"], row["weight_decay"]]
    assert set(found["gap"]) == {200.0}  # a tenth of 2000 steps


def test_the_gap_is_that_of_the_paper_where_the_budget_allows():
    long = run("d8-s0", 5000, grid=np.arange(0, 20_001, 100))
    assert outcomes(long)[["gap", "phase"]].iloc[0].tolist() == [1000.0, "grokking"]
    table = run("d8-s0", 600)
    dates = outcomes(table)[["train_step", "test_step"]].iloc[0]
    assert dates.tolist() == [100, 725]  # .9 is 2.2 widths of .08 after 600
    assert outcomes(table, gap=700)["phase"].iloc[0] == "comprehension"
    assert outcomes(table[table["key"] != "test"]).empty


# --- fractions ---


def test_the_law_that_was_put_in_is_found():
    results, settings = over_fractions()
    (law,) = fraction_laws(transitions(results), settings)
    assert law.fit.low <= CRITICAL <= law.fit.high
    assert law.fit.f_c == pytest.approx(CRITICAL, abs=0.03)
    assert law.fit.alpha_low <= EXPONENT <= law.fit.alpha_high
    assert (law.bracket.below, law.bracket.above) == (0.3, 0.4)
    assert (law.fit.n, law.fit.n_censored) == (24, 6)
    assert law.name == law.reason == ""
    assert law.runs["generalized_step"].isna().tolist() == (law.runs["train_fraction"] <= CRITICAL).tolist()


def test_a_law_for_each_setting_and_a_reason_where_it_cannot_be_fitted():
    results, settings = over_fractions(seeds=2)
    settings.loc[settings["seed"] == 1, "weight_decay"] = 3.0
    laws = {law.name: law for law in fraction_laws(transitions(results), settings)}
    assert list(laws) == ["weight decay 1", "weight decay 3"]
    assert all(len(law.runs) == 8 for law in laws.values())
    few = [model for model in settings.index if settings.loc[model, "train_fraction"] in (0.2, 0.3, 0.9)]
    (one, _) = fraction_laws(transitions(results[results["model"].isin(few)]), settings)
    assert one.fit is None
    assert one.reason == "it takes 5 runs that generalized, at 2 fractions or more"
    none = [model for model in settings.index if settings.loc[model, "train_fraction"] < 0.5]
    late = transitions(results[results["model"].isin(none)]).assign(generalized_step=np.nan)
    assert fraction_laws(late, settings) == []


def test_settings_in_common_are_named_by_what_differs():
    settings = pd.DataFrame(
        {"p": [5, 5, np.nan], "group": [None, None, "S3"], "seed": [0, 1, 0], "weight_decay": [1.0, 1.0, 1.0]},
        index=["a", "b", "c"],
    )
    assert same_but(settings, "seed") == {"p 5": ["a", "b"], "group S3": ["c"]}
    assert same_but(settings[:2], "seed") == {"": ["a", "b"]}


# --- foresight ---


def test_what_foretells_the_outcome_is_found_and_hindsight_is_not_used():
    rng = np.random.default_rng(0)
    tables, settings = [], {}
    for i in range(24):
        generalizes = i % 2 == 0
        date = float(rng.uniform(700, 1100)) if generalizes else math.inf
        early = {GINI: (150, 0.1, 0.9 if generalizes else 0.2), FVE: (150, 0.1, 0.9 if generalizes else 0.2)}
        tables.append(run(f"d8-s{i}", date, early, seed=i))
        settings[f"d8-s{i}"] = {"seed": i, "weight_decay": 1.0}
    results, settings = pd.concat(tables), pd.DataFrame.from_dict(settings, orient="index")
    # accuracies are counts: what a curve without noise gives away in its eighth digit is not to be had
    results["value"] = results["value"].where(results["metric"] != "accuracy", results["value"].round(2))
    found = foresight(results, settings)
    assert found.measures == ("test_accuracy", "train_accuracy", "train_loss", "Gini_of_the_spectrum_of_W_E")
    assert set(found.baseline) == {"train_accuracy", "test_accuracy"}
    after = found.table[(found.table["step"] >= 250) & (found.table["step"] <= 600)]
    assert len(after) > 0
    assert (after["auc"] > 0.95).all()
    assert (after["auc_baseline"] < 0.8).all()
    with pytest.raises(ValueError, match=r"results: 19 runs .*, expected at least 20"):
        foresight(results[results["model"].isin(settings.index[:19])], settings)
