"""How the estimate of the learning coefficient is made; its values are tested in test_known_coefficients.py."""

import itertools
import math

import numpy as np
import pytest
import torch

from probe.measures.complexity import local_learning_coefficient
from probe.measures.complexity.learning_coefficient import split_r_hat
from probe.measures.intervals import t_interval
from tests.measures.complexity.agreement import DOUBLE, agrees, n_beta


def sgld_of_quadratic(step_size, n=1000, gamma=2.0, **settings):
    return local_learning_coefficient(
        lambda w: w.square().sum() / 2,
        torch.zeros(1, dtype=DOUBLE),
        n,
        sampler="sgld",
        step_size=step_size,
        gamma=gamma,
        n_chains=400,
        burn_in=200,
        **settings,
    )


def acceptance_of_sgld(s):
    """Of the Metropolis rule, in one direction of curvature h, averaged over what SGLD of step size s / h samples."""
    x, z = np.meshgrid(np.linspace(-9, 9, 1801), np.linspace(-9, 9, 1801), indexing="ij")
    here = x / math.sqrt(1 - s / 4)
    there = (1 - s / 2) * here + math.sqrt(s) * z
    backward, forward = here - (1 - s / 2) * there, there - (1 - s / 2) * here
    log_ratio = (here**2 - there**2) / 2 + (forward**2 - backward**2) / (2 * s)
    weight = np.exp(-(x**2) / 2 - z**2 / 2)
    return (weight * np.exp(np.minimum(log_ratio, 0))).sum() / weight.sum()


@pytest.mark.parametrize(("s", "documented"), [(0.1, 0.997), (1.0, 0.92), (2.0, None)])
def test_sgld_is_biased_by_its_step_as_documented_and_the_acceptance_tells(s, documented):
    n, gamma = 1000, 2.0
    curvature = n_beta(n) + gamma
    llc = sgld_of_quadratic(s / curvature, n, gamma, n_draws=int(100 / s))
    assert agrees(llc, 0.5 * n_beta(n) / curvature * (1 + s / (4 - s)), 0.02)
    acceptance = acceptance_of_sgld(s)
    assert llc.acceptance.mean().item() == pytest.approx(acceptance, abs=0.1 * (1 - acceptance))
    assert documented is None or acceptance == pytest.approx(documented, abs=1e-3 if s < 1 else 5e-3)


def test_minibatches_are_of_the_examples_and_their_noise_heats_as_it_should():
    n, gamma, batch_size = 400, 2.0, 4
    x = torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) + 3
    s = 0.05
    step_size = s / (n_beta(n) + gamma)
    llc = local_learning_coefficient(
        lambda w, index: (w - x[index]).square().mean() / 2,
        x.mean(),
        n,
        sampler="sgld",
        step_size=step_size,
        batch_size=batch_size,
        gamma=gamma,
        n_chains=400,
        burn_in=300,
        n_draws=1000,
    )
    heat = 1 + step_size * n_beta(n) ** 2 * x.var(correction=0).item() / (4 * batch_size)
    exact = 0.5 * n_beta(n) / (n_beta(n) + gamma) / (1 - s / 4) * heat
    assert heat > 1.1
    assert agrees(llc, exact, 0.02)
    assert llc.acceptance.shape == (400,)
    assert 0.9 < llc.acceptance.mean() < 1


def test_every_chain_and_step_has_examples_of_its_own():
    seen = []

    def loss(w, index):
        seen.append(index.tolist())
        return (w * 0).sum()

    settings = {"n_chains": 3, "burn_in": 0, "n_draws": 50, "vectorized": False}
    local_learning_coefficient(
        loss, torch.zeros(2), 6, sampler="sgld", step_size=1e-3, batch_size=4, seed=1, **settings
    )
    flat = set(itertools.chain.from_iterable(seen))
    assert flat == set(range(6))
    assert len({tuple(index) for index in seen}) >= 140
    assert all(len(index) == 4 for index in seen)


