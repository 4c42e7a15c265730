"""The command ``probe capture``: activations of a suite into a store."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe import suite_options as options
from probe.terminal import errors_in_words, notes_shown

if TYPE_CHECKING:
    from probe.suites import Suite


def capture(
    address: options.Address,
    sites: Annotated[
        list[str], typer.Option(metavar="PATTERN", help="Hook name or pattern, 'blocks.*.hook_resid_post'; repeatable.")
    ],
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder or URL of the capture.")],
    texts: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Texts: a line each (not blank ones), or .json, .jsonl."),
    ] = None,
    tokens: Annotated[str | None, typer.Option(metavar="FILE", help="Token ids: .npy, or .json with lists.")] = None,
    task: Annotated[
        str | None, typer.Option(metavar="YAML", help="A task, as in a batch file: '{p: 113, operation: a+b}'.")
    ] = None,
    models: Annotated[str | None, typer.Option(metavar="A,B", help="Only these models; all if not given.")] = None,
    positions: Annotated[str, typer.Option(metavar="all|answer|last|N|A:B", help="Positions that are kept.")] = "all",
    heads: Annotated[str | None, typer.Option(metavar="0,1", help="Heads that are kept; all if not given.")] = None,
    project: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A .npy matrix, units by k, onto which the last axis is projected."),
    ] = None,
    reduce: Annotated[
        str | None,
        typer.Option(
            metavar="mean|gram|...",
            help="Kept instead of the examples: mean, covariance, gram, or top-K such as top-10.",
        ),
    ] = None,
    over: Annotated[
        str, typer.Option(metavar="example|position", help="What is reduced: position means both.")
    ] = "example",
    gradient_of: Annotated[str | None, typer.Option(metavar="loss", help="Its gradient at each site, as well.")] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="float32|float16", help="Stored; as computed if not given.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="Examples in a forward pass.")] = None,
    device: Annotated[str | None, typer.Option(help="Where models run; a GPU where there is one.")] = None,
    steps: options.Steps = None,
    deduped: options.Deduped = False,
    mirror: options.Mirror = None,
    keep: options.Keep = None,
    config: options.ConfigFile = None,
    mapping: options.NameMapping = None,
) -> None:
    """Capture activations across sizes and steps into labelled arrays. Goes on where it was interrupted.

    Models are shown texts, tokens or a task; if none is given, the task that they were trained on.
    """
    with errors_in_words(), notes_shown():
        from probe.activations.capturing import capture as capture_suite

        suite = options.opened(address, steps, deduped, mirror, keep, config, mapping)
        captured = capture_suite(
            suite,
            _inputs(suite, texts, tokens, task),
            sites,
            models=None if models is None else [name.strip() for name in models.split(",")],
            positions=_positions(positions),
            heads=None if heads is None else _numbers("heads", heads),
            project=None if project is None else _matrix(project),
            reduce=reduce,
            over=over,  # type: ignore[arg-type]  # capture itself says what may be given
            gradient_of=gradient_of,
            dtype=dtype,  # type: ignore[arg-type]
            out=out,
            batch_size=batch_size,
            device=device,
        )
        for site, array in captured.data_vars.items():
            typer.echo(f"{site}  {', '.join(f'{dim} {size}' for dim, size in array.sizes.items())}  {array.dtype}")
        typer.echo(f"\nCapture: {out}   (probe.open_capture({out!r}))")


def _inputs(suite: "Suite", texts: str | None, tokens: str | None, task: str | None) -> Any:
    given = {"texts": texts, "tokens": tokens, "task": task}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ValueError(f"{named[1]}: got {' and '.join(named)}; expected one of them")
    if texts is not None:
        return _texts(texts)
    if tokens is not None:
        return _tokens(tokens)
    if task is not None:
        return _task(task)
    own = next((model.task for model in suite.by_name.values() if model.task is not None), None)
    if own is None:
        raise ValueError("texts: nothing says what these models were trained on; expected texts, tokens or a task")
    return own


def _texts(file: str) -> list[str]:
    path = _existing("texts", file)
    try:
        content = path.read_text(encoding="utf-8")
        # only this ends a line: other separators of Unicode may be part of a text
        lines = [line for line in content.split("\n") if line.strip()]
        if path.suffix == ".jsonl":
            found = [json.loads(line) for line in lines]
        else:
            found = json.loads(content) if path.suffix == ".json" else lines
        if not isinstance(found, list):
            raise ValueError("it is no list")
        texts = [entry["text"] if isinstance(entry, dict) else entry for entry in found]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("not all are texts")
    except (ValueError, KeyError) as error:
        raise ValueError(f"texts: {file} cannot be read ({error!r}); expected texts, or objects with a text") from error
    return texts


def _tokens(file: str) -> Any:
    path = _existing("tokens", file)
    try:
        if path.suffix == ".npy":
            import numpy as np

            return np.load(path, allow_pickle=False)
        found = json.loads(path.read_text())
        if not isinstance(found, list):
            raise ValueError("it is no list")
        return found
    except ValueError as error:
        raise ValueError(f"tokens: {file} cannot be read ({error}); expected .npy, or .json with lists") from error


def _matrix(file: str) -> Any:
    import numpy as np

    path = _existing("project", file)
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise ValueError("it holds several arrays")
        return found
    except ValueError as error:
        raise ValueError(f"project: {file} cannot be read ({error}); expected a .npy file") from error


def _task(text: str) -> Any:
    import yaml

    from probe.tasks import task_from_dict

    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError:
        fields = None
    if not isinstance(fields, dict):
        raise ValueError(
            f"task: got {text!r}; expected fields as in a batch file, such as '{{p: 113, operation: a+b}}'"
        )
    try:
        return task_from_dict({"family": "modular", **fields})
    except TypeError as error:
        raise ValueError(
            f"task: got {text!r}, of which a task cannot be made ({error}); expected such as '{{p: 113}}'"
        ) from error


def _existing(field: str, file: str) -> Path:
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"{field}: there is no file {file}")
    return path


def _positions(text: str) -> Any:
    """An index or a slice if it is one, else a word."""
    if not text.strip():
        raise ValueError("positions: got nothing; expected all, answer, last, an index or a slice such as 1:")
    parts = text.split(":")
    try:
        numbers = [int(part) if part.strip() else None for part in parts]
    except ValueError:
        return text
    return numbers[0] if len(parts) == 1 else slice(*numbers) if len(parts) <= 3 else text


def _numbers(field: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"{field}: got {text!r}; expected numbers with commas between them, such as 0,1") from error
