"""Clock or pizza: by which algorithm a network adds (Zhong et al. 2023, arXiv 2306.17844)."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from probe.activations.sites import LOGITS
from probe.measures import algorithm
from probe.measures.intervals import bootstrap_interval
from probe.probes.base import Observation, Probe, Row, check_argument, check_cyclic
from probe.probes.fourier import keys_of
from probe.tasks import Task


@dataclass(frozen=True)
class Algorithm(Probe):
    """Gradient symmetricity, distance irrelevance, circularity, and explained variance as clock and as pizza.

    For operations whose two operands play the same part (sums and products). Symmetricity carries a bootstrap interval
    over ``n_triples``. A number that does not exist (irrelevance where the right logit is the same everywhere) is left
    out.
    """

    n_triples: int = 100

    name: ClassVar[str] = "algorithm"
    sites: ClassVar[tuple[str, ...]] = (LOGITS,)
    needs: ClassVar[tuple[str, ...]] = ("key_frequencies",)

    def __post_init__(self) -> None:
        check_argument(self.n_triples >= 2, "n_triples", self.n_triples, "at least 2, for an interval")

    def check(self, task: Task) -> None:
        check_cyclic(task)
        form = task.cyclic_form
        assert form is not None
        if (form.a != form.b).any():
            raise ValueError(
                "the task's operands do not play the same part, so that symmetricity says nothing of its algorithm"
            )

    def measure(self, observation: Observation) -> Iterator[Row]:
        if not observation.says_something:
            return
        form = observation.task.cyclic_form
        assert form is not None
        embedding = observation.weights["embed.W_E"][torch.as_tensor(form.a)]
        yield Row("circularity", algorithm.circularity(embedding), "embed.W_E")
        with suppress(ValueError):  # the right logit is the same for all inputs
            yield Row("distance_irrelevance", algorithm.distance_irrelevance(observation.cube), LOGITS)
        triples = algorithm.symmetricity_triples(form.order, self.n_triples)
        with suppress(ValueError):  # a gradient that is zero has no direction
            network, answers = from_embeddings(observation), torch.as_tensor(form.c)
            each = algorithm.gradient_symmetricity_each(lambda x: network(x)[:, answers], embedding, triples)
            interval = bootstrap_interval(each, "mean")
            yield Row("gradient_symmetricity", interval.estimate, LOGITS)
            yield Row("gradient_symmetricity_low", interval.low, LOGITS)
            yield Row("gradient_symmetricity_high", interval.high, LOGITS)
        keys = [k for k in keys_of(observation) if 2 * k != form.order]
        if keys:
            yield Row("clock_fve", algorithm.clock_fve(observation.cube, keys), LOGITS)
            yield Row("pizza_fve", algorithm.pizza_fve(observation.cube, keys), LOGITS)


def from_embeddings(observation: Observation) -> Callable[[Tensor], Float[Tensor, "n answer"]]:
    """The network as a function of its two operands' embeddings [n, 2, d_model], to the logits of all answers."""
    model, task = observation.model, observation.task
    question = torch.as_tensor(task.tokens[:1])

    def logits(operands: Float[Tensor, "n 2 d_model"]) -> Float[Tensor, "n answer"]:
        def put_in(embedded: Tensor, hook: object) -> Tensor:
            return torch.cat([operands.to(embedded.dtype), embedded[:, 2:]], dim=1)

        found = model.run_with_hooks(question.expand(len(operands), -1), fwd_hooks=[("hook_embed", put_in)])
        return found[:, task.answer_positions[0], task.answer_tokens]

    return logits