def test_losses_before_and_after_are_of_the_same_examples():
    # the examples differ by far more than the chain moves: only if they are the same ones do they cancel
    x = 1e3 * torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    llc = local_learning_coefficient(
        lambda w, index: w.square().sum() / 2 + x[index].mean(),
        torch.zeros(1, dtype=DOUBLE),
        50,
        sampler="sgld",
        step_size=1e-2,
        batch_size=2,
        gamma=1.0,
        burn_in=0,
        n_draws=20,
    )
    assert llc.trace.min() >= 0
    assert llc.trace.max() < 50


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)))


def regression(dtype=DOUBLE):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 2, generator=generator, dtype=dtype)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net().to(dtype)
    y = net(x).detach() + 0.1 * torch.randn(60, 1, generator=generator, dtype=dtype)

    def loss(weights, index=slice(None)):
        return (torch.func.functional_call(net, weights, (x[index],)) - y[index]).square().mean()

    return loss, dict(net.named_parameters())


QUICK = {"n_chains": 4, "burn_in": 100, "n_draws": 50}
SGLD = {"sampler": "sgld", "step_size": 1e-4}


@pytest.mark.parametrize("settings", [{}, SGLD, SGLD | {"batch_size": 7}])
def test_a_module_alone_or_in_a_batch_gives_the_same(settings):
    loss, weights = regression()
    one, other = (
        local_learning_coefficient(loss, weights, 60, vectorized=vectorized, seed=3, **QUICK, **settings)
        for vectorized in (True, False)
    )
    torch.testing.assert_close(one.trace, other.trace, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(one.acceptance, other.acceptance, rtol=1e-6, atol=1e-9)
    assert one.trace.shape == (4, 150)
    assert one.by_chain.tolist() == pytest.approx(one.trace[:, 100:].mean(1).tolist())
    assert one.estimate == pytest.approx(one.by_chain.mean().item())
    assert one.burn_in == 100


def test_one_seed_is_one_result_and_the_global_generator_is_left_alone():
    loss, weights = regression()
    before, state = {k: v.clone() for k, v in weights.items()}, torch.get_rng_state()
    first, again, other = (local_learning_coefficient(loss, weights, 60, seed=s, **QUICK) for s in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[k], v) and v.grad is None for k, v in weights.items())
    assert torch.equal(first.trace, again.trace)
    assert not torch.equal(first.trace, other.trace)
    with torch.no_grad():
        assert torch.equal(first.trace, local_learning_coefficient(loss, weights, 60, seed=5, **QUICK).trace)


def test_single_precision_stays_single_and_gives_the_same_coefficient():
    seen = set()

    def loss(w):
        seen.add(w.dtype)
        return w.square().sum() / 2

    n, gamma = 1000, 1.0
    llc = local_learning_coefficient(loss, torch.zeros(4), n, gamma=gamma, n_chains=100, n_draws=500)
    assert seen == {torch.float32}
    assert llc.trace.dtype == torch.float64
    assert agrees(llc, 2 * n_beta(n) / (n_beta(n) + gamma), 0.02)


def test_weights_come_back_in_their_own_shapes_and_dtypes():
    def loss(w):
        assert {name: (value.shape, value.dtype) for name, value in w.items()} == {
            "a": ((2, 3), torch.float32),
            "b": ((), DOUBLE),
            "c": ((4,), DOUBLE),
        }
        return sum(
            (value.double() - torch.arange(value.numel()).reshape(value.shape)).square().sum() for value in w.values()
        )

    weights = {
        "a": torch.arange(6.0).reshape(2, 3),
        "b": torch.tensor(0.0, dtype=DOUBLE),
        "c": torch.arange(4, dtype=DOUBLE),
    }
    llc = local_learning_coefficient(loss, weights, 100, **QUICK)
    assert llc.trace[:, 0].abs().max() == 0  # the arrays are where the loss expects them
    assert llc.trace.min() >= 0


def test_intervals_hold_the_exact_value_as_often_as_they_say():
    n, gamma = 1000, 1.0
    llc = local_learning_coefficient(
        lambda w: w.square().sum() / 2,
        torch.zeros(2, dtype=DOUBLE),
        n,
        gamma=gamma,
        n_chains=1600,
        burn_in=200,
        n_draws=50,
    )
    exact = n_beta(n) / (n_beta(n) + gamma)
    intervals = [t_interval(eight, 0.8) for eight in llc.by_chain.split(8)]
    held = np.mean([interval.low < exact < interval.high for interval in intervals])
    assert held == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / 200))
    narrow, wide = (
        local_learning_coefficient(
            lambda w: w.square().sum(), torch.zeros(2, dtype=DOUBLE), n, confidence=confidence, **QUICK
        )
        for confidence in (0.5, 0.99)
    )
    assert wide.low < narrow.low < narrow.estimate == wide.estimate < narrow.high < wide.high


