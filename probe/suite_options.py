"""How commands are told which suite is meant: one argument and the options of ``open_suite``, the same for all."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from probe.suites import Suite

Address = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS",
        help="A folder of models, a file with a state dict, or names on the hub: 'EleutherAI/pythia-{70m,160m}'.",
    ),
]
Steps = Annotated[str | None, typer.Option(metavar="0,1,512", help="Only these steps; all if not given.")]
Deduped = Annotated[bool, typer.Option("--deduped", help="Of names on the hub, those that end in -deduped.")]
Mirror = Annotated[
    str | None, typer.Option(metavar="DIR", help="Read this folder, laid out as the hub's cache, instead of the hub.")
]
Keep = Annotated[
    int | None, typer.Option(metavar="N", help="Of checkpoints fetched, keep this many on the disk; all if not given.")
]
ConfigFile = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="Of state dicts: a JSON file with the model's config, of any kind."),
]
NameMapping = Annotated[
    str | None,
    typer.Option(
        "--mapping",
        metavar="NAME",
        help="Of state dicts: transformerlens, early, gpt-neox or gpt2, or a JSON file {name in the file: name}.",
    ),
]


def opened(
    address: str,
    steps: str | None = None,
    deduped: bool = False,
    mirror: str | None = None,
    keep: int | None = None,
    config: str | None = None,
    mapping: str | None = None,
) -> "Suite":
    """The suite that the options of a command mean. Within ``notes_shown`` what is odd about it is told.

    Raises:
        ValueError: as ``open_suite``, and where steps are not numbers.
    """
    from probe.suites import open_suite

    return open_suite(
        address,
        steps=read_steps(steps),
        deduped=deduped,
        mirror=mirror,
        keep=keep,
        config=config,
        mapping=mapping,
    )


def read_steps(text: str | None) -> list[int] | None:
    """Steps from a list such as ``0,1,512``; None if there is none.

    Raises:
        ValueError: it is no list of steps.
    """
    if text is None:
        return None
    if not re.fullmatch(r"\d+(\s*,\s*\d+)*", text.strip()):
        raise ValueError(f"steps: got {text!r}; expected whole numbers with commas between them, such as 0,1,512")
    return [int(step) for step in text.split(",")]
