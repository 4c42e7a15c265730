"""The answers to the front end's questions, of a run, which may still go on, or of a suite.

What a run has measured is read from its results table and its stored arrays; what takes a model is computed when it is
asked for (``circuits.viewer.live``). ``run`` looks at the folder anew; the other questions are answered from what was
there then, so that a page that asks ``run`` now and then follows a batch, and what it is told in between fits together.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import ValidationError

from circuits.graph import Graph
from circuits.viewer.edge_scores import history_of, stored_scores
from circuits.viewer.graphs import Graphs
from circuits.viewer.live.edge import Computed, computed_scores, edge_answer
from circuits.viewer.live.forward import forward_answer
from circuits.viewer.live.loaded import Live, Loaded, never
from circuits.viewer.live.node import node_answer
from circuits.viewer.live.operands import operands_map
from circuits.viewer.measured import curves_of
from circuits.viewer.messages import (
    QUESTIONS,
    Curves,
    EdgeAnswer,
    ForwardAnswer,
    History,
    Map,
    Message,
    NodeAnswer,
    OfEdge,
    OfModel,
    OfNode,
    OfPart,
    OfPrompt,
    OfStep,
    Run,
    Scores,
)
from circuits.viewer.opened import Opened, Seen
from circuits.viewer.overview import overview_of
from circuits.viewer.questions import operands_of
from circuits.viewer.stored_map import steps_map
from probe.batch.source import mistakes, written

Cancel = Callable[[], bool]

KEPT_COMPUTED = 256
"""Models at a step of which computed edge scores are kept."""


class Answers:
    """Answers of what is at an address.

    Args:
        opened: the run or the suite.
        device: on which models are computed.
    """

    def __init__(self, opened: Opened, device: str = "cpu") -> None:
        self._opened, self._graphs, self._live = opened, Graphs(), Live(device)
        self._computed: OrderedDict[tuple[str, int], Computed] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, address: str | Path, *, device: str = "cpu") -> "Answers":
        """
        Args:
            address: folder of a run, as ``probe run`` and ``circuits form`` leave it, or are still filling it; or of a
                suite, or a name on the hub, as ``probe.open_suite`` takes it.
            device: on which models are computed.

        Raises:
            ValueError: there is neither.
        """
        return cls(Opened(str(address)), device)

    def answer(self, name: str, parameters: Mapping[str, Any], cancelled: Cancel = never) -> Message:
        """The answer to a question. Several threads may ask at once; models compute for one of them at a time.

        Args:
            name: of the question, one of ``QUESTIONS``.
            parameters: as that says; numbers may be texts, as in an address.
            cancelled: whether nobody wants the answer any more; looked at before each layer of each forward pass.

        Raises:
            ValueError: there is no such question, model, step, node or edge, or a parameter cannot be; the message
                names the field, what was given and what was expected.
            circuits.viewer.live.loaded.Cancelled: nobody wants it any more.
        """
        if name not in QUESTIONS:
            raise ValueError(f"name: got {name!r}; expected one of {', '.join(QUESTIONS)}")
        kind = QUESTIONS[name][0]
        try:
            asked = kind.model_validate(dict(parameters))
        except ValidationError as error:
            said = "; ".join(f"{written(place)}: {what}" for place, what in mistakes(error, kind))
            raise ValueError(said) from error
        answered: Callable[[Seen, Any, Cancel], Message] = getattr(self, f"_{name}")
        return answered(self._opened.look(anew=name == "run"), asked, cancelled)

    def _run(self, seen: Seen, asked: Message, cancelled: Cancel) -> Run:
        return overview_of(seen, self._graphs.of)

    def _curves(self, seen: Seen, asked: OfModel, cancelled: Cancel) -> Curves:
        return curves_of(seen, asked.model)

    def _scores(self, seen: Seen, asked: OfStep, cancelled: Cancel) -> Scores:
        graph = self._graphs.of(seen.model(asked.model))
        if not seen.records_scores:
            return self._computed_at(seen, asked, cancelled).message(graph, asked.model, asked.step)
        scored = seen.scored.get(asked.model, [])
        values = self._opened.scores(asked.model, asked.step) if asked.step in scored else None
        if values is None:
            nearest = min(scored, key=lambda step: abs(step - asked.step), default=None)
            said = "it has none yet" if nearest is None else f"the nearest are at {nearest}"
            raise ValueError(f"step: {asked.model} has no edge scores at {asked.step}; {said}")
        return stored_scores(seen, graph, asked.model, asked.step, values)

    def _computed_at(self, seen: Seen, asked: OfStep, cancelled: Cancel) -> Computed:
        """Edge scores that the run did not store, computed at the first time of asking."""
        key = asked.model, asked.step
        with self._lock:
            found = self._computed.get(key)
        if found is None:
            with self._at(seen, asked, cancelled) as at:
                found = computed_scores(at)
        with self._lock:
            self._computed[key] = found
            self._computed.move_to_end(key)
            while len(self._computed) > KEPT_COMPUTED:
                self._computed.popitem(last=False)
        return found

    def _history(self, seen: Seen, asked: OfPart, cancelled: Cancel) -> History:
        graphs: dict[str, Graph] = {}
        for name in seen.suite.models:
            with suppress(ValueError):
                graphs[name] = self._graphs.of(seen.model(name))
        if seen.records_scores:
            return history_of(asked.name, graphs, seen.scored, self._opened.scores, seen.inside)
        with self._lock:
            computed = {key: found.values for key, found in self._computed.items()}
        steps = {name: sorted(step for model, step in computed if model == name) for name in graphs}

        def scores(model: str, step: int) -> Float[np.ndarray, "source destination"]:
            return computed[model, step]

        return history_of(asked.name, graphs, steps, scores, None)

    def _map(self, seen: Seen, asked: OfStep, cancelled: Cancel) -> Map:
        checkpoint = seen.suite[asked.model, asked.step]
        if checkpoint.model.task is None or operands_of(checkpoint.model.task) is None:
            return steps_map(seen, asked.model, asked.step)
        with self._at(seen, asked, cancelled) as at:
            return operands_map(at)

    def _node(self, seen: Seen, asked: OfNode, cancelled: Cancel) -> NodeAnswer:
        with self._at(seen, asked, cancelled) as at:
            return node_answer(at, asked)

    def _edge(self, seen: Seen, asked: OfEdge, cancelled: Cancel) -> EdgeAnswer:
        with self._at(seen, asked, cancelled) as at:
            return edge_answer(at, asked)

    def _forward(self, seen: Seen, asked: OfPrompt, cancelled: Cancel) -> ForwardAnswer:
        with self._at(seen, asked, cancelled) as at:
            return forward_answer(at, asked)

    def _at(self, seen: Seen, asked: OfStep, cancelled: Cancel) -> AbstractContextManager[Loaded]:
        return self._live.at(seen.suite[asked.model, asked.step], seen.asked, cancelled)
