"""All measures of a run on one axis, their leads and logistic fits: what they show is what scaling computed."""

import math

import numpy as np
import pandas as pd
import pytest

from probe.report.fits import fit_figure, logistic
from probe.report.leads import lead_figure, lead_text
from probe.report.style import INK, MUTED, StepAxis
from probe.report.timeline import timeline_figure
from probe.scaling.fits import fit_table
from probe.scaling.leads import lead_table, leads_over_runs, run_leads
from tests.report.synthetic_transition import FVE, GINI, LOSS, run, three_seeds


@pytest.fixture(scope="module")
def results():
    return three_seeds(n_late=1)


@pytest.fixture(scope="module")
def runs(results):
    return run_leads(results)


def named(plot, name):
    return next(trace for trace in plot.data if trace.name == name)


# --- one axis ---


def test_rows_of_the_timeline_are_ordered_by_date_and_end_at_their_way(results, runs):
    plot = timeline_figure(results, runs, ["d8-s0"])
    lines = {trace.name: trace for trace in plot.data if trace.mode == "lines"}
    assert list(lines) == ["logit FVE", "test loss", "test accuracy", "Gini of the spectrum of W_E"]
    for row, trace in zip((3, 2, 1, 0), lines.values(), strict=True):
        start = list(trace.customdata[:, 0]).index(100)
        assert trace.y[start] == pytest.approx(row)  # at memorization nothing of the way is covered
        assert np.mean(trace.y[-9:]) == pytest.approx(row + 0.72, abs=0.01)
    loss = results[(results["model"] == "d8-s0") & (results["metric"] == "loss") & (results["key"] == "test")]
    np.testing.assert_allclose(lines["test loss"].customdata[:, 1], loss["value"])
    labels = plot.layout.yaxis.ticktext
    assert labels[2] == "<b>test accuracy</b><br><span style='font-size:10px'>0.02 → 1</span>"
    diamonds = next(trace for trace in plot.data if trace.name.startswith("half"))
    table = lead_table(runs.of(["d8-s0"])).set_index("measure").loc[list(lines)]
    np.testing.assert_allclose(diamonds.x, table["date"])
    np.testing.assert_allclose(diamonds.x - diamonds.error_x.arrayminus, table["date_low"])
    np.testing.assert_allclose(diamonds.x + diamonds.error_x.array, table["date_high"])
    np.testing.assert_allclose(diamonds.y, plot.layout.yaxis.tickvals)


def test_of_several_runs_medians_are_drawn(results, runs):
    models = ["d8-s0", "d8-s1", "d8-s2"]
    plot = timeline_figure(results, runs, models)
    singles = [named(timeline_figure(results, runs, [model]), "test accuracy") for model in models]
    place = [trace.name for trace in plot.data if trace.mode == "lines"].index("test accuracy")
    assert place == 2
    np.testing.assert_allclose(
        named(plot, "test accuracy").y, np.median([trace.y for trace in singles], axis=0), atol=1e-5
    )
    dates = lead_table(runs).query("measure == 'test accuracy' and model in @models")["date"]
    diamonds = next(trace for trace in plot.data if trace.name.startswith("half"))
    assert diamonds.x[2] == pytest.approx(dates.median())
    assert diamonds.x[2] + diamonds.error_x.array[2] == pytest.approx(dates.max())
    shaded = [shape.x1 for shape in plot.layout.shapes if shape.type == "rect"]
    assert shaded[0] == 100


def test_of_several_runs_the_medians_of_both_ends_are_written(results, runs):
    models = ["d8-s0", "d8-s1", "d8-s2"]
    plot = timeline_figure(results, runs, models)
    labels = dict(zip([t.name for t in plot.data if t.mode == "lines"], plot.layout.yaxis.ticktext, strict=True))
    gini = results[(results["metric"] == "gini") & results["model"].isin(models)]
    first, last = (gini.loc[gini["step"] == step, "value"].median() for step in (100, 2000))
    assert labels["Gini of the spectrum of W_E"].endswith(f">{first:.3g} → {last:.3g}</span>")


WALK = 0.1 * np.random.default_rng(0).normal(size=81)


