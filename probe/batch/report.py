"""The report of a run folder."""

import json
from contextlib import suppress

from probe import storage
from probe.batch.plan import Run
from probe.batch.results import arrays, results
from probe.report import ReportData, render_report
from probe.suites.trained import TrainedModel

CIRCLES = "embedding_circle"


def report_path(run: Run) -> str:
    return f"{run.folder}/report.html"


def write_report_of(run: Run) -> str:
    """Write ``report.html`` of a run from its results and arrays, as far as it has come; returns its path."""
    storage.write_atomically(report_path(run), render_report(report_data(run)).encode())
    return report_path(run)


def report_data(run: Run) -> ReportData:
    """What the report of a run is made from."""
    models = run.trained_models()
    circles = {model: found for model in models if (found := arrays(run.folder, model, CIRCLES)) is not None}
    started = [event for event in _events(run) if event["event"] == "started"]
    here = (model for model in run.suite.by_name.values() if isinstance(model, TrainedModel) and model.name in models)
    trained_with = [model.config["trained_with"] for model in here if "trained_with" in model.config]
    devices = sorted({f"{found['device']}, {found['threads']} thread(s) per process" for found in trained_with})
    return ReportData(
        results=results(run.folder),
        suite=run.batch.name,
        description=run.batch.description,
        stopped=run.stopped(),
        batch_yaml=run.batch.to_yaml(),
        command=f"probe run batch.yaml --out {run.folder}",
        circles=circles,
        versions=started[-1]["versions"] if started else {},
        device="; ".join(devices + [event["machine"] for event in started[-1:]]),
    )


def _events(run: Run) -> list[dict]:
    """What the log says; a line that was cut short by a full disk is passed over."""
    path, events = f"{run.folder}/events.jsonl", []
    for line in storage.read_bytes(path).decode().splitlines() if storage.exists(path) else ():
        with suppress(ValueError):
            events.append(json.loads(line))
    return events
