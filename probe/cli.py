"""The command ``probe``. Each command imports what it needs when it runs, so that ``probe --help`` is quick."""

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(
    help="What does a model know, and when did it come to know it? Train suites, measure every checkpoint, look.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

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
    from probe.batch.run import run as run_batch

    with _errors_in_words():
        folder = run_batch(batch, out, workers=workers)
        _print_summary(folder)
        typer.echo(f"\nReport: {report_path(Run.open(folder))}")


@app.command()
def status(folder: Folder) -> None:
    """How far a run is: per model, checkpoints and measurements."""
    from probe.batch.results import status as status_of

    with _errors_in_words():
        table = status_of(folder).astype(object)
        typer.echo(table.where(table.notna(), "not yet").to_string(index=False))


@app.command()
def results(
    folder: Folder,
    format: Annotated[Format, typer.Option(help="How the table is written; json is an object per line.")] = Format.csv,
) -> None:
    """The results table of a run, a row per number, on the standard output."""
    from probe.batch.results import results as results_of

    with _errors_in_words():
        table = results_of(folder)
        match format:
            case Format.csv:
                table.to_csv(sys.stdout, index=False)
            case Format.json:
                # pandas would write 15 decimals, of which a loss of 1e-20 has none. JSON has no nan and no infinity.
                for row in table.to_dict("records"):
                    finite = row["value"] if math.isfinite(row["value"]) else None
                    sys.stdout.write(json.dumps(row | {"value": finite}) + "\n")
            case Format.parquet:
                table.to_parquet(sys.stdout.buffer, index=False)


@app.command()
def report(folder: Folder) -> None:
    """Write a run's report again, from its results as far as they are there."""
    from probe.batch.plan import Run
    from probe.batch.report import write_report_of

    with _errors_in_words():
        typer.echo(f"Report: {write_report_of(Run.open(folder))}")


@app.command(name="list")
def list_() -> None:
    """Bundled batches and registered probes, with a line each."""
    from inspect import getdoc

    from probe.batch.schema import bundled_batches, load_batch
    from probe.probes.registry import probe_class, registered

    with _errors_in_words():
        batches = {name: load_batch(name).description for name in bundled_batches()}
        probes = {name: (getdoc(probe_class(name)) or "").splitlines()[0] for name in registered()}
    width = max(map(len, [*batches, *probes]))
    for title, entries in (("Batches", batches), ("Probes", probes)):
        typer.echo(f"{title}:")
        for name, line in entries.items():
            typer.echo(f"  {name:{width}}  {line}")


def _print_summary(folder: str) -> None:
    """Per model: when it memorized and generalized, the plateau between, its key frequencies; then per size."""
    from rich.console import Console

    from probe.batch.results import results as results_of
    from probe.batch.results import status as status_of
    from probe.report.verdict import median_text, steps_text
    from probe.scaling.transitions import TRANSITIONS, by_size, transitions

    console = Console(width=None if sys.stdout.isatty() else 120)
    found = transitions(results_of(folder))
    dates = ("memorized at", "generalized at", "plateau")
    table = _table("model", "parameters", *dates, "test accuracy", "key frequencies")
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
            ", ".join(map(str, model["key_frequencies"])) or "none",
        )
    console.print(table)

    sizes = _table("size", "seeds", "memorized", "generalized", *dates)
    for _, size in by_size(found).iterrows():
        counts = [f"{size[count]}" for count in ("size", "n", "n_memorized", "n_generalized")]
        sizes.add_row(*counts, *(median_text(size, date) for date in TRANSITIONS))
    console.print(sizes)
    typer.echo("Training steps; of a size, the median over seeds [95 % bootstrap interval].")
    for model in status_of(folder).to_dict("records"):
        if model["stopped"]:
            typer.echo(f"{model['model']} was stopped: {model['stopped']}")


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i == 0 or name == "key frequencies" else "right")
    return table


@contextlib.contextmanager
def _errors_in_words() -> Iterator[None]:
    """What went wrong, without a traceback, for errors that a person can do something about."""
    from probe.batch.run import RunError

    try:
        yield
    except BrokenPipeError:
        # Whoever read the output has enough; what Python would still flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, RunError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        typer.echo("interrupted; the same command goes on from here", err=True)
        raise typer.Exit(130) from error


def main() -> None:
    """Entry point of the command ``probe``."""
    sys.path.append(os.getcwd())  # last, for probes that a batch names as module:Name and that lie beside it
    app()
