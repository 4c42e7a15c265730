import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, norm, t
from sklearn.metrics import roc_auc_score

from probe.measures.memorization import loss_separation


def by_pairs(losses, shown, together):
    """The area and Obuchowski's variance of it, by loops over pairs of facts and over clusters."""
    ones, others = np.flatnonzero(shown), np.flatnonzero(~shown)
    psi = np.array([[(losses[i] < losses[j]) + (losses[i] == losses[j]) / 2 for j in others] for i in ones])
    area = psi.mean()
    kinds = {}
    for facts, placed in ((ones, psi.mean(1)), (others, psi.mean(0))):
        of_cluster = {}
        for fact, value in zip(facts, placed, strict=True):
            of_cluster[together[fact]] = of_cluster.get(together[fact], 0) + (value - area) / len(facts)
        n = len(of_cluster)
        kinds[len(kinds)] = {c: x * np.sqrt(n / max(n - 1, 1)) for c, x in of_cluster.items()}
    clusters = {*kinds[0], *kinds[1]}
    variance = sum((kinds[0].get(c, 0) + kinds[1].get(c, 0)) ** 2 for c in clusters)
    return area, variance, min(len(kinds[0]), len(kinds[1]))


def ends(area, variance, fewer, n_facts, confidence):
    """Clopper and Pearson's ends of the number of independent facts that have this variance."""
    if 0 < area < 1 and fewer > 1:
        ratio = norm.ppf((1 + confidence) / 2) / t.ppf((1 + confidence) / 2, fewer - 1)
        n = min(area * (1 - area) / variance * ratio**2 if variance > 0 else np.inf, n_facts)
    else:
        n = fewer
    k, tail = area * n, (1 - confidence) / 2
    return 0.0 if area == 0 else beta.ppf(tail, k, n - k + 1), 1.0 if area == 1 else beta.isf(tail, k + 1, n - k)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 9), st.integers(2, 12), st.booleans())
def test_pair_by_pair(seed, n_shown, n_unseen, n_values, alone):
    rng = np.random.default_rng(seed)
    n = n_shown + n_unseen
    losses, shown = rng.integers(0, n_values, (2, n)) / 7, rng.permutation(n) < n_shown
    together = np.arange(n) if alone else rng.integers(0, 4, n)
    found = loss_separation(losses, shown, None if alone else together, levels=(0.25, 1.0), confidence=0.9)
    for model in range(2):
        area, variance, fewer = by_pairs(losses[model], shown, together)
        assert found.auc.value[model].item() == pytest.approx(area)
        assert area == pytest.approx(roc_auc_score(shown, -losses[model]))
        expected = ends(found.auc.value[model].item(), variance, fewer, n, 0.9)
        if not 0 < variance < 1e-12:  # rounding
            assert (found.auc.low[model].item(), found.auc.high[model].item()) == pytest.approx(expected, abs=1e-6)
        for kind, mask in ((found.shown, shown), (found.unseen, ~shown)):
            np.testing.assert_allclose(kind[model], np.quantile(losses[model][mask], (0.25, 1.0)))
    assert found.auc.n == n


def test_the_quantiles_are_the_tenths_and_the_middle_unless_others_are_asked_for():
    losses = np.concatenate([np.arange(11.0), 100 + np.arange(11.0)])
    found = loss_separation(losses, np.arange(22) < 11)
    assert found.shown.tolist() == pytest.approx([1, 5, 9])
    assert found.unseen.tolist() == pytest.approx([101, 105, 109])


