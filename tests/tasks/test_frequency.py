"""Declared frequencies as whole exposures, and the facts held out of them."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.tasks.frequency import (
    Duplicated,
    OperandWeights,
    Table,
    Uniform,
    Zipf,
    allotted,
    declared_exposures,
    held_out_mask,
)

PAIRS = np.array([(a, b) for a in range(2, 8) for b in range(2, 8)])
MIRRORED = np.array([min(a, b) * 10 + max(a, b) for a, b in PAIRS])
ORBIT = np.unique(MIRRORED, return_inverse=True)[1]
EACH = np.arange(len(PAIRS))


def of_pairs(frequency, orbit=ORBIT, seed=0):
    return declared_exposures(frequency, PAIRS, orbit, seed)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any), st.integers(1, 10**6))
def test_a_total_is_divided_by_largest_remainders(weights, total):
    """Against exact fractions: the whole parts, and one more for the largest remainders."""
    exact = [Fraction(total * w, sum(weights)) for w in weights]
    found = allotted(np.array(weights, dtype=float), np.arange(len(weights)), total)
    assert found.sum() == total
    assert all(abs(f - e) < 1 for f, e in zip(found.tolist(), exact, strict=True))
    up = [e - int(e) for f, e in zip(found.tolist(), exact, strict=True) if f > int(e)]
    down = [e - int(e) for f, e in zip(found.tolist(), exact, strict=True) if f == int(e)]
    assert not up or not down or min(up) >= max(down) - Fraction(1, 10**6)


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 2)), min_size=1, max_size=20).filter(
        lambda orbits: any(weight for weight, _ in orbits)
    ),
    st.integers(1, 10**4),
)
def test_within_an_orbit_all_are_shown_equally_often(orbits, total):
    orbit = np.repeat(np.arange(len(orbits)), [size for _, size in orbits])
    weights = np.array([orbits[i][0] for i in orbit], dtype=float)
    found = allotted(weights, orbit, total)
    assert all(len(set(found[orbit == i].tolist())) == 1 for i in range(len(orbits)))
    assert (abs(found - weights / weights.sum() * total) <= 1 + 1e-9).all()
    assert 0 <= total - found.sum() < max(size for _, size in orbits)


def test_uniform():
    assert (of_pairs(Uniform(times=3)) == 3).all()


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.0, 2.0])
def test_zipf_over_facts_is_a_power_of_the_rank(exponent):
    found = np.sort(of_pairs(Zipf(total=100_000, exponent=exponent), EACH))[::-1]
    expected = np.arange(1, len(PAIRS) + 1.0) ** -exponent
    np.testing.assert_allclose(found, 100_000 * expected / expected.sum(), atol=1)


def test_zipf_over_operands_is_the_product_of_theirs():
    found = of_pairs(Zipf(total=1_000_000, over="operands")).reshape(6, 6)
    marginal = found.sum(1) / found.sum()
    np.testing.assert_allclose(found / found.sum(), np.outer(marginal, marginal), atol=1e-4)
    np.testing.assert_allclose(
        np.sort(marginal)[::-1] * 6, 6 / np.arange(1, 7) / (1 / np.arange(1, 7)).sum(), atol=1e-4
    )
    assert (found == found.T).all()


def test_ascending_order_makes_the_smallest_operand_the_most_frequent_and_shuffled_order_is_drawn():
    ascending = of_pairs(Zipf(total=10_000, over="operands", order="ascending")).reshape(6, 6).sum(1)
    assert (np.diff(ascending) < 0).all()
    orders = {
        tuple(of_pairs(Zipf(total=10_000, over="operands"), seed=s).reshape(6, 6).sum(1).argsort()) for s in range(9)
    }
    assert len(orders) > 5


def test_mirrors_are_equally_frequent_where_facts_are_ranked():
    for frequency in (Zipf(total=100_000), Duplicated((1, 2, 4))):
        found = of_pairs(frequency).reshape(6, 6)
        assert (found == found.T).all()
        apart = of_pairs(frequency, EACH).reshape(6, 6)
        assert np.abs(apart - apart.T).max() > 1


def test_duplicated_divides_the_facts_into_equal_groups():
    found = of_pairs(Duplicated((1, 4, 0)), EACH)
    assert {times: int((found == times).sum()) for times in (0, 1, 4)} == {0: 12, 1: 12, 4: 12}
    assert not (found == of_pairs(Duplicated((1, 4, 0)), EACH, seed=1)).all()


def test_operand_weights_are_multiplied_and_one_where_none_is_given():
    found = of_pairs(OperandWeights(total=10_000, weights={2: 5.0, 3: 0.0}))
    weight = {2: 5.0, 3: 0.0}
    expected = np.array([weight.get(a, 1.0) * weight.get(b, 1.0) for a, b in PAIRS.tolist()])
    np.testing.assert_allclose(found, 10_000 * expected / expected.sum(), atol=1)
    assert found[0] > 0


def test_a_table_says_it_fact_by_fact():
    found = of_pairs(Table(((2, 3, 7), (5, 4, 1), (6, 6, 0))))
    assert {tuple(pair): times for pair, times in zip(PAIRS.tolist(), found.tolist(), strict=True) if times} == {
        (2, 3): 7,
        (5, 4): 1,
    }


@pytest.mark.parametrize("share", [0.03, 0.1, 0.25, 1 / 3, 0.5, 0.9])
def test_as_many_are_held_out_at_every_frequency(share):
    exposures = np.repeat([1, 5, 20, 100], 300)
    np.random.default_rng(0).shuffle(exposures)
    mask = held_out_mask(exposures, np.arange(1200), share, seed=3)
    assert abs(mask.sum() - 1200 * share) <= 1
    for times in (1, 5, 20, 100):
        assert abs(mask[exposures == times].sum() - 300 * share) <= 2
    assert (mask != held_out_mask(exposures, np.arange(1200), share, seed=4)).any()


def test_every_fact_may_be_held_out():
    """Over seeds each of them is, about as often as others."""
    exposures = np.repeat([1, 9], 10)
    share = np.mean([held_out_mask(exposures, np.arange(20), 0.2, seed) for seed in range(400)], axis=0)
    assert (abs(share - 0.2) < 5 * np.sqrt(0.16 / 400)).all()


def test_mirrors_are_held_out_together():
    mask = held_out_mask(of_pairs(Zipf(total=1000)), ORBIT, 0.3, 0).reshape(6, 6)
    assert (mask == mask.T).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(0), "times: got 0"),
        (lambda: Zipf(total=0), "total: got 0"),
        (lambda: Zipf(total=5, exponent=float("nan")), "exponent: got nan"),
        (lambda: Zipf(total=5, exponent=-1), "exponent: got -1"),
        (lambda: Zipf(total=5, over="pairs"), "over: got 'pairs'"),
        (lambda: Zipf(total=5, order="random"), "order: got 'random'"),
        (lambda: Duplicated(()), r"times: got \(\)"),
        (lambda: Duplicated((0, 0)), r"times: got \(0, 0\)"),
        (lambda: Duplicated((1, -1)), "times: got"),
        (lambda: OperandWeights(total=5, weights={2: float("nan")}), "weights: got nan for 2"),
        (lambda: OperandWeights(total=5, weights={2: -1}), "weights: got -1.0 for 2"),
        (lambda: OperandWeights(total=0, weights={}), "total: got 0"),
        (lambda: Table(((2, 3, -1),)), r"rows: got -1 exposures of \(2, 3\)"),
        (lambda: Table(((2, 3, float("nan")),)), "rows: got nan; expected whole numbers"),
        (lambda: Table({"2x3": 1}), "rows: got '2'; expected whole numbers"),
        (lambda: Table(((2, 3, 0),)), "rows: their exposures sum to nothing"),
        (lambda: Table(((2, 3, 1), (2, 3, 4))), r"rows: \(2, 3\) is listed twice"),
        (lambda: of_pairs(Table(((2, 99, 1),))), r"frequency.rows: \(2, 99\) is no fact of the task"),
        (lambda: of_pairs(OperandWeights(total=5, weights={99: 1})), "frequency.weights: 99 is no operand"),
        (
            lambda: of_pairs(OperandWeights(total=5, weights=dict.fromkeys(range(2, 8), 0.0))),
            "frequency.weights: they sum to nothing",
        ),
        (lambda: held_out_mask(np.ones(9), np.arange(9), 0.0, 0), "held_out: got 0.0"),
        (lambda: held_out_mask(np.ones(9), np.arange(9), 1.0, 0), "held_out: got 1.0"),
        (lambda: held_out_mask(np.eye(1, 9)[0], np.arange(9), 0.95, 0), "held_out: 0.95 leaves no fact that is shown"),
    ],
)
def test_bad_frequencies_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_held_out_set_that_is_empty_is_refused():
    with pytest.raises(ValueError, match=r"held_out: 0.05 of 9 facts is none; expected at least 0.11"):
        held_out_mask(np.ones(9), np.arange(9), 0.05, 0)
