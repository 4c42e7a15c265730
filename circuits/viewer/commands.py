"""The commands ``circuits view`` and ``circuits export``: the viewer as a page, and as one file."""

from typing import Annotated

import typer

from probe.terminal import errors_in_words, notes_shown

RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or a suite of models.")]
Device = Annotated[str, typer.Option(help="Where models are computed: cpu, cuda or mps.")]


def view(
    run: RunFolder,
    model: Annotated[str | None, typer.Option(help="Which model is shown at first.")] = None,
    step: Annotated[int | None, typer.Option(help="Which training step is shown at first.")] = None,
    host: Annotated[
        str, typer.Option(help="Name or address to listen on; elsewhere than on 127.0.0.1 it asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: 8765, or if that is taken, one that is free.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    device: Device = "cpu",
) -> None:
    """Look at the circuits of a run in a browser, over training steps and sizes; follows a run that goes on."""
    with errors_in_words("nothing was changed", also=ImportError), notes_shown():
        from circuits.viewer.answers import Answers
        from circuits.viewer.messages import Run
        from circuits.viewer.served.server import serve
        from circuits.viewer.state import state_of

        answers = Answers.of(run, device=device)
        there = answers.answer("run", {})
        assert isinstance(there, Run)
        state = state_of(there, model=model, step=step)
        serve(answers, host=host, port=port or None, state=state, browser=browser)


def export(
    run: RunFolder,
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="The HTML file.")],
    models: Annotated[str | None, typer.Option(metavar="A,B", help="Only these models; all if not given.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="At most so many steps of each model, evenly, with the last.")
    ] = None,
    live: Annotated[
        bool,
        typer.Option("--live/--no-live", help="Also what is computed on models, of nodes and circuits' edges."),
    ] = True,
    max_mb: Annotated[float, typer.Option("--max-mb", help="The largest file.")] = 8.0,
    device: Device = "cpu",
) -> None:
    """Write the viewer of a run as one HTML file, which opens by double click and asks for nothing outside itself."""
    with errors_in_words("nothing was written"), notes_shown():
        from circuits.viewer.answers import Answers
        from circuits.viewer.saved.export import write_page
        from probe.storage import readable_size

        written = write_page(
            Answers.of(run, device=device),
            out,
            models=None if models is None else [name.strip() for name in models.split(",")],
            n_steps=steps,
            live=live,
            max_mb=max_mb,
            progress=True,
        )
        typer.echo(f"{out}: {readable_size(written)}")
