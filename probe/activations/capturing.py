"""A capture from beginning to end: what it will take, every checkpoint into the store, the dataset at the end."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

from probe.activations.capture_store import CaptureStore
from probe.activations.dataset import as_dataset
from probe.activations.forward import Metric
from probe.activations.planning import Form, Plan, described, plans_of
from probe.activations.selection import Project
from probe.activations.streaming import Captured, Request, check_suite, stream_checkpoint
from probe.activations.writing import write_examples, write_reduced
from probe.device import device_here
from probe.progress import progress_shown
from probe.storage import readable_size
from probe.suites.integrity import earlier_twin, twin_warning

if TYPE_CHECKING:
    from probe.suites import Checkpoint, Suite


def capture(
    suite: "Suite",
    inputs: Any,
    sites: Sequence[str],
    *,
    models: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    positions: Any = "all",
    heads: Sequence[int] | None = None,
    project: Project | None = None,
    reduce: str | None = None,
    over: Literal["example", "position"] = "example",
    gradient_of: str | Metric | None = None,
    dtype: Literal["float16", "float32"] | None = None,
    out: str | Path | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Activations of a suite, labelled by model, step, example, position, head and unit, on disk as they come.

    Memory holds one model, one batch and what waits for the disk, whatever the number of examples, steps and models.
    Interrupted in any way, the same call goes on with the checkpoint that it was in.

    Args:
        suite: whose checkpoints.
        inputs: a Task, token ids, texts (read with the suite's tokenizer), or what a tokenizer returns. Padding is
            masked and never captured.
        sites: hook names, or patterns over them (``blocks.*.hook_resid_post``).
        models: names; all, if not given.
        steps: training steps; all that a model has, if not given.
        positions: ``"all"``, ``"answer"``, ``"last"``, an index, a slice, or a mask [example, position].
        heads: kept of sites that have heads; all, if not given.
        project: [unit, k], onto which the last axis is projected: one for all sites, by site or pattern, or a function
            of model and site.
        reduce: instead of the examples ``"mean"``, ``"covariance"`` (of the population, with the mean) or ``"gram"``
            (the sum of products) of the last axis, in float64; or ``"top-K"``, the K examples at which each unit is
            largest. Beside ``<site>`` there are then ``<site>.count`` (samples), ``.mean``, or ``.example`` and
            ``.position`` (-1 where there are fewer than K).
        over: what is reduced: ``"example"``, at each kept position, or ``"position"``, examples and positions alike.
        gradient_of: ``"loss"``, or a function of logits and batch to a number per example: its gradient at each site is
            captured as ``<site>.grad``.
        dtype: ``"float32"`` or ``"float16"``; as the model computes, if not given, but float32 for bfloat16.
        out: local folder or fsspec URL; in memory, if not given. A store refuses to go on with another request; it
            tells functions apart by their code and what they enclose, not by what they call.
        batch_size: examples in a forward pass; about 2,000 tokens (16,000 on a GPU), if not given.
        device: where the models run; a GPU where there is one, if not given.
        progress: whether progress and time left are shown on the error stream.

    Returns:
        What was asked for, as ``open_capture`` gives it: nothing is read before it is asked for. What the store holds
        of other models and steps is not in it.

    Raises:
        ValueError: something asked for is not there, the capture would not fit on the disk, or ``out`` holds another.
        OSError: the disk is full after all; what was captured is whole, and the same call goes on.
    """
    request = Request(inputs, sites, positions, heads, project, gradient_of, batch_size, device_here(device))
    form = Form(reduce, over, dtype)
    check_suite(suite)
    checkpoints = list(suite.checkpoints(models, steps))
    plans = plans_of(checkpoints, request, form)
    any_plan = next(iter(plans.values()))
    store = CaptureStore.in_memory() if out is None else CaptureStore.at(out)
    asked = described(request, any_plan)
    store.check(asked)
    finished = store.finished()
    todo = [checkpoint for checkpoint in checkpoints if not _is_there(finished, checkpoint, plans, store.address)]
    n_bytes = sum(plans[checkpoint.model.name].bytes for checkpoint in todo)
    _check_room(store, n_bytes)
    store.claim(asked, any_plan.inputs, any_plan.selection.positions.index)
    write = write_examples if reduce is None else write_reduced
    seen: dict[str, dict[str, int]] = {}
    for (name, step), about in finished.items():
        seen.setdefault(name, {}).setdefault(about["weights"], step)
    what = f"capturing {len(todo)} checkpoint(s), {readable_size(n_bytes)} to {store.address}"
    with progress_shown(what, 0, len(todo) * len(any_plan.inputs), progress and bool(todo)) as advance:
        for checkpoint in todo:
            plan = plans[checkpoint.model.name]
            with (
                store.writing(checkpoint.model.name, checkpoint.step) as writer,
                # when it is closed the model goes, whatever has happened
                closing(stream_checkpoint(checkpoint, request, plan.inputs, plan.selection)) as pieces,
            ):
                about = _about(checkpoint, plan)  # now, since afterwards its weights may have been given back
                twin = earlier_twin(checkpoint, seen.setdefault(checkpoint.model.name, {}))
                if twin is not None:
                    warnings.warn(twin_warning(checkpoint.model.name, checkpoint.step, twin), stacklevel=2)
                write(writer, _told(pieces, advance), plan)
                writer.finish(about)
    wanted = {(checkpoint.model.name, checkpoint.step) for checkpoint in checkpoints}
    return as_dataset(
        store, store.request() or asked, {key: about for key, about in store.finished().items() if key in wanted}
    )


