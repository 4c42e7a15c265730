"""The graphs of a suite's models, told from what the models are, without their weights."""

import threading
from contextlib import AbstractContextManager

import torch

from circuits.graph import Graph
from probe.suites.suite import Model
from probe.suites.trained import TrainedModel


class Graphs:
    """Of each model that was asked for, once: a published model takes seconds to be made."""

    def __init__(self) -> None:
        self._found: dict[str, Graph | str] = {}
        self._lock = threading.Lock()

    def of(self, model: Model) -> Graph:
        """
        Raises:
            ValueError: edges of the model cannot be told apart; the message says why.
        """
        with self._lock:
            if model.name not in self._found:
                self._found[model.name] = _graph_or_why(model)
            found = self._found[model.name]
        if isinstance(found, str):
            raise ValueError(found)
        return found


def _graph_or_why(model: Model) -> Graph | str:
    try:
        with _without_values(model):
            return Graph.of(model.skeleton())
    except ValueError as error:
        return str(error)


def _without_values(model: Model) -> AbstractContextManager[object]:
    """Within it, a model is made without memory for its weights."""
    if isinstance(model, TrainedModel):
        return torch.device("meta")
    # a bridge reads its own weights, which meta tensors do not let it; this takes more than a second to be imported
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=True)
