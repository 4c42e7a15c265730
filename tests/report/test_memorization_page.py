"""The memorization page: its figures show what was measured of learners that are known, and its words say it."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pandas as pd
import pytest

from probe.report import ReportData, report_pages
from probe.report.capacity import bits_figure
from probe.report.frequency import effects_table, exposure_figure
from probe.report.memorization import has_memorization, memorization_sections, render_memorization
from probe.report.operand_map import KINDS, operand_map_figure
from probe.report.recall import exposures_figure, law_sentence, memorized_figure
from probe.scaling.frequency import by_exposure, frequency_effects
from probe.scaling.memorization import memorization_curves, memorization_law
from probe.tasks import Facts, Multiplication, OperandWeights, Subtraction
from tests.report.figure_reading import close, in_legend, titles
from tests.scaling.test_frequency import planted
from tests.synthetic_memory import STEPS, arrays_of, bits, learner, suite

TASK = Multiplication("2-9", notation="digits")
SHOWN = [0, 10, 20, 40]


def data_of(results, arrays=lambda model, name: None, questions=None) -> ReportData:
    return ReportData(
        results=results, suite="synthetic", batch_yaml="", command="", arrays=arrays, questions=questions or {}
    )


def words(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def test_memorized_facts_and_their_control_have_a_panel_each():
    curves = memorization_curves(pd.concat([learner("d8-s0", 100, 30), learner("d16-s0", 400, 10, unseen=0.3)]))
    figure = memorized_figure(curves)
    assert titles(figure) == ["facts shown to the end", "facts never shown (control)"]
    assert in_legend(figure) == ["d8 · 100", "d16 · 400"]
    drawn = {(trace.name, trace.yaxis): trace for trace in figure.data if trace.customdata is not None}
    assert set(drawn) == {(model, axis) for model in ("d8-s0", "d16-s0") for axis in ("y", "y2")}
    for model, rows in curves.groupby("model"):
        close(drawn[model, "y"].y, rows["memorized"])
        close(drawn[model, "y2"].y, rows["unseen"])
        assert (drawn[model, "y"].customdata == STEPS).all()


def test_without_a_control_there_is_one_panel():
    results = learner("d8-s0", 100, 30)
    figure = memorized_figure(memorization_curves(results[results["key"] != "test"]))
    assert titles(figure) == ["facts shown to the end"]


def test_exposures_against_size_show_every_model_and_what_was_not_reached_as_open():
    law = memorization_law(memorization_curves(suite(1.0, 0)))
    figure = exposures_figure(law)
    traces = {trace.name: trace for trace in figure.data}
    reached = law.models[np.isfinite(law.models["reached"])]
    close(traces["T(N, 0.9)"].y, reached["reached"])
    close(traces["T(N, 0.9)"].x, reached["n_params"])
    late = law.models[np.isinf(law.models["reached"])]
    assert traces["not within the budget"].marker.symbol == "circle-open"
    close(traces["not within the budget"].y, late["budget"])
    close(traces["power law"].y, law.law.predict(traces["power law"].x))
    assert figure.layout.xaxis.title.text == "parameters (log)"
    assert figure.layout.yaxis.title.text == "exposures per fact (log)"


def test_medians_have_an_interval_only_where_there_are_seeds_enough_for_one():
    few = exposures_figure(memorization_law(memorization_curves(suite(0.5, 0))))
    many = pd.concat([learner(f"d{n}-s{s}", n, 40 + s, seed=s) for n in (100, 200, 400) for s in range(8)])
    law = memorization_law(memorization_curves(many))
    enough = exposures_figure(law)
    bars = [next(t for t in figure.data if t.name == "median over seeds").error_y for figure in (few, enough)]
    assert not np.any(bars[0].array)
    close(bars[1].array, law.sizes["high"] - law.sizes["median"])
    close(bars[1].arrayminus, law.sizes["median"] - law.sizes["low"])


def test_no_law_is_drawn_where_groups_differ_in_more_than_their_size():
    law = memorization_law(memorization_curves(suite(1.0, 0)))
    figure = exposures_figure(law, of_size=False)
    assert "power law" not in {trace.name for trace in figure.data}
    assert figure.layout.xaxis.type is None
    assert list(figure.layout.xaxis.ticktext) == law.sizes["size"].tolist()
    place = {size: i for i, size in enumerate(law.sizes["size"])}
    (points,) = [trace for trace in figure.data if trace.name == "T(N, 0.9)"]
    assert list(points.x) == [place[model.rsplit("-", 1)[0]] for model in points.customdata]
    (medians,) = [trace for trace in figure.data if trace.name == "median over seeds"]
    known = law.sizes[np.isfinite(law.sizes["median"])]
    assert list(np.round(medians.x)) == [place[size] for size in known["size"]]
    assert (np.array(medians.x) > np.round(medians.x)).all()  # beside the points
    assert law_sentence(law, of_size=False) == (
        "12 of 15 models memorized 90 % of the facts shown to them within the budget. Groups differ in more than their"
        " size, so T is not fitted as a power of it."
    )


def test_groups_that_share_a_size_have_no_law_without_being_told():
    alike = pd.concat([learner(f"d8-{rate}-s0", 100, time) for rate, time in (("a", 30), ("b", 60))])
    bigger = [learner(f"d{n}-s0", n, 10) for n in (400, 900)]
    law = memorization_law(memorization_curves(pd.concat([alike, *bigger])))
    assert law.law is not None
    figure = exposures_figure(law)
    assert "power law" not in {trace.name for trace in figure.data}
    assert list(figure.layout.xaxis.ticktext) == ["d8-a", "d8-b", "d400", "d900"]


def test_the_page_speaks_of_a_law_of_size_only_where_size_alone_differs():
    data = data_of(suite(1.0, 0))
    said = words(render_memorization(data))
    for text in (
        "Fitted: T = c N^-a",
        "the power law by maximum likelihood",
        "Exposures to memorize against parameters",
    ):
        assert text in said
    models = data.results["model"].unique()
    rates = [1e-3 if model.startswith("d1000-") else 3e-3 for model in models]
    settings = pd.DataFrame({"learning_rate": rates}, index=pd.Index(models, name="model"))
    other = replace(data, settings=settings)
    said = words(render_memorization(other))
    assert "Groups differ in more than their size, so T is not fitted as a power of it." in said
    assert "Exposures to memorize by group" in said
    assert not [text for text in ("Fitted: T", "power law", "against parameters") if text in said]
    (drawn,) = [section for section in memorization_sections(other) if section.id == "exposures"]
    for figure in drawn.panels[0].choices.values():
        assert "power law" not in {trace.name for trace in figure.data}


def test_the_law_in_words():
    law = memorization_law(memorization_curves(suite(1.0, 0)))
    a = law.law.exponent
    assert law_sentence(law) == (
        "12 of 15 models memorized 90 % of the facts shown to them within the budget. Fitted: T = c N^-a with a ="
        f" {a.estimate:.2f} [{a.low:.2f}, {a.high:.2f}] (95 % interval)."
    )
    assert "That T depends on N is not established." in law_sentence(
        memorization_law(memorization_curves(suite(0.0, 1)))
    )
    few = memorization_law(memorization_curves(learner("d8-s0", 100, 30)))
    assert "No power law is fitted: it takes 3 sizes or more, here are 1." in law_sentence(few)


@pytest.mark.parametrize(
    "task",
    [
        TASK,
        Multiplication("3,7-12"),
        Subtraction("0-5", poisoned=0.2),
        Subtraction("0-11", notation="digits"),
    ],
)
def test_the_operand_map_says_of_every_fact_what_became_of_it(task):
    stored = arrays_of(task, SHOWN)
    figure = operand_map_figure(task, *(stored[f"recall_{name}"] for name in ("exact", "exposures", "predicted")))
    assert [frame.name for frame in figure.frames] == ["0", "10", "20", "40"]
    n = len(task.numbers)
    for step, frame in zip(SHOWN, figure.frames, strict=True):
        cells, kinds = np.array(frame.data[0].customdata), np.array(frame.data[0].z)
        for example, (a, b) in enumerate(task.facts.tolist()):
            i, j = example // n, example % n
            assert (task.numbers[i], task.numbers[j]) == (a, b)
            fact, shown, said = cells[i, j]
            right = bool(stored["recall_exact"].sel(step=step).values[example])
            assert fact == f"{a} {task.sign} {b} = {task.taught[example]}"
            assert int(shown) == step * task.exposures[example]
            assert (said == str(task.taught[example])) == right
            assert (
                KINDS[kinds[i, j]]
                == {
                    (False, False): "never shown, wrong",
                    (False, True): "never shown, right",
                    (True, False): "shown, wrong",
                    (True, True): "shown, answered as taught",
                }[int(shown) > 0, right]
            )
    assert (np.array(figure.data[0].z) == np.array(figure.frames[-1].data[0].z)).all()
    assert set(KINDS) <= {trace.name for trace in figure.data}


def test_bits_are_per_parameter_beside_their_control():
    results = pd.concat([bits("d8-s0", 100, SHOWN), bits("d16-s0", 400, SHOWN)])
    figure = bits_figure(results)
    drawn = {(trace.name, trace.yaxis): trace.y for trace in figure.data if trace.customdata is not None}
    close(drawn["d8-s0", "y"], np.arange(4) / 100)
    close(drawn["d16-s0", "y"], np.arange(4) / 400)
    close(drawn["d16-s0", "y2"], np.zeros(4))
    assert in_legend(figure) == ["d8 · 100", "d16 · 400"]
    with pytest.raises(ValueError, match="no bits in the table"):
        bits_figure(learner("d8-s0", 100, 30))


def test_the_page_holds_what_the_run_does_and_says_why_the_rest_is_left_out():
    stored = arrays_of(TASK, SHOWN)
    results = learner("d8-s0", 100, 30)
    data = data_of(results, lambda model, name: stored.get(name), {"d8-s0": TASK})
    assert [section.id for section in memorization_sections(data)] == ["memorized", "exposures", "map", "left-out"]
    page = words(render_memorization(data))
    assert "How many bits that is: not measured (probe capacity" in page
    assert "1 of 1 models memorized 90 % of the facts shown to them within the budget" in page
    facts = data_of(pd.concat([results, bits("d8-s0", 100, SHOWN)]), questions={"d8-s0": Facts(20)})
    assert [section.id for section in memorization_sections(facts)] == ["memorized", "exposures", "bits", "left-out"]


def test_the_map_is_of_the_first_model_of_each_size_and_no_array_is_read_twice():
    stored, read = arrays_of(TASK, SHOWN), []
    models = {"d8-s0": 100, "d8-s1": 100, "d16-s0": 400}
    results = pd.concat([learner(model, n, 30, seed=int(model[-1])) for model, n in models.items()])

    def arrays(model, name):
        read.append((model, name))
        return stored.get(name)

    sections = memorization_sections(data_of(results, arrays, dict.fromkeys(models, TASK)))
    (drawn,) = [section for section in sections if section.id == "map"]
    assert list(drawn.panels[0].choices) == ["d8-s0", "d16-s0"]
    assert len(read) == len(set(read))
    assert {model for model, name in read if name == "recall_predicted"} == {"d8-s0", "d16-s0"}


def test_the_page_is_made_and_linked_where_exposures_are_known():
    results = learner("d8-s0", 100, 30)
    assert has_memorization(results)
    without = results[results["probe"] != "recall"]
    assert not has_memorization(without)
    pages = dict(report_pages(data_of(results)))
    assert "memorization.html" in pages
    assert 'href="memorization.html"' in pages["report.html"]
    pages = dict(report_pages(data_of(without)))
    assert "memorization.html" not in pages
    assert "memorization.html" not in pages["report.html"]


def frequent():
    task = Multiplication("1-30", frequency=OperandWeights(total=9000, weights={24: 9.0, 12: 9.0}))
    return task, planted(task, half=40.0)


def test_accuracy_by_exposure_is_drawn_for_every_size_and_step_with_the_control_apart():
    _, table = frequent()
    figure = exposure_figure([table, planted(table.task, half=200.0, model="d16-s0")])
    assert [frame.name for frame in figure.frames] == ["1", "2", "4", "8", "16", "32"]
    drawn = [trace for trace in figure.data if trace.name]
    assert [trace.name for trace in drawn] == ["d8 · 100", "d16 · 100"]
    for frame in figure.frames:
        found = by_exposure([table], int(frame.name))
        bars, points = frame.data[0], frame.data[1]
        close(np.delete(points.y, 1), found.value)
        assert np.isnan(points.y[1])
        close(np.delete(points.x, 1), [0.5, *found.mean_exposures[1:]])
        close(np.array(bars.y).reshape(-1, 3)[:, 0], found.low)
        close(np.array(bars.y).reshape(-1, 3)[:, 1], found.high)
    assert figure.layout.xaxis.ticktext[0] == "never"
    with pytest.raises(ValueError, match="tables: none given"):
        exposure_figure([])


def test_effects_of_frequency_are_in_a_table_and_what_is_not_known_is_a_dash():
    _, table = frequent()
    effects = frequency_effects([table, planted(table.task, half=0.0, slope=1e3, model="d16-s0")])
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", effects_table(effects))
    assert [name for name, _ in rows] == ["d8-s0", "d16-s0"]
    cells = re.findall(r"<td class=n>(.*?)</td>", rows[0][1])
    first = effects.iloc[0]
    assert cells[1] == f"{first['step']:,}"
    assert cells[4] == f"{first['slope']:.2f} [{first['slope_low']:.2f}, {first['slope_high']:.2f}]"
    assert re.findall(r"<td class=n>(.*?)</td>", rows[1][1])[4] == "—"


def test_the_page_shows_what_frequency_does_where_facts_are_not_shown_equally_often():
    task, table = frequent()
    stored = {"recall_exact": table.exact, "recall_exposures": table.exposures}
    data = data_of(learner("d8-s0", 100, 30), lambda model, name: stored.get(name), {"d8-s0": task})
    sections = {section.id: section for section in memorization_sections(data)}
    assert [panel.id for panel in sections["frequency"].panels] == ["by-exposure", "pair"]
    even = Multiplication("1-30")
    alike = arrays_of(even, SHOWN)
    data = data_of(learner("d8-s0", 100, 30), lambda model, name: alike.get(name), {"d8-s0": even})
    assert "What frequency does: facts are shown equally often." in words(render_memorization(data))
