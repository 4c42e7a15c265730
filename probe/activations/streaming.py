"""Checkpoints through their inputs, batch by batch, what is kept of each handed on and nothing held."""

import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from probe.activations.forward import Batch, Metric, answer_loss, default_batch_size, give_back, reading
from probe.activations.inputs import Inputs
from probe.activations.layout import Layout, layouts
from probe.activations.positions import Positions
from probe.activations.selection import Project, Selection
from probe.activations.sites import stop_layer
from probe.device import device_here

if TYPE_CHECKING:
    from probe.suites import Checkpoint, Suite
    from probe.suites.hooked import HookedModel
    from probe.suites.suite import Model

METRICS: Mapping[str, Metric] = {"loss": answer_loss}
"""Metrics by name whose gradient can be captured."""


@dataclass(frozen=True, eq=False)
class Captured:
    """What is kept of some examples of one checkpoint.

    Attributes:
        checkpoint: whose it is.
        examples: which examples.
        activations: by site, [example, position, ...], or [example, ...] if a single position is kept; gradients as
            ``<site>.grad``. ``nan`` where an example has no such position.
    """

    checkpoint: "Checkpoint"
    examples: slice
    activations: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be captured, whichever the model: see ``stream`` for the fields."""

    given: Any
    sites: Sequence[str]
    positions: Any
    heads: Sequence[int] | None
    project: Project | None
    gradient_of: str | Metric | None
    batch_size: int | None
    device: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "sites", [self.sites] if isinstance(self.sites, str) else list(self.sites))
        if isinstance(self.given, Iterator):
            object.__setattr__(self, "given", list(self.given))  # each model reads them
        if not self.sites or not all(isinstance(site, str) for site in self.sites):
            got = self.sites or "none"
            raise ValueError(f"sites: got {got}; expected hook names or patterns, such as 'blocks.*.hook_resid_post'")
        named = isinstance(self.gradient_of, str) and self.gradient_of in METRICS
        if self.gradient_of is not None and not named and not callable(self.gradient_of):
            raise ValueError(
                f"gradient_of: got {self.gradient_of!r}; expected {', '.join(map(repr, METRICS))},"
                " or a function of logits and batch"
            )
        if self.batch_size is not None and (type(self.batch_size) is not int or self.batch_size < 1):
            raise ValueError(f"batch_size: got {self.batch_size!r}; expected a whole number, at least 1")

    @property
    def metric(self) -> Metric | None:
        return METRICS[self.gradient_of] if isinstance(self.gradient_of, str) else self.gradient_of

    def inputs(self, model: "Model") -> Inputs:
        """The inputs as a model reads them."""
        return Inputs.of(self.given, model)

    def selection(self, model: "Model", inputs: Inputs) -> Selection:
        """What is kept of a model's activations; its weights are not read.

        Raises:
            ValueError: the model lacks a site or head, an example a position, or a projection does not fit.
        """
        found = layouts(model, self.sites, inputs, gradients=self.metric is not None)
        return Selection.of(found, Positions.of(self.positions, inputs), self.heads, self.project, model.name)

    def examples_per_batch(self, model: "Model", inputs: Inputs, found: Mapping[str, Layout]) -> int:
        to_logits = self.metric is not None or stop_layer(found, 1 << 30) is None
        size = default_batch_size(inputs.tokens.shape[1], model.d_vocab, self.device, to_logits=to_logits)
        return min(self.batch_size or size, len(inputs))


def check_suite(suite: object) -> None:
    """
    Raises:
        ValueError: it is no suite.
    """
    if not hasattr(suite, "checkpoints"):
        raise ValueError(f"suite: got {suite!r}; expected what probe.open_suite returns")


def stream(
    suite: "Suite",
    inputs: Any,
    sites: Sequence[str],
    *,
    models: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    positions: Any = "all",
    heads: Sequence[int] | None = None,
    project: Project | None = None,
    gradient_of: str | Metric | None = None,
    batch_size: int | None = None,
    device: str | None = None,
) -> Iterator[Captured]:
    """Activations of a suite batch by batch, checkpoint by checkpoint, for those who want no store.

    One model is in memory at a time, and one batch of what is kept of it.

    Args:
        suite: whose checkpoints.
        inputs: a Task, token ids, texts, or what a tokenizer returns.
        sites: hook names, or patterns over them (``blocks.*.hook_resid_post``).
        models: names; all, if not given.
        steps: training steps; all that a model has, if not given.
        positions: ``"all"``, ``"answer"``, ``"last"``, an index, a slice, or a mask [example, position].
        heads: kept of sites that have heads; all, if not given.
        project: [unit, k], onto which the last axis is projected: one for all sites, by site or pattern, or a function
            of model and site.
        gradient_of: ``"loss"`` (at the answer; of inputs without one, the mean over next tokens), or a function of
            logits [example, position, d_vocab] and batch to a number per example: its gradient comes as well.
        batch_size: examples in a forward pass; about 2,000 tokens (16,000 on a GPU), if not given.
        device: where the models run; a GPU where there is one, if not given.

    Raises:
        ValueError: something asked for is not there; the message says what there is.
    """
    request = Request(inputs, sites, positions, heads, project, gradient_of, batch_size, device_here(device))
    check_suite(suite)
    for checkpoint in suite.checkpoints(models, steps):
        read = request.inputs(checkpoint.model)
        yield from stream_checkpoint(checkpoint, request, read, request.selection(checkpoint.model, read))


def stream_checkpoint(
    checkpoint: "Checkpoint", request: Request, inputs: Inputs, selection: Selection
) -> Generator[Captured, None, None]:
    """One checkpoint's batches. When it ends, however it ends, the model's memory is given back."""
    device = request.device
    model = checkpoint.load(device)
    held = weakref.ref(model)
    try:
        yield from _batches(model, checkpoint, request, inputs, selection)
    finally:
        del model
        give_back(held, device)
        checkpoint.model.release(checkpoint.step)


def _batches(
    model: "HookedModel", checkpoint: "Checkpoint", request: Request, inputs: Inputs, selection: Selection
) -> Generator[Captured, None, None]:
    size = request.examples_per_batch(checkpoint.model, inputs, selection.layouts)
    with reading(model, selection.sites, request.metric) as read:
        for start in range(0, len(inputs), size):
            batch = Batch(inputs, slice(start, min(start + size, len(inputs))), request.device)
            found = read(batch)
            kept = {site: selection.kept(site, found.pop(site), batch) for site in selection.layouts}
            yield Captured(checkpoint, batch.examples, kept)
