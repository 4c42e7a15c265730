import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from probe.measures.fourier import circle, fourier_basis, fourier_norms, fourier_targets, frequency_power, gini

moduli = st.integers(2, 40)


def random_matrix(p: int, d: int, seed: int, *batch: int) -> torch.Tensor:
    return torch.randn(*batch, p, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("p", range(2, 41))
def test_basis_is_orthonormal(p):
    F = fourier_basis(p)
    torch.testing.assert_close(F @ F.T, torch.eye(p, dtype=torch.float64), atol=1e-13, rtol=0)


@pytest.mark.parametrize("p", [2, 5, 8, 113])
def test_basis_rows_are_constant_then_cosine_and_sine_of_each_frequency(p):
    F = fourier_basis(p)
    for t in range(p):
        assert F[0, t].item() == pytest.approx(1 / math.sqrt(p))
        for k in range(1, (p - 1) // 2 + 1):
            assert F[2 * k - 1, t].item() == pytest.approx(math.cos(2 * math.pi * k * t / p) * math.sqrt(2 / p))
            assert F[2 * k, t].item() == pytest.approx(math.sin(2 * math.pi * k * t / p) * math.sqrt(2 / p))
        if p % 2 == 0:
            assert F[-1, t].item() == pytest.approx((-1) ** t / math.sqrt(p))


@pytest.mark.parametrize("p", [0, 1, -3])
def test_basis_needs_two_tokens(p):
    with pytest.raises(ValueError, match=f"p: {p} given, expected at least 2"):
        fourier_basis(p)


@settings(deadline=None)
@given(p=moduli, d=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_norms_keep_the_sum_of_squares(p, d, seed):
    W = random_matrix(p, d, seed)
    assert fourier_norms(W).square().sum().item() == pytest.approx(W.double().square().sum().item())


@settings(deadline=None)
@given(p=moduli, d=st.integers(1, 6), seed=st.integers(0, 10**6), shift=st.integers(0, 40))
def test_power_shares_sum_to_one_and_do_not_see_a_shift_of_the_tokens(p, d, seed, shift):
    W = random_matrix(p, d, seed)
    share = frequency_power(W)
    assert share.shape == (p // 2 + 1,)
    assert share.sum().item() == pytest.approx(1.0)
    torch.testing.assert_close(frequency_power(W.roll(shift, dims=0)), share)


@settings(deadline=None)
@given(p=st.integers(2, 20), seed=st.integers(0, 10**6))
def test_power_is_that_of_the_discrete_fourier_transform(p, seed):
    W = random_matrix(p, 3, seed)
    spectrum = np.abs(np.fft.fft(W.double().numpy(), axis=0)) ** 2
    by_frequency = np.zeros(p // 2 + 1)
    for k in range(p):
        by_frequency[min(k, p - k)] += spectrum[k].sum()
    np.testing.assert_allclose(frequency_power(W).numpy(), by_frequency / by_frequency.sum(), atol=1e-12)


def test_power_of_a_single_frequency_and_of_a_constant():
    t = np.arange(12)
    wave = np.cos(2 * np.pi * 5 * t / 12)[:, None] * np.ones(3)
    assert frequency_power(wave).tolist() == pytest.approx([0, 0, 0, 0, 0, 1, 0], abs=1e-12)
    alternating = (-1.0) ** t[:, None]
    assert frequency_power(alternating).tolist() == pytest.approx([0, 0, 0, 0, 0, 0, 1], abs=1e-12)
    assert frequency_power(np.ones((7, 2))).tolist() == pytest.approx([1, 0, 0, 0], abs=1e-12)


def test_leading_dimensions_are_a_batch():
    W = random_matrix(9, 4, 0, 2, 3)
    for measure in (fourier_norms, frequency_power, lambda x: circle(x, 2)):
        together = measure(W)
        assert together.dtype == torch.float64
        for i in range(2):
            for j in range(3):
                torch.testing.assert_close(together[i, j], measure(W[i, j]))


def test_zero_weights_have_no_spectrum():
    assert frequency_power(torch.zeros(5, 2)).isnan().all()


nonnegative = arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1e3)).filter(lambda x: x.sum() > 1e-3)


@settings(deadline=None)
@given(x=nonnegative, scale=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_gini_bounds_scale_and_order(x, scale, seed):
    value = gini(x).item()
    assert -1e-12 <= value <= 1 - 1 / len(x) + 1e-12
    assert gini(x * scale).item() == pytest.approx(value, abs=1e-9)
    assert gini(np.random.default_rng(seed).permutation(x)).item() == pytest.approx(value, abs=1e-12)


@settings(deadline=None)
@given(x=nonnegative)
def test_gini_is_the_mean_absolute_difference_over_twice_the_mean(x):
    differences = sum(abs(a - b) for a in x for b in x) / len(x) ** 2
    assert gini(x).item() == pytest.approx(differences / (2 * x.mean()), abs=1e-9)


def test_gini_of_known_distributions():
    assert gini([[3.0, 3.0, 3.0, 3.0], [0.0, 0.0, 5.0, 0.0]]).tolist() == pytest.approx([0.0, 0.75])


def test_gini_refuses_negative_values():
    with pytest.raises(ValueError, match=r"x: -1\.0 given"):
        gini([1.0, -1.0])


@settings(deadline=None)
@given(p=st.integers(3, 30), data=st.data(), seed=st.integers(0, 10**6))
def test_a_circle_is_traversed_in_order_of_k_t_whatever_its_plane(p, data, seed):
    k = data.draw(st.integers(1, (p - 1) // 2))
    plane = torch.linalg.qr(random_matrix(6, 2, seed).double()).Q  # orthonormal columns
    angle = 2 * math.pi * k * torch.arange(p, dtype=torch.float64) / p
    expected = 2.5 * torch.stack([angle.cos(), angle.sin()], dim=1)
    torch.testing.assert_close(circle(expected @ plane.T, k), expected)


def test_circle_is_a_projection_on_the_plane_of_both_components():
    W = random_matrix(11, 5, 0).double()
    F = fourier_basis(11)
    components = F[5:7] @ W  # frequency 3
    coordinates = circle(W, 3)
    projected = W @ torch.linalg.pinv(components) @ components
    torch.testing.assert_close(coordinates.square().sum(-1), projected.square().sum(-1))
    along_cosine = W @ components[0] / components[0].norm()
    torch.testing.assert_close(coordinates[:, 0], along_cosine)


def test_an_axis_that_does_not_exist_is_zero():
    W = random_matrix(8, 3, 0)
    highest = circle(W, 4)  # p / 2 has a cosine only
    assert highest[:, 1].abs().max() == 0
    assert highest[:, 0].abs().max() > 0
    on_a_line = random_matrix(7, 1, 0)
    assert circle(on_a_line, 2)[:, 1].abs().max() == 0
    assert circle(torch.zeros(7, 3), 2).abs().max() == 0


@pytest.mark.parametrize(("k", "nearest"), [(0, "constant"), (5, "same frequency as 4"), (9, "constant"), (-2, "as 2")])
def test_frequencies_outside_the_group_are_refused_with_the_nearest(k, nearest):
    with pytest.raises(ValueError, match=f"k: frequency {k} given, expected 1 to 4.*{nearest}"):
        circle(torch.ones(9, 2), k)


def test_a_vector_is_not_a_matrix():
    with pytest.raises(ValueError, match=r"W: shape \(5,\) given"):
        frequency_power(torch.ones(5))


@pytest.mark.parametrize("p", [2, 7, 12, 113])
def test_targets_are_cosine_and_sine_of_each_frequency(p):
    c = torch.tensor([0, 1, p - 1, p, -1, 5])  # tokens are taken mod p
    targets = fourier_targets(c, p)
    assert targets.values.shape == (6, p - 1)
    columns = zip(targets.names, targets.frequencies, targets.values.T.tolist(), strict=True)
    for name, k, column in columns:
        wave, named = name.split()
        assert int(named) == k
        function = {"cos": math.cos, "sin": math.sin}[wave]
        assert column == pytest.approx([function(2 * math.pi * k * t / p) for t in c.tolist()], abs=1e-12)
    expected = [(wave, k) for k in range(1, p // 2 + 1) for wave in ("cos", "sin") if wave == "cos" or 2 * k < p]
    assert targets.names == tuple(f"{wave} {k}" for wave, k in expected)


def test_targets_of_chosen_frequencies_keep_their_order():
    every, chosen = fourier_targets(np.arange(11), 11), fourier_targets(np.arange(11), 11, [4, 2])
    assert chosen.names == ("cos 4", "sin 4", "cos 2", "sin 2")
    assert chosen.frequencies == (4, 4, 2, 2)
    torch.testing.assert_close(chosen.values, every.values[:, [6, 7, 2, 3]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.arange(5), 9, [5]), "frequencies: frequency 5 given, expected 1 to 4.* same frequency as 4"),
        ((torch.arange(5), 9, []), "frequencies: none given, expected one or more of 1 to 4"),
        ((torch.ones(5), 9), r"c: torch.float32 of shape \(5,\) given, expected integers, one per example"),
        ((torch.ones(5, 1, dtype=torch.int64), 9), r"c: torch.int64 of shape \(5, 1\) given"),
    ],
)
def test_wrong_targets_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fourier_targets(*arguments)
