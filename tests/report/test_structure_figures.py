"""Each figure of a model's page shows the numbers it was given."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from probe.report import (
    circle_figure,
    component_loss_figure,
    diagonal_share_figure,
    head_figure,
    irrep_logits_figure,
    irrep_shares_figure,
    key_frequency_figure,
    logit_cosine_figure,
    logit_spectrum_figure,
    measures_figure,
    neuron_clusters_figure,
    neuron_fits_figure,
    spectrum_figure,
)
from probe.report.frames import slider_steps
from probe.report.panels import marks_above, marks_beside
from probe.report.style import PHASES
from tests.report.figure_reading import close, in_legend, line, titles, values
from tests.report.synthetic_structure import (
    CYCLIC,
    GENERALIZED,
    GROUP,
    IRREPS,
    KEYS,
    MEMORIZED,
    N_NEURONS,
    POLYNOMIAL,
    STEPS,
    P,
    arrays,
    neurons_at,
    structure_data,
)

STORED = arrays()


@pytest.fixture(scope="module")
def results():
    return structure_data().results


# --- spectra, circles, key frequencies ---


@pytest.mark.parametrize("probe", ["embedding_spectrum", "neuron_logit_spectrum"])
def test_spectrum_is_that_of_the_probe_asked_for(results, probe):
    heat = spectrum_figure(results, CYCLIC, probe).data[0]
    assert list(heat.y) == list(range(1, P // 2 + 1))
    for k in (1, 7, 15):
        close(heat.z[k - 1], values(results, CYCLIC, probe, "power_share", str(k)))


def test_each_key_frequency_has_its_circularity_and_the_loss_without_it(results):
    figure = key_frequency_figure(results, CYCLIC)
    assert titles(figure) == ["circularity of each frequency's circle", "excluded loss, this frequency removed"]
    for k in KEYS:
        close(
            line(figure, titles(figure)[0], f"k={k}").y,
            values(results, CYCLIC, "embedding_circle", "circularity", str(k)),
        )
        close(
            line(figure, titles(figure)[1], f"k={k}").y,
            values(results, CYCLIC, "fourier_progress", "excluded_loss", f"k={k}"),
        )
    assert in_legend(figure) == ["k=3", "k=7", "k=12", *PHASES]


def test_phases_are_those_of_the_model(results):
    figure = key_frequency_figure(results, CYCLIC)
    names = {color: phase for phase, color in PHASES.items()}
    edges = {(names[shape.fillcolor], shape.xref): (shape.x0, shape.x1) for shape in figure.layout.shapes}
    for axis in ("x", "x2"):
        assert edges["memorization", axis][1] == edges["plateau", axis][0] == MEMORIZED
        assert edges["plateau", axis][1] == edges["generalized", axis][0] == GENERALIZED


def test_nothing_is_shaded_where_accuracy_was_not_measured(results):
    figure = key_frequency_figure(results[results["probe"] != "performance"], CYCLIC)
    assert not figure.layout.shapes
    assert in_legend(figure) == ["k=3", "k=7", "k=12"]


# --- neurons and heads ---


def test_neurons_without_a_row_are_none_and_the_fewest_are_counted_together(results):
    figure = neuron_clusters_figure(results, CYCLIC)
    panel = "neurons above .85 in one frequency"
    for k in (3, 7, 12, 1, 5):
        expected = [neurons_at(step).get(k, 0.0) if step >= 100 else 0.0 for step in STEPS]
        close(line(figure, panel, f"k={k}").y, expected)
    close(line(figure, panel, "others").y, [3.0 if step >= 200 else 0.0 for step in STEPS])
    assert "neurons" in figure.layout.yaxis.title.text


def test_shares_over_all_neurons(results):
    figure = neuron_clusters_figure(results, CYCLIC)
    close(
        line(figure, "all neurons", "share of neurons above .85").y,
        values(results, CYCLIC, "neuron_frequencies", "single_frequency_share"),
    )
    close(
        line(figure, "all neurons", "mean share of those that fire").y,
        values(results, CYCLIC, "neuron_frequencies", "mean_share"),
    )


def test_neurons_of_one_irrep(results):
    figure = neuron_clusters_figure(results, GROUP, "irrep_power")
    close(line(figure, "neurons above .85 in one irrep", "sign").y, [0.0] * (len(STEPS) - 1) + [8.0])
    assert "share of neurons above .85" in in_legend(figure)


def test_every_neuron_is_at_its_frequency_and_share_at_every_step():
    frequency, share = STORED[CYCLIC, "neuron_frequency"], STORED[CYCLIC, "neuron_share"]
    figure = neuron_fits_figure(frequency, share, KEYS)
    assert [frame.name for frame in figure.frames] == [str(step) for step in slider_steps(list(STEPS))]
    for frame in figure.frames:
        points, above, below = frame.data
        neuron = np.asarray(points.customdata)
        assert sorted(neuron) == list(range(N_NEURONS))
        best, part = (array.sel(step=int(frame.name)).to_numpy() for array in (frequency, share))
        np.testing.assert_array_equal(np.round(points.x), best[neuron])
        assert np.abs(points.x - best[neuron]).max() <= 0.301
        np.testing.assert_array_equal(points.y, part[neuron])
        for bars, chosen in ((above, part > 0.85), (below, part <= 0.85)):
            counts = dict(zip(bars.x, bars.y, strict=True))
            assert {k: n for k, n in counts.items() if n} == pd.Series(best[chosen]).value_counts().to_dict()
    for shown, last in zip(figure.data, figure.frames[-1].data, strict=True):
        np.testing.assert_array_equal(shown.x, last.x)
        np.testing.assert_array_equal(shown.y, last.y)
    assert [(mark.x, mark.text) for mark in figure.layout.annotations] == [(k, f"{k}<br>▾") for k in KEYS]
    limit = figure.layout.shapes[0]
    assert limit.y0 == limit.y1 == 0.85


def test_points_of_one_frequency_are_apart_and_all_bars_fit():
    frequency, share = STORED[CYCLIC, "neuron_frequency"], STORED[CYCLIC, "neuron_share"]
    figure = neuron_fits_figure(frequency, share)
    for frame in figure.frames:
        points, above, below = frame.data
        best = frequency.sel(step=int(frame.name)).to_numpy()[np.asarray(points.customdata)]
        for k in set(best):  # of equal frequency, neighbours in share
            beside = np.asarray(points.x)[best == k][np.argsort(np.asarray(points.y)[best == k], kind="stable")]
            assert np.abs(np.diff(beside)).min(initial=1.0) > 0.2
        assert (np.asarray(above.y) + np.asarray(below.y)).max() <= figure.layout.yaxis2.range[1]
    assert figure.layout.barmode == "stack"


def test_fits_of_single_neurons_refuse_other_arrays():
    frequency, share = STORED[CYCLIC, "neuron_frequency"], STORED[CYCLIC, "neuron_share"]
    with pytest.raises(ValueError, match=r"frequency, share: got .*unit"):
        neuron_fits_figure(frequency.rename(neuron="unit"), share)
    with pytest.raises(ValueError, match="same sizes"):
        neuron_fits_figure(frequency, share[:, :3])


def test_heads_have_their_frequency_and_its_share(results):
    figure = head_figure(results, CYCLIC)
    for head in range(4):
        name = f"head {head}"
        points, share = [trace for trace in figure.data if trace.name == name and trace.customdata is not None]
        assert (points.xaxis, share.xaxis) == ("x", "x2")
        expected = values(results, CYCLIC, "attention_frequencies", "frequency", name)
        assert [int(text) for text in points.text] == expected
        assert np.abs(np.asarray(points.y) - expected).max() < 0.25  # nearer to its frequency than to the next
        shares = values(results, CYCLIC, "attention_frequencies", "share", name)
        close(share.y, shares)
        assert np.all(np.diff(points.marker.size) >= 0)  # as the shares rise
        assert points.mode == "markers"
    at_last = {trace.y[-1] for trace in figure.data if trace.xaxis == "x" and trace.customdata is not None}
    assert len(at_last) == 4  # heads 0 and 3 have the same frequency and do not hide each other
    assert [mark.text for mark in figure.layout.annotations[2:]] == ["◂3", "◂7", "◂12"]
    assert [mark.y for mark in figure.layout.annotations[2:]] == list(KEYS)


@pytest.mark.parametrize(("n", "k", "labels"), [(24, 12, 2), (24, 8, 3), (24, 5, 12), (23, 5, 12)])
def test_tokens_in_one_place_have_one_label(n, k, labels):
    plane = np.stack([np.cos(2 * np.pi * k * np.arange(n) / n), np.sin(2 * np.pi * k * np.arange(n) / n)], axis=-1)
    circles = xr.DataArray(plane[None, None], dims=("step", "frequency", "token", "axis"), coords={"frequency": [k]})
    (tokens,) = circle_figure(circles.assign_coords(step=[0])).data
    named = {}
    for text, x, y in zip(tokens.text, tokens.x, tokens.y, strict=True):
        if text:
            named.setdefault((round(float(x), 6), round(float(y), 6)), []).append(text)
    assert all(len(texts) == 1 for texts in named.values())
    assert len(named) == labels
    assert all(text.endswith(", …") == (np.gcd(n, k) > 1) for (text,) in named.values())


# --- logits ---


@pytest.mark.parametrize(("model", "order"), [(CYCLIC, "group"), (POLYNOMIAL, "multiplicative")])
def test_logit_spectrum_has_a_to_the_right_and_b_upwards(model, order):
    spectrum = STORED[model, f"logit_spectrum_{order}"]
    figure = logit_spectrum_figure(spectrum, KEYS)
    assert "first operand a" in figure.layout.xaxis.title.text
    assert "second operand b" in figure.layout.yaxis.title.text
    heat = figure.data[0]
    assert (heat.x0, heat.dx, heat.y0, heat.dy) == (0, 1, 0, 1)
    for frame in figure.frames:
        at_step = spectrum.sel(step=int(frame.name))
        for a, b in ((3, 7), (7, 3), (12, 12), (0, 5)):
            expected = np.log10(max(float(at_step.sel(frequency_a=a, frequency_b=b)), 1e-5))
            assert frame.data[0].z[b][a] == pytest.approx(expected, abs=0.0051)
    assert (heat.zmin, heat.zmax) == (-5, 0)
    np.testing.assert_array_equal(heat.z, figure.frames[-1].data[0].z)
    assert list(heat.colorbar.tickvals) == [-5, -4, -3, -2, -1, 0]
    assert list(heat.colorbar.ticktext) == ["≤ 1e-5", "0.0001", "0.001", "0.01", "0.1", "1"]


def test_diagonal_of_the_logit_spectrum_lies_between_two_lines():
    figure = logit_spectrum_figure(STORED[CYCLIC, "logit_spectrum_group"])
    assert {(shape.x0, shape.y0, shape.x1, shape.y1) for shape in figure.layout.shapes} == {
        (-0.5, 0.5, 14.5, 15.5),
        (0.5, -0.5, 15.5, 14.5),
    }


def test_logit_spectrum_refuses_other_arrays():
    spectrum = STORED[CYCLIC, "logit_spectrum_group"]
    for wrong in (spectrum.rename(frequency_a="a"), spectrum[:, :3]):
        with pytest.raises(ValueError, match="spectrum: got"):
            logit_spectrum_figure(wrong)


def test_diagonal_share_has_a_line_per_order(results):
    panel = "share of the logits on the diagonal"
    close(
        line(diagonal_share_figure(results, CYCLIC), panel).y,
        values(results, CYCLIC, "logit_spectrum", "diagonal_share", "group"),
    )
    figure = diagonal_share_figure(results, POLYNOMIAL)
    for order in ("additive", "multiplicative"):
        close(line(figure, panel, order).y, values(results, POLYNOMIAL, "logit_spectrum", "diagonal_share", order))
    assert in_legend(figure) == ["additive", "multiplicative"]


def test_logit_cosines_are_those_of_the_last_step_beside_the_null(results):
    earlier = results[results["metric"] == "logit_cosine"].assign(step=0, value=9.0)
    figure = logit_cosine_figure(pd.concat([earlier, results]), CYCLIC)
    key, other = figure.data
    assert list(key.x) == list(KEYS)
    close(key.y, [0.3, 0.7, 1.2])
    assert list(other.x) == [k for k in range(1, 16) if k not in KEYS]
    close(other.y, [0.001 * k for k in other.x])
    assert figure.layout.shapes[0].y0 == 0.02
    assert [(mark.x, mark.text) for mark in figure.layout.annotations] == [(k, str(k)) for k in KEYS]


@pytest.mark.parametrize(
    ("model", "probe", "panels"),
    [
        (CYCLIC, "fourier_progress", {"restricted loss": "restricted_loss", "trig loss": "trig_loss"}),
        (GROUP, "irrep_progress", {"restricted loss": "restricted_loss", "character loss": "character_loss"}),
    ],
)
def test_loss_of_the_key_components_on_each_subset(results, model, probe, panels):
    figure = component_loss_figure(results, model)
    assert titles(figure) == list(panels)
    for panel, metric in panels.items():
        for key in ("all",) if metric == "character_loss" else ("all", "train", "test"):
            close(line(figure, panel, f"{key} pairs").y, values(results, model, probe, metric, key))


# --- irreps ---


def test_irreps_of_the_logits(results):
    figure = irrep_logits_figure(results, GROUP)
    cosine, excluded = titles(figure)
    for name in IRREPS:
        close(line(figure, cosine, name).y, values(results, GROUP, "irrep_progress", "logit_cosine", name))
    for name in ("standard", "sign"):
        close(line(figure, excluded, name).y, values(results, GROUP, "irrep_progress", "excluded_loss", name))
    assert f"{excluded}, all keys" not in {trace.name for trace in figure.data}
    assert in_legend(figure)[:2] == ["standard", "sign"]  # the key irreps first


def test_irreps_of_the_embedding_and_the_neurons(results):
    figure = irrep_shares_figure(results, GROUP)
    panels = {
        "embedding": "power_share",
        "neurons: functions of the product": "neuron_product",
        "neurons: functions of a": "neuron_first",
        "neurons: functions of b": "neuron_second",
    }
    assert titles(figure) == list(panels)
    for panel, metric in panels.items():
        for name in IRREPS:
            close(line(figure, panel, name).y, values(results, GROUP, "irrep_power", metric, name))


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda r: spectrum_figure(r, GROUP, "fourier_progress"), "fourier_progress .power_share."),
        (lambda r: key_frequency_figure(r, GROUP), f"embedding_circle.*{GROUP}.*those of: {CYCLIC}"),
        (lambda r: neuron_clusters_figure(r, GROUP), f"those of: {CYCLIC}"),
        (lambda r: head_figure(r, "nobody"), "attention_frequencies for 'nobody'"),
        (lambda r: logit_cosine_figure(r, POLYNOMIAL), f"those of: {CYCLIC}"),
        (lambda r: diagonal_share_figure(r, GROUP), f"those of: {re.escape(POLYNOMIAL)}, {CYCLIC}"),
        (lambda r: component_loss_figure(r, POLYNOMIAL), f"irrep_progress.*those of: {GROUP}"),
        (lambda r: irrep_logits_figure(r, CYCLIC), f"those of: {GROUP}"),
        (lambda r: irrep_shares_figure(r, CYCLIC), f"those of: {GROUP}"),
        (lambda r: measures_figure(r, CYCLIC, [("algorithm", "clock_fve")]), "clock_fve.*those of: none"),
    ],
)
def test_a_model_without_the_rows_is_an_error_that_names_those_with_them(results, draw, says):
    with pytest.raises(ValueError, match=f"model: no rows of .*{says}"):
        draw(results)


def test_numbers_of_neighbouring_marks_do_not_overlap():
    beside = marks_beside([3, 4, 5, 9], 2.0, place=1)
    assert [mark["xshift"] for mark in beside] == [2, 28, 2, 2]
    assert {(mark["xref"], mark["yref"]) for mark in beside} == {("x2 domain", "y2")}
    above = marks_above([3, 4, 5, 9], 2.0)
    assert [mark["text"].count("<br>") for mark in above] == [1, 2, 1, 1]
    assert [mark["x"] for mark in above] == [3, 4, 5, 9]
