"""Ridge from moments against scikit-learn and closed forms."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import PredefinedSplit

from probe.measures.folds import assign_folds, difference
from probe.measures.fourier import fourier_targets
from probe.measures.linear import RELATIVE_ALPHAS, RidgeProbes, relative_alphas, ridge
from probe.measures.moments import accumulate

ALPHAS = [1e-3, 1e-1, 1e1, 1e3]


def planted(n: int, d: int, n_targets: int, noise: float, seed: int, *batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets that are linear in the last entry's units, of variance 1, plus noise."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(*batch, n, d, generator=generator, dtype=torch.float64)
    W = torch.randn(d, n_targets, generator=generator, dtype=torch.float64)
    source = X.reshape(-1, n, d)[-1]
    noises = noise * torch.randn(n, n_targets, generator=generator, dtype=torch.float64)
    return X + 2, source @ (W / W.norm(dim=0)) + noises - 1


def fit(X, Y, n_folds=5, seed=0, groups=None, **arguments) -> RidgeProbes:
    fold = assign_folds(len(Y), n_folds, seed, groups)
    return ridge(accumulate([(X, Y, fold)], n_folds), **arguments)


# --- the same as scikit-learn ---


@pytest.mark.parametrize("alpha", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("d", [5, 60])  # fewer and more units than examples
def test_coefficients_are_those_of_scikit_learn(alpha, d):
    X, Y = planted(40, d, 3, 0.5, 0, 2, 2)
    found = fit(X, Y, alphas=[alpha])
    assert found.coef.shape == (2, 2, 3, d)
    assert (found.alpha == alpha).all()
    for i, j in np.ndindex(2, 2):
        theirs = Ridge(alpha=alpha, solver="svd").fit(X[i, j], Y)
        np.testing.assert_allclose(found.coef[i, j], theirs.coef_, rtol=1e-6, atol=1e-6 * np.abs(theirs.coef_).max())
        np.testing.assert_allclose(found.intercept[i, j], theirs.intercept_, rtol=1e-6)


def loop(X, Y, fold, alpha):
    """Squared errors on each fold of scikit-learn's fits on the others, and of the training mean."""
    error, reference = [], []
    for f in range(int(fold.max()) + 1):
        train, test = fold != f, fold == f
        predicted = Ridge(alpha=alpha, solver="svd").fit(X[train], Y[train]).predict(X[test])
        error.append(((predicted - Y[test]) ** 2).sum(0))
        reference.append(((Y[train].mean(0) - Y[test]) ** 2).sum(0))
    return np.stack(error), np.stack(reference)


@given(seed=st.integers(0, 10**6), n_folds=st.integers(2, 6), d=st.sampled_from([1, 4, 40]))
def test_errors_on_held_out_examples_are_those_of_a_loop_over_folds(seed, n_folds, d):
    X, Y = (x.numpy() for x in planted(30, d, 2, 0.5, seed))
    fold = assign_folds(30, n_folds, seed)
    for alpha in (1e-2, 10.0):
        held_out = ridge(accumulate([(X, Y, fold)], n_folds), [alpha]).held_out
        error, reference = loop(X, Y, fold.numpy(), alpha)
        np.testing.assert_allclose(held_out.error, error, rtol=1e-8, atol=1e-8 * reference.max())
        np.testing.assert_allclose(held_out.reference, reference, rtol=1e-10)
        expected = 1 - error.sum(0) / reference.sum(0)
        np.testing.assert_allclose(held_out.score().value, expected, atol=1e-8)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("noise", [0.1, 3.0])
def test_the_alpha_is_the_one_that_scikit_learn_chooses(seed, noise):
    X, Y = planted(60, 20, 3, noise, seed)
    fold = assign_folds(60, 5, seed)
    alphas = np.logspace(-3, 4, 15)
    moments = accumulate([(X, Y, fold)])
    # folds of 12 examples each, so that the mean over folds of the mean error is that over examples
    search = {"alphas": alphas, "cv": PredefinedSplit(fold.numpy()), "scoring": "neg_mean_squared_error"}
    shared, theirs = ridge(moments, alphas), RidgeCV(**search).fit(X, Y)
    assert shared.alpha.tolist() == [pytest.approx(theirs.alpha_)] * 3
    np.testing.assert_allclose(shared.coef, theirs.coef_, rtol=1e-6, atol=1e-9)
    each = ridge(moments, alphas, alpha_groups=range(3))
    pairs = ridge(moments, alphas, alpha_groups=["a", "b", "a"])
    for t in range(3):
        assert each.alpha[t].item() == pytest.approx(RidgeCV(**search).fit(X, Y[:, t]).alpha_)
    assert pairs.alpha[0] == pairs.alpha[2] == pytest.approx(RidgeCV(**search).fit(X, Y[:, [0, 2]]).alpha_)
    assert pairs.alpha[1] == each.alpha[1]


