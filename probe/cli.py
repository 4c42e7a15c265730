"""The command ``probe``. Each command imports what it needs when it runs, so that ``probe --help`` is quick."""

import json
import math
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from probe import suite_cli
from probe.capture_cli import capture
from probe.count_cli import count
from probe.few_shot_cli import few_shot
from probe.terminal import console, errors_in_words, new_table, notes_shown

if TYPE_CHECKING:
    from probe.batch.schema import Batch
    from probe.tasks import Task

app = typer.Typer(
    help="What does a model know, and when did it come to know it? Train suites, measure every checkpoint, look.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(suite_cli.app, name="suite")
app.command()(capture)
app.command()(count)
app.command()(few_shot)

Folder = Annotated[str, typer.Argument(metavar="DIR", help="Folder of a run.")]


class Format(StrEnum):
    """How a table is written."""

    csv = "csv"
    parquet = "parquet"
    json = "json"


@app.command()
def run(
    batch: Annotated[str, typer.Argument(metavar="FILE_OR_NAME", help="A batch file, or a name from `probe list`.")],
    out: Annotated[str | None, typer.Option(help="Folder of the run; runs/<name of the batch> if not given.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; one per core if not given.")] = None,
) -> None:
    """Train what a batch asks for, measure every checkpoint, write the report. Goes on where it was interrupted."""
    from probe.batch.plan import Run
    from probe.batch.report import report_path
    from probe.batch.run import RunError
    from probe.batch.run import run as run_batch

    with errors_in_words(also=RunError), notes_shown():
        folder = run_batch(batch, out, workers=workers)
        _print_summary(folder)
        typer.echo(f"\nReport: {report_path(Run.open(folder))}")


@app.command()
def status(folder: Folder) -> None:
    """How far a run is: per model, checkpoints and measurements."""
    from probe.batch.results import status as status_of

    with errors_in_words():
        table = status_of(folder).astype(object)
        typer.echo(table.where(table.notna(), "not yet").to_string(index=False))


@app.command()
def results(
    folder: Folder,
    format: Annotated[Format, typer.Option(help="How the table is written; json is an object per line.")] = Format.csv,
) -> None:
    """The results table of a run, a row per number, on the standard output."""
    from probe.batch.results import results as results_of

    with errors_in_words():
        table = results_of(folder)
        match format:
            case Format.csv:
                table.to_csv(sys.stdout, index=False)
            case Format.json:
                # pandas would write 15 decimals, of which a loss of 1e-20 has none. JSON has no nan and no infinity.
                told = table.astype(object).where(table.notna(), None)  # a seed that nothing says
                for row in told.to_dict("records"):
                    finite = row["value"] if row["value"] is not None and math.isfinite(row["value"]) else None
                    sys.stdout.write(json.dumps(row | {"value": finite}) + "\n")
            case Format.parquet:
                table.to_parquet(sys.stdout.buffer, index=False)


@app.command()
def report(folder: Folder) -> None:
    """Write a run's report again, from its results as far as they are there."""
    from probe.batch.plan import Run
    from probe.batch.report import write_report_of

    with errors_in_words():
        typer.echo(f"Report: {write_report_of(Run.open(folder))}")


@app.command(name="list")
def list_() -> None:
    """Bundled batches and registered probes, with a line each."""
    from inspect import getdoc

    from probe.batch.schema import bundled_batches, load_batch
    from probe.probes.registry import probe_class, registered

    with errors_in_words():
        batches = {name: load_batch(name).description for name in bundled_batches()}
        probes = {name: (getdoc(probe_class(name)) or "").splitlines()[0] for name in registered()}
    width = max(map(len, [*batches, *probes]))
    for title, entries in (("Batches", batches), ("Probes", probes)):
        typer.echo(f"{title}:")
        for name, line in entries.items():
            typer.echo(f"  {name:{width}}  {line}")


def _print_summary(folder: str) -> None:
    """Per model: when it memorized and generalized, the plateau between, key frequencies or irreps; then per size."""
    from probe.batch.plan import Run
    from probe.batch.results import results as results_of
    from probe.batch.results import status as status_of
    from probe.report.verdict import keys_head, keys_text, median_text, steps_text
    from probe.scaling.transitions import TRANSITIONS, by_size, transitions

    out, this = console(), Run.open(folder)
    found = transitions(results_of(folder))
    looked_for = {name for name, task in this.tasks().items() if task is not None and _finds_keys(this.batch, task)}
    dates = ("memorized at", "generalized at", "plateau")
    keys = keys_head(found)
    table = new_table("model", "parameters", *dates, "test accuracy", keys, text=(keys,))
    for model in found.to_dict("records"):
        late = f"not within {model['final_step']:,.0f}"
        measured = {"memorized_step": model["train_measured"], "generalized_step": model["test_measured"]}
        table.add_row(
            model["model"],
            f"{model['n_params']:,}",
            *(
                steps_text(model[date]) if not math.isnan(model[date]) else late if known else "not measured"
                for date, known in measured.items()
            ),
            steps_text(model["plateau"]),
            "—" if math.isnan(model["final_test_accuracy"]) else f"{model['final_test_accuracy']:.3f}",
            keys_text(model) or ("none" if model["model"] in looked_for else "not measured"),
        )
    out.print(table)

    sizes = new_table("size", "seeds", "memorized", "generalized", *dates)
    for _, size in by_size(found).iterrows():
        counts = [f"{size[count]}" for count in ("size", "n", "n_memorized", "n_generalized")]
        sizes.add_row(*counts, *(median_text(size, date) for date in TRANSITIONS))
    out.print(sizes)
    typer.echo("Training steps; of a size, the median over seeds [95 % bootstrap interval].")
    for model in status_of(folder).to_dict("records"):
        if model["stopped"]:
            typer.echo(f"{model['model']} was stopped: {model['stopped']}")


def _finds_keys(batch: "Batch", task: "Task") -> bool:
    """Whether key frequencies or irreps are looked for in models of a task."""
    return any(spec.build().name in ("key_frequencies", "key_irreps") for spec in batch.probes_for(task))


def main() -> None:
    """Entry point of the command ``probe``."""
    sys.path.append(os.getcwd())  # last, for probes that a batch names as module:Name and that lie beside it
    app()
