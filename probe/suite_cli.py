"""The commands ``probe suite``: what there is in a suite, and whether it is what it claims to be."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from probe import suite_options as options
from probe.terminal import console, errors_in_words, new_table, notes_shown

if TYPE_CHECKING:
    from probe.suites import Suite

app = typer.Typer(help="Look at a suite: what is in it, and whether its checkpoints are whole.", no_args_is_help=True)

SAY_EVERY_S = 10.0
"""How often it is said how far a check is."""


@app.command()
def show(
    address: options.Address,
    steps: options.Steps = None,
    deduped: options.Deduped = False,
    mirror: options.Mirror = None,
    keep: options.Keep = None,
    config: options.ConfigFile = None,
    mapping: options.NameMapping = None,
) -> None:
    """Models of a suite: parameters, steps, training so far, size. No weights are read."""
    from probe.storage import readable_size
    from probe.suites.overview import table as table_of

    with errors_in_words("nothing was written"), notes_shown():
        suite = options.opened(address, steps, deduped, mirror, keep, config, mapping)
        columns = ("parameters", "without embeddings", "steps", "first", "last", "tokens", "FLOPs", "size")
        table = new_table("model", *columns)
        found = table_of(suite).astype(object)
        for model in found.where(found.notna(), None).to_dict("records"):
            table.add_row(
                model["model"],
                *(f"{model[count]:,}" for count in ("parameters", "parameters_without_embeddings", "steps")),
                *(f"{model[step]:,}" if model["steps"] else "none" for step in ("first_step", "last_step")),
                *(_amount(model[total]) for total in ("tokens", "flops")),
                "unknown" if model["bytes"] is None else readable_size(model["bytes"]),
            )
        console().print(table)
        typer.echo("Tokens and FLOPs of training at the last step; size of all checkpoints.")
        _print_notes(suite)


@app.command()
def check(
    address: options.Address,
    steps: options.Steps = None,
    deduped: options.Deduped = False,
    mirror: options.Mirror = None,
    keep: options.Keep = None,
    config: options.ConfigFile = None,
    mapping: options.NameMapping = None,
) -> None:
    """Read every checkpoint of a suite and say what is wrong: copies, damage, values, shapes, norms, missing steps.

    The exit code is 1 if anything is.
    """
    from probe.suites.integrity import check as check_suite

    with errors_in_words("the check has to be started again"), notes_shown():
        suite = options.opened(address, steps, deduped, mirror, keep, config, mapping)
        found = check_suite(suite, progress=_now_and_then())
        table = new_table("model", "checkpoints", "norm, least", "norm, greatest", "with problems")
        for name, of_model in found.groupby("model", sort=False):
            norms = (f"{norm:.4g}" if norm == norm else "unknown" for norm in of_model["norm"].agg(["min", "max"]))
            table.add_row(str(name), f"{len(of_model):,}", *norms, f"{(of_model['problems'] != '').sum():,}")
        console().print(table)
        wrong = found[found["problems"] != ""]
        for row in wrong.to_dict("records"):
            typer.echo(f"{row['model']} at step {row['step']}: {row['problems']}")
        if len(wrong):
            raise typer.Exit(1)
        typer.echo("No problems were found.")


def _print_notes(suite: "Suite") -> None:
    """The tasks of a suite's models, and how their files were taken, a line each."""
    from probe.suites.statedicts import StateDictModel

    for name, model in suite.by_name.items():
        said = [] if model.task is None else [f"task {model.task}"]
        said += model.notes if isinstance(model, StateDictModel) else []
        for line in said:
            typer.echo(f"{name}: {line}")


def _now_and_then() -> Callable[[int, int], None]:
    """Says on the error stream how far a check is, but nothing of a short one."""
    said_at = time.monotonic()

    def say(done: int, total: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at > SAY_EVERY_S:
            typer.echo(f"{done:,} of {total:,} checkpoints read", err=True)
            said_at = time.monotonic()

    return say


def _amount(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
