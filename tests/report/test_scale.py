"""Groups of models stand at their sizes only where they differ in nothing else, and no word is about size elsewhere."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from probe.report import final_accuracy_figure, render_report, transition_figure, verdict
from probe.report.overview import models_table
from probe.report.scale import in_size_alone
from probe.report.sections import sections
from probe.scaling import by_size, transitions
from tests.report.synthetic import report_data
from tests.report.test_html import Page, figures

SIZES = {"d16": 9_000, "d32": 24_400, "d64": 74_000}
TASKS = {"d32-a+b": 24_400, "d32-aminusb": 24_400, "d32-a2+b2": 24_400}


def settings_of(data, **columns) -> pd.DataFrame:
    models = data.results["model"].unique()
    table = pd.DataFrame(index=pd.Index(models, name="model"))
    table["d_model"] = [int(model[1:3]) for model in models]
    table["learning_rate"], table["seed"] = 1e-3, [int(model[-1]) for model in models]
    for name, value_of in columns.items():
        table[name] = [value_of(model) for model in models]
    return table


@pytest.fixture(scope="module")
def sizes():
    data = report_data(sizes=SIZES, never=())
    return replace(data, settings=settings_of(data), tasks=dict.fromkeys(data.results["model"].unique(), "a+b mod 113"))


@pytest.fixture(scope="module")
def tasks():
    return report_data(sizes=TASKS, seeds=(0, 1), never=("d32-a2+b2-s0", "d32-a2+b2-s1"))


def test_what_differs_beside_the_size_is_seen(sizes, tasks):
    table = transitions(sizes.results)
    assert in_size_alone(table, sizes)
    assert in_size_alone(table, replace(sizes, settings=pd.DataFrame(), tasks={}))
    fractions = settings_of(sizes, train_fraction=lambda model: 0.3 if model.startswith("d16") else 0.4)
    assert not in_size_alone(table, replace(sizes, settings=fractions))
    some = settings_of(sizes, p=lambda model: np.nan if model.startswith("d16") else 53)
    assert not in_size_alone(table, replace(sizes, settings=some))
    others = {**sizes.tasks, "d64-s1": "a-b mod 113"}
    assert not in_size_alone(table, replace(sizes, tasks=others))
    assert not in_size_alone(transitions(tasks.results), tasks)
    shapes = settings_of(sizes, n_layers=lambda model: 1 + model.startswith("d64"))
    assert in_size_alone(table, replace(sizes, settings=shapes))


def test_groups_of_one_size_have_a_column_each(tasks):
    table = transitions(tasks.results)
    for of_size in (True, False):  # one label too many at a size is seen without being told
        for figure in (final_accuracy_figure(table, of_size), transition_figure(table, of_size)):
            assert list(figure.layout.xaxis.ticktext) == sorted(TASKS)
            assert list(figure.layout.xaxis.tickvals) == [0, 1, 2]
            assert figure.layout.xaxis.type is None
            assert not any("lines" in trace.mode for trace in figure.data)
            for trace in figure.data:
                if trace.customdata is not None:
                    columns = [sorted(TASKS).index(model.rsplit("-", 1)[0]) for model in trace.customdata]
                    assert list(np.round(trace.x)) == columns
    medians = [trace for trace in transition_figure(table).data if trace.name == "memorized, median"]
    assert list(np.round(medians[0].x)) == [0, 1, 2]
    assert [note.x for note in transition_figure(table).layout.annotations] == [1]  # a2+b2, by name


def test_medians_of_sizes_are_joined_and_stay_beside_their_size(sizes):
    table = transitions(sizes.results)
    close = table.assign(n_params=table["n_params"].map({9_000: 1000, 24_400: 1020, 74_000: 74_000}))
    for rows, at in ((table, SIZES.values()), (close, (1000, 1020, 74_000))):
        figure = transition_figure(rows)
        assert figure.layout.xaxis.type == "log"
        (median,) = [trace for trace in figure.data if trace.name == "generalized, median"]
        assert median.mode == "lines+markers"
        for trace in (*figure.data, *final_accuracy_figure(rows).data):
            nearest = [min(at, key=lambda n, x=x: abs(np.log(n / x))) for x in trace.x]
            expected = list(at) if trace.customdata is None else list(rows["n_params"])
            assert nearest == expected


def test_ticks_of_close_sizes_do_not_overlap(sizes):
    table = transitions(sizes.results)
    close = table.assign(n_params=table["n_params"].map({9_000: 1000, 24_400: 1020, 74_000: 74_000}))
    assert list(transition_figure(table).layout.xaxis.ticktext) == ["d16<br>9k", "d32<br>24.4k", "d64<br>74k"]
    assert list(transition_figure(close).layout.xaxis.ticktext) == ["d16<br>1k", "d64<br>74k"]


def test_many_long_names_are_written_upwards_and_not_all(tasks):
    one = transitions(tasks.results).iloc[:1]
    names = [f"d16-f0.6-lr0.0003-wd{i}" for i in range(70)]
    many = pd.concat([one.assign(size=name, model=f"{name}-s0") for name in names])
    axis = final_accuracy_figure(many).layout.xaxis
    assert axis.tickangle == -90
    assert len(axis.ticktext) <= 32
    assert axis.range == (-0.5, 69.5)
    assert final_accuracy_figure(one).layout.xaxis.tickangle != -90


def test_nothing_is_said_of_size_where_tasks_differ(tasks):
    html = render_report(replace(tasks, description=""))
    page = Page(html)
    assert page.rows["sizes-table"][0][0] == "Group"
    assert page.rows["models-table"][0][1] == "Group"
    assert "Groups of models beside each other" in page.text
    (said,) = of_sizes(page.text)
    assert "Groups differ in more than their size, so these figures say nothing about scale." in said
    assert list(figures(html)["progress"]) == ["all groups", *sorted(TASKS)]


def of_sizes(text: str) -> list[str]:
    """Lines that speak of sizes."""
    lines = [line.strip() for line in text.replace(". ", ".\n").splitlines()]
    return [line for line in lines if " size" in line.lower()]


def test_the_verdict_compares_sizes_only_where_they_are_all_that_differs(sizes, tasks):
    table = transitions(sizes.results)
    assert any("Median step of generalization" in said for said in verdict(table, by_size(table)).sentences)
    assert "seeds a size" in verdict(table, by_size(table)).caveat
    table = transitions(tasks.results)
    said = verdict(table, by_size(table), of_size=False)
    assert not any("Median step of generalization" in sentence for sentence in said.sentences)
    assert "seeds a group" in said.caveat


def test_more_groups_than_marks_are_said_to_be_in_order():
    data = report_data(sizes={f"d{i}": 1000 + i for i in range(17)}, seeds=(0,), never=())
    (panel,) = sections(data, transitions(data.results))[1].panels
    assert "Of more than 16 sizes the colour is the order, from dark to light." in panel.caption
    few = replace(data, results=data.results[data.results["model"] != "d3-s0"])
    (panel,) = sections(few, transitions(few.results))[1].panels
    assert "the colour is the order" not in panel.caption


def test_one_evaluation_is_a_bound_and_not_a_date():
    data = report_data(sizes={"d16": 9000}, seeds=(0,), never=())
    data = replace(data, results=data.results[data.results["step"] == data.results["step"].max()])
    html = render_report(data)
    page = Page(html)
    assert "1 of 1 model memorized the training pairs by the only evaluation (step 20,000)." in page.text
    assert page.rows["models-table"][0][4] == "Memorized by(step)"
    assert page.rows["sizes-table"][0][5] == "Memorized by"
    assert "step 20,000 (1 evaluation)" in page.text
    assert "1 evaluations" not in page.text
    assert "Shaded" not in page.text
    for name in ("accuracy", "loss", "progress"):
        for spec in figures(html)[name].values():
            assert not spec["layout"].get("shapes")
            assert "plateau" not in {trace["name"] for trace in spec["data"]}
    assert "Memorized at" in models_table(transitions(report_data(seeds=(0,)).results))