def _told(pieces: Iterator[Captured], advance: Callable[[int, str], object]) -> Iterator[Captured]:
    """The pieces as they come; of each that has been dealt with, the progress is told."""
    for piece in pieces:
        yield piece
        name, step = piece.checkpoint.model.name, piece.checkpoint.step
        advance(piece.examples.stop - piece.examples.start, f"{name} at step {step:,}")


def _about(checkpoint: "Checkpoint", plan: Plan) -> dict[str, Any]:
    """What a group says of itself; JSON has no nan, so what is not known is null."""
    seen = checkpoint.tokens_seen
    return {
        "model": checkpoint.model.name,
        "step": checkpoint.step,
        "n_params": checkpoint.n_params,
        "tokens_seen": None if math.isnan(seen) else seen,
        "weights": checkpoint.digest,
        "projection": plan.selection.projection,
        "location": checkpoint.location,
    }


def _is_there(
    finished: Mapping[tuple[str, int], Mapping[str, Any]],
    checkpoint: "Checkpoint",
    plans: Mapping[str, Plan],
    address: str,
) -> bool:
    """Whether a checkpoint is captured.

    Raises:
        ValueError: it is, but of other weights, or projected otherwise.
    """
    about = finished.get((checkpoint.model.name, checkpoint.step))
    if about is None:
        return False
    if checkpoint.model.at_hand(checkpoint.step) and about["weights"] != checkpoint.digest:
        raise ValueError(
            f"out: {address} holds {checkpoint.model.name} at step {checkpoint.step} with other weights than"
            f" {checkpoint.location}; choose another, or delete its folder"
        )
    if about["projection"] != plans[checkpoint.model.name].selection.projection:
        raise ValueError(
            f"out: {address} holds {checkpoint.model.name} at step {checkpoint.step} projected otherwise; choose"
            " another, or delete its folder"
        )
    return True


def _check_room(store: CaptureStore, needed: int) -> None:
    free = store.free_bytes()
    if free is not None and needed > free:
        raise ValueError(
            f"out: the capture takes {readable_size(needed)} and {readable_size(free)} are free at {store.address};"
            " keep fewer sites, positions, heads, models or steps, store float16, project, or reduce"
        )
