"""Each figure shows the numbers it was given, does not rest on hue, and leaves plotly's defaults alone."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest
from plotly.subplots import make_subplots

from probe.report import (
    accuracy_figure,
    circle_figure,
    final_accuracy_figure,
    loss_figure,
    panels,
    progress_figure,
    spectrum_figure,
    transition_figure,
)
from probe.report.frames import slider_steps
from probe.report.panels import axis_id, legend, legends, placed, value_axis
from probe.report.style import MAX_MARKS, PHASES, StepAxis, compact, mark_of, marks_of
from probe.scaling import transitions
from tests.report.synthetic import BUDGET, KEYS, P, report_data


@pytest.fixture(scope="module")
def data():
    return report_data()


@pytest.fixture(scope="module")
def table(data):
    return transitions(data.results)


def traces(figure: go.Figure, **wanted: object) -> list[go.Scatter]:
    return [trace for trace in figure.data if all(trace[name] == value for name, value in wanted.items())]


def curve(results: pd.DataFrame, model: str, metric: str, key: str) -> pd.DataFrame:
    chosen = (results["model"] == model) & (results["metric"] == metric) & (results["key"] == key)
    return results[chosen].sort_values("step")


@pytest.mark.parametrize(("draw", "metric"), [(accuracy_figure, "accuracy"), (loss_figure, "loss")])
def test_every_seed_and_subset_is_drawn_with_its_values(data, draw, metric):
    figure = draw(data.results)
    for subset, name in (("train", "train"), ("test", "test"), ("test_nonmirror", "non-mirror test")):
        (line,) = traces(figure, name=f"d64-s1, {name}")
        expected = curve(data.results, "d64-s1", metric, subset)
        np.testing.assert_allclose(line.y, expected["value"], rtol=1e-6)
        np.testing.assert_array_equal(line.customdata, expected["step"])
    assert len([line for line in figure.data if line.mode == "lines+markers" and line.y[0] is not None]) == 36


def test_non_mirror_curve_is_drawn_once_when_it_is_the_test_curve():
    figure = accuracy_figure(report_data(split="unordered").results)
    assert {trace.legendgroup for trace in figure.data} == {"train", "test", None}


def test_lines_differ_without_their_colour(data):
    for figure, groups in ((accuracy_figure(data.results), 3), (progress_figure(data.results), 4)):
        looks = {
            (trace.legendgroup, trace.line.dash, trace.marker.symbol) for trace in figure.data if trace.legendgroup
        }
        assert len(looks) == len({dash for _, dash, _ in looks}) == len({symbol for *_, symbol in looks}) == groups


def test_phases_are_shaded_from_the_medians_of_the_size(data, table):
    figure = accuracy_figure(data.results)
    names = {color: phase for phase, color in PHASES.items()}
    last = [shape for shape in figure.layout.shapes if shape.xref == "x4"]
    edges = {names[shape.fillcolor]: (shape.x0, shape.x1) for shape in last}
    d128 = table[table["size"] == "d128"]
    memorized, generalized = d128["memorized_step"].median(), d128["generalized_step"].median()
    assert edges["memorization"][1] == edges["plateau"][0] == memorized
    assert edges["plateau"][1] == edges["generalized"][0] == generalized


def test_a_size_that_did_not_generalize_has_no_generalized_phase():
    data = report_data(sizes={"d16": 9000}, never=("d16-s0", "d16-s1"))
    colors = {shape.fillcolor for shape in accuracy_figure(data.results).layout.shapes}
    assert colors == {PHASES["memorization"], PHASES["plateau"]}


def test_loss_that_is_not_finite_or_not_positive_leaves_a_gap(data):
    results = data.results[data.results["model"] == "d64-s1"].copy()
    loss = (results["metric"] == "loss") & (results["key"] == "train")
    results.loc[loss & (results["step"] > 100), "value"] = np.nan
    results.loc[loss & (results["step"] == 0), "value"] = 0.0
    (line,) = traces(loss_figure(results), name="d64-s1, train")
    np.testing.assert_array_equal(np.isnan(line.y), (line.customdata > 100) | (line.customdata == 0))


def test_progress_panels_hold_the_measures_they_name(data):
    figure = progress_figure(data.results)
    titles = [annotation.text for annotation in figure.layout.annotations]
    by_axis = {trace.xaxis: trace for trace in traces(figure, name="d32-s2")}
    expected = {
        "restricted loss, all pairs": ("restricted_loss", "all"),
        "excluded loss, train pairs": ("excluded_loss", "all keys"),
        "surviving without the keys, train pairs": ("surviving", "train"),
        "logit FVE (cube)": ("logit_fve", ""),
        "sum-FVE": ("sum_fve", ""),
        "Gini of the spectrum of W_E": ("gini", ""),
        "sum of squared weights": ("sum_of_squares", "all"),
    }
    assert titles == list(expected)
    for i, (metric, key) in enumerate(expected.values()):
        line = by_axis[f"x{i + 1 if i else ''}"]
        np.testing.assert_allclose(line.y, curve(data.results, "d32-s2", metric, key)["value"], rtol=1e-6)


def test_progress_without_any_measure_is_an_error(data):
    with pytest.raises(ValueError, match="fourier_progress"):
        progress_figure(data.results[data.results["probe"] == "performance"])


def test_spectrum_is_frequency_by_step_without_the_constant(data):
    figure = spectrum_figure(data.results, "d128-s1")
    heat = figure.data[0]
    assert list(heat.y) == list(range(1, P // 2 + 1))
    rows = data.results[(data.results["model"] == "d128-s1") & (data.results["metric"] == "power_share")]
    expected = rows[(rows["key"] == "23") & (rows["step"] == BUDGET)]["value"].item()
    assert heat.z[22, -1] == pytest.approx(expected)
    assert heat.customdata[0, -1] == BUDGET
    assert len(heat.x) == heat.z.shape[1] + 1
    marked = [(annotation.y, annotation.text) for annotation in figure.layout.annotations]
    assert marked == [(k, f"◂{k}") for k in KEYS[1]]


def test_spectrum_of_an_unknown_model_names_those_there_are(data):
    with pytest.raises(ValueError, match="d128-s0"):
        spectrum_figure(data.results, "d129")


def test_circle_has_a_frame_per_slider_step_with_that_steps_coordinates(data):
    circles = data.arrays("d128-s0", "embedding_circle")
    figure = circle_figure(circles)
    steps = slider_steps([int(s) for s in circles["step"]])
    assert [frame.name for frame in figure.frames] == [str(step) for step in steps]
    assert [step.label for step in figure.layout.sliders[0].steps] == [str(step) for step in steps]
    frame = figure.frames[3]
    tokens = figure.data[1].customdata
    plane = circles.sel(step=steps[3], frequency=35).to_numpy()
    np.testing.assert_allclose(np.stack([frame.data[1].x, frame.data[1].y], axis=1), plane[tokens], rtol=1e-6)
    np.testing.assert_allclose(
        figure.data[1].x, circles.sel(step=BUDGET, frequency=35).to_numpy()[tokens, 0], rtol=1e-6
    )


def test_circle_is_drawn_in_the_order_of_the_angle(data):
    figure = circle_figure(data.arrays("d128-s0", "embedding_circle"))
    for trace, k in zip(figure.data, KEYS[0], strict=True):
        tokens = np.asarray(trace.customdata)
        assert sorted(tokens[:-1]) == list(range(P))
        assert tokens[0] == tokens[-1]
        assert list(k * tokens[:-1] % P) == list(range(P))  # p is prime, so every angle is taken once
        assert np.all(np.diff(np.asarray(trace.marker.color)[:-1]) > 0)
        named = [(int(text), token) for text, token in zip(trace.text, tokens, strict=True) if text]
        assert len(named) > 8
        assert all(text == token for text, token in named)


def test_circle_keeps_the_strongest_frequencies(data):
    circles = data.arrays("d128-s0", "embedding_circle")
    wide = circles.isel(frequency=[0, 1, 2, 3, 4, 0, 1, 2]).assign_coords(frequency=[1, 2, 3, 4, 5, 6, 7, 8])
    scale = np.array([1, 1, 0.1, 1, 1, 1, 0.1, 1])[None, :, None, None]
    assert [trace.name for trace in circle_figure(wide * scale).data] == [f"frequency {k}" for k in (1, 2, 4, 5, 6, 8)]


def test_circle_rejects_other_dimensions(data):
    with pytest.raises(ValueError, match="token"):
        circle_figure(data.arrays("d128-s0", "embedding_circle").rename(token="position"))


@pytest.mark.parametrize(
    ("steps", "count"), [([0], 24), ([0, 5], 24), (list(range(0, 800, 10)), 24), (list(range(24)), 24)]
)
def test_slider_steps_keep_first_and_last(steps, count):
    chosen = slider_steps(steps, count)
    assert chosen[0] == steps[0]
    assert chosen[-1] == steps[-1]
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, len(steps))


def test_final_accuracy_points_are_the_last_values(data, table):
    figure = final_accuracy_figure(table)
    (test,) = traces(figure, name="test")
    values = dict(zip(test.customdata, test.y, strict=True))
    assert values == dict(zip(table["model"], table["final_test_accuracy"], strict=True))


def test_censored_model_is_an_open_marker_at_its_budget(table):
    figure = transition_figure(table)
    (late,) = traces(figure, name="not generalized yet")
    assert (list(late.customdata), list(late.y), late.marker.symbol) == (["d16-s1"], [BUDGET], "square-open")
    assert [annotation.text for annotation in figure.layout.annotations] == ["later"]
    (seen,) = traces(figure, name="generalized")
    assert len(seen.y) == 11
    assert "d16-s1" not in seen.customdata


def test_what_was_not_measured_is_not_drawn_as_censored(data):
    results = data.results[~data.results["key"].isin(["test", "test_nonmirror"])]
    figure = transition_figure(transitions(results))
    assert not traces(figure, name="not generalized yet")
    assert not traces(figure, name="generalized")


def test_figures_do_not_change_plotlys_default_template(data, table):
    before = plotly.io.templates.default
    accuracy_figure(data.results), transition_figure(table), spectrum_figure(data.results, "d16-s0")
    assert plotly.io.templates.default == before


def test_step_zero_has_a_place_on_the_logarithmic_axis():
    axis = StepAxis(np.array([0, 10, 100, 1000]))
    assert list(axis([0, 10, 1000])) == [5, 10, 1000]
    assert list(axis.layout["ticktext"]) == ["0", "10", "100", "1k"]
    assert axis.spread(np.array([0, 10, 100, 1000]), 2).tolist() == [True, False, False, True]


def test_steps_before_the_first_lie_between_it_and_zero():
    axis = StepAxis(np.array([0, 20, 40, 100]))
    steps = np.array([-1, 0, 1, 5, 10, 19, 20, 33, 100])
    places = axis(steps)
    assert axis.start == places[1] == 10
    assert places[0] == places[1]
    assert np.all(np.diff(places[1:]) > 0)
    assert places[4] == 15
    np.testing.assert_array_equal(places[6:], steps[6:])
    np.testing.assert_allclose(axis.steps_at(places[1:]), steps[1:])


def test_sixteen_marks_are_told_apart_by_any_two_of_their_parts():
    marks = [mark_of(i) for i in range(16)]
    assert MAX_MARKS == 16
    assert len({mark.symbol for mark in marks}) == 16
    assert len({(mark.color, mark.dash) for mark in marks}) == 16
    assert marks_of(str(i) for i in range(16)) == {str(i): mark for i, mark in enumerate(marks)}


def test_of_more_the_colour_is_the_order():
    marks = marks_of(f"m{i}" for i in range(40))
    assert len({(mark.color, mark.symbol) for mark in marks.values()}) == 40
    light = [sum(int(mark.color[i : i + 2], 16) for i in (1, 3, 5)) for mark in marks.values()]
    assert light == sorted(light)
    assert [trace.name for trace in legends(marks)] == ["m0", "m39"]
    assert [trace.name for trace in legends(marks_of("ab"))] == ["a", "b"]
    many = report_data(sizes={f"d{i}": 1000 + i for i in range(20)}, seeds=(0,))
    figure = progress_figure(many.results)
    assert len({trace.line.color for trace in traces(figure, xaxis="x", mode="lines+markers")}) == 20
    assert [trace.name for trace in figure.data if trace.x[0] is None] == ["d0 · 1k", "d19 · 1.02k"]


@pytest.mark.parametrize(("values", "exponents"), [([1e-9, 2e-9], "e"), ([0.0, 3e-3], "e"), ([0.5, 2.0], None)])
def test_small_values_are_written_with_exponents(values, exponents):
    for scale in ("log", "share", "linear"):
        assert value_axis("loss in nats", scale, pd.Series(values)).get("exponentformat") == exponents
    assert "exponentformat" not in value_axis("loss in nats", "linear", pd.Series([0.0, np.nan]))


def test_a_long_legend_has_room_for_all_its_rows():
    axis = StepAxis([0, 1])

    def margin(names):
        layout = panels.grid(["one"])
        figure = panels.finish(layout, axis, [legend(mark_of(0), name, name) for name in names])
        assert figure.layout.height - 345 == (figure.layout.margin.t or 64) - 64
        return figure.layout.margin.t or 64

    assert margin(["a", "b"]) == 64
    assert margin(["some name of a model"] * 4) == 64 + 22  # three of the widest fit beside each other
    assert margin(["some name of a model"] * 6) == 64 + 22
    assert margin(["some name of a model"] * 7) == 64 + 44
    assert margin(["a", "x" * 200]) == 64 + 22


@pytest.mark.parametrize(
    ("number", "text"), [(9_000, "9k"), (226_816, "227k"), (1_500_000, "1.5M"), (2.8e9, "2.8B"), (950, "950")]
)
def test_compact(number, text):
    assert compact(number) == text


@pytest.mark.parametrize(("n", "columns"), [(1, 2), (2, 2), (3, 2), (6, 2), (4, 3), (5, 3)])
def test_panels_lie_where_plotly_would_put_them(n, columns):
    rows = -(-n // columns)
    layout = placed([f"panel {i}" for i in range(n)], columns, 0.08, 0.24 / rows)
    theirs = make_subplots(rows, min(columns, n), horizontal_spacing=0.08, vertical_spacing=0.24 / rows).layout
    for i in range(n):
        for name in ("xaxis", "yaxis"):
            mine, other = layout[axis_id(name, i)], theirs[axis_id(name, i)]
            assert mine["domain"] == pytest.approx(other.domain)
            assert mine["anchor"] == other.anchor
        title = layout["annotations"][i]
        assert (title["text"], title["x"]) == (f"panel {i}", layout[axis_id("xaxis", i)]["domain"][0])
        assert title["y"] == layout[axis_id("yaxis", i)]["domain"][1]


def test_step_axes_are_labelled_in_the_lowest_panels(data):
    figure = progress_figure(data.results)
    titles = [figure.layout[axis_id("xaxis", i)].title.text for i in range(7)]
    assert titles == [*[""] * 5, "training step (log)", "training step (log)"]
