import itertools

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import binomtest, t

from probe.measures.memorization import neighbour_contrast, operand_contrast
from probe.measures.memorization.clustered import share_interval


def test_two_operands_side_by_side():
    """Newcombe 1998, Table II, example (c): 9/10 against 3/10, method 10: .1705 to .8090."""
    found = operand_contrast([0.3, 0.0, 0.9], [23, 5, 24], 24, 23, 10)
    assert (found.first.value, found.second.value, found.first.n, found.difference.n) == (0.9, 0.3, 10, 20)
    for one, k in ((found.first, 9), (found.second, 3)):
        exact = binomtest(k, 10).proportion_ci(0.95, method="wilson")
        assert (one.low, one.high) == pytest.approx((exact.low, exact.high))
    assert found.difference.value == pytest.approx(0.6)
    assert (found.difference.low, found.difference.high) == pytest.approx((0.1705, 0.8090), abs=1e-4)
    turned = operand_contrast([0.3, 0.0, 0.9], [23, 5, 24], 23, 24, 10)
    assert turned.difference.low == pytest.approx(-found.difference.high)


def test_intervals_at_none_and_all():
    found = operand_contrast([0.0, 1.0], [1, 2], 1, 2, 50, confidence=0.9)
    assert (found.first.low, found.second.high, found.difference.low) == (0.0, 1.0, -1.0)
    assert found.first.high == pytest.approx(binomtest(0, 50).proportion_ci(0.9, method="wilson").high)
    assert found.difference.high < -0.9


def accuracies(seed, shape=(), n=40):
    return np.random.default_rng(seed).integers(0, 11, (*shape, n)) / 10


MEMBERS = [3, 9, 17, 30]


def test_members_against_the_numbers_beside_them():
    accuracy = accuracies(0)
    found = neighbour_contrast(accuracy, range(40), MEMBERS, 10, confidence=0.9)
    own = accuracy[MEMBERS]
    beside = np.array([(accuracy[m - 1] + accuracy[m + 1]) / 2 for m in MEMBERS])
    np.testing.assert_allclose(found.each, own - beside)
    labels = np.arange(4)
    parts = share_interval(own, np.full(4, 10.0), labels, 0.9), share_interval(beside, np.full(4, 20.0), labels, 0.9)
    half = t.ppf(0.95, 3) * (own - beside).std(ddof=1) / 2
    difference = np.mean(own - beside), np.mean(own - beside) - half, np.mean(own - beside) + half
    for estimate, expected in zip(
        (found.members, found.neighbours, found.difference), (*parts, difference), strict=True
    ):
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx(tuple(float(x) for x in expected))
        assert estimate.n == 4
    assert found.difference.value == pytest.approx(found.each.mean().item())


@pytest.mark.parametrize("seed", range(4))
def test_p_value_against_all_exchanges_one_by_one(seed):
    accuracy = accuracies(seed)
    found = neighbour_contrast(accuracy, range(40), MEMBERS, 10)

    def total(centres):
        rest = ([m + d for d in (-1, 0, 1) if m + d != c] for m, c in zip(MEMBERS, centres, strict=True))
        return sum(accuracy[c] - accuracy[r].mean() for c, r in zip(centres, rest, strict=True))

    every = [abs(total(centres)) for centres in itertools.product(*[(m - 1, m, m + 1) for m in MEMBERS])]
    assert found.p_value == pytest.approx(np.mean(np.array(every) >= abs(total(MEMBERS)) - 1e-9))


def test_p_values_of_many_members_are_drawn_and_seeded():
    members = range(2, 38, 3)
    accuracy = accuracies(1)
    accuracy[2:38:3] = np.minimum(accuracy[2:38:3] + 0.3, 1)
    found, again, other = (neighbour_contrast(accuracy, range(40), members, 10, seed=s).p_value for s in (0, 0, 1))
    assert found == again != other
    assert found == pytest.approx(other, abs=0.01)
    best = np.zeros(40)
    best[2:38:3] = 1
    assert neighbour_contrast(best, range(40), members, 10).p_value == pytest.approx(1 / 9999)


def test_p_values_are_uniform_where_nothing_is_special():
    accuracy = accuracies(2, (400,))
    p = neighbour_contrast(accuracy, range(40), MEMBERS, 10).p_value
    assert 0.02 <= (p <= 0.05).double().mean().item() <= 0.075
    assert (p <= 0.5).double().mean().item() == pytest.approx(0.5, abs=0.08)


def test_a_trend_is_no_difference():
    found = neighbour_contrast(np.arange(40) / 40, range(40), MEMBERS, 40)
    assert found.difference.value == pytest.approx(0)
    assert found.p_value == 1.0


