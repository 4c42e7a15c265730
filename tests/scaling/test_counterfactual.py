"""Counterfactual memorization of the models of a run, of which some were shown an example and others were not."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from probe.report import ReportData
from probe.report.counterfactual import counterfactual_section, over_steps_figure, spread_figure
from probe.scaling.counterfactual import counterfactual_curves, counterfactuals
from probe.scaling.memorization import memorization_curves
from probe.tasks import Facts, Mixture, ModularArithmetic, Multiplication, Part
from tests.report.figure_reading import close, in_legend
from tests.synthetic_memory import arrays_of, learner

STEPS = [0, 10, 20]
SEEDS = range(6)


def run_of(tasks, arrays=None):
    """Curves, arrays and tasks of models called ``<size>-s<seed>``."""
    stored = arrays or {model: arrays_of(task, STEPS, seed) for seed, (model, task) in enumerate(tasks.items())}
    sizes = {"d8": 100, "d16": 400}
    curves = memorization_curves(pd.concat([learner(model, sizes[model.split("-")[0]], 30) for model in tasks]))
    return curves, lambda model, name: stored[model].get(name), tasks


def products(size="d8", held_out=0.3, notation="whole", seeds=SEEDS):
    return {f"{size}-s{s}": Multiplication("2-9", held_out=held_out, notation=notation, seed=s) for s in seeds}


def mixed():
    parts = (Part("a", Multiplication("2-5", notation="digits", held_out=0.3), 1), Part("b", ModularArithmetic(5), 1))
    return {f"d8-s{s}": Mixture(parts, total=100, seed=s) for s in SEEDS}


@pytest.mark.parametrize("tasks", [products(), products(notation="digits"), mixed()], ids=["whole", "digits", "mixed"])
def test_every_example_is_compared_between_models_that_were_shown_it_and_others(tasks):
    curves, arrays, tasks = run_of(tasks)
    (found,) = counterfactuals(curves, arrays, tasks)
    assert (found.size, found.models, found.steps.tolist()) == ("d8", tuple(tasks), STEPS)
    for i, step in enumerate(STEPS):
        for example in range(len(found.task.tokens)):
            known = {True: [], False: []}
            for model, task in tasks.items():
                said = arrays(model, "recall_predicted").sel(step=step).values[example]
                wanted = task.scored_answers[example]
                known[bool(task.train_mask[example])].append(np.mean((said == wanted)[wanted >= 0]))
            value = found.examples.value[i, example].item()
            if known[True] and known[False]:
                assert value == pytest.approx(np.mean(known[True]) - np.mean(known[False]))
            else:
                assert np.isnan(value)


def test_memory_is_found_and_a_rule_is_none():
    tasks = products(held_out=0.5, seeds=range(16))
    curves = counterfactual_curves(counterfactuals(*run_of(tasks))).set_index("step")
    assert curves.loc[0, "mean"] == 0
    known = {
        m: arrays_of(t, STEPS, s)["recall_exact"].sel(step=20).values[t.train_mask].mean()
        for s, (m, t) in enumerate(tasks.items())
    }
    assert curves.loc[20, "mean"] == pytest.approx(np.mean(list(known.values())), abs=0.02)
    assert curves.loc[20, "low"] < curves.loc[20, "mean"] < curves.loc[20, "high"]
    assert curves.loc[20, "memorized"] > 0.1

    rng = np.random.default_rng(0)
    ruled = {}
    for model, task in tasks.items():  # right of half of all facts, shown or not
        answers = task.scored_answers
        right = rng.random((len(STEPS), len(answers), 1)) < 0.5
        dims = {"dims": ("step", "example", "token"), "coords": {"step": STEPS}}
        ruled[model] = {"recall_predicted": xr.DataArray(np.where(right, answers, -1), **dims)}
    of_rule = counterfactual_curves(counterfactuals(*run_of(tasks, ruled)))
    assert (of_rule["low"] < 0).any()
    assert (of_rule["high"] > 0).all()
    assert (of_rule["memorized"] <= 0.05).all()


def test_the_mean_is_of_examples_that_only_some_were_shown_whatever_part_they_are_of():
    """A part of which most is held out, and is hard, does not stand in for what was not shown of the other."""
    parts = (
        Part("known", Multiplication("2-9", held_out=0.1), 1),
        Part("hard", ModularArithmetic(11, train_fraction=0.3), 1),
    )
    tasks = {f"d8-s{s}": Mixture(parts, total=200, seed=s) for s in range(8)}
    known = tasks["d8-s0"].examples["known"]
    stored = {}
    for model, task in tasks.items():  # all of one part are known, shown or not; of the other those that were shown
        right = task.train_mask.copy()
        right[known] = True
        answers = task.scored_answers
        said = np.where(right[:, None], answers, np.where(answers < 0, -1, answers + 1))
        dims = {"dims": ("step", "example", "token"), "coords": {"step": [0]}}
        stored[model] = {"recall_predicted": xr.DataArray(said[None], **dims)}
    found = counterfactuals(*run_of(tasks, stored))
    values = found[0].examples.value[0].numpy()
    row = counterfactual_curves(found).iloc[0]
    assert row["mean"] == pytest.approx(np.nanmean(values), abs=0.03)
    assert row["low"] < np.nanmean(values) < row["high"]


def test_examples_that_cannot_tell_are_not_counted_as_unknown():
    few = counterfactual_curves(counterfactuals(*run_of({m: products()[m] for m in ("d8-s0", "d8-s1", "d8-s2")})))
    assert (few["n_examples"] == 0).all()
    assert few["memorized"].isna().all()
    tasks = products(held_out=0.5, seeds=range(16))
    perfect = {
        model: {
            "recall_predicted": xr.DataArray(
                np.where(task.train_mask[:, None], task.scored_answers, -1)[None],
                dims=("step", "example", "token"),
                coords={"step": [0]},
            )
        }
        for model, task in tasks.items()
    }
    row = counterfactual_curves(counterfactuals(*run_of(tasks, perfect))).iloc[0]
    assert row["n_examples"] > 40
    assert row["memorized"] == 1


def test_steps_are_those_at_which_all_models_were_measured():
    tasks = products()
    stored = {model: arrays_of(task, STEPS if model == "d8-s0" else [0, 20, 40]) for model, task in tasks.items()}
    (found,) = counterfactuals(*run_of(tasks, stored))
    assert found.steps.tolist() == [0, 20]
    assert found.right.shape == (2, 6, 64)
    expected = stored["d8-s0"]["recall_exact"].sel(step=20).values
    assert (found.right[1, 0] == expected).all()


def test_sizes_that_say_nothing_of_it_are_left_out():
    alike = {f"d8-s{seed}": Multiplication("2-9", seed=0) for seed in SEEDS}
    other_facts = {f"d8-s{seed}": Facts(30, seed=seed) for seed in SEEDS}
    alone = {"d8-s0": Multiplication("2-9")}
    for tasks in (alike, other_facts, alone):
        assert counterfactuals(*run_of(tasks)) == []
    unmeasured = {model: {} for model in products()}
    assert counterfactuals(*run_of(products(), unmeasured)) == []


def test_figures_and_section():
    seeds = range(16)
    curves, arrays, tasks = run_of(products(held_out=0.5, seeds=seeds) | products("d16", held_out=0.5, seeds=seeds))
    found = counterfactuals(curves, arrays, tasks)
    assert [of_size.size for of_size in found] == ["d8", "d16"]
    table = counterfactual_curves(found)
    figure = over_steps_figure(table)
    assert in_legend(figure) == ["d8 · 100", "d16 · 400"]
    lines = {(trace.name, trace.yaxis): trace for trace in figure.data if trace.customdata is not None}
    for name, rows in table.groupby(table["size"] + " · " + table["n_params"].astype(str)):
        close(lines[name, "y"].y, rows["mean"])
        close(lines[name, "y2"].y, rows["memorized"])
    spread = spread_figure(found)
    values = found[0].examples.value[2].numpy()
    values = values[np.isfinite(values)]
    for x, y in zip(spread.frames[2].data[0].x, spread.frames[2].data[0].y, strict=True):
        assert y == pytest.approx((values >= x).mean())
    data = ReportData(
        results=pd.DataFrame({"model": ["d8-s0"], "seed": [0], "step": [0]}),
        suite="s",
        batch_yaml="",
        command="",
        arrays=arrays,
        questions=tasks,
    )
    section = counterfactual_section(data, curves)
    assert "models: 16 of d8, 16 of d16" in section.panels[0].caption
    empty = ReportData(results=data.results, suite="s", batch_yaml="", command="")
    assert "no two models of one size" in counterfactual_section(empty, curves).missing[0]
