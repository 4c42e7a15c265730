"""The section on forgetting: its figures show what was measured of learners that are known, and its words say it."""

import re
from html import unescape

import numpy as np
import pandas as pd

from probe.report import ReportData
from probe.report.forgetting import baseline_figure, forgetting_figure, forgetting_section, forgetting_sentences
from probe.report.page import render_page
from probe.scaling.forgetting import forgetting_by_size, forgetting_curves, forgetting_table
from tests.report.figure_reading import close, in_legend, titles
from tests.synthetic_forgetting import SINCE, TASK, forgetter, forgetters
from tests.synthetic_memory import learner

FAST, SLOW = forgetter("d8-s0", 100), forgetter("d16-s0", 400, baseline=0.0, half_life=3000.0, draw=1)


def data_of(results) -> ReportData:
    questions = dict.fromkeys(results["model"].unique(), TASK)
    return ReportData(results=results, suite="synthetic", batch_yaml="", command="", questions=questions)


def tabled(results):
    curves = forgetting_curves(results)
    return curves, forgetting_table(curves, dict.fromkeys(curves["model"], TASK))


def words(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def drawn(figure):
    return {(trace.name, trace.yaxis): trace for trace in figure.data if trace.customdata is not None}


def test_every_evaluation_since_the_last_exposure_is_drawn_and_the_decay_that_was_fitted():
    curves, models = tabled(pd.concat([FAST, SLOW]))
    figure = forgetting_figure(curves, models)
    assert titles(figure) == [
        "special batch, not shown any more",
        "facts never shown (control)",
        "facts shown to the end",
    ]
    assert in_legend(figure) == ["d8 · 100", "d16 · 400"]
    found = drawn(figure)
    for model, rows in curves.groupby("model"):
        for axis, column in (("y", "recalled"), ("y2", "unseen"), ("y3", "trained")):
            close(found[model, axis].y, rows[column])
            assert found[model, axis].customdata.tolist() == [0, *SINCE]
    assert found["d8-s0", "y"].mode == "markers"
    assert found["d16-s0", "y"].mode == "lines+markers"  # still falling: there is no decay to draw
    assert ("d16-s0, fit", "y") not in found
    fit, row = found["d8-s0, fit", "y"], models.iloc[0]
    close(fit.y, row["baseline"] + (row["start"] - row["baseline"]) * np.exp2(-fit.customdata / row["half_life"]))
    assert (fit.customdata.min(), fit.customdata.max()) == (0, 900)
    labels = [axis.title.text for axis in figure.select_xaxes() if axis.title.text]
    assert set(labels) == {"steps since the last exposure (log)"}


def test_sizes_are_told_apart_without_colour():
    figure = forgetting_figure(*tabled(pd.concat([FAST, SLOW])))
    marks = {(trace.line.dash, trace.marker.symbol) for trace in figure.data if trace.mode == "lines+markers"}
    assert len(marks) == 2


def test_without_a_control_there_is_no_panel_of_it():
    assert "facts never shown (control)" not in titles(forgetting_figure(*tabled(FAST[FAST["key"] != "test"])))


def test_baselines_have_their_intervals_medians_theirs_and_what_still_falls_is_open():
    near_none = forgetter("d4000-s4", 4000, baseline=0.0, draw=2)  # its interval is cut at 0
    _, models = tabled(pd.concat([forgetters(0.15), SLOW.assign(model="d4000-s3", n_params=4000), near_none]))
    found = forgetting_by_size(models)
    traces = {trace.name: trace for trace in baseline_figure(found).data}
    seen = models[models["baseline"].notna()]
    points = traces["baseline, a model"]
    close(points.y, seen["baseline"])
    close(points.y + points.error_y.array, seen["high"])
    close(points.y - points.error_y.arrayminus, seen["low"])
    assert (abs(points.x / seen["n_params"] - 1) < 0.1).all()
    assert len(set(points.x)) == len(seen)  # none hides another
    falling = traces["still falling: baseline is lower"]
    assert falling.marker.symbol == "triangle-down-open"
    close(falling.y, models.loc[models["outcome"] == "falling", "tail"])
    median = traces["median over seeds"]
    close(median.y, found.sizes["baseline"])
    close(median.y + median.error_y.array, found.sizes["high"])
    close(median.y - median.error_y.arrayminus, found.sizes["low"])
    control = traces["control: facts never shown"]
    close(control.y, found.sizes["control"])
    close(control.x, found.sizes["n_params"])


def test_a_single_model_has_no_interval_over_seeds():
    found = forgetting_by_size(tabled(FAST)[1])
    traces = {trace.name: trace for trace in baseline_figure(found).data}
    assert not np.any(traces["median over seeds"].error_y.array)
    assert forgetting_sentences(found) == [
        "1 model: 1 fell to a plateau.",
        "Whether the baseline depends on size cannot be told: a slope takes baselines of 3 models or more, of 2 sizes"
        " or more.",
    ]


def test_what_depends_on_size_is_said_and_what_does_not_is_not_claimed():
    for slope, verdict in ((0.15, "it rises with size"), (-0.15, "it falls with size")):
        found = forgetting_by_size(tabled(forgetters(slope))[1])
        said, baseline = forgetting_sentences(found), found.slopes["baseline"]
        assert said[0] == "12 models: 12 fell to a plateau."
        assert said[1] == (
            f"Of the baseline: {baseline.estimate:+.3f} [{baseline.low:+.3f}, {baseline.high:+.3f}] per tenfold"
            f" parameters (95 % interval, 12 models); {verdict}."
        )
        assert said[-1].startswith("Of the control: ")
        assert said[-1].endswith("whether it depends on size cannot be told.")
    mixed = forgetting_by_size(tabled(pd.concat([FAST, SLOW]))[1])
    assert forgetting_sentences(mixed)[0] == "2 models: 1 fell to a plateau, 1 still falling at the end."


def test_the_section_has_both_figures_and_a_row_for_every_model():
    section = forgetting_section(data_of(pd.concat([FAST, SLOW])))
    assert [panel.id for panel in section.panels] == ["forgetting", "forgetting-baseline"]
    text = words(section.body)
    row = tabled(FAST)[1].iloc[0]
    assert f"d8-s0 plateau {row['start']:.3f} {row['baseline']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in text
    assert re.search(r"d16-s0 falling 0\.\d{3} — — 0\.060 —", text)
    page = render_page("Memorization", "", [section])
    assert "the one before it is at most 1 step(s) earlier" in words(page)


def test_without_a_special_batch_the_section_says_so():
    section = forgetting_section(data_of(learner("d8-s0", 100, 30)))
    assert not section.panels
    assert section.missing == (
        "How what is no longer shown is forgotten: all facts were shown to the end (no special batch).",
    )
