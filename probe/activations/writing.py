"""What is kept of a checkpoint, batch by batch, into the store: examples as they are, or what they are reduced to."""

from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probe.activations.capture_store import GroupWriter
from probe.activations.planning import Plan
from probe.activations.positions import ABSENT
from probe.activations.reductions import Reduction, reduction
from probe.activations.streaming import Captured

WRITTEN_BEHIND = 1
"""Chunks that may be on their way to the disk while the model fills the next."""


def write_examples(writer: GroupWriter, pieces: Iterable[Captured], plan: Plan) -> None:
    """Batches into buffers, and full buffers into the store from another thread, while the model goes on."""
    n, chunk = len(plan.inputs), plan.chunk
    sites = list(plan.selection.layouts)
    for site in sites:
        writer.create(site, (n, *plan.shape(site)), plan.dtype(site), ("example", *plan.dims(site)), chunk)
    made = 0
    free: deque[dict[str, Tensor]] = deque()
    written: deque[tuple[Future[None], dict[str, Tensor]]] = deque()

    def buffers(device: torch.device) -> dict[str, Tensor]:
        """Some that are free, once the oldest that are not have been written."""
        nonlocal made
        if not free and made > WRITTEN_BEHIND:
            future, into = written.popleft()
            future.result()
            free.append(into)
        if free:
            return free.popleft()
        made += 1
        pinned = device.type == "cuda"  # so that the copy from the device does not keep the model waiting
        return {
            site: torch.empty(
                (min(chunk, n), *plan.shape(site)), dtype=getattr(torch, plan.dtype(site)), pin_memory=pinned
            )
            for site in sites
        }

    into: dict[str, Tensor] = {}
    start = 0
    with ThreadPoolExecutor(1, "grokscope-writer") as thread:
        for piece in pieces:
            device = next(iter(piece.activations.values())).device
            into = into or buffers(device)
            stop = piece.examples.stop
            for site, activation in piece.activations.items():
                _copy(into[site][piece.examples.start - start : stop - start], activation, site)
            if stop - start == chunk or stop == n:
                copied = _recorded(device)
                written.append((thread.submit(_write, writer, into, start, stop, copied), into))
                start, into = stop, {}
        for future, _ in written:
            future.result()


def _copy(into: Tensor, activation: Tensor, site: str) -> None:
    if into.dtype == torch.float16 and activation.dtype != torch.float16:
        largest = activation.where(activation.isfinite(), 0).abs().max()
        if largest.half() >= torch.finfo(torch.float16).max:  # also what is rounded up to it: it means a lost chunk
            raise ValueError(f"dtype: {site} reaches {largest:.3g}, which float16 cannot hold; use float32")
    into.copy_(activation, non_blocking=True)


def _recorded(device: torch.device) -> "torch.cuda.Event | None":
    """What tells when the copies from a GPU that were asked for so far have arrived."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()
    event.record()
    return event


def _write(writer: GroupWriter, buffers: Mapping[str, Tensor], start: int, stop: int, copied: Any) -> None:
    if copied is not None:
        copied.synchronize()
    for site, buffer in buffers.items():
        writer.write(site, start, buffer[: stop - start].numpy())


def _present(samples: Tensor, plan: Plan, examples: slice, site: str) -> Tensor:
    """Which samples there are, [example, kept, ...] with axes of length 1 behind, but for keys."""
    kept = torch.as_tensor(plan.selection.positions.index[examples] != ABSENT, device=samples.device)
    present = kept.reshape(*kept.shape, *[1] * (samples.ndim - 2))
    if plan.selection.layouts[site].dims[-1] != "key":
        return present
    keys = np.arange(samples.shape[-1]) < plan.inputs.lengths[examples, None]
    return present & torch.as_tensor(keys, device=samples.device)[:, None, None]


def write_reduced(writer: GroupWriter, pieces: Iterable[Captured], plan: Plan) -> None:
    """Every site's reduction, fed batch by batch and written at the end."""
    assert plan.form.reduce is not None
    layouts, positions = plan.selection.layouts, plan.selection.positions
    sums: dict[str, Reduction] = {site: reduction(plan.form.reduce) for site in layouts}
    pooled = plan.form.over == "position"
    for piece in pieces:
        for site, activation in piece.activations.items():
            samples, first = activation[:, None] if positions.single else activation, piece.examples.start
            present = _present(samples, plan, piece.examples, site)
            if pooled:
                samples, present = (part.flatten(0, 1)[:, None] for part in (samples, present))
                first *= positions.n_kept
            sums[site].add(samples, present, first)
    one_place = pooled or positions.single
    for site, layout in layouts.items():
        for suffix, (dims, values) in sums[site].result(layout).items():
            values, dims = (values[0], dims) if one_place else (values, ("position", *dims))
            if suffix != ".sample":
                writer.write_whole(f"{site}{suffix}", values, dims)
                continue
            # which example, and at which of its positions
            example, kept = np.divmod(values, positions.n_kept) if pooled else (values, values * 0)
            writer.write_whole(f"{site}.example", np.where(values < 0, ABSENT, example), dims)
            if pooled:
                position = positions.index[example, kept]
                writer.write_whole(f"{site}.position", np.where(values < 0, ABSENT, position), dims)
