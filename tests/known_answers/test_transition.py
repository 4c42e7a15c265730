"""Dates of published training curves: by threshold as they were stored, by fit, and which measure moved first."""

import csv

import numpy as np
import pytest

from probe.measures.transition import (
    Stretch,
    first_step_below,
    fit_logistic,
    fit_piecewise_linear,
    lead_times,
    peak_step,
    phases,
)
from tests import reference_models


@pytest.fixture(scope="module")
def sister():
    """Columns of cyclic113's sister run, evaluated every 100 epochs."""
    with open(reference_models.reference_path("cyclic113_sister_run_curve.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


@pytest.fixture(scope="module")
def nanda():
    return reference_models.nanda_wd01_loss_curve()


def test_loss_dates_of_nanda_wd01(nanda):
    assert first_step_below(nanda.train_steps, nanda.train, 0.1) == 138
    assert first_step_below(nanda.test_steps, nanda.test, 1.0) == 90_890
    assert first_step_below(nanda.test_steps, nanda.test, 0.1) == 95_520
    assert peak_step(nanda.test_steps, nanda.test) == 1550
    assert nanda.test.max().item() == pytest.approx(40.45, abs=5e-3)


def test_phases_of_the_sister_run(sister):
    run = phases(sister["epoch"], sister["train_acc"], sister["test_acc"], sister["test_loss"])
    assert (run.memorized, run.generalized, run.plateau, run.onset) == (200, 5100, 4900, 3900)
    assert (run.first_step, run.last_step) == (0, 99_900)
    assert run.stretches == (
        Stretch("memorization", 0, 200),
        Stretch("circuit formation", 200, 3900),
        Stretch("cleanup", 3900, 5100),
        Stretch("generalized", 5100, None),
    )
    # by eye, in the file: 1.241 at 4200, .855 at 4300; .136 at 4700, .088 at 4800; 17.157 at 200
    assert (run.test_loss_below_1, run.test_loss_below_0_1, run.test_loss_peak) == (4300, 4800, 200)


def test_logistic_dates_of_the_sister_run(sister):
    kept = sister["epoch"] >= 200
    dates = {}
    for name in ("test_acc", "logit_fve_centred_over_c", "logit_cosine_30", "logit_cosine_56"):
        fit = fit_logistic(sister["epoch"][kept], sister[name][kept])
        assert fit.form == "logistic"
        dates[name] = fit.date
    # accuracy passes one half between 3800 and 3900, explained variance half of its last value (.784) at 2600 to 2700
    assert dates["test_acc"].estimate == pytest.approx(3900, rel=0.03)
    assert dates["logit_fve_centred_over_c"].estimate == pytest.approx(2700, rel=0.05)
    assert dates["logit_cosine_30"].estimate == pytest.approx(4200, rel=0.05)
    assert dates["logit_cosine_56"].estimate == pytest.approx(5900, rel=0.05)
    assert dates["logit_fve_centred_over_c"].high < dates["test_acc"].low
    # memorized: it stays at 1
    assert fit_logistic(sister["epoch"][kept], sister["train_acc"][kept]).form == "constant"


def test_change_points_of_the_sister_run(sister):
    kept = sister["epoch"] >= 200
    fit = fit_piecewise_linear(sister["epoch"][kept], sister["test_acc"][kept])
    dates = [found.estimate for found in fit.breaks]
    # it rises for good before one half, and is done by .99, at 5100
    assert any(2000 < date < 3900 for date in dates)
    assert any(4300 < date < 5600 for date in dates)


def leads(sister, share):
    names = [name for name in sister if name not in ("epoch", "train_acc")]
    measures = {name: sister[name] for name in names}
    return lead_times(sister["epoch"], sister["test_acc"], measures, sister["train_acc"], share)


def test_what_moved_before_test_accuracy(sister):
    half, departure = leads(sister, 0.5), leads(sister, 0.1)
    assert half.start == departure.start == 200
    for run, share in ((half, 0.5), (departure, 0.1)):
        accuracy = sister["test_acc"]
        last_tenth = accuracy[sister["epoch"] >= 200 + 0.9 * 99_700].mean()
        level = accuracy[2] + share * (last_tenth - accuracy[2])
        assert run.accuracy.estimate == pytest.approx(np.interp(level, accuracy[2:56], sister["epoch"][2:56]))
        assert run.measures["test_acc"].lead.estimate == 0
    fve = half.measures["logit_fve_centred_over_c"]
    assert fve.direction == "rising"
    assert 2600 <= fve.date.estimate <= 2700
    assert fve.lead.estimate == pytest.approx(1252, abs=15)
    assert fve.lead.low > 0
    loss = half.measures["test_loss"]
    assert loss.direction == "falling"
    assert loss.lead.low > 0


def test_not_every_key_frequency_leads(sister):
    """Expected was that cosines rise long before accuracy. The first does; the other two come after it."""
    measures = leads(sister, 0.5).measures
    lead = {k: measures[f"logit_cosine_{k}"].lead for k in (16, 30, 56)}
    assert lead[16].low > 1000
    assert lead[30].high < 0
    assert lead[56].high < 0
    # 32 is no key frequency
    assert measures["logit_cosine_32"].date is None


def test_shuffled_evaluations_have_no_transition(sister):
    rng = np.random.default_rng(0)
    kept = sister["epoch"] <= 10_000
    measures = {name: rng.permutation(sister[name][kept]) for name in ("logit_fve_centred_over_c", "logit_cosine_16")}
    run = lead_times(sister["epoch"][kept], sister["test_acc"][kept], measures, sister["train_acc"][kept])
    assert run.accuracy is not None
    assert all(measure.date is None for measure in run.measures.values())


def test_a_shorter_budget_is_censored(sister):
    kept = sister["epoch"] <= 4000
    run = lead_times(
        sister["epoch"][kept],
        sister["test_acc"][kept],
        {"fve": sister["logit_fve_centred_over_c"][kept]},
        sister["train_acc"][kept],
    )
    assert (run.accuracy, run.measures["fve"].lead) == (None, None)
    assert phases(sister["epoch"][kept], sister["train_acc"][kept], sister["test_acc"][kept]).generalized is None