@pytest.mark.parametrize(
    ("accuracy", "flat"),
    [
        (np.where(np.arange(81) < 20, 0.0095, 0.0), True),  # a fall by one pair in a hundred
        (0.5 + WALK, True),  # noise
        (np.full(81, 0.3), True),
        (np.linspace(0.1, 0.6, 81), False),  # a drift is no transition, and no noise
        (np.linspace(0.1, 0.14, 81), True),
    ],
)
def test_noise_is_not_stretched_to_a_way(accuracy, flat):
    table = run("d8-s0", 600, {LOSS: (500, 8.0, 0.1)})
    test = (table["metric"] == "accuracy") & (table["key"] == "test")
    table.loc[test, "value"] = np.clip(accuracy, 0, 1)
    line = named(timeline_figure(table, run_leads(table), ["d8-s0"]), "test accuracy")
    assert (np.ptp(line.y) == 0) == flat
    assert (line.line.color == MUTED) == flat
    np.testing.assert_allclose(line.customdata[:, 1], np.clip(accuracy, 0, 1))  # its values are there all the same
    loss = named(timeline_figure(table, run_leads(table), ["d8-s0"]), "test loss")
    assert np.ptp(loss.y) > 0.7
    assert loss.line.color == INK


def test_what_has_a_date_is_no_noise_however_small_its_way():
    table = run("d8-s0", 600, {GINI: (500, 0.10, 0.13)})
    runs = run_leads(table)
    assert runs.dated["d8-s0"].measures["Gini of the spectrum of W_E"].date is not None
    line = named(timeline_figure(table, runs, ["d8-s0"]), "Gini of the spectrum of W_E")
    assert np.ptp(line.y) > 0.7
    assert line.line.color == INK


def test_losses_are_noise_by_their_span_alone():
    table = run("d8-s0", 600, {LOSS: (math.inf, 0.01, 0.02)})
    loss = (table["metric"] == "loss") & (table["key"] == "test")
    table.loc[loss, "value"] = np.linspace(0.01, 0.02, 81)
    line = named(timeline_figure(table, run_leads(table), ["d8-s0"]), "test loss")
    assert np.ptp(line.y) > 0.7


def test_a_measure_without_a_transition_is_last_and_has_no_diamond(results, runs):
    plot = timeline_figure(results, runs, ["d8-s3"])
    diamonds = next(trace for trace in plot.data if trace.name.startswith("half"))
    assert len(diamonds.x) == 0
    with pytest.raises(ValueError, match=r"models: .* memorized"):
        timeline_figure(results, runs, ["nobody"])


# --- leads ---


def test_the_forest_plot_shows_medians_intervals_and_runs(runs):
    plot = lead_figure(runs)
    over = leads_over_runs(runs)
    median = named(plot, "median over runs, 95 % interval")
    np.testing.assert_allclose(median.x, over["lead"])
    np.testing.assert_allclose(median.x - median.error_x.arrayminus, over["low"])
    np.testing.assert_allclose(median.x + median.error_x.array, over["high"])
    assert list(median.y) == [2, 1, 0]
    assert list(plot.layout.yaxis.ticktext) == list(over["measure"])
    points = named(plot, "one run")
    assert len(points.x) == 9
    table = lead_table(runs).dropna(subset="lead")
    rows = dict(zip(over["measure"], median.y, strict=True))
    for x, y, (model, measure, *_) in zip(points.x, points.y, points.customdata, strict=True):
        assert x == table.set_index(["model", "measure"]).loc[(model, measure), "lead"]
        assert 0 < rows[measure] - y < 0.5
    assert [(shape.x0, shape.x1) for shape in plot.layout.shapes] == [(0, 0)]


def test_a_measure_that_shows_no_transition_says_so():
    table = run("d8-s0", 600, {FVE: (400, 0.0, 0.9), GINI: (math.inf, 0.3, 0.6)})
    plot = lead_figure(run_leads(table))
    assert [note.text for note in plot.layout.annotations] == ["◂ no transition"]
    assert [trace.name for trace in plot.data] == ["lead, 95 % interval"]
    with pytest.raises(ValueError, match="generalized"):
        lead_figure(run_leads(table).of([]))