@pytest.mark.parametrize("known", [0.0, 0.2])
def test_members_that_are_all_alike_leave_the_chance_of_items(known):
    accuracy = np.zeros(40)
    accuracy[MEMBERS] = known
    found = neighbour_contrast(accuracy, range(40), MEMBERS, 10)
    newcombe = operand_contrast([known, 0.0], [0, 1], 0, 1, 40).difference  # 40 items of members against 80
    wilson = binomtest(0, 80).proportion_ci(0.95, method="wilson").high
    assert found.difference.value == known
    first = binomtest(round(40 * known), 40).proportion_ci(0.95, method="wilson")
    assert found.difference.low == pytest.approx(known - np.hypot(known - first.low, wilson))
    assert found.difference.high == pytest.approx(first.high)
    assert newcombe.low < found.difference.low
    if known == 0:
        assert found.p_value == 1.0


def test_ends_stay_within_bounds():
    accuracy = np.zeros(40)
    accuracy[[3, 9]] = 1, 0.5
    found = neighbour_contrast(accuracy, range(40), [3, 9], 2)
    assert found.difference.high == 1.0
    found = neighbour_contrast(1 - accuracy, range(40), [3, 9], 2)
    assert found.difference.low == -1.0


def test_members_drawn_anew_are_covered():
    rng = np.random.default_rng(0)
    level = -1 + rng.normal(size=(300, 8, 1)) + rng.normal(size=(300, 8, 3)) / 2 + [0, 0.7, 0]
    far = -1 + np.sqrt(1.25) * rng.normal(size=10**5)
    true = (expit(far + 0.7) - expit(far)).mean()
    accuracy = rng.binomial(50, expit(level)).reshape(300, 24) / 50
    found = neighbour_contrast(accuracy, range(24), range(1, 24, 3), 50).difference
    assert 0.9 <= ((found.low <= true) & (true <= found.high)).double().mean().item() <= 0.99
    assert (found.high - found.low).mean() < 0.3


def test_operands_in_any_order_and_a_batch():
    accuracy = accuracies(3, (2, 3))
    order = np.random.default_rng(0).permutation(40)
    found = neighbour_contrast(torch.from_numpy(accuracy[..., order]), order, MEMBERS, 10)
    one = neighbour_contrast(accuracy[1, 2], range(40), MEMBERS, 10)
    assert found.each.shape == (2, 3, 4)
    assert isinstance(one.p_value, float)
    assert (found.p_value[1, 2], found.difference.low[1, 2]) == pytest.approx((one.p_value, one.difference.low))
    pair = operand_contrast(accuracy[..., order], order, 24, 23, 10)
    np.testing.assert_allclose(pair.difference.value, accuracy[..., 24] - accuracy[..., 23], atol=1e-12)


FOUR = [0.0, 0.5, 1.0, 0.5]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: operand_contrast(FOUR, range(4), 1, 7, 2), "second: 7"),
        (lambda: operand_contrast(FOUR, range(4), 9, 1, 2), "first: 9"),
        (lambda: operand_contrast(FOUR, range(4), 1, 1, 2), "second: 1"),
        (lambda: operand_contrast(FOUR, range(3), 1, 2, 2), "operands: 3"),
        (lambda: operand_contrast(FOUR, [1, 2, 2, 3], 1, 2, 2), "operands"),
        (lambda: operand_contrast([0.0, 0.3], range(2), 0, 1, 2), "accuracy: 0.3"),
        (lambda: operand_contrast([0.0, np.nan], range(2), 0, 1, 2), "accuracy: nan"),
        (lambda: operand_contrast(FOUR, range(4), 1, 2, [2, 2, 2, 4]), "n_items"),
        (lambda: operand_contrast(FOUR, range(4), 1, 2, 2, confidence=1.0), "confidence"),
        (lambda: neighbour_contrast(accuracies(0), range(40), [5], 10), r"members: \[5\]"),
        (lambda: neighbour_contrast(accuracies(0), range(40), [5, 39], 10), "members: 39 given, but 40"),
        (lambda: neighbour_contrast(accuracies(0), range(40), [5, 6], 10), "members: 6 given, but 6"),
        (lambda: neighbour_contrast(accuracies(0), range(40), [5, 7], 10), "members: 7 given, but 6"),
        (lambda: neighbour_contrast(accuracies(0), range(40), [5.5, 8], 10), "members"),
        (lambda: neighbour_contrast(accuracies(0) * 2, range(40), MEMBERS, 10), "accuracy"),
        (lambda: neighbour_contrast(accuracies(0), range(40), MEMBERS, 10, confidence=0.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
