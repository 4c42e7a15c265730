"""The transition page: its figures show what scaling computed, and its words say it."""

import math
import re
from dataclasses import replace
from html import unescape
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from probe.report import ReportData
from probe.report.foresight import SCORES, foresight_figure, foresight_sentences
from probe.report.fraction import fraction_figure, law_text
from probe.report.phase_map import COLORS, LETTERS, phase_map_figure
from probe.report.transition import has_transition, render_transition, transition_sections
from probe.report.transition_parts import MAX_CHOICES
from probe.scaling.foresight import foresight
from probe.scaling.fractions import fraction_laws
from probe.scaling.outcomes import outcomes
from probe.scaling.transitions import transitions
from probe.tasks import ModularArithmetic
from tests.report.synthetic_transition import (
    CRITICAL,
    GINI,
    LOSS,
    PHASES,
    over_fractions,
    over_settings,
    run,
    three_seeds,
)
from tests.report.test_html import Page, figures


def data_of(results: pd.DataFrame) -> ReportData:
    return ReportData(results=results, suite="synthetic", batch_yaml="", command="probe run")


@pytest.fixture(scope="module")
def results():
    return three_seeds(n_late=1)


@pytest.fixture(scope="module")
def law():
    results, settings = over_fractions()
    return fraction_laws(transitions(results), settings)[0]


@pytest.fixture(scope="module")
def foretold():
    return foresight(*over_fractions())


def named(plot, name):
    return next(trace for trace in plot.data if trace.name == name)


# --- fractions ---


def test_the_fraction_figure_shows_runs_law_and_critical_fraction(law):
    plot = fraction_figure(law)
    done, late = named(plot, "generalized"), named(plot, "not within budget")
    assert (len(done.x), len(late.x)) == (18, 6)
    assert max(late.x) == CRITICAL
    assert set(late.y) == {2000}
    assert late.marker.symbol.endswith("-open")
    curve = named(plot, "law, median")
    assert min(curve.x) > law.fit.f_c
    np.testing.assert_allclose(curve.y, law.fit.c * (curve.x - law.fit.f_c) ** -law.fit.alpha)
    band, line = plot.layout.shapes
    assert (band.x0, band.x1, line.x0) == (law.fit.low, law.fit.high, law.fit.f_c)
    assert list(named(plot, "bracket of one half").x) == [0.3, 0.4]


def test_the_law_is_said_in_words(law):
    text = law_text(law)
    assert text.startswith("18 of 24 runs generalized within the budget. Fitted law: median steps = ")
    assert f"f_c = {law.fit.f_c:.3f} [{law.fit.low:.3f}, {law.fit.high:.3f}]" in text
    assert "crosses one half between the fractions 0.3 and 0.4 (95 % interval: 0.2 to 0.5)" in text
    assert "not established" not in text


def test_without_a_law_the_reason_is_given():
    results, settings = over_fractions(seeds=1)
    kept = settings[settings["train_fraction"].isin([0.2, 0.3, 0.9])]
    (law,) = fraction_laws(transitions(results[results["model"].isin(kept.index)]), kept)
    assert "1 of 3 runs generalized within the budget. No law is fitted: it takes 5 runs" in law_text(law)
    plot = fraction_figure(law)
    assert not plot.layout.shapes
    assert {trace.name for trace in plot.data} == {"generalized", "not within budget", "bracket of one half"}


# --- phases ---


def test_every_cell_of_the_phase_map_has_its_phase():
    results, settings = over_settings()
    plot = phase_map_figure(outcomes(results), settings)
    maps = [trace for trace in plot.data if trace.type == "heatmap"]
    assert [note.text for note in plot.layout.annotations[:2]] == ["train fraction 0.5", "train fraction 0.8"]
    assert len(maps) == 2
    rates, decays = list(plot.layout.xaxis.ticktext), list(plot.layout.yaxis.ticktext)
    assert (rates, decays) == (["0.001", "0.01"], ["0", "1"])
    for place, cells in enumerate(maps):
        ref = "x2" if place else "x"
        letters = {(note.x, note.y): note.text for note in plot.layout.annotations[2:] if note.xref == ref}
        for (rate, decay), phase in PHASES.items():
            j, i = rates.index(f"{rate:g}"), decays.index(f"{decay:g}")
            assert list(LETTERS)[int(cells.z[i][j])] == phase
            assert letters[j, i] == LETTERS[phase]
            assert phase in cells.customdata[i][j]
    shown = dict(map(tuple, maps[0].colorscale))
    assert set(shown.values()) == set(COLORS.values())
    with pytest.raises(ValueError, match="settings: no model"):
        phase_map_figure(outcomes(results), settings[:0])


