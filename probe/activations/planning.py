"""What a capture will be, before anything is read: of every model which arrays, of what size, in what chunks."""

import hashlib
import importlib.metadata
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from probe.activations.inputs import Inputs
from probe.activations.reductions import OVER, bytes_reduced, check_reduction, reduction
from probe.activations.selection import Selection
from probe.activations.streaming import Request

if TYPE_CHECKING:
    from probe.suites import Checkpoint
    from probe.suites.suite import Model

CHUNK_BYTES = 1 << 24
"""About how large a chunk of one site gets: large enough to be written fast, small enough to read one position of."""
HELD_BYTES = 1 << 25
"""About how much of all sites is held before it is written."""
RECORDED = ("grokscope", "torch", "transformers", "transformer-lens", "zarr")


@dataclass(frozen=True)
class Form:
    """In what form activations are stored; the fields are those of ``capture``."""

    reduce: str | None
    over: str
    dtype: str | None

    def __post_init__(self) -> None:
        if self.dtype not in (None, "float16", "float32"):
            raise ValueError(
                f"dtype: got {self.dtype!r}; expected 'float16', 'float32', or None for what the model computes"
            )
        if self.over not in OVER:
            raise ValueError(f"over: got {self.over!r}; expected {' or '.join(map(repr, OVER))}")
        if self.reduce is not None:
            reduction(self.reduce)
        elif self.over != "example":
            raise ValueError(f"over: got {self.over!r}, which means nothing without reduce")


@dataclass(frozen=True, eq=False)
class Plan:
    """What each checkpoint of one model is captured as.

    Attributes:
        inputs: as the model reads them.
        selection: what is kept.
        form: in what form.
        batch: examples in a forward pass.
    """

    inputs: Inputs
    selection: Selection
    form: Form
    batch: int

    @classmethod
    def of(cls, model: "Model", request: Request, form: Form) -> "Plan":
        """
        Raises:
            ValueError: the model lacks something that was asked for, or it has no meaning for one of its sites.
        """
        inputs = request.inputs(model)
        selection = request.selection(model, inputs)
        if form.reduce is not None:
            check_reduction(form.reduce, selection.layouts)
        return cls(inputs, selection, form, request.examples_per_batch(model, inputs, selection.layouts))

    def dtype(self, site: str) -> str:
        """Stored type of a site: zarr has no bfloat16, and nothing is gained by storing more than float32."""
        computed = self.selection.layouts[site].dtype
        return self.form.dtype or ("float16" if computed == torch.float16 else "float32")

    def shape(self, site: str) -> tuple[int, ...]:
        """What is kept of one example."""
        positions = self.selection.positions
        return (*(() if positions.single else (positions.n_kept,)), *self.selection.layouts[site].shape)

    def dims(self, site: str) -> tuple[str, ...]:
        """Names of the axes of what is kept of one example."""
        return (*(() if self.selection.positions.single else ("position",)), *self.selection.layouts[site].dims)

    @property
    def chunk(self) -> int:
        """Examples that are written at once: some batches, and about as many each time."""
        sizes = [self._bytes_per_example(site) for site in self.selection.layouts]
        fits = max(self.batch, min(CHUNK_BYTES // max(sizes), HELD_BYTES // sum(sizes)))
        n_chunks = math.ceil(len(self.inputs) / fits)
        return math.ceil(len(self.inputs) / n_chunks / self.batch) * self.batch

    @property
    def bytes(self) -> int:
        """Bytes that one checkpoint takes in the store."""
        layouts, reduce = self.selection.layouts, self.form.reduce
        if reduce is None:
            stored = math.ceil(len(self.inputs) / self.chunk) * self.chunk  # the last chunk is as large as the others
            return sum(stored * self._bytes_per_example(site) for site in layouts)
        n_places = 1 if self.form.over == "position" else self.selection.positions.n_kept
        return sum(n_places * bytes_reduced(reduce, layout) for layout in layouts.values())

    def _bytes_per_example(self, site: str) -> int:
        return math.prod(self.shape(site)) * np.dtype(self.dtype(site)).itemsize


def plans_of(checkpoints: Sequence["Checkpoint"], request: Request, form: Form) -> dict[str, Plan]:
    """A plan for each model, all of them for the same tokens.

    Raises:
        ValueError: as ``Plan.of``; or two models read the same texts as different tokens.
    """
    plans: dict[str, Plan] = {}
    for checkpoint in checkpoints:
        name = checkpoint.model.name
        if name in plans:
            continue
        plans[name] = Plan.of(checkpoint.model, request, form)
        first = next(iter(plans))
        if plans[name].inputs.digest != plans[first].inputs.digest:
            raise ValueError(
                f"inputs: {name} reads these texts as other tokens than {first}; capture them apart, with models="
            )
    if not plans:
        raise ValueError("steps: the suite has no checkpoint to capture")
    return plans


def described(request: Request, plan: Plan) -> dict[str, Any]:
    """What decides the numbers of a capture, by field; and by what versions they were made.

    Which matrices a projection has depends on the model: a group says it of itself.
    """
    metric = request.gradient_of
    return {
        "inputs": plan.inputs.digest,
        "answers": None if metric is None else plan.inputs.answers_digest,
        "sites": list(request.sites),
        "positions": plan.selection.positions.name,
        "single_position": plan.selection.positions.single,
        "heads": None if request.heads is None else [int(head) for head in request.heads],
        "project": request.project is not None,
        "reduce": plan.form.reduce,
        "over": plan.form.over,
        "gradient_of": metric if metric is None or isinstance(metric, str) else _named(metric),
        "dtype": plan.form.dtype,
        "versions": {name: importlib.metadata.version(name) for name in RECORDED},
    }


def _named(function: Callable[..., Any]) -> str:
    """A function's name and what tells its code, and what it encloses, from others of that name."""
    code = getattr(function, "__code__", None)
    if code is None:
        return repr(function)
    enclosed = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    told = repr((_told(code), enclosed, getattr(function, "__defaults__", None)))
    return f"{function.__qualname__} {hashlib.sha256(told.encode()).hexdigest()[:16]}"


def _told(code: CodeType) -> tuple[Any, ...]:
    """What a function does, without where in memory it is."""
    constants = tuple(_told(part) if isinstance(part, CodeType) else part for part in code.co_consts)
    return code.co_code, constants, code.co_names
