import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2, multivariate_normal, t

from probe.measures.complexity.langevin import (
    Target,
    acceptance_probability,
    largest_radius2,
    mala,
    propose,
    sgld,
)
from probe.measures.complexity.learning_coefficient import split_r_hat
from probe.measures.intervals import t_interval


def quartic_target(center, n_beta, gamma):
    """L = sum over weights of (w - center)^4 + (w - center)^2 / 2, plus a coupling of the first two."""

    def loss_and_gradient(points, examples):
        assert examples is None
        u = (points - center).detach().requires_grad_()
        loss = u.pow(4).sum(1) + u.square().sum(1) / 2 + u[:, 0] * u[:, 1]
        return loss.detach(), torch.autograd.grad(loss.sum(), u)[0]

    return Target(center, loss_and_gradient, lambda examples: torch.zeros(()), None, n_beta, gamma)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_acceptance_is_that_of_the_two_densities(dtype):
    generator = torch.Generator().manual_seed(0)
    center = torch.tensor([0.3, -1.0, 2.0], dtype=dtype)
    n_beta, gamma, step_size = 3.0, 0.7, 0.1
    target = quartic_target(center, n_beta, gamma)
    here = target.at(0.6 * torch.randn(50, 3, generator=generator, dtype=dtype), None)
    kick = torch.randn(50, 3, generator=generator, dtype=dtype)
    there = target.at(propose(here, kick, step_size), None)

    def log_target(u):
        return -n_beta * (u**4 + u**2 / 2).sum() - n_beta * u[0] * u[1] - gamma / 2 * (u**2).sum()

    def mean_of_proposal(u):
        coupled = np.array([u[1], u[0], 0.0])
        return u - step_size / 2 * (n_beta * (4 * u**3 + u + coupled) + gamma * u)

    expected = []
    for u, v in zip(here.offset.double().numpy(), there.offset.double().numpy(), strict=True):
        forward = multivariate_normal(mean_of_proposal(u), step_size * np.eye(3)).logpdf(v)
        backward = multivariate_normal(mean_of_proposal(v), step_size * np.eye(3)).logpdf(u)
        expected.append(math.exp(min(0.0, log_target(v) - log_target(u) + backward - forward)))
    probability = acceptance_probability(target, here, there, kick, step_size)
    assert probability.dtype == torch.float64
    assert 0.1 < probability.mean() < 0.9
    precision = 1e-9 if dtype == torch.float64 else 1e-3
    np.testing.assert_allclose(probability.numpy(), expected, atol=precision, rtol=precision)


def test_a_proposal_to_where_the_loss_is_nan_is_never_accepted():
    target = quartic_target(torch.zeros(2), 1.0, 1.0)
    here = target.at(torch.zeros(3, 2), None)
    there = target.at(torch.tensor([[0.1, 0.1], [math.nan, 0.0], [math.inf, 0.0]]), None)
    probability = acceptance_probability(target, here, there, torch.zeros(3, 2), 0.1)
    assert probability[0] > 0.5
    assert probability[1:].tolist() == [0, 0]


@pytest.mark.parametrize("step_size", [None, 0.3])
def test_mala_samples_the_target(step_size):
    target = quartic_target(torch.zeros(2, dtype=torch.float64), 2.0, 0.5)
    chains = mala(target, 400, 200, 600, step_size, torch.Generator().manual_seed(0))
    x = np.linspace(-3, 3, 601)
    u0, u1 = np.meshgrid(x, x, indexing="ij")
    loss = u0**4 + u1**4 + (u0**2 + u1**2) / 2 + u0 * u1
    radius2 = 0.5 * (u0**2 + u1**2)
    density = np.exp(-2 * loss - radius2 / 2)
    density /= density.sum()
    for values, exact in ((chains.energy, 2 * loss), (chains.radius2, radius2)):
        by_chain = values[:, 200:].mean(1)
        error = by_chain.std().item() / math.sqrt(len(by_chain))
        mean = (density * exact).sum()
        assert error < 0.01 * mean
        assert by_chain.mean().item() == pytest.approx(mean, abs=4 * error)


