"""Models that are at hand for a question: loaded, kept for the next one, and computing for one question at a time.

A question that nobody waits for any more is given up before the next layer of the forward pass that it is in.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from circuits.ablated_runs import EdgeAblation
from circuits.attribution import eap_ig
from circuits.graph import Graph
from circuits.metrics import NAMED
from circuits.pairs import Pairs
from circuits.pairs.tasks import some_pairs_from_task
from circuits.probes import CircuitFormation
from circuits.scores import EdgeScores
from circuits.viewer.wording import Shown, shown_by
from probe.suites import Checkpoint
from probe.tasks import Task

if TYPE_CHECKING:
    from probe.suites.hooked import HookedModel

T = TypeVar("T")

KEPT_MODELS = 4
"""Models that are kept loaded, with what was computed on them: those that were asked last."""
KEPT_PAIRS = 8
"""Tasks of which pairs are kept."""
LOOK_EVERY_S = 0.05


class Cancelled(Exception):
    """Nobody wants the answer any more."""


def never() -> bool:
    """For an answer that is wanted to the end."""
    return False


@lru_cache(maxsize=KEPT_PAIRS)
def pairs_of(task: Task, asked: CircuitFormation) -> Pairs:
    """The pairs that edges are scored on.

    Raises:
        ValueError: the task has none.
    """
    return some_pairs_from_task(task, asked.n_pairs, operand=asked.operand, subset=asked.subset, seed=asked.seed)


@dataclass(eq=False)
class Loaded:
    """A model at a step, and what is computed on it more than once.

    Attributes:
        checkpoint: which it is.
        model: in evaluation mode.
        asked: on which pairs edges are scored, and how.
    """

    checkpoint: Checkpoint
    model: "HookedModel"
    asked: CircuitFormation
    _told: dict[Callable[..., Any], Any] = field(default_factory=dict, init=False, repr=False)

    def once(self, what: Callable[["Loaded"], T]) -> T:
        """What a function says of this model, computed at the first time of asking: what is told of one node is mostly
        computed for all of them in one go."""
        if what not in self._told:
            self._told[what] = what(self)
        return self._told[what]

    @property
    def name(self) -> str:
        return self.checkpoint.model.name

    @property
    def step(self) -> int:
        return self.checkpoint.step

    @property
    def task(self) -> Task | None:
        """None where nothing says what the model was trained on."""
        return self.checkpoint.model.task

    @cached_property
    def show(self) -> Shown:
        return shown_by(self.checkpoint.model)

    @cached_property
    def graph(self) -> Graph:
        """
        Raises:
            ValueError: edges of this model cannot be told apart.
        """
        return Graph.of(self.model)

    @property
    def pairs(self) -> Pairs:
        """
        Raises:
            ValueError: there is no task, or it has no pairs.
        """
        return pairs_of(self.checkpoint.task, self.asked)

    @cached_property
    def scores(self) -> EdgeScores:
        """Of all edges, on each pair."""
        metric = NAMED[self.asked.metric]
        given: dict[str, Any] = {"steps": self.asked.steps, "ablation": self.asked.ablation}
        return eap_ig(self.model, self.pairs, metric, per_example=True, **given)

    @cached_property
    def ablation(self) -> EdgeAblation:
        return EdgeAblation(self.model, self.pairs, NAMED[self.asked.metric], ablation=self.asked.ablation)


class Live:
    """Loads models, and lends one to one question at a time.

    Args:
        device: on which they are.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._loaded: OrderedDict[tuple[str, int, CircuitFormation], Loaded] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def at(
        self, checkpoint: Checkpoint, asked: CircuitFormation, cancelled: Callable[[], bool] = never
    ) -> Iterator[Loaded]:
        """A model at a step, for as long as a question takes.

        Args:
            checkpoint: which.
            asked: how its edges are scored.
            cancelled: whether nobody wants the answer any more.

        Raises:
            ValueError: its weights are elsewhere, or damaged.
            Cancelled: nobody wants the answer any more; from within, before a layer is computed.
        """
        while not self._lock.acquire(timeout=LOOK_EVERY_S):
            if cancelled():
                raise Cancelled
        try:
            if cancelled():
                raise Cancelled
            loaded = self._take(checkpoint, asked)
            with _given_up(loaded.model, cancelled):
                yield loaded
        finally:
            self._lock.release()

    def _take(self, checkpoint: Checkpoint, asked: CircuitFormation) -> Loaded:
        key = checkpoint.model.name, checkpoint.step, asked
        if key not in self._loaded:
            if not checkpoint.model.at_hand(checkpoint.step):
                raise ValueError(
                    f"step: the weights of {checkpoint.model.name} at {checkpoint.step} are not on this disk; load"
                    f" them once, as probe.open_suite(...)[{checkpoint.model.name!r}, {checkpoint.step}].load() does"
                )
            while len(self._loaded) >= KEPT_MODELS:  # before there is one more in memory
                self._loaded.popitem(last=False)
            self._loaded[key] = Loaded(checkpoint, checkpoint.load(self._device), asked)
        self._loaded.move_to_end(key)
        return self._loaded[key]


@contextmanager
def _given_up(model: "HookedModel", cancelled: Callable[[], bool]) -> Iterator[None]:
    """Within it, a forward pass ends before the next layer once nobody wants it."""

    def look(*_: object) -> None:
        if cancelled():
            raise Cancelled

    sites = [f"blocks.{layer}.hook_resid_pre" for layer in range(model.cfg.n_layers)]
    points = [model.hook_dict[site] for site in sites if site in model.hook_dict]
    # torch's own hooks: those of the model are taken away by whoever runs it
    handles = [point.register_forward_pre_hook(look) for point in points]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
