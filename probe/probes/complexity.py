"""How complex a network is by other accounts than Fourier structure: learning coefficient, curvature, regions."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from probe.activations.sites import match_sites
from probe.measures import complexity
from probe.measures.complexity.learning_coefficient import SHORTEST_TUNING
from probe.probes.algorithm import from_embeddings
from probe.probes.base import Observation, Probe, Row, check_argument
from probe.tasks import NOT_SCORED, Task


@dataclass(frozen=True)
class Complexity(Probe):
    """Local learning coefficient and largest curvature of the training loss; how many linear mappings the MLP is.

    The learning coefficient is sampled by ``n_chains`` chains of ``burn_in + n_draws`` steps, each of which takes a
    pass over the training data and its gradient: seconds to minutes for a checkpoint. It is defined at a minimum of the
    loss; before the model has memorized it is a number without that meaning. ``llc_r_hat`` above 1.1 says that the
    chains are too short. Regions: the patterns of active neurons that occur, counted and as 2^entropy. The linear
    mapping number is that of the network between the embeddings of ``n_inputs`` questions, the same at every step.
    """

    n_inputs: int = 24
    n_chains: int = 4
    burn_in: int = 200
    n_draws: int = 200
    gamma: float = 100.0

    name: ClassVar[str] = "complexity"
    sites: ClassVar[tuple[str, ...]] = ("blocks.*.mlp.hook_pre",)

    def __post_init__(self) -> None:
        check_argument(self.n_inputs >= 2, "n_inputs", self.n_inputs, "at least 2, between which there is a line")
        check_argument(self.n_chains >= 2, "n_chains", self.n_chains, "at least 2, for an interval")
        expected = f"at least {SHORTEST_TUNING}, to find a step size in"
        check_argument(self.burn_in >= SHORTEST_TUNING, "burn_in", self.burn_in, expected)
        check_argument(self.n_draws >= 4, "n_draws", self.n_draws, "at least 4")
        check_argument(0 < self.gamma < math.inf, "gamma", self.gamma, "a number above 0")

    def check(self, task: Task) -> None:
        if (task.tokens[:, 2:] != task.tokens[0, 2:]).any():
            raise ValueError(
                "the task's questions differ in more than their first two tokens, so that the network is no function of"
                " two operands"
            )
        n_trained = int(task.train_mask.sum())
        if n_trained < 2:
            raise ValueError(f"the task trains on {n_trained} of its questions; a learning coefficient takes 2 or more")

    def measure(self, observation: Observation) -> Iterator[Row]:
        layers = [observation.activations[site] for site in match_sites(self.sites, observation.activations)]
        if not all(layer.isfinite().all() for layer in layers):
            return
        regions = complexity.activation_regions(layers)
        yield Row("regions", regions.count, "mlp")
        yield Row("effective_regions", regions.effective, "mlp")
        model, task = observation.model, observation.task
        operands = torch.as_tensor(task.tokens[:: max(1, len(task.tokens) // self.n_inputs)][: self.n_inputs, :2])
        network, embedded = from_embeddings(observation), observation.weights["embed.W_E"][operands]
        straight = complexity.linear_connectivity(network, embedded)
        yield Row("linear_mapping_number", complexity.linear_mapping_number(straight), "logits")
        module = cast("torch.nn.Module", model)  # ours and a bridge both are
        trained = torch.as_tensor(task.train_mask)
        scored = list(task.scored)
        tokens, targets = torch.as_tensor(task.tokens)[trained], torch.as_tensor(task.targets[:, scored])[trained]
        weights = {name: weight.detach() for name, weight in model.named_parameters()}

        def loss(weights: Mapping[str, Tensor]) -> Tensor:
            logits = torch.func.functional_call(module, dict(weights), (tokens,))
            return F.cross_entropy(logits[:, scored].double().flatten(0, 1), targets.flatten(), ignore_index=NOT_SCORED)

        yield Row("hessian_top", complexity.hessian_top_eigenvalues(loss, weights)[0].item(), "loss")
        found = complexity.local_learning_coefficient(
            loss,
            weights,
            len(tokens),
            gamma=self.gamma,
            n_chains=self.n_chains,
            burn_in=self.burn_in,
            n_draws=self.n_draws,
        )
        yield Row("llc", found.estimate, "loss")
        yield Row("llc_low", found.low, "loss")
        yield Row("llc_high", found.high, "loss")
        yield Row("llc_r_hat", max(found.r_hat, found.r_hat_distance), "loss")
