"""Curves of a model over steps: any measure with its interval and its null, and what all such figures share."""

import numpy as np
import pandas as pd
import pytest

from probe.report import (
    head_figure,
    irrep_logits_figure,
    irrep_shares_figure,
    key_frequency_figure,
    measures_figure,
    neuron_clusters_figure,
)
from probe.report.over_steps import Curves, draw_curves, strongest
from tests.report.figure_reading import close, in_legend, line, titles, values
from tests.report.synthetic_structure import (
    CYCLIC,
    GROUP,
    KEYS,
    STEPS,
    structure_data,
)


@pytest.fixture(scope="module")
def results():
    return structure_data().results


def test_a_measure_has_its_interval_and_its_null(results):
    figure = measures_figure(
        results, CYCLIC, [("algorithm", "gradient_symmetricity"), ("representation", "neighbour_agreement")]
    )
    close(line(figure, "gradient symmetricity").y, values(results, CYCLIC, "algorithm", "gradient_symmetricity"))
    (band,) = [trace for trace in figure.data if trace.fill == "toself"]
    n = len(STEPS)
    close(band.y[:n], values(results, CYCLIC, "algorithm", "gradient_symmetricity_low"))
    close(band.y[n:][::-1], values(results, CYCLIC, "algorithm", "gradient_symmetricity_high"))
    np.testing.assert_array_equal(band.x[:n], band.x[n:][::-1])
    for k in KEYS:
        close(
            line(figure, "neighbours round the circle of k", f"k={k}").y,
            values(results, CYCLIC, "representation", "neighbour_agreement", str(k)),
        )
        (null,) = [trace for trace in figure.data if trace.name == f"k={k}, shuffled (97.5 % quantile)"]
        close(null.y, [0.09] * n)
        assert null.line.dash == "dot"
    assert "shuffled (97.5 % quantile)" in in_legend(figure)


def test_a_measure_that_nobody_named_is_drawn_by_site(results):
    figure = measures_figure(results, CYCLIC, [("mine", "energy_low")])
    assert titles(figure) == ["energy low"]
    close(line(figure, "energy low", "L0 resid_post").y, [2.0] * len(STEPS))
    close(line(figure, "energy low", "L1 resid_post").y, [3.0] * len(STEPS))


def test_steps_without_an_interval_leave_the_curve_whole(results):
    no_band = (results["metric"] == "gradient_symmetricity_high") & (results["step"] == 100)
    figure = measures_figure(results[~no_band], CYCLIC, [("algorithm", "gradient_symmetricity")])
    assert np.isfinite(line(figure, "gradient symmetricity").y).all()
    (band,) = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(band.y) == 2 * (len(STEPS) - 1)
    assert np.isfinite(band.y).all()


def test_values_that_are_not_finite_are_left_out(results):
    broken = results.copy()
    rank = (broken["metric"] == "effective_rank") & (broken["step"] > 100)
    broken.loc[rank, "value"] = np.inf
    (curve,) = [
        t
        for t in measures_figure(broken, CYCLIC, [("representation", "effective_rank")]).data
        if t.name == "effective rank of W_E"
    ]
    assert list(curve.customdata) == [step for step in STEPS if step <= 100]


# --- what figures share ---


def test_a_key_frequency_looks_the_same_in_every_figure(results):
    looks = {}
    for figure in (
        key_frequency_figure(results, CYCLIC),
        neuron_clusters_figure(results, CYCLIC),
        measures_figure(results, CYCLIC, [("representation", "neighbour_agreement")]),
    ):
        for trace in figure.data:
            if trace.name in {f"k={k}" for k in KEYS}:
                looks.setdefault(trace.name, set()).add((trace.line.color, trace.line.dash, trace.marker.symbol))
    assert len(looks) == 3
    assert all(len(look) == 1 for look in looks.values())


def test_lines_differ_without_their_colour(results):
    for figure in (
        neuron_clusters_figure(results, CYCLIC),
        irrep_logits_figure(results, GROUP),
        head_figure(results, CYCLIC),
    ):
        drawn = [trace for trace in figure.data if trace.name in in_legend(figure) and trace.mode == "lines+markers"]
        legend = {trace.name: (trace.line.dash, trace.marker.symbol) for trace in drawn}
        assert len(set(legend.values())) == len(legend) > 3


def test_panels_of_many_lines_keep_the_same_ones(results):
    lines = {f"k={k}": pd.DataFrame({"step": [0, 1], "value": [0.0, k % 7]}) for k in range(1, 21)}
    assert strongest([lines], ["k=7", "k=99"], 4) == ["k=7", "k=6", "k=13", "k=20"]
    assert strongest([lines], ["k=8", "k=9", "k=10"], 2) == ["k=10", "k=9"]
    assert strongest([{"a": lines["k=1"]}, {"a": lines["k=5"], "b": lines["k=3"]}], [], 1) == ["a"]
    assert strongest([], [], 7) == []
    many = results[(results["metric"] == "logit_cosine") & (results["key"] == "trivial")]
    many = many.assign(probe="irrep_power", metric="power_share", site="embed.W_E")
    more = [many.assign(key=f"irrep {i}", value=many["value"] + i * (-1) ** i) for i in range(20)]
    neurons = [many.assign(key=f"irrep {i}", metric="neuron_product", site="blocks.0.mlp.hook_post") for i in range(3)]
    figure = irrep_shares_figure(pd.concat([results, *more, *neurons]), GROUP)
    panel = {trace.name for trace in figure.data if trace.name and trace.name.startswith("embedding, ")}
    expected = {"standard", "sign", "irrep 19", "irrep 18", "irrep 17", "irrep 16", "irrep 15"}
    assert panel == {f"embedding, {name}" for name in expected}
    product = {trace.name for trace in figure.data if trace.name and "product, " in trace.name}
    assert product == {f"neurons: functions of the product, {name}" for name in ("standard", "sign")}


def test_a_panel_that_shares_no_line_with_the_others_keeps_its_own():
    step = np.arange(3)
    large = {f"a{i}": pd.DataFrame({"step": step, "value": 100.0 + i}) for i in range(9)}
    small = {f"b{i}": pd.DataFrame({"step": step, "value": 1.0 + i}) for i in range(9)}
    figure = draw_curves([Curves("large", "", large), Curves("small", "", small)], structure_data().results, "nobody")
    drawn = {trace.name for trace in figure.data if trace.name and trace.name.startswith("small, ")}
    assert drawn == {f"small, b{i}" for i in range(2, 9)}


def test_a_long_legend_has_room_for_two_rows(results):
    short, long = key_frequency_figure(results, CYCLIC), neuron_clusters_figure(results, CYCLIC)
    assert long.layout.height - short.layout.height == long.layout.margin.t - 64 > 20
    assert short.layout.margin.t is None
