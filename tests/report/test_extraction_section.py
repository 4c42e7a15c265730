"""The page's section on texts: its figures show what was measured of models that recite as planted."""

import re

import numpy as np
import pandas as pd
import pytest

from probe.report.extraction import extracted_by_exposure_figure, extraction_figure, extraction_section
from probe.scaling.extraction import extractable_by_exposure, extraction_curves, score_lines
from tests.report.figure_reading import close, in_legend, titles
from tests.report.test_memorization_page import data_of, words
from tests.scaling.test_extraction import PROMPTS, STEPS, planted, results_of, stored, texts


def two_sizes(times=(1, 4, 16, 64)):
    return [planted(texts(times), "d8-s0", 0.03), planted(texts(times, seed=1), "d16-s0", 0.08, 400, seed=1)]


def page_data(tables):
    arrays = {table.model: stored(table) for table in tables}
    return data_of(
        pd.concat([results_of(table) for table in tables]),
        lambda model, name: arrays[model].get(name),
        {table.model: table.task for table in tables},
    )


@pytest.mark.parametrize("metric", ["extractable", "memorization_score"])
def test_shown_texts_and_their_control_have_a_panel_each_with_intervals(metric):
    tables = two_sizes()
    curves = extraction_curves(pd.concat([results_of(table) for table in tables]))
    curves = curves[curves["prompt"] == 16]
    figure = extraction_figure(curves, metric)
    assert titles(figure) == ["texts shown in training", "texts never shown (control)"]
    assert in_legend(figure) == ["d8 · 100", "d16 · 400"]
    drawn = {(trace.name, trace.yaxis): trace for trace in figure.data if trace.customdata is not None}
    bands = {(trace.legendgroup, trace.yaxis): trace for trace in figure.data if trace.fill == "toself"}
    for axis, subset in (("y", "train"), ("y2", "test")):
        for model, name in (("d8-s0", "d8 · 100"), ("d16-s0", "d16 · 400")):
            rows = curves[(curves["model"] == model) & (curves["subset"] == subset)]
            close(drawn[model, axis].y, rows[metric])
            assert drawn[model, axis].customdata.tolist() == STEPS
            ends = [*rows[f"{metric}_low"], *rows[f"{metric}_high"][::-1]]
            close(bands[name, axis].y, ends)
    for axis in (figure.layout.yaxis, figure.layout.yaxis2):
        assert axis.title.text == {"extractable": "share of texts extractable"}.get(metric, "share of tokens right")


def test_a_figure_is_of_one_length_of_prompts():
    curves = extraction_curves(results_of(planted(texts())))
    for wrong in (curves, curves.iloc[:0]):
        with pytest.raises(ValueError, match="expected one length"):
            extraction_figure(wrong)


def test_shares_by_exposures_are_drawn_of_the_prompt_that_is_asked_for():
    tables = two_sizes()
    found = extractable_by_exposure(tables).set_index(["model", "step", "prompt"])
    for k in PROMPTS:
        figure = extracted_by_exposure_figure(tables, k)
        assert figure.layout.yaxis.title.text == "share of texts extractable"
        assert figure.layout.xaxis.ticktext[0] == "never"
        last = figure.frames[-1]
        assert last.name == "10"
        for i, table in enumerate(tables):
            rows = found.loc[(table.model, 10, k)]
            values = np.array(last.data[2 * i + 1].y, dtype=float)
            close(values[~np.isnan(values)], rows["value"])


def test_the_section_has_a_figure_for_every_prompt_and_says_the_slopes():
    tables = two_sizes()
    section = extraction_section(page_data(tables))
    assert [panel.id for panel in section.panels] == ["extractable", "memorization-score", "extractable-by-exposure"]
    for panel in section.panels:
        assert list(panel.choices) == ["4 tokens", "16 tokens"]
        assert panel.start == "16 tokens"
    share, score = (next(t.y for t in section.panels[i].choices["4 tokens"].data if t.name == "d8-s0") for i in (0, 1))
    close(share, [tables[0].exact.sel(step=s, prompt=4).values[tables[0].task.train_mask].mean() for s in STEPS])
    drawn = tables[0].task.train_mask[tables[0].score["text"].values]
    close(score, [tables[0].score.sel(step=s, prompt=4).values[drawn].mean() for s in STEPS])
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", section.body)
    lines = score_lines(tables).query("step == 10")
    assert len(rows) == len(lines) == 4
    for (model, cells), line in zip(rows, lines.to_dict("records"), strict=True):
        found = re.findall(r"<td class=n>(.*?)</td>", cells)
        assert (model, found[2]) == (line["model"], str(line["prompt"]))
        assert found[3] == f"{line['unseen']:.3f} [{line['unseen_low']:.3f}, {line['unseen_high']:.3f}]"
        assert found[4] == f"{line['slope']:.3f} [{line['slope_low']:.3f}, {line['slope_high']:.3f}]"


def test_what_cannot_be_said_is_left_out_with_its_reason():
    equal = extraction_section(page_data(two_sizes(times=(4,))))
    assert [panel.id for panel in equal.panels] == ["extractable", "memorization-score"]
    assert "all texts were shown equally often" in words(" ".join(equal.missing))
    assert not equal.body
    none = extraction_section(data_of(results_of(planted(texts())).assign(probe="other")))
    assert not none.panels
    assert "probe extraction" in none.missing[0]
    unknown = extraction_section(page_data([planted(texts(), slope=0.0)]))
    flat = results_of(planted(texts()))
    without = extraction_section(data_of(flat))
    assert "—" not in unknown.body
    assert [panel.id for panel in without.panels] == ["extractable", "memorization-score"]