def test_phases_differ_in_greyscale():
    grey = [sum(w * int(c[i : i + 2], 16) for w, i in ((0.3, 1), (0.59, 3), (0.11, 5))) for c in COLORS.values()]
    assert all(before - after > 50 for before, after in pairwise(grey))


def test_a_cell_of_several_runs_counts_them_and_an_empty_one_is_blank():
    results, settings = over_settings()
    found = outcomes(results)
    settings = settings[settings["train_fraction"] == 0.5].assign(learning_rate=1e-3)
    settings.loc[settings["weight_decay"] == 1.0, "train_fraction"] = 0.8
    plot = phase_map_figure(found, settings)
    texts = [note.text for note in plot.layout.annotations if not note.text.startswith("train")]
    assert texts == ["X 1/2", "G 1/2"]  # of memorization and confusion the later, of comprehension and grokking too
    first = next(trace for trace in plot.data if trace.type == "heatmap")
    assert np.isnan(first.z[1][0])


# --- foresight ---


def test_scores_are_drawn_by_step_with_their_intervals(foretold):
    plot = foresight_figure(foretold)
    table = foretold.table[foretold.table["reason"] == ""]
    for place, score in enumerate(SCORES):
        axis = f"y{place + 1}" if place else "y"
        mine = {trace.name: trace for trace in plot.data if trace.yaxis == axis and trace.mode == "lines+markers"}
        kept = table[np.isfinite(table[score])]
        np.testing.assert_allclose(mine["all measures"].y, kept[score], rtol=1e-5)
        np.testing.assert_allclose(mine["all measures"].customdata, kept["step"])
        other = "train accuracy and test accuracy alone"
        np.testing.assert_allclose(mine[other].y, table[f"{score}_baseline"].dropna(), rtol=1e-5)
        chance = mine["share of the training runs" if score == "brier" else "shuffled outcomes"]
        column = "brier_base_rate" if score == "brier" else f"{score}_shuffled"
        np.testing.assert_allclose(chance.y, table[column].dropna(), rtol=1e-5)
        bands = [trace for trace in plot.data if trace.yaxis == axis and trace.fill == "toself"]
        assert len(bands) == 2
        np.testing.assert_allclose(bands[0].y[: len(kept)], kept[f"{score}_low"])


def test_scores_are_said_in_words(foretold):
    every_other = np.arange(len(foretold.table)) % 2
    lows = {"auc_low": np.where(every_other, 0.51, 0.49), "auc_gain_low": np.where(every_other, -0.01, 0.01)}
    foretold = replace(foretold, table=foretold.table.assign(**lows))
    said = foresight_sentences(foretold)
    table = foretold.table[foretold.table["reason"] == ""]
    assert said[0].startswith(f"Scored at {len(table)} of {len(foretold.table)} steps, on held-out runs")
    told = int((table["auc_low"] > 0.5).sum())
    assert f"Whether a run generalizes within the budget is predicted better than by chance at {told} of" in said[1]
    gains = int((table["auc_gain_low"] > 0).sum())
    assert f"at {gains} of {len(table)} steps" in said[2]


def test_dates_are_predicted_in_whole_sentences(foretold):
    told = np.where(np.isfinite(foretold.table["concordance"]), 0.6, np.nan)
    text = " ".join(foresight_sentences(replace(foretold, table=foretold.table.assign(concordance_low=told))))
    assert "Which of two runs generalizes first is predicted better than by chance at " in text
    assert "When is" not in text


# --- the page ---


@pytest.fixture(scope="module")
def page(results):
    return render_transition(data_of(results))


def test_the_page_of_seeds_has_its_sections_and_says_what_it_leaves_out(page):
    read = Page(page)
    assert read.sections == ["timeline", "leads", "fits", "outcomes", "left-out"]
    assert set(figures(page)) == {"timeline", "leads", "fits"}
    assert list(figures(page)["timeline"]) == ["d8: median of 4 runs", *[f"d8-s{i}" for i in range(4)]]
    assert list(figures(page)["fits"]) == [f"d8-s{i}" for i in range(4)]
    assert "3 of 4 runs generalized after they had memorized" in read.text
    assert "logit FVE: leads test accuracy by 200 [175, 225] steps; it moved first in 3 of 3 runs" in read.text
    assert "1 of 4 runs did not generalize within their budget" in read.text
    assert "4 runs: 3 grokking, 1 memorization." in read.text
    left_out = [unescape(text) for text in re.findall(r'<p class="missing">(.*?)</p>', page)][1:]
    assert [text.split(":")[0].split("?")[0] for text in left_out] == [
        "Against the train fraction",
        "Was it to be foreseen",
    ]
    assert len(read.rows["outcomes-table"]) == len(read.rows["fits-table"]) == 5
    assert read.rows["outcomes-table"][4] == ["d8-s3", "memorization", "100", "not within 2,000", "—"]
    assert read.rows["fits-table"][4] == ["d8-s3", "none (a constant fits as well)", "—", "not measured", "—"]
    assert read.rows["fits-table"][1][1].startswith("600 [")
    assert not re.search(r"(src|href)=\"https?:", page)