def test_targets_with_alphas_of_their_own_have_their_coefficients():
    X, Y = planted(60, 20, 3, 0.0, 0)
    Y = Y + torch.tensor([0.01, 1.0, 10.0]) * torch.randn(60, 3, generator=torch.Generator().manual_seed(1))
    found = fit(X, Y, alphas=[1e-2, 10.0, 1e4], alpha_groups=range(3))
    assert found.alpha.tolist() == [1e-2, 10.0, 1e4]
    for t, alpha in enumerate(found.alpha.tolist()):
        np.testing.assert_allclose(found.coef[t], Ridge(alpha=alpha).fit(X, Y[:, t]).coef_, rtol=1e-6)


@given(seed=st.integers(0, 10**6))
def test_each_fold_is_scored_at_the_alpha_that_is_best_on_the_others(seed):
    X, Y = planted(25, 10, 2, 2.0, seed)
    fold = assign_folds(25, 5, seed)
    alphas = [0.1, 3.0, 30.0, 1e3]
    moments = accumulate([(X, Y, fold)])
    error = np.stack([loop(X.numpy(), Y.numpy(), fold.numpy(), alpha)[0] for alpha in alphas])  # [alpha, fold, target]
    elsewhere = (error.sum(1, keepdims=True) - error).argmin(0)
    found = ridge(moments, alphas, alpha_groups=range(2)).held_out.error
    np.testing.assert_allclose(found, np.take_along_axis(error, elsewhere[None], 0)[0], rtol=1e-8)


# --- the same however it is asked ---


@given(seed=st.integers(0, 10**6), size=st.integers(1, 40))
def test_batches_entries_and_numbers_make_no_difference(seed, size):
    X, Y = planted(40, 6, 2, 0.5, seed, 2, 3)
    fold = assign_folds(40, 4, seed)
    batches = [(X[..., i : i + size, :], Y[i : i + size], fold[i : i + size]) for i in range(0, 40, size)]
    together = ridge(accumulate(batches, 4))
    for i, j in np.ndindex(2, 3):
        alone = ridge(accumulate([(X[i, j].numpy(), Y.numpy(), fold.numpy())], 4))
        torch.testing.assert_close(together.coef[i, j], alone.coef)
        torch.testing.assert_close(together.intercept[i, j], alone.intercept)
        torch.testing.assert_close(together.held_out.error[i, j], alone.held_out.error)
        torch.testing.assert_close(together.held_out.score().high[i, j], alone.held_out.score().high)


