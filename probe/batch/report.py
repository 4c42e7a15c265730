"""The report of a run folder."""

import json
from contextlib import suppress

from probe import storage
from probe.activations.store import read_array
from probe.batch.plan import Run
from probe.batch.results import results
from probe.batch.settings import settings_of
from probe.report import ReportData, report_pages
from probe.report.frames import slider_steps
from probe.report.pages import OVERVIEW
from probe.suites.trained import TrainedModel
from probe.tasks import (
    Biographies,
    Duplicated,
    Facts,
    GroupComposition,
    Mixture,
    ModularArithmetic,
    OperandWeights,
    Task,
    Text,
    Uniform,
    Zipf,
)
from probe.tasks.arithmetic import Arithmetic
from probe.tasks.frequency import Frequency


def report_path(run: Run) -> str:
    return f"{run.folder}/{OVERVIEW}"


def write_report_of(run: Run) -> str:
    """Write the pages of a run from its results and arrays, as far as it has come; returns the path of the overview."""
    for name, text in report_pages(report_data(run)):
        storage.write_atomically(f"{run.folder}/{name}", text.encode())
    return report_path(run)


def report_data(run: Run) -> ReportData:
    """What the report of a run is made from."""
    models, suite = run.trained_models(), run.suite
    tasks = {model: task for model, task in run.tasks().items() if task is not None}
    started = [event for event in _events(run) if event["event"] == "started"]
    here = (model for model in suite.by_name.values() if isinstance(model, TrainedModel) and model.name in models)
    trained_with = [model.config["trained_with"] for model in here if "trained_with" in model.config]
    devices = sorted({f"{found['device']}, {found['threads']} thread(s) per process" for found in trained_with})
    return ReportData(
        results=results(run.folder),
        suite=run.batch.name,
        description=run.batch.description,
        stopped=run.stopped(),
        batch_yaml=run.batch.to_yaml(),
        command=f"probe run batch.yaml --out {run.folder}",
        arrays=lambda model, name: read_array(run.folder, model, tuple(slider_steps(suite.steps(model))), name),
        tasks={model: in_words(task) for model, task in tasks.items()},
        questions=tasks,
        settings=settings_of(suite),
        versions=started[-1]["versions"] if started else {},
        device="; ".join(devices + [event["machine"] for event in started[-1:]]),
    )


def in_words(task: Task) -> str:
    """What a model was trained on."""
    match task:
        case ModularArithmetic():
            question = f"{task.operation} mod {task.p}"
        case GroupComposition():
            question = f"a b in the group {task.group}"
        case Facts():
            phrasings = f", {task.trained_phrasings} of {task.phrasings} phrasings" if task.phrasings > 1 else ""
            first = f"in the first {task.special_passes} passes only"
            special = f", {100 * task.special:g} % of the others {first}" if task.special else ""
            return (
                f"{task.n_facts:,} random facts of {task.values} values{phrasings}, shown {_often(task.frequency)},"
                f" {100 * task.held_out:g} % held out{special}"
            )
        case Biographies():
            return (
                f"biographies of {task.n:,} people, {task.biographies} of each shown (sentences in {task.order} order),"
                f" {task.attributes} attributes of {task.values} values, shown {_often(task.frequency)},"
                f" {100 * task.asked:g} % of the people shown asked about, {100 * task.held_out:g} % held out"
            )
        case Arithmetic():
            operands = task.operands if isinstance(task.operands, str) else f"{len(task.numbers)} operands"
            return (
                f"a {task.sign} b of {operands} ({task.notation} numbers), shown {_often(task.frequency)},"
                f" {100 * task.held_out:g} % held out"
            )
        case Mixture():
            shares = sum(part.share for part in task.parts)
            parts = (f"{100 * part.share / shares:.3g} % {part.name} ({in_words(part.task)})" for part in task.parts)
            return f"a mixture of {'; '.join(parts)}"
        case Text():
            return (
                f"{len(task.tokens):,} sequences of {task.length} tokens ({task.d_vocab:,} in the vocabulary), shown"
                f" {_often(task.frequency)}, {100 * task.held_out:g} % held out"
            )
        case _:
            return task.family
    return f"{question}, {100 * task.train_fraction:g} % of the pairs trained on ({task.split} split)"


def _often(frequency: Frequency) -> str:
    """How often facts are shown, in words."""
    match frequency:
        case Uniform():
            return "equally often"
        case Zipf():
            return f"by Zipf's law over {frequency.over} (exponent {frequency.exponent:g})"
        case Duplicated():
            return f"{', '.join(map(str, frequency.times))} times per pass"
        case OperandWeights():
            return f"by the weights of their operands ({len(frequency.weights)} given)"
        case _:
            return "as a table says"


def _events(run: Run) -> list[dict]:
    """What the log says; a line that was cut short by a full disk is passed over."""
    path, events = f"{run.folder}/events.jsonl", []
    for line in storage.read_bytes(path).decode().splitlines() if storage.exists(path) else ():
        with suppress(ValueError):
            events.append(json.loads(line))
    return events