def test_the_tuned_step_is_accepted_nine_times_in_ten_and_is_fixed_after_the_burn_in():
    target = quartic_target(torch.zeros(4, dtype=torch.float64), 100.0, 1.0)
    chains = mala(target, 50, 300, 300, None, torch.Generator().manual_seed(1))
    assert chains.acceptance.mean().item() == pytest.approx(0.9, abs=0.02)
    again = mala(target, 50, 300, 300, chains.step_size, torch.Generator().manual_seed(2))
    assert again.acceptance.mean().item() == pytest.approx(chains.acceptance.mean().item(), abs=0.02)


@pytest.mark.parametrize("run", [mala, sgld])
def test_the_acceptance_is_a_mean_over_the_steps_after_the_burn_in(run):
    target = quartic_target(torch.zeros(3, dtype=torch.float64), 20.0, 1.0)

    def acceptance(burn_in, n_draws):
        return run(target, 5, burn_in, n_draws, 0.05, torch.Generator().manual_seed(0)).acceptance

    whole, first, rest = acceptance(0, 200), acceptance(0, 150), acceptance(150, 50)
    assert (first - rest).abs().min() > 1e-3
    torch.testing.assert_close(200 * whole, 150 * first + 50 * rest)


@pytest.mark.parametrize("burn_in", range(10))
def test_few_draws_are_enough_for_an_acceptance(burn_in):
    target = quartic_target(torch.zeros(2, dtype=torch.float64), 1.0, 1.0)
    chains = sgld(target, 2, burn_in, 4, 0.01, torch.Generator().manual_seed(0))
    assert (chains.acceptance > 0.9).all()


def test_sgld_and_mala_of_one_small_step_agree():
    target = quartic_target(torch.zeros(2, dtype=torch.float64), 5.0, 1.0)
    exact, biased = (
        run(target, 300, 200, 600, 0.004, torch.Generator().manual_seed(3)).energy[:, 200:].mean(1)
        for run in (mala, sgld)
    )
    assert biased.mean().item() == pytest.approx(exact.mean().item(), rel=0.05)


@pytest.mark.parametrize("d", [1, 2, 10, 1000, 226_816])
def test_the_prior_alone_never_looks_like_a_runaway(d):
    assert -120 < chi2.logsf(largest_radius2(d), d) < -50


def test_halves_that_agree_have_r_hat_one_and_others_more():
    draws = torch.randn(4, 4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert split_r_hat(draws) == pytest.approx(1, abs=2e-3)
    assert split_r_hat(draws + torch.linspace(0, 4, 4000)) > 1.2  # a drift that all chains share
    assert split_r_hat(draws + torch.arange(4)[:, None]) > 1.2  # chains that differ
    assert split_r_hat(torch.full((3, 10), 2.5)) == 1


def test_r_hat_is_that_of_the_book():
    draws = np.random.default_rng(0).normal(size=(3, 11)).cumsum(1)
    halves = np.concatenate([draws[:, :5], draws[:, 6:]])  # the middle one of an odd number is in neither
    within = np.mean([half.var(ddof=1) for half in halves])
    between = 5 * np.var([half.mean() for half in halves], ddof=1)
    expected = math.sqrt((4 / 5 * within + between / 5) / within)
    assert split_r_hat(torch.from_numpy(draws)) == pytest.approx(expected)


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_the_interval_is_students(confidence):
    values = np.random.default_rng(0).normal(3, 2, size=7)
    interval = t_interval(torch.from_numpy(values), confidence)
    low, high = t.interval(confidence, 6, values.mean(), values.std(ddof=1) / math.sqrt(7))
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((values.mean(), low, high))
    assert interval.n == 7


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_a_confidence_is_between_zero_and_one(confidence):
    with pytest.raises(ValueError, match=f"confidence: {confidence} given"):
        t_interval(torch.ones(3), confidence)