@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-6, 1e-2, 1e5]), shift=st.floats(-100, 100))
def test_relative_alphas_do_not_see_the_scale_of_the_units(seed, scale, shift):
    X, Y = planted(40, 6, 2, 0.5, seed)
    plain, scaled = fit(X, Y), fit(X * scale + shift * scale, Y)
    torch.testing.assert_close(scaled.coef * scale, plain.coef, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(scaled.held_out.score().value, plain.held_out.score().value, rtol=1e-6, atol=1e-8)


def test_relative_alphas_are_multiples_of_the_mean_eigenvalue():
    X, Y = planted(40, 6, 2, 0.5, 0, 3)
    X = torch.cat([X, torch.ones(1, 40, 6)])
    grid = relative_alphas(accumulate([(X, Y, assign_folds(40))]))
    centred = X - X.mean(1, keepdim=True)
    mean_eigenvalue = torch.linalg.eigvalsh(centred.mT @ centred).mean(-1)
    mean_eigenvalue[3] = 1  # units without variance
    torch.testing.assert_close(grid, mean_eigenvalue[:, None] * torch.tensor(RELATIVE_ALPHAS, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_narrow_activations(dtype):
    X, Y = planted(300, 8, 2, 0.3, 0)
    narrow = X.to(dtype)
    torch.testing.assert_close(fit(narrow, Y).coef, fit(narrow.double(), Y).coef, rtol=1e-10, atol=1e-12)


# --- what R2 means ---


@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
def test_a_planted_map_has_the_share_that_is_not_noise(share):
    X, Y = planted(4000, 10, 3, (1 / share - 1) ** 0.5, 0, 2)
    score = fit(X, Y).held_out.score()
    # 10 units cost 10 / 3200 of the noise; a share has a standard error of at most 0.016
    np.testing.assert_allclose(score.value[-1], [share - 0.003 * (1 - share)] * 3, atol=0.04)
    assert (score.low[-1] < share).all()
    assert (score.high[-1] > share).all()
    assert (score.value[0].abs() < 0.01).all()  # the other entry knows nothing of it


def test_without_noise_it_is_1():
    X, Y = planted(200, 10, 100, 0.0, 0)
    score = fit(X, Y, alphas=[1e-12]).held_out.score()
    np.testing.assert_allclose(score.value, 1, atol=1e-9)
    assert (score.value <= 1).all()


def test_noise_has_no_score_above_zero_and_seldom_an_interval_above_it():
    """Choosing alpha on the folds that score it would give 0.008 with a standard error of 0.0008."""
    scores = []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        X, Y = torch.randn(100, 30, generator=generator), torch.randn(100, 8, generator=generator)
        scores.append(fit(X, Y, seed=seed, alphas=np.logspace(-1, 5, 7), alpha_groups=range(8)).held_out.score())
    values = torch.stack([score.value for score in scores])
    lows = torch.stack([score.low for score in scores])
    by_data = values.mean(1)
    assert by_data.mean() < 2 * by_data.std() / len(by_data) ** 0.5
    assert values.mean() > -0.02
    assert (lows > 0).double().mean() < 0.025


@pytest.mark.parametrize(("n", "d", "share"), [(100, 5, 0.5), (300, 20, 0.8), (60, 20, 0.3)])
def test_coverage_of_the_interval(n, d, share):
    """The R2 of fits on 4/5 n examples, averaged over training sets, lies within a nominal 95 % as often or more."""
    alpha, noise = 3.0, (1 / share - 1) ** 0.5
    W = torch.ones(d, dtype=torch.float64) / d**0.5
    generator = torch.Generator().manual_seed(0)
    scores, truths = [], []
    for seed in range(300):
        X = torch.randn(n, d, generator=generator, dtype=torch.float64)
        y = X @ W + noise * torch.randn(n, generator=generator, dtype=torch.float64)
        fold = assign_folds(n, 5, seed)
        scores.append(fit(X, y[:, None], seed=seed, alphas=[alpha]).held_out.score())
        x, known = X[fold != 0], y[fold != 0]
        centred = x - x.mean(0)
        w = torch.linalg.solve(centred.T @ centred + alpha * torch.eye(d, dtype=torch.float64), centred.T @ known)
        bias = known.mean() - x.mean(0) @ w
        error = (w - W).square().sum() + bias.square() + noise**2  # expectation over new examples
        truths.append(1 - error / ((1 + noise**2) * (1 + 1 / len(known))))
    truth = torch.stack(truths).mean()
    covered = torch.cat([(s.low <= truth) & (truth <= s.high) for s in scores]).double().mean().item()
    assert 0.93 <= covered <= 0.995


def test_mirror_pairs_that_are_held_out_together_give_nothing_away():
    """Units that tell each pair {a, b} apart, targets at random by pair: there is nothing to find but the leak."""
    n_pairs = 60
    generator = torch.Generator().manual_seed(0)
    pair = torch.arange(n_pairs).repeat(2)
    X = torch.randn(n_pairs, 200, generator=generator, dtype=torch.float64)[pair]
    Y = torch.randn(n_pairs, 4, generator=generator, dtype=torch.float64)[pair]
    assert (fit(X, Y).held_out.score().value > 0.5).all()
    assert (fit(X, Y, groups=pair).held_out.score().value < 0.1).all()


def test_a_fourier_probe_finds_the_frequencies_that_are_there():
    """A clock with frequencies 3 and 5 of Z_23, in 16 units: R2 by frequency, all in one solve."""
    p, keys = 23, [3, 5]
    a, b = (x.ravel() for x in np.divmod(np.arange(p * p), p))
    c = (a + b) % p
    pair = np.minimum(a, b) * p + np.maximum(a, b)
    targets = fourier_targets(c, p)
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(4, 16, generator=generator, dtype=torch.float64)
    X = fourier_targets(c, p, keys).values @ plane
    X = X + 0.1 * torch.randn(X.shape, generator=generator, dtype=torch.float64)
    score = fit(X, targets.values, groups=pair, alpha_groups=targets.frequencies).held_out
    r2 = dict(zip(range(1, p // 2 + 1), score.grouped(targets.frequencies).score().value.tolist(), strict=True))
    assert all(r2[k] > 0.95 for k in keys)
    assert all(r2[k] < 0.01 for k in r2 if k not in keys)


def test_trained_beyond_untrained():
    X, Y = planted(500, 10, 2, 0.5, 0, 2)  # entry 0 knows nothing, entry 1 all
    fold = assign_folds(500)
    untrained, trained = (ridge(accumulate([(x, Y, fold)])).held_out for x in X)
    gap = difference(trained, untrained)
    torch.testing.assert_close(gap.value, trained.score().value - untrained.score().value)
    assert (gap.low > 0.6).all()
    nothing = difference(untrained, untrained)
    assert (nothing.low == 0).all()
    assert (nothing.high == 0).all()


# --- edges ---


def test_a_constant_target_has_no_r2_and_harms_no_other():
    X, Y = planted(50, 5, 2, 0.5, 0)
    with_constant = torch.cat([Y, torch.full((50, 1), 0.1)], 1)
    found, without = fit(X, with_constant, alphas=ALPHAS), fit(X, Y, alphas=ALPHAS)
    assert found.held_out.score().value.isnan().tolist() == [False, False, True]
    torch.testing.assert_close(found.coef[:2], without.coef)
    np.testing.assert_allclose(found.coef[2], 0, atol=1e-15)
    assert found.intercept[2].item() == pytest.approx(0.1)
    grouped = found.held_out.grouped(["k", "k", "k"]).score().value
    torch.testing.assert_close(grouped, without.held_out.grouped(["k", "k"]).score().value)


def test_constant_and_equal_units():
    X, Y = planted(50, 5, 2, 0.5, 0)
    plain = fit(X, Y, alphas=[1e-3])
    with_constant = fit(torch.cat([X, torch.full((50, 1), 7.0)], 1), Y, alphas=[1e-3])
    torch.testing.assert_close(with_constant.coef[:, :5], plain.coef)
    np.testing.assert_allclose(with_constant.coef[:, 5], 0, atol=1e-12)
    for alpha in (1e-3, 1e-20):
        once, doubled = fit(X, Y, alphas=[alpha]), fit(torch.cat([X, X], 1), Y, alphas=[2 * alpha])
        # the same fit: two halves cost half of one whole
        torch.testing.assert_close(doubled.coef, torch.cat([once.coef, once.coef], 1) / 2)
        torch.testing.assert_close(doubled.held_out.score().value, once.held_out.score().value)
    nothing = fit(torch.ones(50, 3), Y)
    assert nothing.coef.abs().max() < 1e-12
    np.testing.assert_allclose(nothing.held_out.score().value, 0, atol=1e-12)


def test_ill_conditioned_units():
    """Spreads from 1 to 1e-3 in directions that mix the units, a mean of 10, float32; down to almost no penalty."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.linalg.qr(torch.randn(30, 30, generator=generator, dtype=torch.float64)).Q
    spread = torch.logspace(0, -3, 30, dtype=torch.float64)
    X = (torch.randn(400, 30, generator=generator, dtype=torch.float64) * spread @ mixing + 10).float()
    Y = torch.randn(400, 3, generator=generator, dtype=torch.float64) + (X.double() @ mixing.T)[:, 5:8] / spread[5:8]
    for alpha in (1e-8, 1e-4, 1.0):
        found = fit(X, Y, alphas=[alpha])
        theirs = Ridge(alpha=alpha, solver="svd").fit(X.double(), Y)
        np.testing.assert_allclose(found.coef, theirs.coef_, atol=1e-6 * np.abs(theirs.coef_).max(), rtol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alphas": [1.0, 0.0]}, r"alphas: got 0\.0; expected positive numbers"),
        ({"alphas": [-1.0]}, r"alphas: got -1\.0; expected positive"),
        ({"alphas": [float("nan")]}, "alphas: got nan; expected positive"),
        ({"alphas": [float("inf")]}, "alphas: got inf; expected positive"),
        ({"alphas": []}, r"alphas: got shape \(0,\); expected \[alpha\] or \[2, alpha\]"),
        ({"alphas": np.ones((3, 4))}, r"alphas: got shape \(3, 4\); expected \[alpha\] or \[2, alpha\]"),
        ({"alpha_groups": [1, 2, 3]}, "alpha_groups: got 3 labels; expected 2, one per target"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    X, Y = planted(20, 3, 2, 1.0, 0, 2)
    with pytest.raises(ValueError, match=message):
        fit(X, Y, **arguments)


def test_a_fold_without_examples_is_refused():
    X, Y = planted(20, 3, 2, 1.0, 0)
    moments = accumulate([(X, Y, assign_folds(20, 3))], 4)
    with pytest.raises(
        ValueError, match=r"moments: got \[7, 7, 6, 0\] examples by fold; expected at least one in each"
    ):
        ridge(moments)


def test_scikit_learn_and_scipy_are_loaded_on_first_use_only():
    modules = ", ".join(f"probe.measures.{name}" for name in ("linear", "classifiers", "controls", "directions"))
    code = f"import sys, {modules}; print(*sorted({{'sklearn', 'scipy'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []
