"""The command ``probe few-shot``: arithmetic asked in words of published models."""

from typing import TYPE_CHECKING, Annotated

import typer

from probe import suite_options as options
from probe.terminal import console, errors_in_words, new_table, notes_shown

if TYPE_CHECKING:
    import pandas as pd


def few_shot(
    address: options.Address,
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder or URL of the answers and of the table.")],
    operation: Annotated[
        str, typer.Option(metavar="NAME", help="multiplication, addition or subtraction.")
    ] = "multiplication",
    operands: Annotated[str, typer.Option(metavar="0-99", help="First operands, numbers and ranges.")] = "0-99",
    partners: Annotated[str, typer.Option(metavar="1-50", help="Second operands; each first one with each.")] = "1-50",
    shots: Annotated[str, typer.Option(metavar="0,4", help="Worked examples before a question.")] = "0,2,4,8,16",
    template: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help=r"Of a question: 'Q: What is {a} times {b}? A:'. {answer} and what follows it, such as '{answer}\n\n',"
            " say how an example is written.",
        ),
    ] = None,
    models: Annotated[str | None, typer.Option(metavar="A,B", help="Only these models; all if not given.")] = None,
    max_new_tokens: Annotated[int, typer.Option(metavar="N", help="Tokens of an answer, at most.")] = 16,
    seed: Annotated[int, typer.Option(metavar="N", help="Of which examples are shown.")] = 0,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="Questions in a forward pass.")] = None,
    device: Annotated[str | None, typer.Option(help="Where models run; a GPU where there is one.")] = None,
    steps: options.Steps = None,
    deduped: options.Deduped = False,
    mirror: options.Mirror = None,
    keep: options.Keep = None,
) -> None:
    """Ask models arithmetic in words, with worked examples: accuracy by operand. Goes on where it was interrupted.

    Models are in transformers' format, in a folder or on the hub, with a tokenizer.
    """
    with errors_in_words(), notes_shown():
        from probe.fewshot.asking import few_shot as ask

        numbers = _shots(shots)
        suite = options.opened(address, steps, deduped, mirror, keep)
        found = ask(
            suite,
            operation,
            operands,
            partners,
            numbers,
            None if template is None else template.replace("\\n", "\n"),
            models=None if models is None else [name.strip() for name in models.split(",")],
            max_new_tokens=max_new_tokens,
            out=out,
            seed=seed,
            batch_size=batch_size,
            device=device,
        )
        _print(found.by_operand)
        typer.echo(f"Accuracy of {operation}, over all operands, by worked examples.")
        where = out.rstrip("/")
        typer.echo(f"\nBy operand: {where}/{operation}.csv   Answers: {where}/items/*.parquet")


def _shots(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"shots: got {text!r}; expected numbers with commas between them, such as 0,4") from error


def _print(table: "pd.DataFrame") -> None:
    """Accuracy over all operands: a row per model and step, a column per number of examples."""
    # every operand is asked with every partner, so that their accuracies weigh the same
    mean = table.pivot_table(index=["model", "n_params", "step"], columns="n_shot", values="accuracy", sort=False)
    shown = new_table("model", "parameters", "step", *(f"{n} shots" for n in mean.columns))
    for row in mean.reset_index().to_dict("records"):
        accuracies = (f"{row[n]:.3f}" for n in mean.columns)
        shown.add_row(row["model"], f"{row['n_params']:,}", f"{row['step']:,}", *accuracies)
    console().print(shown)
