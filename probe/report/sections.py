"""The overview's sections: which figures a run can fill, what each was computed from, and why one is left out."""

import numpy as np
import pandas as pd

from probe.report.curves import (
    PROGRESS_MEASURES,
    accuracy_figure,
    loss_figure,
    nonmirror_repeats_test,
    progress_figure,
)
from probe.report.data import ReportData
from probe.report.left_out import asked_for, no_meaning, why_none
from probe.report.page import Panel, Section
from probe.report.scale import final_accuracy_figure, transition_figure
from probe.report.style import MAX_MARKS
from probe.report.wording import progress_definitions

POWER = "Power et al. 2022, arXiv 2201.02177"
NANDA = "Nanda et al. 2023, arXiv 2301.05217"
CHUGHTAI = "Chughtai et al. 2023, arXiv 2302.03025"
MEMORIZED = "memorized: first evaluation with train accuracy ≥ .99"
GENERALIZED = "generalized: first of 3 consecutive evaluations with test accuracy ≥ .99"


def sections(data: ReportData, transitions: pd.DataFrame, of_size: bool = True) -> list[Section]:
    """The figure sections in reading order.

    Args:
        data: the run, without what has no meaning.
        transitions: what ``probe.scaling.transitions`` returns for its results.
        of_size: whether its groups of models differ in size alone.
    """
    source, group = source_of(data), "size" if of_size else "group"
    return [
        _curves(data, transitions, source, group),
        _progress(data, transitions, source, group),
        _scale(transitions, source, of_size),
    ]


def steps_and_seeds(results: pd.DataFrame) -> str:
    """What was evaluated, in words: ``seeds 0 to 2, steps 0 to 20,000 (74 evaluations)``."""
    seeds = _ranges(sorted(int(seed) for seed in results["seed"].dropna().unique())) or "not known"
    plural = "s" if results["seed"].nunique() > 1 else ""
    return f"seed{plural} {seeds}, {evaluated(results['step'])}"


def evaluated(steps: pd.Series) -> str:
    """Which steps were evaluated, in words: ``steps 0 to 20,000 (74 evaluations)``."""
    found = np.sort(steps.unique())
    if len(found) == 1:
        return f"step {found[0]:,} (1 evaluation)"
    return f"steps {found[0]:,} to {found[-1]:,} ({len(found)} evaluations)"


def _ranges(numbers: list[int]) -> str:
    consecutive = len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if consecutive else ", ".join(str(number) for number in numbers)


def source_of(data: ReportData) -> str:
    """What a figure of the whole suite was computed from, in words, for captions; "" where there is nothing."""
    n = data.results["model"].nunique()
    return f"Suite {data.suite}: {n} model{'s' if n > 1 else ''}, {steps_and_seeds(data.results)}." if n else ""


def _curves(data: ReportData, transitions: pd.DataFrame, source: str, group: str) -> Section:
    performance = data.results[data.results["probe"] == "performance"]
    shading = (
        f"Shaded from medians over the seeds of a {group} ({MEMORIZED}; {GENERALIZED}; after {POWER});"
        " a phase that half of the seeds did not finish runs to the edge."
    )
    again = "Shaded as in the figure above."
    if performance["step"].nunique() == 1:
        shading, again = "Not shaded by phase: there is one evaluation.", ""
    notes = []
    if (performance["key"] == "test_nonmirror").any():
        notes.append("Non-mirror test: test pairs (a, b) whose mirror (b, a) was not trained on.")
    if not (performance["key"] == "test").any():
        notes.append("No pairs were held out, so there are no test curves.")
    elif nonmirror_repeats_test(data.results):
        notes = ["The mirror (b, a) of a test pair (a, b) is never trained on, so that test is non-mirror test."]
    diverged = transitions.loc[transitions["diverged_step"].notna(), "model"]
    if len(diverged):
        notes.append(f"Not drawn where the loss is not finite: {', '.join(diverged)}.")
    panels: list[Panel] = []
    definitions = {
        "accuracy": (
            "Accuracy",
            accuracy_figure,
            "Accuracy: share of the answers that are likeliest, token by token.",
        ),
        "loss": ("Loss", loss_figure, f"Loss: mean of -log softmax at the answer, in nats ({NANDA})."),
    }
    for metric, (title, draw, definition) in definitions.items():
        if (performance["metric"] == metric).any():
            shaded = again if panels else " ".join([shading, *notes])
            caption = f"{source} Every seed is a line. {definition} {shaded}".strip()
            panels.append(Panel(metric, title, caption, {"": draw(data.results)}))
    missing = () if panels else ("Left out: the results hold no loss or accuracy (probe performance was not run).",)
    return Section("curves", "Accuracy and loss", tuple(panels), missing)


