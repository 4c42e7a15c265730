"""Langevin chains around given weights: SGLD (Welling & Teh 2011), and MALA (Roberts & Tweedie 1996), its exact form.

Target: exp(-U(u)), u = w - w*, U(u) = n beta L(w* + u) + gamma |u|^2 / 2. One step proposes

    u' = u - (step_size / 2) grad U(u) + sqrt(step_size) z,    z standard normal.

SGLD always goes there, so that what it samples differs from the target by an error of first order in the step size.
MALA goes there with probability min(1, exp(U(u) - U(u')) q(u | u') / q(u' | u)), and samples the target itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# Not the .574 at which MALA moves fastest in a regular minimum of many dimensions (Roberts & Rosenthal 1998): a
# degenerate one has arms that get narrower outwards, and steps of that size are hardly ever accepted in them.
TARGET_ACCEPTANCE = 0.9
# with minibatches the acceptance costs a second gradient, so it is looked at every so many steps
CHECK_EVERY = 10
_HALVINGS = 200


@dataclass(frozen=True)
class Place:
    """Where the chains are: u, L, grad U."""

    offset: Float[Tensor, "chain weight"]
    loss: Float[Tensor, " chain"]
    slope: Float[Tensor, "chain weight"]


@dataclass(frozen=True)
class Target:
    """What is sampled. The losses are functions of the examples they are of: None for those that are always of all.

    ``base`` is L(w*) on the very examples of the chains' losses, so that the noise of their choice cancels.
    """

    center: Float[Tensor, " weight"]
    loss_and_gradient: Callable[[Float[Tensor, "chain weight"], Tensor | None], tuple[Tensor, Tensor]]
    base: Callable[[Tensor | None], Tensor]
    draw_examples: Callable[[], Int[Tensor, "chain example"]] | None
    n_beta: float
    gamma: float

    def at(self, offset: Float[Tensor, "chain weight"], examples: Tensor | None) -> Place:
        loss, gradient = self.loss_and_gradient(self.center + offset, examples)
        return Place(offset, loss.to(torch.float64), self.n_beta * gradient + self.gamma * offset)


@dataclass(frozen=True)
class Chains:
    """``energy``: n beta (L(w) - L(w*)), and ``radius2``: gamma |u|^2, before each step, burn-in included;
    ``acceptance``: its mean after the burn-in; ``diverged``: at any step."""

    energy: Float[Tensor, "chain step"]
    radius2: Float[Tensor, "chain step"]
    acceptance: Float[Tensor, " chain"]
    diverged: Bool[Tensor, " chain"]
    step_size: float


class _Record:
    """What is kept of each step, to end as `Chains`."""

    def __init__(self, target: Target, n_chains: int, burn_in: int, n_draws: int) -> None:
        zeros = torch.zeros(n_chains, burn_in + n_draws, dtype=torch.float64, device=target.center.device)
        self.target, self.burn_in = target, burn_in
        self.energy, self.radius2 = zeros, zeros.clone()
        self.accepted: list[Float[Tensor, " chain"]] = []

    def place(self, step: int, here: Place, examples: Tensor | None) -> None:
        self.energy[:, step] = self.target.n_beta * (here.loss - self.target.base(examples))
        self.radius2[:, step] = self.target.gamma * here.offset.square().sum(1, dtype=torch.float64)

    def acceptance(self, step: int, probability: Float[Tensor, " chain"]) -> None:
        if step >= self.burn_in:
            self.accepted.append(probability)

    def chains(self, step_size: float) -> Chains:
        near = self.radius2 < largest_radius2(len(self.target.center))
        diverged = ~(near & self.energy.isfinite()).all(1)
        return Chains(self.energy, self.radius2, torch.stack(self.accepted).mean(0), diverged, step_size)


def sgld(
    target: Target, n_chains: int, burn_in: int, n_draws: int, step_size: float, generator: torch.Generator
) -> Chains:
    """Chains side by side from w*, on new examples at every step where the target draws any."""
    record = _Record(target, n_chains, burn_in, n_draws)
    offset = target.center.new_zeros(n_chains, len(target.center))
    for step in range(burn_in + n_draws):
        examples = target.draw_examples() if target.draw_examples is not None else None
        here = target.at(offset, examples)
        record.place(step, here, examples)
        kick = _noise(offset, generator)
        offset = propose(here, kick, step_size)
        if (step - burn_in) % CHECK_EVERY == 0:
            there = target.at(offset, examples)
            record.acceptance(step, acceptance_probability(target, here, there, kick, step_size))
    return record.chains(step_size)


def mala(
    target: Target, n_chains: int, burn_in: int, n_draws: int, step_size: float | None, generator: torch.Generator
) -> Chains:
    """Chains side by side from w*. With no ``step_size`` the burn-in finds one, the same for all chains."""
    record = _Record(target, n_chains, burn_in, n_draws)
    here = target.at(target.center.new_zeros(n_chains, len(target.center)), None)
    tuning = _Tuning(target, here, burn_in, generator) if step_size is None else None
    for step in range(burn_in + n_draws):
        if tuning is not None:
            step_size = tuning.step_size(step)
        assert step_size is not None
        record.place(step, here, None)
        kick = _noise(here.offset, generator)
        there = target.at(propose(here, kick, step_size), None)
        probability = acceptance_probability(target, here, there, kick, step_size)
        record.acceptance(step, probability)
        if tuning is not None and step < burn_in:
            tuning.learn(step, probability)
        uniform = torch.rand(n_chains, generator=generator, dtype=torch.float64, device=here.offset.device)
        moves = uniform < probability
        here = Place(
            torch.where(moves[:, None], there.offset, here.offset),
            torch.where(moves, there.loss, here.loss),
            torch.where(moves[:, None], there.slope, here.slope),
        )
    assert step_size is not None
    return record.chains(step_size)


def propose(here: Place, kick: Float[Tensor, "chain weight"], step_size: float) -> Float[Tensor, "chain weight"]:
    return here.offset - step_size / 2 * here.slope + math.sqrt(step_size) * kick


def acceptance_probability(
    target: Target, here: Place, there: Place, kick: Float[Tensor, "chain weight"], step_size: float
) -> Float[Tensor, " chain"]:
    """min(1, exp(U(u) - U(u')) q(u | u') / q(u' | u)) of the step that ``kick`` gave; 0 where it is not finite."""

    def dot(a: Tensor, b: Tensor) -> Float[Tensor, " chain"]:
        return (a * b).sum(1, dtype=torch.float64)

    # differences are taken before they are summed: in float32, sums over many weights would drown them
    rise = target.n_beta * (there.loss - here.loss)
    rise = rise + target.gamma / 2 * dot(there.offset - here.offset, there.offset + here.offset)
    slopes = here.slope + there.slope
    log_ratio = -rise - step_size / 8 * dot(slopes, slopes) + math.sqrt(step_size) / 2 * dot(slopes, kick)
    return log_ratio.clamp(max=0).exp().nan_to_num(nan=0.0)


def largest_radius2(d: int) -> float:
    """gamma |u|^2 beyond which a chain has run away: were the loss flat, it would be a chi^2 of d degrees of freedom,
    larger than this with probability below exp(-50) (Laurent & Massart 2000, lemma 1)."""
    return d + 2 * math.sqrt(50 * d) + 100


def _noise(like: Float[Tensor, "chain weight"], generator: torch.Generator) -> Float[Tensor, "chain weight"]:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


class _Tuning:
    """Robbins-Monro on the logarithm of the step size; after the burn-in, its mean over the burn-in's second half."""

    def __init__(self, target: Target, here: Place, burn_in: int, generator: torch.Generator) -> None:
        self.half, self.burn_in = burn_in // 2, burn_in
        self.total = 0.0
        kick = _noise(here.offset, generator)
        # the localizing prior's variance is more than any step needs: from there down to one that is accepted
        for halvings in range(_HALVINGS):
            size = 2.0**-halvings / target.gamma
            there = target.at(propose(here, kick, size), None)
            if acceptance_probability(target, here, there, kick, size).mean() >= 0.5:
                self.log_size = math.log(size)
                return
        raise ValueError("loss_fn: no finite loss found near the weights, expected one that is finite around them")

    def step_size(self, step: int) -> float:
        return math.exp(self.log_size if step < self.burn_in else self.total / (self.burn_in - self.half))

    def learn(self, step: int, probability: Float[Tensor, " chain"]) -> None:
        self.log_size += (probability.mean().item() - TARGET_ACCEPTANCE) / math.sqrt(step + 1)
        if step >= self.half:
            self.total += self.log_size