def test_the_page_of_fractions_has_the_law_and_the_forecast():
    results, settings = over_fractions()
    sections = {section.id: section for section in transition_sections(replace(data_of(results), settings=settings))}
    assert list(sections) == ["fits", "outcomes", "fractions", "foresight", "left-out"]
    assert "critical fraction f_c = " in sections["fractions"].body
    (panel,) = sections["fits"].panels
    assert len(panel.choices) == MAX_CHOICES
    assert "no measure but accuracy" in " ".join(sections["left-out"].missing)
    assert [section.panels[0].id for section in sections.values() if section.panels] == [
        "fits",
        "fractions",
        "foresight",
    ]


def test_the_page_of_settings_has_a_phase_map():
    results, settings = over_settings()
    sections = {section.id: section for section in transition_sections(replace(data_of(results), settings=settings))}
    (panel,) = sections["outcomes"].panels
    assert panel.id == "phases"
    assert "a gap of 200 steps" in panel.caption
    settings = settings.assign(p=[5] * 4 + [7] * 4)
    sections = {section.id: section for section in transition_sections(replace(data_of(results), settings=settings))}
    assert list(sections["outcomes"].panels[0].choices) == ["p 5", "p 7"]


def test_every_figure_names_its_axes_and_its_source(results):
    for section in transition_sections(data_of(results)):
        for panel in section.panels:
            assert panel.caption.startswith("Suite synthetic: 4 models, seeds 0 to 3, steps 0 to 2,000")
            assert panel.start in panel.choices
            for plot in panel.choices.values():
                assert plot.layout.xaxis.title.text
                assert plot.layout.yaxis.title.text


def test_why_nothing_was_to_be_foreseen_is_said_in_own_words():
    tables = [run(f"d8-s{seed}", math.inf, seed=seed) for seed in range(20)]
    (left_out,) = [s for s in transition_sections(data_of(pd.concat(tables))) if s.id == "left-out"]
    (said,) = [text for text in left_out.missing if text.startswith("Was it to be foreseen?")]
    assert "0 of 20 runs generalized, and at no step are there enough runs" in said
    assert "step of at" not in said
    assert "generalized: no" not in said
    few = pd.concat(tables)
    few = few[(few["key"] != "test") | (few["model"] != "d8-s0")]
    (left_out,) = [s for s in transition_sections(data_of(few)) if s.id == "left-out"]
    assert "Was it to be foreseen? Left out: it takes 20 runs or more with train and test accuracy to tell." in (
        left_out.missing
    )


def test_runs_that_are_trained_on_every_pair_have_no_test_accuracy():
    table = pd.concat([run("d8-s0", 600, {LOSS: (500, 8.0, 0.1)}), run("d8-s1", 600, {GINI: (500, 0.1, 0.6)})])
    table = table[(table["model"] == "d8-s0") | (table["key"] != "test")]

    def notes(given, questions=None):
        found = transition_sections(replace(data_of(given), questions=questions or {}))
        return " ".join(text for section in found for text in section.missing)

    every = {"d8-s1": ModularArithmetic(5, train_fraction=1.0), "d8-s0": ModularArithmetic(5, train_fraction=0.5)}
    assert "d8-s1 (train or test accuracy was not measured)" in notes(table)
    assert "d8-s1 (every pair is trained on, so there is no test accuracy)" in notes(table, every)
    alone = table[table["model"] == "d8-s1"]
    assert "Which runs generalize: every pair is trained on, so there is no test accuracy." in notes(alone, every)
    assert "Which runs generalize: train or test accuracy was not measured." in notes(alone)


def test_sizes_are_offered_beside_all_runs():
    tables = [
        run(f"d{d}-s{seed}", 600 + d, {LOSS: (500, 8.0, 0.1)}, seed=seed, n_params=d)
        for d in (8, 16)
        for seed in (0, 1)
    ]
    sections = {s.id: s for s in transition_sections(data_of(pd.concat(tables)))}
    assert list(sections["leads"].panels[0].choices) == ["all runs", "d8", "d16"]
    assert sections["leads"].body.count("<details>") == 2
    assert list(sections["timeline"].panels[0].choices)[:2] == ["d8: median of 2 runs", "d16: median of 2 runs"]


def test_there_is_a_page_where_pairs_were_held_out(results):
    assert has_transition(results)
    assert not has_transition(results[results["key"] != "test"])
    assert not has_transition(results[:0])