def _progress(data: ReportData, transitions: pd.DataFrame, source: str, group: str) -> Section:
    title = "Progress measures"
    found = data.results[["probe", "metric"]].drop_duplicates()
    wanted = {place[:2] for _, _, place, _ in PROGRESS_MEASURES}
    if not wanted & set(found.itertuples(index=False, name=None)):
        return Section("progress", title, missing=("Left out: the results hold no progress measure.",))
    missing = []
    if not {"restricted_loss", "logit_fve"} & set(found["metric"]):
        missing.append(f"Restricted loss, excluded loss and logit FVE are left out: {_no_keys(data)}.")
    sizes = list(dict.fromkeys(transitions["size"]))
    tasks = [data.questions.get(model) for model in transitions["model"]]
    notes = f"; a {group} chosen alone is shaded by phase." if len(sizes) > 1 else "."
    if len(sizes) > MAX_MARKS:
        notes += f" Of more than {MAX_MARKS} {group}s the colour is the order, from dark to light."
    caption = (
        f"{source} Every seed is a line{notes} {progress_definitions(tasks, set(found['probe']))} ({NANDA};"
        f" {CHUGHTAI})."
    )
    everything = f"all {group}s"
    choices = {everything: progress_figure(data.results)}
    for size in sizes if len(sizes) > 1 else []:
        models = transitions.loc[transitions["size"] == size, "model"]
        rows = data.results[data.results["model"].isin(models)]
        if wanted & set(rows[["probe", "metric"]].itertuples(index=False, name=None)):
            choices[size] = progress_figure(rows)
    panel = Panel("progress", "Progress measures", caption, choices, group.capitalize(), everything)
    return Section("progress", title, (panel,), tuple(missing))


def _no_keys(data: ReportData) -> str:
    """Why no model has key frequencies or irreps that could be kept or removed."""
    keys, asked = ("key_frequencies", "key_irreps"), asked_for(data)
    tasks = [data.questions.get(str(model)) for model in data.results["model"].unique()]
    meant = {probe: [task for task in tasks if not no_meaning(probe, task)] for probe in keys}
    if not any(meant.values()):
        return "no task is an addition in a cyclic group, or the product of a group"
    return "; ".join(why_none([probe], meant[probe][0], asked, "found none") for probe in keys if meant[probe])


def _scale(transitions: pd.DataFrame, source: str, of_size: bool) -> Section:
    title = "Against model size" if of_size else "Groups of models beside each other"
    if transitions.empty:
        return Section("scale", title, missing=("Left out: the results hold no model.",))
    draw = {
        "final-accuracy": (
            "Final accuracy",
            final_accuracy_figure,
            f"{source} A point per model and subset, at its last evaluated step.",
        ),
        "time": (
            "Time to memorize and to generalize",
            transition_figure,
            f"{source} A point per model, {MEMORIZED}; {GENERALIZED}. Bars: median over the seeds of a"
            f" {'size' if of_size else 'group'} and 95 % bootstrap interval, cut at the budget. Open markers: not"
            " within the budget, drawn at the last step; censored, not impossible.",
        ),
    }
    if not transitions["train_measured"].any():
        return Section("scale", title, missing=("Left out: the results hold no accuracy.",))
    panels = [
        Panel(id, heading, caption, {"": make(transitions, of_size)}) for id, (heading, make, caption) in draw.items()
    ]
    missing: tuple[str, ...] = ()
    if not of_size:
        missing = ("Groups differ in more than their size, so these figures say nothing about scale.",)
    elif transitions["size"].nunique() == 1:
        missing = ("The suite has one size, so these figures say nothing about scale.",)
    return Section("scale", title, tuple(panels), missing, side_by_side=of_size)
