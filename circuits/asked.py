"""What the commands ask alike: which checkpoint, which pairs, which metric; and the same things made of it."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.terminal import errors_in_words

if TYPE_CHECKING:
    from circuits.metrics import Metric
    from circuits.pairs import Pairs
    from probe.suites import Checkpoint

Model = Annotated[str | None, typer.Option("--model", help="Which model; needed where the suite has several.")]
Step = Annotated[int | None, typer.Option("--step", help="Which training step; the last, if not given.")]
PairsFile = Annotated[
    str | None,
    typer.Option(
        "--pairs",
        metavar="FILE",
        help="JSON lines with clean, corrupted, answer, and perhaps wrong; made from the model's task, if not given.",
    ),
]
NumberOfPairs = Annotated[int, typer.Option("--n-pairs", min=2, help="Pairs drawn from the task; of a file, all.")]
Operand = Annotated[int, typer.Option("--operand", min=0, max=1, help="Of a task, which operand differs: 0 or 1.")]
Subset = Annotated[str, typer.Option("--subset", help="Of a task, which questions, such as train or test.")]
MetricName = Annotated[
    str, typer.Option("--metric", help="logit_difference, answer_log_prob, answer_loss or kl_from_clean.")
]
AblationName = Annotated[
    str | None,
    typer.Option("--ablation", help="What ablated edges carry: corrupted, resample, mean or zero."),
]
Seed = Annotated[int, typer.Option("--seed", help="Of all that is drawn.")]


def _defaults_from(context: typer.Context, path: str | None) -> str | None:
    """Take what a YAML file says as the defaults of a command."""
    if path is not None:
        with errors_in_words("nothing was done"):
            context.default_map = read_request(
                path, [str(known.name) for known in context.command.params if known.name != "request"]
            )
    return path


Request = Annotated[
    str | None,
    typer.Option(
        "--request",
        metavar="FILE",
        is_eager=True,
        callback=_defaults_from,
        help="YAML with any of these by name, such as metric: answer_loss; what is given beside it wins.",
    ),
]


def read_request(path: str, known: Sequence[str]) -> dict[str, Any]:
    """What a YAML file asks of a command, by the names of its parameters.

    Raises:
        ValueError: there is no such file, it is no mapping, or it has a name that the command does not know.
    """
    import yaml

    from probe import storage

    try:
        given = yaml.safe_load(storage.read_bytes(path))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"request: {path} cannot be read: {error}") from error
    if not isinstance(given, dict):
        raise ValueError(f"request: {path} is {type(given).__name__}; expected names and values, such as level: 0.9")
    asked = {str(name).replace("-", "_"): value for name, value in given.items()}
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"request: {path} has {name!r}{hint} There are {', '.join(known)}")
    return asked


def checkpoint_of(address: str, model: str | None, step: int | None) -> "Checkpoint":
    """The checkpoint that is meant.

    Raises:
        ValueError: the suite has several models and none is named, or has no such model or step.
    """
    from probe.suites import open_suite

    suite = open_suite(address)
    names = list(suite.by_name)
    if model is None and len(names) > 1:
        raise ValueError(f"model: {address} has several; expected --model and one of {', '.join(names)}")
    name = names[0] if model is None else model
    if name not in suite.by_name:
        raise ValueError(f"model: got {name!r}; expected one of {', '.join(names)}")
    steps = suite.by_name[name].steps()
    if not steps:
        raise ValueError(f"model: {name} has no checkpoints")
    return suite[name, steps[-1] if step is None else step]


def pairs_of(at: "Checkpoint", file: str | None, n: int, operand: int, subset: str, seed: int) -> "Pairs":
    """The contrast pairs that are meant.

    Raises:
        ValueError: the model has neither a task nor a tokenizer to read a file with, or as of ``pairs_from_task`` and
            ``pairs_from_jsonl``.
    """
    from circuits.pairs import pairs_from_jsonl
    from circuits.pairs.tasks import some_pairs_from_task

    if file is not None:
        tokenizer = at.model.tokenizer()
        if tokenizer is None:
            raise ValueError(f"pairs: {at.model.name} has no tokenizer to read {file} with")
        return pairs_from_jsonl(file, tokenizer)
    if at.model.task is None:
        raise ValueError(f"pairs: {at.model.name} says nothing of a task; expected --pairs and a file")
    return some_pairs_from_task(at.model.task, n, operand=operand, subset=subset, seed=seed)


def metric_of(name: str) -> "Metric":
    """
    Raises:
        ValueError: there is none of this name.
    """
    from circuits.metrics import NAMED

    if name not in NAMED:
        raise ValueError(f"metric: got {name!r}; expected one of {', '.join(NAMED)}")
    return NAMED[name]