def test_where_no_fact_is_out_of_order_the_fewer_kind_says_how_much_is_known():
    losses, shown = np.arange(120.0), np.arange(120) < 100
    found = loss_separation(losses, shown)
    assert (found.auc.value, found.auc.high) == (1.0, 1.0)
    assert found.auc.low == pytest.approx(0.025 ** (1 / 20))
    turned = loss_separation(-losses, shown)
    assert (turned.auc.value, turned.auc.low) == (0.0, 0.0)
    assert turned.auc.high == pytest.approx(1 - 0.025 ** (1 / 20))
    same = loss_separation(np.ones(120), shown)
    assert (same.auc.value, same.auc.low < 0.5 < same.auc.high) == (0.5, True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_only_the_order_of_losses_counts(seed):
    rng = np.random.default_rng(seed)
    losses, shown = rng.normal(size=40), rng.random(40) < 0.6
    shown[:2] = [True, False]
    first, second = loss_separation(losses, shown).auc, loss_separation(np.exp(3 * losses), shown).auc
    assert (first.value, first.low, first.high) == (second.value, second.low, second.high)
    swapped = loss_separation(torch.as_tensor(losses), torch.as_tensor(~shown)).auc
    assert swapped.value == pytest.approx(1 - first.value)
    assert (swapped.low, swapped.high) == pytest.approx((1 - first.high, 1 - first.low))


def memorized(rng, draws, n_shown, n_unseen, share):
    """A share of the facts shown is known by heart, the others are as those never shown."""
    losses = rng.normal(size=(draws, n_shown + n_unseen))
    losses[:, :n_shown] -= 20 * (rng.random((draws, n_shown)) < share)
    return losses, share + (1 - share) / 2


def ruled(rng, draws, n_shown, n_unseen, share):
    """All facts shown are known, and of those never shown a share by a rule."""
    losses = rng.normal(size=(draws, n_shown + n_unseen))
    losses[:, n_shown:] += 20 * (rng.random((draws, n_unseen)) >= share)
    return losses, 1 - share / 2


@pytest.mark.parametrize("kind", [memorized, ruled])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.98])
@pytest.mark.parametrize(("n_shown", "n_unseen"), [(100, 100), (300, 30)])
def test_intervals_hold_the_area_in_as_many_draws_as_they_say(kind, share, n_shown, n_unseen):
    losses, area = kind(np.random.default_rng(0), 400, n_shown, n_unseen, share)
    found = loss_separation(losses, np.arange(n_shown + n_unseen) < n_shown).auc
    assert ((found.low <= area) & (found.high >= area)).double().mean() > 0.91
    assert found.value.mean() == pytest.approx(area, abs=0.01)


def test_facts_that_mirror_each_other_are_one():
    rng = np.random.default_rng(0)
    losses, shown = np.repeat(rng.normal(size=(400, 100)), 2, axis=1), np.repeat(np.arange(100) < 70, 2)
    covered = {}
    for name, clusters in (("pairs", np.arange(200) // 2), ("facts", None)):
        found = loss_separation(losses, shown, clusters).auc
        covered[name] = ((found.low <= 0.5) & (found.high >= 0.5)).double().mean()
    assert covered["pairs"] > 0.93
    assert covered["facts"] < 0.9


LOSSES, SHOWN = np.arange(6.0), np.arange(6) < 3


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: loss_separation(LOSSES[:5], SHOWN), "losses: shape"),
        (lambda: loss_separation(np.where(LOSSES > 4, np.inf, LOSSES), SHOWN), "losses: inf"),
        (lambda: loss_separation(LOSSES, SHOWN | True), "shown: all of 6 facts are True"),
        (lambda: loss_separation(LOSSES, SHOWN & False), "shown: all of 6 facts are False"),
        (lambda: loss_separation(LOSSES, LOSSES), "shown: 2 given"),
        (lambda: loss_separation(LOSSES, SHOWN, np.zeros((6, 2), int)), "clusters: shape"),
        (lambda: loss_separation(LOSSES, SHOWN, np.zeros(5, int)), "clusters: int64 of shape"),
        (lambda: loss_separation(LOSSES, SHOWN, levels=(0.1, 10)), "levels: .* expected shares"),
        (lambda: loss_separation(LOSSES, SHOWN, confidence=95), "confidence: 95"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        call()
