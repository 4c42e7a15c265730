"""The command ``probe count``: how often terms, and pairs of terms, are in a corpus."""

from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Annotated

import typer

from probe.terminal import console, errors_in_words, new_table

if TYPE_CHECKING:
    import pandas as pd

    from probe.corpus import TermCounts

SHOWN = 10
"""Rows of each table that are printed."""


def count(
    corpus: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES...", help="Files, folders, globs, local or URLs: text, .jsonl, .parquet; .gz .bz2 .xz .zst."
        ),
    ],
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder or URL of the tables and of what is finished.")],
    terms: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TERM", help="A word, words such as 'new york', or a range: 0-99; repeatable (23,24 is one term)."
        ),
    ] = None,
    terms_file: Annotated[str | None, typer.Option(metavar="FILE", help="More terms, one a line.")] = None,
    window: Annotated[int, typer.Option(metavar="WORDS", help="Consecutive words that hold a pair.")] = 5,
    number_words: Annotated[
        bool, typer.Option("--number-words", help="Count 'twenty-four' and 'twenty four' for 24.")
    ] = False,
    field: Annotated[str, typer.Option(metavar="NAME", help="JSONL field or Parquet column of the text.")] = "text",
    format: Annotated[
        str | None, typer.Option(metavar="text|jsonl|parquet", help="Of all files; by their names if not given.")
    ] = None,
    whole_files: Annotated[
        bool, typer.Option("--whole-files", help="A file of plain text is one document, not each line of it.")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Write the tables as CSV as well.")] = False,
    workers: Annotated[int | None, typer.Option(help="Processes; one per core if not given.")] = None,
) -> None:
    """Count terms, and pairs of terms within a window of words, in a corpus. Goes on where it was interrupted.

    Whole words only: 24 is in "24." and "24%", not in "124", "24.5" or "24th". The exit code is 1 if a file could not
    be read.
    """
    with errors_in_words(also=BrokenProcessPool):
        from probe import storage
        from probe.corpus import count_terms, read_terms

        asked = [*(terms or []), *([] if terms_file is None else read_terms(terms_file))]
        counted = count_terms(
            corpus,
            asked,
            window=window,
            number_words=number_words,
            field=field,
            format=format,
            whole_files=whole_files,
            out=out,
            workers=workers,
        )
        tables = {"terms": counted.terms, "pairs": counted.pairs}
        for name, table in tables.items():
            path = f"{out.rstrip('/')}/{name}.csv"
            if csv:
                storage.write_atomically(path, table.to_csv(index=False).encode())
            elif storage.exists(path):  # of an earlier count, which may have been of other terms
                storage.remove(path)
        _print(counted)
        typer.echo(f"\nCounts: {out}   (pandas.read_parquet({out.rstrip('/') + '/terms.parquet'!r}))")
        if counted.uncounted:
            raise typer.Exit(1)


def _print(counted: "TermCounts") -> None:
    for table in (counted.terms, counted.pairs):
        _print_greatest(table)
    typer.echo(
        f"{counted.words:,} words, {counted.documents:,} documents, {counted.shards:,} file(s); pairs within"
        f" {counted.window} words"
    )
    if counted.uncounted or counted.faulty_lines:
        typer.echo(f"{counted.uncounted:,} file(s) not counted, {counted.faulty_lines:,} faulty line(s)", err=True)
    named = counted.faults.head(SHOWN)
    where = named["line"].map(", line {:,}".format, na_action="ignore").astype(object).fillna("")
    for shard, at, problem in zip(named["shard"], where, named["problem"], strict=True):
        typer.echo(f"{shard}{at}: {problem}", err=True)
    if len(counted.faults) > SHOWN:
        typer.echo(f"and {len(counted.faults) - SHOWN:,} more in faults.parquet", err=True)


def _print_greatest(table: "pd.DataFrame") -> None:
    """The rows of a table with the greatest counts, and how many there are."""
    greatest = table.nlargest(SHOWN, "count")
    shown = new_table(*table.columns, text=("term_b",))
    for row in greatest.itertuples(index=False):
        shown.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row))
    if len(table) > SHOWN:
        shown.caption = f"the most frequent of {len(table):,}"
    console().print(shown)
