"""The command ``circuits``. Each command imports what it needs when it runs, so that ``circuits --help`` is quick."""

import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from circuits import asked
from circuits.viewer.commands import export, view
from probe.suite_options import Address
from probe.terminal import console, errors_in_words, new_table, notes_shown

if TYPE_CHECKING:
    from circuits.circuit import Circuit
    from circuits.formation import Formation

app = typer.Typer(
    help="Which parts of a model compute an answer, how sure is that, and when did they form?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

CircuitFile = Annotated[str, typer.Argument(metavar="CIRCUIT", help="A circuit that `circuits find` saved.")]


class Method(StrEnum):
    """How edges are scored, or looked at."""

    eap_ig = "eap-ig"
    eap_ig_activations = "eap-ig-activations"
    eap = "eap"
    eap_qk = "eap-qk"
    acdc = "acdc"


class Choice(StrEnum):
    """How edges are chosen by their scores."""

    greedy = "greedy"
    largest = "largest"


@app.command()
def find(
    address: Address,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Where the circuit is saved, as JSON.")] = None,
    model: asked.Model = None,
    step: asked.Step = None,
    pairs: asked.PairsFile = None,
    n_pairs: asked.NumberOfPairs = 64,
    operand: asked.Operand = 0,
    subset: asked.Subset = "all",
    metric: asked.MetricName = "logit_difference",
    ablation: asked.AblationName = None,
    seed: asked.Seed = 0,
    method: Annotated[Method, typer.Option(help="How edges are scored; acdc ablates one after the other.")] = (
        Method.eap_ig
    ),
    choice: Annotated[Choice, typer.Option(help="How edges are chosen by their scores.")] = Choice.greedy,
    edges: Annotated[int | None, typer.Option(help="How many edges the circuit may have.")] = None,
    share: Annotated[float | None, typer.Option(help="The same, as a share of all edges.")] = None,
    threshold: Annotated[float | None, typer.Option(help="The least score of an edge, in units of the metric.")] = None,
    level: Annotated[
        float, typer.Option(help="Without edges, share or threshold: the fewest edges that are so faithful.")
    ] = 0.9,
    request: asked.Request = None,
) -> None:
    """Find the circuit of one checkpoint, say how faithful it is, and save it."""
    from circuits import attribution, discovery
    from circuits.faithfulness import faithfulness_of

    with errors_in_words("nothing was saved"), notes_shown():
        at = asked.checkpoint_of(address, model, step)
        contrast = asked.pairs_of(at, pairs, n_pairs, operand, subset, seed)
        about, hooked = asked.metric_of(metric), at.load()
        said = {"model_digest": at.digest, "step": at.step}
        carried = ablation or "corrupted"
        by = {"n_edges": edges, "share": share, "threshold": threshold}
        budget = discovery.Budget(**by) if any(value is not None for value in by.values()) else None  # type: ignore[arg-type]
        if method is Method.acdc:
            if budget is None:
                raise ValueError("threshold: got none; expected one with acdc, such as 0.05, in units of the metric")
            found = discovery.acdc(hooked, contrast, about, ablation=carried, budget=budget, progress=True, **said)  # type: ignore[arg-type]
        else:
            scored = getattr(attribution, method.name)(hooked, contrast, about, ablation=carried)
            rule = discovery.greedy if choice is Choice.greedy else discovery.largest
            if budget is None:
                found = discovery.smallest_circuit(hooked, contrast, about, scored, level=level, rule=rule, **said)  # type: ignore[arg-type]
            else:
                found = discovery.chosen_by(scored, rule, budget, **said)  # type: ignore[arg-type]
        typer.echo(found.text())
        typer.echo(faithfulness_of(hooked, contrast, about, found, seed=seed).text())
        if out is not None:
            found.save(out)
            typer.echo(f"Circuit: {out}")


@app.command()
def score(
    circuit: CircuitFile,
    address: Address,
    model: asked.Model = None,
    step: asked.Step = None,
    pairs: asked.PairsFile = None,
    n_pairs: asked.NumberOfPairs = 64,
    operand: asked.Operand = 0,
    subset: asked.Subset = "all",
    metric: asked.MetricName = "logit_difference",
    ablation: asked.AblationName = None,
    seed: asked.Seed = 1,
    transferred: Annotated[
        bool, typer.Option("--transferred", help="The circuit was found on another checkpoint; score it here.")
    ] = False,
    by_edge: Annotated[bool, typer.Option("--by-edge", help="Also what each edge adds.")] = False,
    request: asked.Request = None,
) -> None:
    """How faithful, complete and minimal a saved circuit is, on pairs drawn with another seed than it was found on."""
    from circuits.circuit import Circuit
    from circuits.faithfulness import faithfulness_of, minimality

    with errors_in_words("nothing was changed"), notes_shown():
        at = asked.checkpoint_of(address, model, step)
        found = Circuit.load(circuit)
        if not transferred and found.model_digest not in (None, at.digest):
            raise ValueError(
                f"circuit: {circuit} is of another checkpoint than {at.model.name} at step {at.step} (its weights have"
                " another digest); give --transferred to score its edges here all the same"
            )
        contrast = asked.pairs_of(at, pairs, n_pairs, operand, subset, seed)
        about, hooked = asked.metric_of(metric), at.load()
        typer.echo(faithfulness_of(hooked, contrast, about, found, ablation=ablation, seed=seed).text())
        if by_edge:
            table = new_table("edge", "score", "adds", "95 % over pairs", text=("edge",))
            for row in minimality(hooked, contrast, about, found, ablation=ablation).itertuples():
                table.add_row(
                    str(row.edge), f"{row.score:+.3g}", f"{row.adds:+.3f}", f"{row.low:+.3f} to {row.high:+.3f}"
                )
            console().print(table)


@app.command()
def compare(
    circuits: Annotated[list[str], typer.Argument(metavar="CIRCUIT...", help="Circuits that were saved, two or more.")],
) -> None:
    """Which edges circuits share: Jaccard between any two, edges in all, edges that one alone has."""
    from circuits.circuit import Circuit

    with errors_in_words("nothing was changed"):
        if len(circuits) < 2:
            raise ValueError(f"circuits: got {len(circuits)}; expected two or more")
        loaded = [Circuit.load(path) for path in circuits]
        _print_comparison(circuits, loaded)


@app.command()
def form(
    batch: Annotated[str, typer.Argument(metavar="FILE_OR_NAME", help="A batch file, or a name from `probe list`.")],
    out: Annotated[str | None, typer.Option(help="Folder of the run; runs/<name of the batch> if not given.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; one per core if not given.")] = None,
    level: Annotated[float, typer.Option(help="Faithfulness from which on a circuit counts as formed.")] = 0.8,
) -> None:
    """Run a batch with the probes final_circuit and circuit_formation, and say when each model's circuit formed.

    Goes on where it was interrupted. The tables are written beside the results, as formation_*.csv, with a figure for
    each model in formation.html.
    """
    from circuits.formation import PROBE, check_level, formation_of
    from probe.batch.results import results as results_of
    from probe.batch.run import RunError
    from probe.batch.run import run as run_batch
    from probe.batch.schema import load_batch

    with errors_in_words(also=RunError), notes_shown():
        check_level(level)  # before hours are spent
        asked_for = load_batch(batch)
        if PROBE not in {spec.build().name for spec in asked_for.probes}:
            raise ValueError(f"probes: {asked_for.name} has no {PROBE}; expected final_circuit and {PROBE} among them")
        folder = run_batch(asked_for, out, workers=workers)
        formed = formation_of(results_of(folder), level)
        table = new_table("model", "edges", "memorized", "circuit faithful", "generalized", "entered before")
        for row in formed.models.to_dict("records"):
            dates = (_date(row[name]) for name in ("memorized_step", "faithful_step", "generalized_step"))
            share = row["before_generalizing"]
            table.add_row(row["model"], f"{row['edges']:,}", *dates, "unknown" if share != share else f"{share:.0%}")
        console().print(table)
        typer.echo(
            f"Training steps; faithful: at least {level:g} from there on, above random circuits. Entered before: edges"
            " of the final circuit that were in the circuit found at every step since before the model generalized."
        )
        typer.echo(f"Tables and figures: {_write(formed, folder)}")


app.command()(view)
app.command()(export)


def _print_comparison(paths: list[str], loaded: "list[Circuit]") -> None:
    table = new_table("circuit", "edges", *(str(number) for number in range(1, len(paths) + 1)), text=("circuit",))
    for number, (path, one) in enumerate(zip(paths, loaded, strict=True), start=1):
        table.add_row(f"{number} {path}", f"{one.n_edges:,}", *(f"{one.jaccard(other):.3f}" for other in loaded))
    console().print(table)
    typer.echo("Jaccard: edges in both, of those in either.")
    shared = loaded[0]
    for other in loaded[1:]:
        shared = shared & other
    typer.echo(f"\nIn all: {shared.n_edges:,} edges")
    _print_edges(shared)
    for path, one in zip(paths, loaded, strict=True):
        alone = one
        for other in loaded:
            if other is not one:
                alone = alone - other
        typer.echo(f"\nIn {path} alone: {alone.n_edges:,} edges")
        _print_edges(alone)


def _print_edges(circuit: "Circuit", limit: int = 20) -> None:
    for (edge, score_), _ in zip(circuit.edges(), range(limit), strict=False):
        typer.echo(f"  {edge!s}  {score_:+.4g}")
    if circuit.n_edges > limit:
        typer.echo(f"  and {circuit.n_edges - limit:,} more")


def _date(step: float) -> str:
    return "not seen" if step != step else f"{step:,.0f}"


def _write(formed: "Formation", folder: str) -> str:
    """Tables and figures beside the results of a run; where they are."""
    from plotly.offline import get_plotlyjs

    from probe import storage

    for name in ("steps", "edges", "models"):
        data = getattr(formed, name).to_csv(index=False).encode()
        storage.write_atomically(f"{folder}/formation_{name}.csv", data)
    figures = [
        formed.figure(model).to_html(include_plotlyjs=False, full_html=False) for model in formed.models["model"]
    ]
    page = (
        f'<!doctype html><meta charset="utf-8"><title>Formation of circuits</title><script>{get_plotlyjs()}</script>'
        + "\n".join(figures)
    )
    place = f"{folder}/formation.html"
    storage.write_atomically(place, page.encode())
    return place


def main() -> None:
    """Entry point of the command ``circuits``."""
    sys.path.append(os.getcwd())  # last, for probes that a batch names as module:Name and that lie beside it
    app()
