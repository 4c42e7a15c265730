"""A synthetic learner of which everything is known, through all the measures in a row.

A model of N parameters learns a fact after a number of exposures that is lognormal, with median c N^-a, and answers it
right from there on; what it has not learned it guesses, as it does facts that were never shown. So T(N, tau) follows a
power law of exponent a at every tau.
"""

import math

import numpy as np
import pytest
from scipy.stats import norm

from probe.measures.memorization import (
    exposures_to_memorize,
    fact_exposures,
    fit_capacity,
    fit_power_law,
    kaplan_meier,
    memorized_share,
    memory_beyond_rule,
    recovered_bits,
)

INF = float("inf")
EXPONENT, MEDIAN, SPREAD = 0.5, 30.0, 0.5  # MEDIAN: exposures at 1e6 parameters; SPREAD: of their logarithm
SIZES = np.repeat(np.geomspace(1e5, 1e7, 5), 3)
EXPOSURES = 1.15 ** np.arange(40)
BUDGET = 1.15**39
N_FACTS, CHANCE = 150, 0.05


def planted(tau, sizes=SIZES):
    return MEDIAN * (sizes / 1e6) ** -EXPONENT * np.exp(SPREAD * norm.ppf(tau))


@pytest.fixture(scope="module")
def suite():
    """Whether each model is right [model, fact, evaluation], on facts that were shown and on others."""
    rng = np.random.default_rng(5)
    own = np.exp(0.05 * rng.normal(size=len(SIZES)))
    learned = (planted(0.5) * own)[:, None] * np.exp(SPREAD * rng.normal(size=(len(SIZES), N_FACTS)))
    guesses = rng.random((2, len(SIZES), N_FACTS, len(EXPOSURES))) < CHANCE
    return (learned[..., None] <= EXPOSURES) | guesses[0], guesses[1]


@pytest.mark.parametrize("tau", [0.4, 0.9])
def test_exposures_and_their_exponent(suite, tau):
    share = memorized_share(suite[0].swapaxes(1, 2))
    found = exposures_to_memorize(EXPOSURES, share.value, tau, N_FACTS)
    # at .05 chance, M = tau where (tau - .05) / .95 is learned
    truth = planted((tau - CHANCE) / (1 - CHANCE))
    within = truth <= BUDGET
    held = (found.low.numpy() < truth) & (truth <= found.high.numpy())
    assert held[within].mean() >= 0.8
    assert found.reached[truth > 1.3 * BUDGET].isinf().all()
    law = fit_power_law(SIZES, found.above, found.reached)
    assert law.exponent.low < EXPONENT < law.exponent.high
    assert law.exponent.high - law.exponent.low < 0.15
    assert law.predict(1e6) == pytest.approx(planted((tau - CHANCE) / (1 - CHANCE), 1e6), rel=0.15)
    assert law.n_censored == found.reached.isinf().sum()


def test_half_of_the_facts_are_learned_by_the_median(suite):
    found = fact_exposures(EXPOSURES, suite[0])
    held = []
    for model in range(len(SIZES)):
        curve = kaplan_meier(found.above[model], found.reached[model])
        held.append(curve.median.low < planted(0.5)[model] <= curve.median.high)
        assert curve.n_censored == found.reached[model].isinf().sum()
    assert np.mean(held) >= 0.8
    # facts that were never shown pass by chance only: three times in a row once in 8000, at 38 places
    by_chance = np.isfinite(fact_exposures(EXPOSURES, suite[1]).reached.numpy()).mean()
    assert 0.001 < by_chance < 0.01


def test_memory_beyond_chance(suite):
    shown, unseen = suite
    found = memory_beyond_rule(shown.swapaxes(1, 2), unseen.swapaxes(1, 2))
    truth = norm.cdf(np.log(EXPOSURES / planted(0.5)[:, None]) / SPREAD)
    held = (found.low.numpy() <= truth) & (truth <= found.high.numpy())
    assert held.mean() >= 0.9
    assert (found.low[:, 0] <= 0).double().mean() >= 0.95  # nothing is known of what was hardly shown


def test_bits_and_capacity_of_tables_of_known_size():
    """Models that hold as many facts as fit, exactly, and guess the others at random."""
    values, rng = 64, np.random.default_rng(0)
    n_facts = np.repeat([50, 100, 200, 400, 800, 1600], 2)
    holds = np.round(300 * np.exp(0.03 * rng.normal(size=12))).astype(int)
    tables = [np.where(np.arange(n) < h, 0.0, -math.log(values)) for n, h in zip(n_facts, holds, strict=True)]
    found = [recovered_bits(table, values) for table in tables]
    for one, n, h in zip(found, n_facts, holds, strict=True):
        assert one.bits == pytest.approx(6 * min(n, h))
        assert one.total == pytest.approx(6 * n)
    capacity = fit_capacity([one.total for one in found], [one.bits for one in found]).capacity
    assert capacity.low <= 1800 <= capacity.high
    assert capacity.high < 1.15 * capacity.low