def test_a_step_that_is_too_large_diverges_and_says_so():
    curvature = n_beta(1000) + 2.0
    llc = sgld_of_quadratic(4.5 / curvature, n_draws=100)
    assert llc.diverged.all()
    assert math.isnan(llc.estimate)
    assert math.isnan(llc.low)
    assert math.isnan(llc.high)
    assert llc.acceptance.mean() < 0.1


def test_a_loss_that_becomes_nan_is_a_divergence_of_that_chain():
    llc = local_learning_coefficient(
        lambda w: w.square().sum() + 0 * torch.log(0.35 - w).sum(),
        torch.zeros(1, dtype=DOUBLE),
        10,
        sampler="sgld",
        step_size=1e-2,
        n_chains=20,
        burn_in=0,
        n_draws=100,
    )
    assert 0 < llc.diverged.sum() < 20
    assert torch.equal(llc.diverged, llc.trace.isnan().any(1))
    assert math.isnan(llc.estimate)


def test_a_chain_that_runs_away_is_a_divergence_though_every_number_is_finite():
    # lower and lower: the prior holds the weights at n beta / gamma, far beyond where a minimum would let them be
    llc = local_learning_coefficient(
        lambda w: -(1 + w.square()).sqrt().sum(),
        torch.zeros(1, dtype=DOUBLE),
        10_000,
        gamma=1.0,
        n_chains=4,
        burn_in=400,
    )
    assert llc.diverged.all()
    assert llc.trace.isfinite().all()
    assert math.isnan(llc.estimate)


def test_one_chain_that_runs_away_is_enough():
    def downhill_on_one_side(w):
        return (w.clamp(max=0).square() - w.clamp(min=0).square() / 100).sum()

    llc = local_learning_coefficient(
        downhill_on_one_side,
        torch.zeros(1, dtype=DOUBLE),
        10_000,
        sampler="sgld",
        step_size=1e-3,
        gamma=1.0,
        n_chains=50,
        burn_in=0,
        n_draws=450,
    )
    assert 0 < llc.diverged.sum() < 50
    assert llc.by_chain.isfinite().all()
    assert math.isnan(llc.estimate)
    assert math.isnan(llc.low)
    assert math.isnan(llc.high)


def test_weights_that_are_at_no_minimum_give_a_negative_estimate():
    llc = local_learning_coefficient(
        lambda w: (w - 0.3).square().sum(), torch.zeros(1, dtype=DOUBLE), 1000, gamma=1.0, **QUICK
    )
    assert llc.high < 0


def test_a_loss_that_is_flat_everywhere_has_coefficient_zero_and_the_priors_spread():
    llc = local_learning_coefficient(
        lambda w: 2 + 0 * w.sum(), torch.ones(5, dtype=DOUBLE), 100, gamma=4.0, n_chains=50, n_draws=2000
    )
    assert llc.estimate == 0
    assert llc.r_hat == 1
    assert llc.spread.mean().item() == pytest.approx(1, abs=0.05)


def test_what_is_said_of_the_chains_is_of_the_steps_after_the_burn_in():
    # the loss is the squared distance, so that what is said of one must be said of the other
    n, gamma = 100, 4.0
    llc = local_learning_coefficient(
        lambda w: w.square().sum() / 2, torch.zeros(3, dtype=DOUBLE), n, gamma=gamma, step_size=1e-3, **QUICK
    )
    assert llc.r_hat == pytest.approx(split_r_hat(llc.trace[:, 100:]))
    assert llc.r_hat != pytest.approx(split_r_hat(llc.trace))
    assert llc.r_hat_distance == pytest.approx(llc.r_hat)
    assert llc.spread.tolist() == pytest.approx((llc.by_chain * 2 * gamma / n_beta(n) / 3).tolist())
