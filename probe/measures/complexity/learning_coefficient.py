"""The local learning coefficient: how fast the volume of almost equally good weights shrinks around given ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe.measures.complexity.flat_weights import Weights, checked_loss, flatten
from probe.measures.complexity.langevin import Target, mala, sgld
from probe.measures.intervals import t_interval

# fewer steps than this do not find a step size
SHORTEST_TUNING = 100


@dataclass(frozen=True)
class LLC:
    """An estimate of the local learning coefficient, and whether to believe it.

    ``low`` and ``high`` hold the error of sampling only: Student's interval over the chains, which are independent
    but all start at w*. So they can agree with each other before they have been everywhere.

    r_hat, r_hat_distance: split R-hat (Gelman et al. 2013, section 11.4) of the loss and of |w - w*|^2. Above 1.01
        (Vehtari et al. 2021, arXiv 1903.08008) the chains are too short. The loss often settles while the weights
        still drift away along a degenerate direction, and the estimate is then too small: only the second shows it.
    acceptance: of the Metropolis rule, a mean per chain: .9 where "mala" chose the step. For "sgld" it should be near
        1: in a regular direction of curvature h the estimate is too large by the share s / (4 - s),
        s = step_size (n beta h + gamma): 3 % at s = .1, where one direction accepts .997, 33 % at s = 1, where it
        accepts .92. Minibatches of m add the share step_size (n beta)^2 V / (4 m), V the variance of the gradient
        between examples, which the acceptance does not show.
    spread: mean of gamma |w - w*|^2 / d per chain: 1 where the prior alone holds the weights, less where the loss
        does or the chain is too short for the flat directions, more where the loss drives them off.
    diverged: nan or infinity, or further off than the prior lets a chain go; then estimate, low and high are nan.
    trace: n beta (L(w_t) - L(w*)) at every step, the first ``burn_in`` included; ``by_chain`` is the mean of the rest.
    """

    estimate: float
    low: float
    high: float
    by_chain: Float[Tensor, " chain"]
    r_hat: float
    r_hat_distance: float
    acceptance: Float[Tensor, " chain"]
    spread: Float[Tensor, " chain"]
    diverged: Bool[Tensor, " chain"]
    trace: Float[Tensor, "chain step"]
    burn_in: int
    step_size: float


def local_learning_coefficient(
    loss_fn: Callable[..., Tensor],
    weights: Weights,
    n: int,
    *,
    sampler: Literal["mala", "sgld"] = "mala",
    step_size: float | None = None,
    gamma: float = 100.0,
    batch_size: int | None = None,
    n_chains: int = 8,
    burn_in: int = 1000,
    n_draws: int = 1000,
    confidence: float = 0.95,
    vectorized: bool = True,
    seed: int = 0,
) -> LLC:
    """lambda = n beta (E[L_n(w)] - L_n(w*)), beta = 1 / log n, for weights w* at a minimum of L_n.

    E is over exp(-n beta L_n(w) - gamma |w - w*|^2 / 2), sampled by chains that start at w*. It is d / 2 for a
    regular minimum in d dimensions, less for a degenerate one.

    loss_fn: ``loss_fn(weights)``, the mean loss (nats) of the ``n`` examples, as a function of weights of the form
        given here. With ``batch_size``, ``loss_fn(weights, index)``: the mean loss of the examples ``index``.
    sampler: "mala" has no error from its step size, and finds the step size itself; it needs the loss of all
        examples. "sgld" is the sampler of the paper, with or without minibatches (drawn with replacement, anew for
        each chain and step); its ``step_size`` must be given, and makes the estimate too large, see `LLC`.
    vectorized: all chains in one call, by `torch.func.vmap`. False is for losses that it cannot take.

    What remains is no error of sampling but the distance of finite n from the limit. In a regular direction of
    curvature h it is the factor n beta h / (n beta h + gamma). Where m branches cross it falls as slowly as
    (m - 1) / log(n beta): at gamma = 1 and n = 10^3, 10^6, 10^12 the exact value for w1^2 w2^2 is .361, .425, .462,
    whose limit is 1/2, and for w1^2 w2^4 .210, .241, .250. So compare at one n and one gamma. Weights that are not at
    a minimum give any number, often a negative one.

    Losses are computed in the dtype of the weights, everything else in float64. The global random state is not used.

    Raises ValueError for weights that are no finite floating-point tensors, a loss that is not one finite number at
    w*, and sizes or settings that make no sense.
    Source: Lau et al. 2023, arXiv 2308.12108.
    """
    _check(n, sampler, step_size, gamma, batch_size, n_chains, burn_in, n_draws)
    flat = flatten(weights)
    center, device = flat.vector, flat.vector.device
    generator = torch.Generator(device=device).manual_seed(seed)

    def loss(vector: Tensor, *index: Tensor) -> Tensor:
        return loss_fn(flat.restore(vector), *index)

    def losses(points: Tensor, examples: Tensor | None) -> Float[Tensor, " chain"]:
        arguments = (points,) if examples is None else (points, examples)
        if vectorized:
            return torch.func.vmap(loss)(*arguments)
        return torch.stack([loss(*each) for each in zip(*arguments, strict=True)])

    def loss_and_gradient(points: Tensor, examples: Tensor | None) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            value = losses(points, examples)
            return value.detach(), torch.autograd.grad(value.sum(), points)[0]

    first = () if batch_size is None else (torch.arange(batch_size, device=device),)
    at_center = checked_loss(lambda vector: loss(vector, *first), center).to(torch.float64)

    def base(examples: Tensor | None) -> Tensor:
        if examples is None:
            return at_center
        with torch.no_grad():
            return losses(center.expand(n_chains, -1), examples).to(torch.float64)

    def draw_examples() -> Tensor:
        assert batch_size is not None
        return torch.randint(n, (n_chains, batch_size), generator=generator, device=device)

    examples = None if batch_size is None else draw_examples
    target = Target(center, loss_and_gradient, base, examples, n / math.log(n), gamma)
    if sampler == "mala":
        chains = mala(target, n_chains, burn_in, n_draws, step_size, generator)
    else:
        assert step_size is not None
        chains = sgld(target, n_chains, burn_in, n_draws, step_size, generator)
    draws = chains.energy[:, burn_in:]
    by_chain = draws.mean(1)
    interval = t_interval(by_chain, confidence)
    known = not chains.diverged.any()
    return LLC(
        estimate=interval.estimate if known else math.nan,
        low=interval.low if known else math.nan,
        high=interval.high if known else math.nan,
        by_chain=by_chain,
        r_hat=split_r_hat(draws),
        r_hat_distance=split_r_hat(chains.radius2[:, burn_in:]),
        acceptance=chains.acceptance,
        spread=chains.radius2[:, burn_in:].mean(1) / len(center),
        diverged=chains.diverged,
        trace=chains.energy,
        burn_in=burn_in,
        step_size=chains.step_size,
    )


def split_r_hat(draws: Float[Tensor, "chain draw"]) -> float:
    """Potential scale reduction of the halves of the chains; 1 if they agree, nan if they are not finite."""
    length = draws.shape[1] // 2
    halves = torch.cat([draws[:, :length], draws[:, -length:]])
    within, between = halves.var(1).mean(), halves.mean(1).var()
    if within == between == 0:
        return 1.0
    return ((length - 1) / length + between / within).sqrt().item()


def _check(
    n: int,
    sampler: str,
    step_size: float | None,
    gamma: float,
    batch_size: int | None,
    n_chains: int,
    burn_in: int,
    n_draws: int,
) -> None:
    def need(holds: bool, field: str, given: Any, expected: str) -> None:
        if not holds:
            raise ValueError(f"{field}: {given} given, expected {expected}")

    need(2 <= n < math.inf, "n", n, "the number of examples, at least 2")
    need(sampler in ("mala", "sgld"), "sampler", repr(sampler), "'mala' or 'sgld'")
    need(0 < gamma < math.inf, "gamma", gamma, "a positive number: without a prior flat directions have no end")
    need(n_chains >= 2, "n_chains", n_chains, "at least 2, for an interval")
    need(burn_in >= 0, "burn_in", burn_in, "a number of steps")
    need(n_draws >= 4, "n_draws", n_draws, "at least 4")
    if step_size is not None:
        need(0 < step_size < math.inf, "step_size", step_size, "a positive number")
    elif sampler == "sgld":
        need(False, "step_size", "none", "one for 'sgld'; 'mala' finds its own, a tenth of which is a place to start")
    else:
        need(burn_in >= SHORTEST_TUNING, "burn_in", burn_in, f"at least {SHORTEST_TUNING} to find a step size in")
    if batch_size is not None:
        need(sampler == "sgld", "batch_size", batch_size, "none for 'mala'; minibatches need 'sgld'")
        need(1 <= batch_size <= n, "batch_size", batch_size, f"1 to n = {n}")
