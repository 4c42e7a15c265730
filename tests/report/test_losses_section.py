"""The page's section on losses of single examples."""

import numpy as np
import pandas as pd
import pytest

from probe.report.losses import auc_figure, losses_figure, losses_section
from probe.scaling.losses import loss_table
from probe.tasks import Facts, Mixture
from probe.tasks.mixture import Part
from tests.report.figure_reading import close, in_legend, titles
from tests.report.test_memorization_page import data_of
from tests.scaling.test_losses import STEPS, planted, recalled

TASK = Facts(60, held_out=0.3)
MODELS = (("d8-s0", 100), ("d16-s0", 400), ("d16-s1", 400))
ARRAYS = {model: planted(TASK, seed, 2.0 * seed) for seed, (model, _) in enumerate(MODELS)}


def table():
    results = recalled(*MODELS)
    return loss_table(results, lambda model, name: ARRAYS[model], {model: TASK for model, _ in MODELS})


def test_shown_and_never_shown_examples_are_beside_each_other_for_every_size():
    found = table()
    figure = losses_figure(found)
    assert titles(figure) == ["d8 · 100", "d16 · 400"]
    assert in_legend(figure) == ["shown in training", "never shown (control)"]
    lines = {(trace.name, trace.yaxis): trace for trace in figure.data if trace.customdata is not None}
    bands = {(trace.legendgroup, trace.yaxis): trace for trace in figure.data if trace.fill == "toself"}
    assert len(lines) == 4
    for model, axis in (("d8-s0", "y"), ("d16-s0", "y2")):
        rows = found[found["model"] == model]
        for kind, name in (("shown", "shown in training"), ("unseen", "never shown (control)")):
            close(lines[f"{model}, {name}", axis].y, rows[f"{kind}_median"])
            assert lines[f"{model}, {name}", axis].customdata.tolist() == STEPS
            close(bands[kind, axis].y, [*rows[f"{kind}_q10"], *rows[f"{kind}_q90"][::-1]])
    dashes = {trace.line.dash for trace in lines.values()}
    assert len(dashes) == 2


def test_losses_over_decades_are_on_a_logarithmic_axis_on_which_none_is_lost():
    found = table()
    assert losses_figure(found).layout.yaxis.type is None
    last = found["step"] == STEPS[-1]
    found.loc[last, ["shown_q10", "shown_median", "shown_q90"]] = 0.0, 1e-6, 1e-2
    figure = losses_figure(found)
    assert figure.layout.yaxis.type == figure.layout.yaxis2.type == "log"
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range
    for trace in figure.data:
        if trace.fill == "toself":
            assert (np.asarray(trace.y) > 0).all()
    (band,) = [t for t in figure.data if t.fill == "toself" and t.legendgroup == "shown" and t.yaxis == "y"]
    assert min(band.y) == 1e-6


def test_the_area_is_drawn_of_every_seed_beside_chance():
    found = table()
    figure = auc_figure(found)
    assert in_legend(figure) == ["d8 · 100", "d16 · 400"]
    lines = {trace.name: trace for trace in figure.data if trace.customdata is not None}
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(bands) == len(lines) == 3
    for (model, rows), band in zip(found.groupby("model", sort=False), bands, strict=True):
        close(lines[model].y, rows["auc"])
        close(band.y, [*rows["auc_low"], *rows["auc_high"][::-1]])
    (chance,) = figure.layout.shapes
    assert (chance.y0, chance.y1) == (0.5, 0.5)


def test_the_section_shows_every_part_or_says_why_there_is_nothing():
    mixed = Mixture((Part("rare", Facts(30, relations=1, held_out=0.3), 1.0), Part("rest", TASK, 3.0)), total=3000)
    data = data_of(recalled(("d8-s0", 100)).assign(seed=0), lambda model, name: planted(mixed), {"d8-s0": mixed})
    section = losses_section(data)
    assert [panel.id for panel in section.panels] == ["losses", "auc"]
    assert [list(panel.choices) for panel in section.panels] == [["rare", "rest"]] * 2
    rows = loss_table(data.results, data.arrays, data.questions).query("part == 'rest'")
    drawn = [trace for trace in section.panels[1].choices["rest"].data if trace.customdata is not None]
    close(drawn[0].y, rows["auc"])
    none = losses_section(data_of(recalled(("d8-s0", 100)).assign(seed=0)))
    assert not none.panels
    assert "probe recall" in none.missing[0]
    for draw in (losses_figure, auc_figure):
        with pytest.raises(ValueError, match="table: no losses given"):
            draw(pd.DataFrame(columns=rows.columns))