BASE = {"measure": "logit FVE", "n": 3, "n_earlier": 3, "n_told": 2, "n_without_transition": 0, "n_censored": 0}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            {"lead": 150.0, "low": 100.0, "high": 200.0},
            "logit FVE: leads test accuracy by 150 [100, 200] steps; it moved first in 3 of 3 runs, in 2 by more than"
            " the uncertainty of the dates.",
        ),
        (
            {"lead": -50.0, "low": -math.inf, "high": 10.0, "n_earlier": 0, "n_without_transition": 1},
            "logit FVE: lags test accuracy by 50 [-10, ∞] steps; it moved first in 0 of 3 runs; no transition in 1.",
        ),
        ({"lead": -math.inf, "n_without_transition": 2}, "logit FVE: no transition in 2 of 3 runs."),
        ({"lead": math.nan, "n": 0}, "logit FVE: no run that holds it generalized."),
    ],
)
def test_leads_are_said_in_words(row, text):
    assert lead_text(pd.Series(BASE | row)) == text


# --- fits ---


def test_the_fitted_curve_runs_through_the_evaluations(results):
    fits = fit_table(results, ("test accuracy", "logit FVE"))
    plot = fit_figure(results, fits, "d8-s1")
    assert [note.text for note in plot.layout.annotations] == ["test accuracy", "logit FVE"]
    evaluations = [trace for trace in plot.data if trace.mode == "markers"]
    assert len(evaluations) == 2
    for points, (_, fit) in zip(evaluations, fits[fits["model"] == "d8-s1"].iterrows(), strict=True):
        kept = points.customdata >= fit["first"]
        np.testing.assert_allclose(logistic(fit, points.customdata[kept]), points.y[kept], atol=0.02)
        marked = logistic(fit, fit[["start", "date", "end"]].to_numpy(dtype=float))
        covered = (marked - fit["before"]) / (fit["after"] - fit["before"])
        np.testing.assert_allclose(covered, [0.1, 0.5, 0.9])
    curves = [trace for trace in plot.data if trace.mode == "lines"]
    assert [curve.x[0] for curve in curves] == [12.5, 100.0]  # step 0 is at half of the first positive step
    dates = [shape for shape in plot.layout.shapes if shape.type == "line"]
    np.testing.assert_allclose([line.x0 for line in dates], fits.loc[fits["model"] == "d8-s1", "date"])
    assert [line.xref for line in dates] == ["x", "x2"]
    shaded = [shape for shape in plot.layout.shapes if shape.type == "rect"]
    np.testing.assert_allclose([s.x0 for s in shaded], fits.loc[fits["model"] == "d8-s1", "low"])
    np.testing.assert_allclose([s.x1 for s in shaded], fits.loc[fits["model"] == "d8-s1", "high"])
    assert plot.layout.yaxis.title.text == "share right"
    none = fit_figure(results, fits, "d8-s3")
    assert not none.layout.shapes
    assert [trace.mode for trace in none.data] == ["markers"]
    with pytest.raises(ValueError, match="model: no fit of 'd9'"):
        fit_figure(results, fits, "d9")


def test_the_fit_is_drawn_where_its_steps_are_between_zero_and_the_first():
    grid = np.concatenate([[0], np.arange(20, 2001, 25)])
    table = run("d8-s0", 600, grid=grid, memorized=20)
    fits = fit_table(table)
    fits[["date", "low"]] = 8.0, 1.0
    plot = fit_figure(table, fits, "d8-s0")
    axis = StepAxis(grid)
    (curve,) = [trace for trace in plot.data if trace.mode == "lines"]
    assert curve.x[0] == axis.start == 10
    assert curve.y[0] == pytest.approx(logistic(fits.iloc[0], np.array([0.0]))[0])
    np.testing.assert_allclose(curve.y, logistic(fits.iloc[0], axis.steps_at(np.asarray(curve.x))))
    (shaded,) = [shape for shape in plot.layout.shapes if shape.type == "rect"]
    (date,) = [shape for shape in plot.layout.shapes if shape.type == "line"]
    assert axis.start < shaded.x0 < date.x0 < 20
    assert 10 ** plot.layout.xaxis.range[0] < axis.start
