import numpy as np
import pytest
import torch
from scipy.stats import beta, binomtest, norm, t

from probe.measures.memorization import counterfactual_memorization
from probe.measures.memorization.clustered import difference_interval


def test_by_hand():
    inside = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [1, 1, 0]], dtype=bool)
    right = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1], [1, 0, 0]], dtype=float)
    found = counterfactual_memorization(inside, right)
    assert found.n_with.tolist() == [3, 5, 1]
    assert found.n_without.tolist() == [2, 0, 4]
    assert found.with_example.tolist() == pytest.approx([1.0, 0.6, 1.0])
    assert found.value[[0, 2]].tolist() == pytest.approx([0.5, 1.0])
    # always in training: nothing to compare with
    for end in (found.value, found.low, found.high, found.without_example):
        assert torch.isnan(end).tolist() == [False, True, False]
    exact = [binomtest(k, n).proportion_ci(0.95, method="exact") for k, n in ((1, 1), (0, 4))]
    parts = [(p, one.low, one.high) for p, one in zip((1.0, 0.0), exact, strict=True)]
    assert (found.low[2].item(), found.high[2].item()) == pytest.approx(difference_interval(*parts)[1:])


def test_shares_have_the_interval_of_their_spread():
    inside = np.array([1, 1, 1, 1, 0, 0, 0], dtype=bool)[:, None]
    share = np.array([0.7, 0.9, 0.8, 0.6, 0.2, 0.1, 0.3])[:, None]
    found = counterfactual_memorization(inside, share, 0.9)

    def part(x):
        p = x.mean()
        n = p * (1 - p) / (x.var(ddof=1) / len(x)) * (norm.ppf(0.95) / t.ppf(0.95, len(x) - 1)) ** 2
        return p, beta.ppf(0.05, p * n, n - p * n + 1), beta.ppf(0.95, p * n + 1, n - p * n)

    expected = difference_interval(part(share[:4, 0]), part(share[4:, 0]))
    got = found.value.item(), found.low.item(), found.high.item()
    assert got == pytest.approx(tuple(float(x) for x in expected))
    assert found.without_example.item() == pytest.approx(0.2)


def test_models_that_all_know_the_same_part_say_as_much_as_one_trial_each():
    members = np.array([[True], [True], [True], [True], [False], [False]])
    found = counterfactual_memorization(members, np.array([[0.5]] * 4 + [[0.0]] * 2))
    low, high = beta.ppf([0.025, 0.975], [2, 3], [3, 2])  # of 2 in 4
    assert found.value.item() == 0.5
    none = 1 - 0.025 ** (1 / 2)  # of 0 in 2
    assert found.low.item() == pytest.approx(0.5 - np.hypot(0.5 - low, none))
    assert found.high.item() == pytest.approx(0.5 + (high - 0.5))


def test_what_all_models_know_is_no_memory():
    rng = np.random.default_rng(0)
    inside = rng.random((30, 50)) < 0.5
    by_rule = rng.random((30, 50)) < 0.9
    by_heart = np.where(inside, rng.random((30, 50)) < 0.9, rng.random((30, 50)) < 0.1)
    rule, heart = (counterfactual_memorization(inside, x) for x in (by_rule, by_heart))
    assert ((rule.low <= 0) & (rule.high >= 0)).double().mean() >= 0.94
    assert rule.value.mean().item() == pytest.approx(0, abs=0.05)
    assert (heart.low > 0).all()
    assert ((heart.low <= 0.8) & (heart.high >= 0.8)).double().mean() >= 0.94


@pytest.mark.parametrize("n_models", [5, 20])
def test_memory_is_covered(n_models):
    rng = np.random.default_rng(1)
    inside = np.arange(n_models)[:, None] % 2 == np.zeros((1, 400))
    chance = np.where(inside, 0.9, 0.3)
    for performance, least in (
        ((rng.random(chance.shape) < chance), 0.95),
        (rng.beta(6 * chance, 6 - 6 * chance), 0.91),
    ):
        found = counterfactual_memorization(inside, performance)
        assert ((found.low <= 0.6) & (found.high >= 0.6)).double().mean() >= least
        assert (found.low <= found.value).all()
        assert (found.value <= found.high).all()


def test_a_batch_is_as_its_members():
    rng = np.random.default_rng(2)
    inside, share = rng.random((8, 6)) < 0.5, rng.random((2, 3, 8, 6))
    batch = counterfactual_memorization(torch.from_numpy(inside), torch.from_numpy(share))
    one = counterfactual_memorization(inside, share[1, 2])
    assert batch.value.shape == (2, 3, 6)
    for end in ("value", "low", "high", "with_example", "without_example"):
        np.testing.assert_allclose(getattr(batch, end)[1, 2], getattr(one, end))
    turned = counterfactual_memorization(~inside, share[1, 2])
    np.testing.assert_allclose(turned.low, -one.high)


TWO = np.array([[True], [False]])


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: counterfactual_memorization(TWO, [[0.5], [1.5]]), "performance: 1.5"),
        (lambda: counterfactual_memorization(TWO, [[0.5], [-2.0]]), "performance: -2"),
        (lambda: counterfactual_memorization(TWO, [[0.5], [np.nan]]), "performance: nan"),
        (lambda: counterfactual_memorization(TWO, [[0.5, 0.5]]), "performance: shape"),
        (lambda: counterfactual_memorization([[0.5], [1.0]], [[0.5], [1.0]]), "in_training: 0.5"),
        (lambda: counterfactual_memorization([1.0, 0.0], [[0.5], [1.0]]), "in_training: shape"),
        (lambda: counterfactual_memorization([[1.0, 0.0], [1.0, 0.0]], np.ones((2, 2))), "in_training: every example"),
        (lambda: counterfactual_memorization(TWO, [[0.5], [0.5]], 1.0), "confidence"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
